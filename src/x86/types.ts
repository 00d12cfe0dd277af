import { must } from '../base/assert.ts';

/** The types a PAT entry can hold. */
export const PAT_TYPES = ['UC', 'UC-', 'WC', 'WT', 'WP', 'WB'] as const;
export type PatType = (typeof PAT_TYPES)[number];

/** The types an MTRR or an EPT leaf can hold: there is no UC- among them. */
export const MTRR_TYPES = ['UC', 'WC', 'WT', 'WP', 'WB'] as const;
export type MtrrType = (typeof MTRR_TYPES)[number];

/** The types an access can end up with. CD and WC+ exist on AMD only. */
export const EFFECTIVE_TYPES = ['UC', 'WC', 'WT', 'WP', 'WB', 'CD', 'WC+'] as const;
export type EffectiveType = (typeof EFFECTIVE_TYPES)[number];

export type Vendor = 'intel' | 'amd';

/** The numbers by which PAT entries, MTRRs and EPT leaves name a type. */
export const TYPE_CODE: Readonly<Record<PatType, number>> = {
  UC: 0,
  WC: 1,
  WT: 4,
  WP: 5,
  WB: 6,
  'UC-': 7,
};

const PAT_BY_CODE: readonly (PatType | null)[] = ['UC', 'WC', null, null, 'WT', 'WP', 'WB', 'UC-'];

/** The type of a PAT entry byte; null for the reserved values 2, 3 and 8-255, which WRMSR refuses. */
export function patTypeOf(code: number): PatType | null {
  return PAT_BY_CODE[code] ?? null;
}

/** The type of an MTRR byte or of EPT leaf bits 5:3; null for the reserved values. */
export function mtrrTypeOf(code: number): MtrrType | null {
  const type = patTypeOf(code);
  return type === 'UC-' ? null : type;
}

/** As `mtrrTypeOf`, for a value already checked. @throws InternalError when it is reserved. */
export function mtrrType(code: number): MtrrType {
  return must(mtrrTypeOf(code), `reserved memory type ${code}`);
}
