import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { EffectiveType } from './types.ts';

/** A processor on which every type was measured on RAM. */
export const COST_CPUS = ['Sapphire Rapids', 'Coffee Lake-S'] as const;
export type CostCpu = (typeof COST_CPUS)[number];

/** The types of the measurement. WC+ and CD, of AMD, are none of them. */
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
    'and UC go to memory one by one; no table of them on RAM is public. AMD and device memory were not measured.',
  table: [
    `      ${COST_CPUS.join('   ')}`,
    ...Object.entries(STORE_NS).map(
      ([type, ns]) =>
        `${type}    ${COST_CPUS.map((cpu) => ns[cpu].toFixed(1).padStart(cpu.length)).join('   ')}`,
    ),
  ].join('\n'),
  sources: ['perf/yan-2024-09-05', 'mail/bochs-wc', 'perf/sogen'],
});

function isMeasured(type: EffectiveType): type is Measured {
  return type in STORE_NS;
}

/** Stores are buffered or cached: not one bus transaction each. */
export function storesFast(type: EffectiveType): boolean {
  return type === 'WB' || type === 'WC' || type === 'WC+';
}

/** Loads may be served by the cache. */
export function loadsCached(type: EffectiveType): boolean {
  return type === 'WB' || type === 'WT' || type === 'WP';
}

/** How many times longer a store takes with `after` than with `before`; null: one of them was not measured. */
export function storeFactor(
  before: EffectiveType,
  after: EffectiveType,
  cpu: CostCpu,
): number | null {
  const [from, to] = [storeNs(before, cpu), storeNs(after, cpu)];
  return from === null || to === null ? null : to / from;
}

/** Nanoseconds of a store to RAM; null: not measured. */
export function storeNs(type: EffectiveType, cpu: CostCpu): number | null {
  return isMeasured(type) ? STORE_NS[type][cpu] : null;
}

/** Other measurements, of what a guest or program did as a whole. */
export interface BulkCost {
  readonly types: readonly EffectiveType[];
  readonly text: string;
  readonly source: SourceId;
}

export const BULK_COSTS: readonly BulkCost[] = [
  {
    types: ['UC', 'WC'],
    text:
      'a guest moving 0x3e8000 bytes into the frame buffer of bochs: 1.24 s UC-, 0.01 s WC, on Sapphire Rapids ' +
      '(Yan Zhao, 2024-09-09)',
    source: 'mail/bochs-wc',
  },
  {
    types: ['WC'],
    text: 'reads of WC memory: about 50 MB/s, 350 times slower than cached ones (sogen, 2026-07)',
    source: 'perf/sogen',
  },
];
