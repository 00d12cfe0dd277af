import { rule } from '../cite/rule.ts';
import { INTEL_MTRR_X_PAT } from '../x86/combine.ts';
import type { EffectiveType, MtrrType, PatType } from '../x86/types.ts';

rule({
  id: 'bitvisor/mtrr-x-pat',
  room: 'vmm',
  title: 'MTRR x PAT in BitVisor',
  text:
    'The table of Intel in all 30 cells. BitVisor marks three of them as different on AMD: MTRR WP x PAT ' +
    'UC-, MTRR WP x PAT WT and MTRR WT x PAT WP (D1, D3, D2), the same three in which the manuals differ.',
  sources: ['bitvisor/cache.c', 'sdm/t11-7', 'apm/t7-11'],
});

/** The effective type that BitVisor expects on an Intel CPU. */
export function bitvisorEffective(mtrr: MtrrType, pat: PatType): EffectiveType {
  return INTEL_MTRR_X_PAT.at(mtrr, pat);
}
