import { describe, expect, it } from 'vitest';
import { u64 } from '../base/u64.ts';
import { AMD_MTRR_X_PAT, INTEL_MTRR_X_PAT } from '../x86/combine.ts';
import { compileMtrrs } from '../x86/mtrr.ts';
import { MTRR_TYPES, PAT_TYPES } from '../x86/types.ts';
import {
  BOCHS_DEVIATIONS,
  BOCHS_TYPES,
  calculatePat,
  memtypeByMtrr,
  resolveMemtype,
} from './bochs.ts';

describe('resolveMemtype', () => {
  it('differs from the table of Intel in D1 and D2, and in no other cell', () => {
    const differences = MTRR_TYPES.flatMap((mtrr) =>
      PAT_TYPES.map((pat) => ({ mtrr, pat, bochs: resolveMemtype(false, mtrr, pat).type })),
    ).filter(({ mtrr, pat, bochs }) => bochs !== INTEL_MTRR_X_PAT.at(mtrr, pat));
    const listed = BOCHS_DEVIATIONS.map(({ mtrr, pat, bochs }) => ({ mtrr, pat, bochs }));
    expect(differences).toHaveLength(2);
    expect(differences).toEqual(expect.arrayContaining(listed));
  });

  it.each(BOCHS_DEVIATIONS)('$id: the manual of AMD has CD there', ({ mtrr, pat }) => {
    expect(AMD_MTRR_X_PAT.at(mtrr, pat)).toBe('CD');
  });

  it('is UC throughout with CR0.CD=1, whatever the types', () => {
    for (const mtrr of BOCHS_TYPES) {
      for (const pat of BOCHS_TYPES) {
        expect(resolveMemtype(true, mtrr, pat)).toEqual({ type: 'UC', panic: false });
      }
    }
  });

  it('takes an invalid MTRR type for WB and stops at a reserved PAT type', () => {
    for (const pat of PAT_TYPES) {
      expect(resolveMemtype(false, 'INVALID', pat)).toEqual(resolveMemtype(false, 'WB', pat));
    }
    expect(resolveMemtype(false, 'WB', 'RSVD3')).toEqual({ type: 'INVALID', panic: true });
    expect(resolveMemtype(false, 'WB', 'INVALID')).toEqual({ type: 'INVALID', panic: true });
  });

  it.each([
    ['RSVD2', 'WB', 'RSVD2'],
    ['RSVD3', 'WP', 'RSVD3'],
    ['UC-', 'WB', 'UC-'],
    ['UC-', 'WT', 'WT'],
    ['UC-', 'UC-', 'UC'],
    ['RSVD2', 'WC', 'WC'],
  ] as const)('answers for the impossible MTRR type %s with PAT %s: %s', (mtrr, pat, type) => {
    expect(resolveMemtype(false, mtrr, pat)).toEqual({ type, panic: false });
  });
});

describe('memtypeByMtrr', () => {
  const two = (first: number, second: number): ReturnType<typeof compileMtrrs> =>
    compileMtrrs({
      defType: 0x806,
      fixed: null,
      variable: [first, second].map((type) => ({
        base: u64(0, 0x10000000 + type),
        mask: u64(0xf, 0xffff0800),
      })),
      physBits: 36,
    });

  it('D10: calls an overlap that the manual leaves undefined INVALID', () => {
    expect(memtypeByMtrr(two(1, 6), u64(0, 0x10000000))).toBe('INVALID');
    expect(memtypeByMtrr(two(0, 6), u64(0, 0x10000000))).toBe('UC');
    expect(memtypeByMtrr(two(4, 6), u64(0, 0x10000000))).toBe('WT');
    expect(memtypeByMtrr(two(4, 6), u64(0, 0x20000000))).toBe('WB');
  });
});

it('calculatePat takes the PAT bit of a large page from bit 12', () => {
  expect(calculatePat(0x1098, false)).toBe(7);
  expect(calculatePat(0x80, true)).toBe(0);
  expect(calculatePat(0x1000, true)).toBe(4);
});
