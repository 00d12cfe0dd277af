import type { U64 } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { INTEL_MTRR_X_PAT } from '../x86/combine.ts';
import { type CompiledMtrrs, mtrrLookup } from '../x86/mtrr.ts';
import { patIndex } from '../x86/pat.ts';
import { MTRR_TYPES, type MtrrType, PAT_TYPES, type PatType } from '../x86/types.ts';

export const BOCHS_RESOLVE_RULE = rule({
  id: 'bochs/resolve-memtype',
  room: 'cpu',
  title: 'MTRR x PAT as Bochs emulates it',
  text:
    'The table of Intel with two other cells. D1: PAT UC- over MTRR WP is UC, because only WC overrides ' +
    'UC-; the manuals say WC (Intel) and CD (AMD). D2: PAT WP over MTRR WT is WT, the smaller number of ' +
    'the two; the manuals say WP (Intel) and CD (AMD). The manuals are right, each for its CPUs. CR0.CD=1 ' +
    'gives UC always. An invalid MTRR type counts as WB; a reserved PAT type is an internal error.',
  sources: ['bochs/paging.cc', 'sdm/t11-7', 'apm/t7-11'],
});

export const BOCHS_MTRR_RULE = rule({
  id: 'bochs/mtrr',
  room: 'cpu',
  title: 'MTRR lookup as Bochs emulates it',
  text:
    'As the manual says, bitwise. D10: where the manual leaves an overlap undefined the answer is ' +
    'INVALID, which resolve_memtype then takes for WB. Nobody is right there; Linux chooses UC, which is ' +
    'safe.',
  sources: ['bochs/paging.cc', 'sdm/mtrr-precedence'],
});

/** The values of a memory type in Bochs, by number. */
export const BOCHS_TYPES = [
  'UC',
  'WC',
  'RSVD2',
  'RSVD3',
  'WT',
  'WP',
  'WB',
  'UC-',
  'INVALID',
] as const;
export type BochsType = (typeof BOCHS_TYPES)[number];

/** A cell in which Bochs differs from the table of Intel. */
interface Deviation {
  readonly id: 'D1' | 'D2';
  readonly mtrr: MtrrType;
  readonly pat: PatType;
  readonly bochs: MtrrType;
}

export const BOCHS_DEVIATIONS: readonly Deviation[] = [
  { id: 'D1', mtrr: 'WP', pat: 'UC-', bochs: 'UC' },
  { id: 'D2', mtrr: 'WT', pat: 'WP', bochs: 'WT' },
];

export interface BochsResolved {
  readonly type: BochsType;
  /** The emulator stops with an internal error. */
  readonly panic: boolean;
}

function isPat(type: BochsType): type is PatType {
  return PAT_TYPES.some((known) => known === type);
}

function isMtrr(type: BochsType): type is MtrrType {
  return MTRR_TYPES.some((known) => known === type);
}

function table(mtrr: MtrrType, pat: PatType): BochsType {
  const deviation = BOCHS_DEVIATIONS.find((d) => d.mtrr === mtrr && d.pat === pat);
  const type = deviation?.bochs ?? INTEL_MTRR_X_PAT.at(mtrr, pat);
  return BOCHS_TYPES.find((known) => known === type) ?? 'INVALID';
}

/** What comes out for MTRR values that no MTRR can hold. */
function reservedMtrr(mtrr: BochsType, pat: PatType): BochsType {
  switch (pat) {
    case 'UC':
    case 'WC':
      return pat;
    case 'UC-':
      return 'UC';
    case 'WB':
      return mtrr;
    case 'WT':
    case 'WP':
      return BOCHS_TYPES.indexOf(mtrr) < BOCHS_TYPES.indexOf(pat) ? mtrr : pat;
  }
}

/** Source: Bochs `resolve_memtype`. */
export function resolveMemtype(cr0Cd: boolean, mtrr: BochsType, pat: BochsType): BochsResolved {
  if (cr0Cd) return { type: 'UC', panic: false };
  if (!isPat(pat)) return { type: 'INVALID', panic: true };
  const valid = mtrr === 'INVALID' ? 'WB' : mtrr;
  return { type: isMtrr(valid) ? table(valid, pat) : reservedMtrr(valid, pat), panic: false };
}

/** Source: Bochs `memtype_by_mtrr`. */
export function memtypeByMtrr(mtrrs: CompiledMtrrs, address: U64): MtrrType | 'INVALID' {
  const answer = mtrrLookup(mtrrs, address);
  return answer.kind === 'type' ? answer.type : 'INVALID';
}

/** The PAT index of a leaf: as the manuals say. Source: Bochs `calculate_pat`. */
export function calculatePat(entry: number, large: boolean): number {
  return patIndex(entry, large);
}
