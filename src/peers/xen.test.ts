import { describe, expect, it } from 'vitest';
import { grid } from '../base/grid.ts';
import { u64 } from '../base/u64.ts';
import { INTEL_MTRR_X_PAT } from '../x86/combine.ts';
import type { MtrrState } from '../x86/mtrr.ts';
import { MTRR_TYPES, type MtrrType, PAT_TYPES, TYPE_CODE } from '../x86/types.ts';
import {
  epteGetEntryEmt,
  getPatFlags,
  mmType,
  mtrrGetType,
  patForType,
  XEN_P2M_TYPES,
  type XenPage,
} from './xen.ts';

const MASK_4K = u64(0xf, 0xfffff800);
const MASK_64K = u64(0xf, 0xffff0800);

function state(def: MtrrType, variable: readonly [number, MtrrType, typeof MASK_4K][]): MtrrState {
  return {
    defType: 0x800 | TYPE_CODE[def],
    fixed: null,
    variable: variable.map(([at, type, mask]) => ({ base: u64(0, at + TYPE_CODE[type]), mask })),
    physBits: 36,
  };
}

describe('MTRR x PAT', () => {
  it('is the table of Intel, on any vendor', () => {
    for (const mtrr of MTRR_TYPES) {
      for (const pat of PAT_TYPES) expect(mmType(mtrr, pat)).toBe(INTEL_MTRR_X_PAT.at(mtrr, pat));
    }
  });

  it('has an inverse that gives the wanted type wherever there is one', () => {
    for (const mtrr of MTRR_TYPES) {
      for (const wanted of MTRR_TYPES) {
        const pat = patForType(mtrr, wanted);
        const possible = PAT_TYPES.some((type) => mmType(mtrr, type) === wanted);
        expect(pat !== null).toBe(possible);
        if (pat !== null) expect(mmType(mtrr, pat)).toBe(wanted);
      }
    }
  });
});

describe('mtrrGetType', () => {
  const page = u64(0, 0x40000000);

  it('D10: lets the last register win where the manual leaves it open', () => {
    const overlap = (types: readonly MtrrType[]): MtrrState =>
      state(
        'WB',
        types.map((type) => [0x40000000, type, MASK_64K]),
      );
    expect(mtrrGetType(overlap(['WC', 'WP']), page, 0)).toBe('WP');
    expect(mtrrGetType(overlap(['WP', 'WC']), page, 0)).toBe('WC');
    expect(mtrrGetType(overlap(['WP', 'UC', 'WC']), page, 0)).toBe('UC');
    expect(mtrrGetType(overlap(['WB', 'WT']), page, 0)).toBe('WT');
  });

  it('gives a large page the type of the one range inside it, and does not see the rest', () => {
    const one = state('WB', [[0x40000000, 'UC', MASK_4K]]);
    expect([0, 9, 18].map((order) => mtrrGetType(one, page, order))).toEqual(['UC', 'UC', 'UC']);
    expect(mtrrGetType(one, u64(0, 0x40001000), 0)).toBe('WB');
    expect(mtrrGetType(one, u64(0, 0x40001000), 9)).toBe('UC');
  });

  it('splits a large page that meets ranges of two types', () => {
    const two = state('WB', [
      [0x40000000, 'UC', MASK_4K],
      [0x40010000, 'WC', MASK_4K],
    ]);
    expect(mtrrGetType(two, page, 9)).toBe('SPLIT');
    expect(mtrrGetType(two, page, 0)).toBe('UC');
    expect(mtrrGetType(two, u64(0, 0x40200000), 9)).toBe('WB');
  });

  it('splits a page that is larger than the fixed range it starts in', () => {
    const fixed = Array.from({ length: 11 }, () => u64(0, 0));
    const low: MtrrState = { ...state('WB', []), defType: 0xc06, fixed };
    expect(mtrrGetType(low, u64(0, 0), 4)).toBe('UC');
    expect(mtrrGetType(low, u64(0, 0), 9)).toBe('SPLIT');
    expect(mtrrGetType(low, u64(0, 0x80000), 2)).toBe('UC');
    expect(mtrrGetType(low, u64(0, 0x80000), 3)).toBe('SPLIT');
    expect(mtrrGetType(low, u64(0, 0xc0000), 1)).toBe('SPLIT');
    expect(mtrrGetType(low, u64(0, 0x100000), 0)).toBe('WB');
    expect(mtrrGetType({ ...low, defType: 0x406 }, u64(0, 0), 0)).toBe('UC');
  });
});

describe('getPatFlags', () => {
  const all = MTRR_TYPES.flatMap((guest) =>
    PAT_TYPES.flatMap((pat) => MTRR_TYPES.map((host) => getPatFlags(guest, pat, host))),
  );

  it('gives the guest what it asked for, or UC', () => {
    const missed = all.filter((shadow) => shadow.effective !== shadow.guestEffective);
    expect(missed.every((shadow) => shadow.effective === 'UC' && shadow.hostIndex === 3)).toBe(
      true,
    );
    expect(missed).toHaveLength(20);
    expect(all).toHaveLength(150);
  });
});

describe('epteGetEntryEmt', () => {
  const page: XenPage = {
    p2mt: 'ram_rw',
    iommu: true,
    cacheFlush: false,
    guestMtrr: 'WB',
    hostMtrr: 'WB',
  };
  const leaf = (more: Partial<XenPage>): string => {
    const { memtype, ipat } = epteGetEntryEmt({ ...page, ...more }).leaf;
    return ipat ? `${memtype}+IPAT` : memtype;
  };

  // Rows: guest MTRR. Columns: host MTRR.
  const BOTH = grid(
    MTRR_TYPES,
    MTRR_TYPES,
    MTRR_TYPES,
    `
          UC   WC   WT   WP   WB
     UC   UC   UC   UC   UC   UC
     WC   UC   WC   UC   UC   WC
     WT   UC   UC   WT   WP   WT
     WP   UC   UC   WP   WP   WP
     WB   UC   WC   WT   WP   WB
    `,
  );

  it('combines the two MTRRs for RAM of a domain with an IOMMU or the right to flush', () => {
    for (const guestMtrr of MTRR_TYPES) {
      for (const hostMtrr of MTRR_TYPES) {
        const expected = BOTH.at(guestMtrr, hostMtrr);
        expect(leaf({ guestMtrr, hostMtrr })).toBe(expected);
        expect(leaf({ guestMtrr, hostMtrr, iommu: false, cacheFlush: true })).toBe(expected);
      }
    }
  });

  it('forces WB on everything else but assigned MMIO', () => {
    for (const p2mt of XEN_P2M_TYPES) {
      const forced = p2mt === 'mmio_direct' ? 'UC' : 'WB+IPAT';
      expect(leaf({ p2mt, iommu: false, guestMtrr: 'WC', hostMtrr: 'UC' })).toBe(forced);
    }
    expect(leaf({ p2mt: 'grant_map_ro', hostMtrr: 'UC' })).toBe('WB+IPAT');
    expect(leaf({ p2mt: 'mmio_direct', hostMtrr: 'WC', guestMtrr: 'WC' })).toBe('UC');
  });

  it('says why', () => {
    expect(epteGetEntryEmt({ ...page, guestMtrr: 'WC', hostMtrr: 'WT' }).why).toBe(
      'WC with WT or WP',
    );
  });
});
