import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type U64, u64, u64FromNumber } from '../base/u64.ts';
import { nativeCacheDisable } from './cache-disable.ts';
import { AMD_MTRR_X_PAT, combineMtrrPat, INTEL_MTRR_X_PAT } from './combine.ts';
import { eptEffective, eptLeafBits, eptLeafOf, eptTableType } from './ept.ts';
import {
  compileMtrrs,
  fixedIndex,
  type MtrrState,
  mtrrLookup,
  mtrrTypeOfPage,
  smrrType,
} from './mtrr.ts';
import { nptEffective } from './npt.ts';
import { guestTableEffective, tableEffective, tablePatType } from './page-walk.ts';
import { PAT_RESET, patIndex, patLayout, patLayoutFromWords, patMsr, slotOf } from './pat.ts';
import { hasSelfSnoopErratum } from './self-snoop.ts';
import { MTRR_TYPES, type MtrrType, PAT_TYPES, TYPE_CODE } from './types.ts';

const mtrrType = fc.constantFrom(...MTRR_TYPES);
const patType = fc.constantFrom(...PAT_TYPES);

interface Range {
  readonly type: MtrrType;
  readonly base: bigint;
  readonly mask: bigint;
  readonly valid: boolean;
}

const PHYS_BITS = 46;
const IMPLEMENTED = 2n ** BigInt(PHYS_BITS) - 1n;
const half = (n: bigint): U64 => u64(Number(n >> 32n), Number(n & 0xffffffffn));

function stateOf(ranges: readonly Range[], def: MtrrType, enabled = true): MtrrState {
  return {
    defType: TYPE_CODE[def] | (enabled ? 1 << 11 : 0),
    fixed: null,
    physBits: PHYS_BITS,
    variable: ranges.map((r) => ({
      base: half((r.base & ~0xfffn) | BigInt(TYPE_CODE[r.type])),
      mask: half((r.mask & ~0xfffn) | (r.valid ? 0x800n : 0n)),
    })),
  };
}

/** Masks of any shape, biased to the contiguous ones that firmware writes. */
const mask = fc.oneof(
  fc.integer({ min: 12, max: 45 }).map((bits) => IMPLEMENTED & ~(2n ** BigInt(bits) - 1n)),
  fc.bigInt({ min: 0n, max: IMPLEMENTED }),
);
const range: fc.Arbitrary<Range> = fc.record({
  type: mtrrType,
  base: fc.bigInt({ min: 0n, max: IMPLEMENTED }),
  mask,
  valid: fc.boolean(),
});

/** The rule of the manual in BigInt, independent of the compiled form. */
function byTheManual(
  ranges: readonly Range[],
  def: MtrrType,
  address: bigint,
): readonly MtrrType[] {
  const hit = ranges.filter((r) => {
    const bits = r.mask & IMPLEMENTED & ~0xfffn;
    return r.valid && (address & bits) === (r.base & bits);
  });
  const types = [...new Set(hit.map((r) => r.type))];
  if (types.length === 0) return [def];
  if (types.includes('UC')) return ['UC'];
  if (types.length === 2 && types.includes('WT') && types.includes('WB')) return ['WT'];
  return types;
}

describe('MTRRs', () => {
  test('match bitwise and combine as the manual says', () => {
    const address = fc.bigInt({ min: 0n, max: IMPLEMENTED });
    fc.assert(
      fc.property(fc.array(range, { maxLength: 8 }), mtrrType, address, (ranges, def, at) => {
        const near =
          ranges[0] === undefined
            ? at
            : (ranges[0].base & ranges[0].mask) | (at & ~ranges[0].mask & IMPLEMENTED);
        for (const where of [at, near]) {
          const want = byTheManual(ranges, def, where);
          const got = mtrrLookup(compileMtrrs(stateOf(ranges, def)), half(where));
          const types = got.kind === 'type' ? [got.type] : got.among;
          expect([...types].sort()).toEqual([...want].sort());
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('E=0 is UC everywhere, whatever the default type byte holds', () => {
    const m = compileMtrrs({ ...stateOf([], 'WB', false), defType: 0x77 });
    expect(mtrrLookup(m, u64(0, 0))).toEqual({ kind: 'type', type: 'UC', by: 'disabled' });
  });

  test('TOM2 makes the default above 4 GiB WB, and a register still overrides it', () => {
    const tom2 = u64FromNumber(4.5 * 2 ** 30);
    const uc: Range = { type: 'UC', base: 2n ** 32n, mask: IMPLEMENTED & ~0xfffn, valid: true };
    const m = compileMtrrs({ ...stateOf([uc], 'UC'), tom2 });
    const at = (gib: number): unknown => mtrrLookup(m, u64FromNumber(gib * 2 ** 30));
    expect(at(4.25)).toEqual({ kind: 'type', type: 'WB', by: 'tom2' });
    expect(at(4)).toEqual({ kind: 'type', type: 'UC', by: 'variable' });
    expect(at(4.5)).toEqual({ kind: 'type', type: 'UC', by: 'default' });
    expect(at(3)).toEqual({ kind: 'type', type: 'UC', by: 'default' });
  });

  test('a large page over several types is undefined, over one it is that', () => {
    const hole: Range = { type: 'UC', base: 0x40003000n, mask: IMPLEMENTED & ~0xfffn, valid: true };
    const m = compileMtrrs(stateOf([hole], 'WB'));
    expect(mtrrTypeOfPage(m, 0x40000000, 2 ** 21)).toEqual({
      kind: 'undefined',
      among: ['UC', 'WB'],
    });
    expect(mtrrTypeOfPage(m, 0x40200000, 2 ** 21)).toMatchObject({ kind: 'type', type: 'WB' });
    const split = compileMtrrs({ ...stateOf([], 'UC'), tom2: u64FromNumber(4.5 * 2 ** 30) });
    expect(mtrrTypeOfPage(split, 2 ** 32, 2 ** 30).kind).toBe('undefined');
  });

  test('fixed ranges tile the first MiB', () => {
    const indices = Array.from({ length: 256 }, (_, page) => fixedIndex(page * 4096));
    expect([...new Set(indices)]).toEqual(Array.from({ length: 88 }, (_, i) => i));
  });

  test('SMRR hides its range outside SMM', () => {
    expect([smrrType(true, 6), smrrType(false, 6), smrrType(true, 2)]).toEqual(['WB', 'UC', null]);
  });
});

describe('PAT', () => {
  test('layouts there and back', () => {
    fc.assert(
      fc.property(fc.array(patType, { minLength: 8, maxLength: 8 }), (layout) => {
        expect(patLayout(patMsr(layout))).toEqual(layout);
        expect(patLayoutFromWords(layout.join('  '))).toEqual(layout);
      }),
    );
  });
  test('a reserved byte is no layout', () => {
    expect(patLayout(u64(0x00070406, 0x00020406))).toBeNull();
    expect(patLayoutFromWords('WB WT')).toBeNull();
  });
  test('the reset value, the index and the slots', () => {
    const reset = patLayout(PAT_RESET) ?? [];
    expect(reset.join(' ')).toBe('WB WT UC- UC WB WT UC- UC');
    expect([slotOf(reset, 'UC-'), slotOf(reset, 'WC')]).toEqual([2, null]);
    const indices = [0x08, 0x10, 0x18, 0x80, 0x98].map((entry) => patIndex(entry, false));
    expect(indices).toEqual([1, 2, 3, 4, 7]);
    expect([patIndex(0x80, true), patIndex(0x1000, true)]).toEqual([0, 4]);
  });
});

describe('combination', () => {
  test('PAT WC always wins on bare metal', () => {
    for (const mtrr of MTRR_TYPES) {
      expect(combineMtrrPat('intel', mtrr, 'WC').type).toBe('WC');
      expect(combineMtrrPat('amd', mtrr, 'WC').type).toBe('WC');
    }
  });

  test('the vendors differ in three cells, the naming of CD apart', () => {
    const cells = MTRR_TYPES.flatMap((mtrr) =>
      PAT_TYPES.flatMap((pat) => {
        const intel = INTEL_MTRR_X_PAT.at(mtrr, pat);
        const amd = AMD_MTRR_X_PAT.at(mtrr, pat);
        return intel === (amd === 'CD' ? 'UC' : amd) ? [] : [`${mtrr} x ${pat}: ${intel}, ${amd}`];
      }),
    );
    expect(cells.sort()).toEqual(['WP x UC-: WC, CD', 'WP x WT: WT, CD', 'WT x WP: WP, CD']);
  });

  test('UC from the MTRR need not snoop, UC from the page must', () => {
    expect(combineMtrrPat('intel', 'UC', 'WB').ucOrigin).toBe('mtrr');
    expect(combineMtrrPat('intel', 'WB', 'UC').ucOrigin).toBe('page');
    expect(combineMtrrPat('intel', 'WB', 'WB').ucOrigin).toBeNull();
  });

  test('EPT leaf bits there and back; 2, 3 and 7 are a misconfiguration', () => {
    for (const memtype of MTRR_TYPES) {
      for (const ipat of [false, true])
        expect(eptLeafOf(eptLeafBits({ memtype, ipat }))).toEqual({ memtype, ipat });
    }
    expect([2, 3, 7].map((type) => eptLeafOf(type << 3))).toEqual([null, null, null]);
    expect([eptTableType(6, false), eptTableType(6, true), eptTableType(1, false)]).toEqual([
      'WB',
      'UC',
      null,
    ]);
  });

  test('IPAT leaves nothing to the guest; CR0.CD leaves nothing to anybody', () => {
    fc.assert(
      fc.property(mtrrType, patType, (memtype, pat) => {
        const leaf = { memtype, ipat: true };
        expect(eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat }).type).toBe(memtype);
        expect(eptEffective({ liveCr0Cd: true, cr0Pg: true, leaf, pat }).type).toBe('UC');
        expect(
          nptEffective({
            cr0Cd: true,
            cr0Pg: true,
            guestPat: pat,
            hostPat: 'WB',
            hostMtrr: memtype,
          }).type,
        ).toBe('CD');
      }),
    );
  });

  test('a host-WC page is WC for a guest that asks WB, UC- or WC, on both vendors', () => {
    for (const pat of ['WB', 'UC-', 'WC'] as const) {
      const ept = eptEffective({
        liveCr0Cd: false,
        cr0Pg: true,
        leaf: { memtype: 'WC', ipat: false },
        pat,
      });
      const npt = nptEffective({
        cr0Cd: false,
        cr0Pg: true,
        guestPat: pat,
        hostPat: 'WC',
        hostMtrr: 'WB',
      });
      expect([ept.type, npt.type]).toEqual(['WC', 'WC']);
    }
  });
});

describe('the rest of the manuals', () => {
  test('CR0.CD natively', () => {
    expect(nativeCacheDisable('intel', false, true, false)).toEqual({ kind: 'fault' });
    expect(nativeCacheDisable('intel', false, false, false)).toEqual({ kind: 'normal' });
    expect(nativeCacheDisable('intel', true, false, false)).toEqual({ kind: 'no-fill' });
    expect(nativeCacheDisable('intel', true, false, true)).toEqual({ kind: 'type', type: 'UC' });
    expect(nativeCacheDisable('amd', true, true, false)).toEqual({ kind: 'type', type: 'CD' });
  });

  test('accesses to page tables', () => {
    const layout = patLayout(PAT_RESET) ?? [];
    expect(tablePatType({ from: 'cr3', cr3Lo: 0x18, pcide: false }, layout)).toBe('UC');
    expect(tablePatType({ from: 'cr3', cr3Lo: 0x18, pcide: true }, layout)).toBe('WB');
    expect(tablePatType({ from: 'entry', entryLo: 0x88 }, layout)).toBe('WT');
    expect(tablePatType({ from: 'pae-pdptr' }, layout)).toBe('WB');
    expect(tableEffective('amd', 'WB', 'UC')).toBe('CD');
    expect(guestTableEffective({ memtype: 'WB', ipat: false }, 'UC-', false)).toBe('UC');
  });

  test('self-snoop: client Sandy Bridge is on the list, Sandy Bridge-EP and Ivy Bridge are not', () => {
    expect([0x2a, 0x2d, 0x3a, 0x2f, 0x2c].map((model) => hasSelfSnoopErratum(6, model))).toEqual([
      true,
      false,
      false,
      false,
      true,
    ]);
    expect(hasSelfSnoopErratum(15, 0x2a)).toBe(false);
  });
});
