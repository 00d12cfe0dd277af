import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type U64, u64 } from '../base/u64.ts';
import { combineMtrrPat } from './combine.ts';
import { eptEffective, eptLeafBits, eptLeafOf } from './ept.ts';
import {
  EFFECTIVE_CODE,
  EFFECTIVE_RESERVED,
  EFFECTIVE_UNDEFINED,
  effectiveTypeOf,
  eptCode,
  fastMtrrCode,
  fastMtrrs,
  NATIVE,
  nativeCode,
  nptCode,
  patCodes,
  ptePatCode,
} from './fast.ts';
import { compileMtrrs, MTRR_UNDEFINED, type MtrrState, mtrrCode, mtrrLookup } from './mtrr.ts';
import { nptEffective } from './npt.ts';
import { PAT_RESET, patIndex, patLayout, patMsr } from './pat.ts';
import {
  EFFECTIVE_TYPES,
  MTRR_TYPES,
  mtrrTypeOf,
  PAT_TYPES,
  patTypeOf,
  TYPE_CODE,
} from './types.ts';

const CODES = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const VENDORS = ['intel', 'amd'] as const;

describe('effective codes', () => {
  it('name every effective type once, and nothing else', () => {
    expect(EFFECTIVE_TYPES.map((type) => effectiveTypeOf(EFFECTIVE_CODE[type]))).toEqual([
      ...EFFECTIVE_TYPES,
    ]);
    const others = Array.from({ length: 256 }, (_, code) => effectiveTypeOf(code));
    expect(others.filter((type) => type !== null)).toHaveLength(EFFECTIVE_TYPES.length);
    for (const type of MTRR_TYPES) expect(EFFECTIVE_CODE[type]).toBe(TYPE_CODE[type]);
  });
});

describe('tables, over their whole input space', () => {
  it.each(VENDORS)('MTRR x PAT, %s: 8 x 8 codes', (vendor) => {
    for (const m of CODES) {
      for (const p of CODES) {
        const mtrr = mtrrTypeOf(m);
        const pat = patTypeOf(p);
        const want =
          m === (MTRR_UNDEFINED & 7)
            ? EFFECTIVE_UNDEFINED
            : mtrr === null || pat === null
              ? EFFECTIVE_RESERVED
              : EFFECTIVE_CODE[combineMtrrPat(vendor, mtrr, pat).type];
        expect(NATIVE[vendor][(m << 3) | p], `${m} ${p}`).toBe(want);
      }
    }
  });

  it('EPT: sixteen leaves x 8 codes, whatever else is in the entry', () => {
    for (let bits = 0; bits < 0x80; bits += 8) {
      for (const p of CODES) {
        const leaf = eptLeafOf(bits);
        const pat = patTypeOf(p);
        const want =
          leaf === null || pat === null
            ? EFFECTIVE_RESERVED
            : EFFECTIVE_CODE[eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat }).type];
        expect(eptCode(bits, p)).toBe(want);
        expect(eptCode(bits | 0xffff_ff87, p)).toBe(want);
        if (leaf !== null) expect(eptLeafBits(leaf)).toBe(bits);
      }
    }
  });

  it('NPT: 8 x 8 x 8 codes', () => {
    for (const g of CODES) {
      for (const h of CODES) {
        for (const m of [...CODES.slice(0, 7), MTRR_UNDEFINED]) {
          const [guestPat, hostPat, hostMtrr] = [patTypeOf(g), patTypeOf(h), mtrrTypeOf(m)];
          const want =
            m === MTRR_UNDEFINED
              ? EFFECTIVE_UNDEFINED
              : guestPat === null || hostPat === null || hostMtrr === null
                ? EFFECTIVE_RESERVED
                : EFFECTIVE_CODE[
                    nptEffective({ cr0Cd: false, cr0Pg: true, guestPat, hostPat, hostMtrr }).type
                  ];
          expect(nptCode(g, h, m)).toBe(want);
        }
      }
    }
  });
});

const layout = fc.array(fc.constantFrom(...PAT_TYPES), { minLength: 8, maxLength: 8 });
const dword = fc.integer({ min: 0, max: 0xffff_ffff });

describe('PAT', () => {
  it('has the codes of the layout, and refuses what WRMSR refuses', () => {
    expect(patCodes(PAT_RESET)).toEqual(Uint8Array.of(6, 4, 7, 0, 6, 4, 7, 0));
    fc.assert(
      fc.property(dword, dword, (hi, lo) => {
        expect(patCodes(u64(hi, lo)) === null).toBe(patLayout(u64(hi, lo)) === null);
      }),
    );
  });

  it('picks the entry that patIndex picks', () => {
    fc.assert(
      fc.property(layout, dword, fc.boolean(), (types, pte, large) => {
        const codes = patCodes(patMsr(types)) ?? new Uint8Array(8);
        const type = types[patIndex(pte, large)] ?? 'UC';
        expect(ptePatCode(codes, pte, large)).toBe(TYPE_CODE[type]);
      }),
    );
  });
});

// ---- MTRRs ------------------------------------------------------------------------------------

const MASK_VALID = 0x800;
const mtrrByte = fc.constantFrom(0, 1, 4, 5, 6);
const page = fc.bigInt({ min: 0n, max: 2n ** 40n - 1n }).map((n) => n << 12n);

function split(n: bigint): U64 {
  return u64(Number(n >> 32n), Number(n & 0xffff_ffffn));
}

/** A mask as firmware writes it, or one with holes. */
const mask = fc.oneof(
  fc.integer({ min: 12, max: 51 }).map((bits) => (2n ** 52n - 1n) & ~(2n ** BigInt(bits) - 1n)),
  fc.integer({ min: 12, max: 51 }).map((bit) => 1n << BigInt(bit)),
  page,
);

const range = fc
  .record({ base: page, mask, type: mtrrByte, valid: fc.integer({ min: 0, max: 9 }) })
  .map((r) => ({
    base: split(r.base | BigInt(r.type)),
    mask: split(r.mask | BigInt(r.valid === 0 ? 0 : MASK_VALID)),
  }));

const fixedByte = fc.constantFrom(0x00, 0x01, 0x04, 0x05, 0x06, 0x1e, 0x18);
const fixedMsr = fc
  .array(fixedByte, { minLength: 8, maxLength: 8 })
  .map((b) => u64(word(b.slice(4)), word(b.slice(0, 4))));

function word(bytes: readonly number[]): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

const state = fc.record({
  defType: fc
    .record({ type: mtrrByte, on: fc.constantFrom(0, 0x400, 0x800, 0xc00, 0xc00) })
    .map(({ type, on }) => type | on),
  fixed: fc.option(fc.array(fixedMsr, { minLength: 11, maxLength: 11 })),
  variable: fc.array(range, { maxLength: 10 }),
  physBits: fc.integer({ min: 32, max: 52 }),
  tom2: fc.option(page.map(split)),
});

/** Addresses near everything that a state names, and anywhere. */
function addresses(s: MtrrState, seeds: readonly bigint[]): readonly U64[] {
  const named = s.variable.flatMap(({ base, mask: m }) => {
    const start = (BigInt(base.hi) << 32n) | BigInt((base.lo & ~0xfff) >>> 0);
    const free = ~((BigInt(m.hi) << 32n) | BigInt((m.lo & ~0xfff) >>> 0)) & (2n ** 52n - 1n);
    return [start, start + free, start + free + 1n, start - 1n, start | (free & (seeds[0] ?? 0n))];
  });
  const top = s.tom2 ? (BigInt(s.tom2.hi) << 32n) | BigInt(s.tom2.lo) : 0n;
  const marks = [top, top - 1n, 0n, 0xfffffn, 0x100000n, 0xffffffffn, 0x1_0000_0000n];
  return [...named, ...marks, ...seeds, ...seeds.map((n) => n & 0xfffffn)]
    .filter((n) => n >= 0n && n < 2n ** 52n)
    .map(split);
}

const seeds = fc.array(page, { minLength: 4, maxLength: 16 });

describe('fastMtrrCode', () => {
  it('is mtrrCode, for masks of any shape', () => {
    fc.assert(
      fc.property(state, seeds, (s, some) => {
        const compiled = compileMtrrs(s);
        const fast = fastMtrrs(compiled);
        for (const { hi, lo } of addresses(s, some)) {
          expect(fastMtrrCode(fast, hi, lo)).toBe(mtrrCode(compiled, hi, lo));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('knows every set of types that can overlap', () => {
    const everywhere = { hi: 0, lo: MASK_VALID };
    for (let set = 0; set < 32; set++) {
      const types = MTRR_TYPES.filter((_, i) => (set & (1 << i)) !== 0);
      const variable = types.map((type) => ({ base: u64(0, TYPE_CODE[type]), mask: everywhere }));
      const compiled = compileMtrrs({ defType: 0x806, fixed: null, variable, physBits: 46 });
      const code = fastMtrrCode(fastMtrrs(compiled), 0x12, 0x3456_7000);
      const answer = mtrrLookup(compiled, u64(0x12, 0x3456_7000));
      expect(code).toBe(answer.kind === 'type' ? TYPE_CODE[answer.type] : MTRR_UNDEFINED);
    }
  });

  it('walks the ranges when there are more than any CPU has', () => {
    fc.assert(
      fc.property(fc.array(range, { minLength: 20, maxLength: 40 }), seeds, (variable, some) => {
        const s: MtrrState = { defType: 0x806, fixed: null, variable, physBits: 52 };
        const compiled = compileMtrrs(s);
        const fast = fastMtrrs(compiled);
        expect(fast.codes).toHaveLength(1);
        for (const { hi, lo } of addresses(s, some)) {
          expect(fastMtrrCode(fast, hi, lo)).toBe(mtrrCode(compiled, hi, lo));
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('nativeCode', () => {
  it('is the slow way: mtrrLookup, patIndex and combineMtrrPat', () => {
    const entries = fc.array(fc.tuple(dword, fc.boolean()), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(state, seeds, layout, entries, (s, some, types, leaves) => {
        const compiled = compileMtrrs(s);
        const fast = fastMtrrs(compiled);
        const pat = patCodes(patMsr(types)) ?? new Uint8Array(8);
        for (const address of addresses(s, some)) {
          const answer = mtrrLookup(compiled, address);
          for (const vendor of VENDORS) {
            for (const [pte, large] of leaves) {
              const { hi, lo } = address;
              const got = nativeCode(NATIVE[vendor], fast, hi, lo, pat, pte, large);
              const type = types[patIndex(pte, large)] ?? 'UC';
              expect(got === EFFECTIVE_UNDEFINED).toBe(answer.kind === 'undefined');
              if (answer.kind === 'undefined') continue;
              const want = combineMtrrPat(vendor, answer.type, type).type;
              expect(effectiveTypeOf(got)).toBe(want);
            }
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
