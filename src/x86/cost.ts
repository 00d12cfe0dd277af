import { rule } from '../cite/rule.ts';
import type { EffectiveType } from './types.ts';

/** A processor on which every type was measured on RAM. */
export const COST_CPUS = ['Sapphire Rapids', 'Coffee Lake-S'] as const;
export type CostCpu = (typeof COST_CPUS)[number];

/** The types of the measurement; an AMD CD stands with UC and a WC+ with WC, which nobody measured apart. */
type Measured = 'WB' | 'WC' | 'WT' | 'WP' | 'UC';

/** Nanoseconds per store to one address in RAM, 2^24 of them, the type forced by KVM. */
const STORE_NS: Readonly<Record<Measured, Readonly<Record<CostCpu, number>>>> = {
  WB: { 'Sapphire Rapids': 9.0, 'Coffee Lake-S': 9.9 },
  WC: { 'Sapphire Rapids': 8.4, 'Coffee Lake-S': 9.9 },
  WT: { 'Sapphire Rapids': 224, 'Coffee Lake-S': 36.7 },
  WP: { 'Sapphire Rapids': 266, 'Coffee Lake-S': 37.0 },
  UC: { 'Sapphire Rapids': 206, 'Coffee Lake-S': 35.0 },
};

rule({
  id: 'x86/cost',
  room: 'cpu',
  title: 'What a store costs, by type',
  text:
    'Average nanoseconds of 2^24 stores to one address in RAM with the type forced by KVM. WC costs what ' +
    'WB costs and WT and WP what UC costs: a timing of stores alone cannot tell them apart. Loads from WC ' +
    'and UC go to memory one by one; no table of them on RAM is public. AMD was not measured.',
  table: [
    `      ${COST_CPUS.join('   ')}`,
    ...Object.entries(STORE_NS).map(
      ([type, ns]) =>
        `${type}    ${COST_CPUS.map((cpu) => ns[cpu].toFixed(1).padStart(cpu.length)).join('   ')}`,
    ),
  ].join('\n'),
  sources: ['perf/yan-2024-09-05'],
});

function measured(type: EffectiveType): Measured {
  if (type === 'CD') return 'UC';
  return type === 'WC+' ? 'WC' : type;
}

/** Stores are buffered or cached: not one bus transaction each. */
export function storesFast(type: EffectiveType): boolean {
  return STORE_NS[measured(type)]['Sapphire Rapids'] < 20;
}

/** Loads may be served by the cache. */
export function loadsCached(type: EffectiveType): boolean {
  return type === 'WB' || type === 'WT' || type === 'WP';
}

/** How many times longer a store takes with `after` than with `before`. */
export function storeFactor(before: EffectiveType, after: EffectiveType, cpu: CostCpu): number {
  return STORE_NS[measured(after)][cpu] / STORE_NS[measured(before)][cpu];
}

/** Nanoseconds of a store. */
export function storeNs(type: EffectiveType, cpu: CostCpu): number {
  return STORE_NS[measured(type)][cpu];
}
