import type { Grid } from '../base/grid.ts';
import { type U64, u64Byte } from '../base/u64.ts';
import { AMD_MTRR_X_PAT, INTEL_MTRR_X_PAT } from './combine.ts';
import { eptEffective, eptLeafOf } from './ept.ts';
import { type CompiledMtrrs, MTRR_UNDEFINED, mtrrCode } from './mtrr.ts';
import { NPT_COMBINED_X_MTRR, NPT_GUEST_X_HOST } from './npt.ts';
import { patLayout } from './pat.ts';
import {
  EFFECTIVE_TYPES,
  type EffectiveType,
  type MtrrType,
  mtrrTypeOf,
  type PatType,
  patTypeOf,
  TYPE_CODE,
  type Vendor,
} from './types.ts';

/**
 * Effective types as numbers: those of the MTRRs and the PAT, with 2 and 3, which the hardware keeps
 * reserved, for the two types that only AMD has.
 */
export const EFFECTIVE_CODE: Readonly<Record<EffectiveType, number>> = {
  UC: TYPE_CODE.UC,
  WC: TYPE_CODE.WC,
  CD: 2,
  'WC+': 3,
  WT: TYPE_CODE.WT,
  WP: TYPE_CODE.WP,
  WB: TYPE_CODE.WB,
};

/** The MTRRs overlap in a way that the architecture leaves undefined, so the access is too. */
export const EFFECTIVE_UNDEFINED = MTRR_UNDEFINED;
/** A reserved code among the inputs: #GP on WRMSR, an EPT misconfiguration in a leaf. */
export const EFFECTIVE_RESERVED = 254;

const BY_CODE: readonly (EffectiveType | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  EFFECTIVE_TYPES.find((type) => EFFECTIVE_CODE[type] === code),
);

/** The type of a code; null for EFFECTIVE_UNDEFINED, EFFECTIVE_RESERVED and what is no code. */
export function effectiveTypeOf(code: number): EffectiveType | null {
  return BY_CODE[code] ?? null;
}

// ---- tables -----------------------------------------------------------------------------------

/** MTRR_UNDEFINED & 7: the row of a table that stands for an undefined overlap. */
const UNDEFINED_ROW = MTRR_UNDEFINED & 7;

function cell(
  row: number,
  mtrr: MtrrType | null,
  type: (mtrr: MtrrType) => EffectiveType | null,
): number {
  if (row === UNDEFINED_ROW) return EFFECTIVE_UNDEFINED;
  const found = mtrr === null ? null : type(mtrr);
  return found === null ? EFFECTIVE_RESERVED : EFFECTIVE_CODE[found];
}

function nativeTable(grid: Grid<MtrrType, PatType, EffectiveType>): Uint8Array {
  return Uint8Array.from({ length: 64 }, (_, i) => {
    const pat = patTypeOf(i & 7);
    return cell(i >> 3, mtrrTypeOf(i >> 3), (mtrr) => (pat === null ? null : grid.at(mtrr, pat)));
  });
}

/**
 * MTRR x PAT: the code at `(mtrr & 7) << 3 | pat`, with `mtrr` as `mtrrCode` gives it.
 * Source: SDM Table 11-7, APM Table 7-11.
 */
export const NATIVE: Readonly<Record<Vendor, Uint8Array>> = {
  intel: nativeTable(INTEL_MTRR_X_PAT),
  amd: nativeTable(AMD_MTRR_X_PAT),
};

/** Leaf bits 6:3 and a PAT code: `bits << 3 | pat`. */
const EPT: Uint8Array = Uint8Array.from({ length: 128 }, (_, i) => {
  const leaf = eptLeafOf(i & ~7);
  const pat = patTypeOf(i & 7);
  if (leaf === null || pat === null) return EFFECTIVE_RESERVED;
  return EFFECTIVE_CODE[eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat }).type];
});

/** `(mtrr & 7) << 6 | guest << 3 | host`. */
const NPT: Uint8Array = Uint8Array.from({ length: 512 }, (_, i) => {
  const guest = patTypeOf((i >> 3) & 7);
  const host = patTypeOf(i & 7);
  return cell(i >> 6, mtrrTypeOf(i >> 6), (mtrr) =>
    guest === null || host === null
      ? null
      : NPT_COMBINED_X_MTRR.at(NPT_GUEST_X_HOST.at(guest, host), mtrr),
  );
});

/**
 * The effective code of an access under EPT, with CR0.CD=0.
 *
 * @param leafLo the low 32 bits of the EPT leaf
 * @param pat the PAT code of the guest; 6 (WB) with CR0.PG=0
 */
export function eptCode(leafLo: number, pat: number): number {
  return EPT[(leafLo & 0x78) | (pat & 7)] as number;
}

/**
 * The effective code of an access under nested paging, with CR0.CD=0 in host and guest.
 *
 * @param guest PAT code by G_PAT; 6 (WB) with gCR0.PG=0
 * @param host PAT code by the host PAT at the index of the nested leaf
 * @param mtrr as `mtrrCode` gives it for the system physical address
 */
export function nptCode(guest: number, host: number, mtrr: number): number {
  return NPT[((mtrr & 7) << 6) | ((guest & 7) << 3) | (host & 7)] as number;
}

// ---- the page-attribute table -----------------------------------------------------------------

/** The eight type codes of a PAT MSR, PA0 first; null when a byte is reserved. */
export function patCodes(msr: U64): Uint8Array | null {
  if (patLayout(msr) === null) return null;
  return Uint8Array.from({ length: 8 }, (_, i) => u64Byte(msr, i));
}

/**
 * The PAT code that a page-table leaf picks.
 *
 * @param pteLo the low 32 bits of the entry
 * @param large true for a 2M, 4M or 1G leaf
 */
export function ptePatCode(pat: Uint8Array, pteLo: number, large: boolean): number {
  return pat[((pteLo >>> 3) & 3) | ((pteLo >>> (large ? 10 : 5)) & 4)] as number;
}

// ---- MTRRs ------------------------------------------------------------------------------------

/**
 * MTRRs laid out so that a lookup does not walk the ranges. Bits 51:12 of an address are four digits
 * of ten bits; for each digit the table has the set of ranges that it does not rule out. The ranges
 * that match are what is in all four sets, and the set is the index of the type code. This holds for
 * masks of any shape.
 */
export interface FastMtrrs {
  /** Four times 1024 sets of ranges, one bit for each; most significant digit first. */
  readonly digits: Uint16Array;
  /** Type code, MTRR_UNDEFINED or WALK for each set of matching ranges. */
  readonly codes: Uint8Array;
  readonly mtrrs: CompiledMtrrs;
}

/** Where the set of ranges does not settle the code: `mtrrCode` is asked. */
const WALK = 253;
/** CPUs have 8 to 10 variable ranges; with more than this many valid ones the sets grow too large. */
const MAX_RANGES = 12;

interface Range {
  readonly base: U64;
  readonly mask: U64;
}

/** Where fixed ranges decide, as one more range. */
const FIRST_MIB: Range = { base: { hi: 0, lo: 0 }, mask: { hi: 0xffffffff, lo: 0xfff00000 } };

function rangesOf(m: CompiledMtrrs): readonly Range[] {
  const variable = Array.from({ length: m.count }, (_, i) => ({
    base: { hi: m.baseHi[i] as number, lo: m.baseLo[i] as number },
    mask: { hi: m.maskHi[i] as number, lo: m.maskLo[i] as number },
  }));
  return m.fixed === null ? variable : [...variable, FIRST_MIB];
}

const DIGITS = [
  { half: 'hi', shift: 10, bits: 0xfffffc00 },
  { half: 'hi', shift: 0, bits: 0x000003ff },
  { half: 'lo', shift: 22, bits: 0xffc00000 },
  { half: 'lo', shift: 12, bits: 0x003ff000 },
] as const;

function digitSets(ranges: readonly Range[]): Uint16Array {
  return Uint16Array.from({ length: DIGITS.length * 1024 }, (_, at) => {
    const { half, shift, bits } = DIGITS[at >> 10] as (typeof DIGITS)[number];
    const digit = (at & 0x3ff) << shift;
    return ranges.reduce(
      (set, { base, mask }, i) =>
        ((digit ^ base[half]) & mask[half] & bits) === 0 ? set | (1 << i) : set,
      0,
    );
  });
}

/** What `mtrrCode` says where exactly these variable ranges match. */
function codeOfSet(m: CompiledMtrrs, set: number): number {
  const typeBit = m.typeBit.filter((_, i) => (set & (1 << i)) !== 0);
  const everywhere = new Uint32Array(typeBit.length);
  const ranges = {
    count: typeBit.length,
    baseHi: everywhere,
    baseLo: everywhere,
    maskHi: everywhere,
    maskLo: everywhere,
    typeBit,
  };
  return mtrrCode({ ...m, ...ranges, fixed: null, tom2: null }, 0, 0);
}

/** Takes some 10 KiB and a few milliseconds, once for a machine. */
export function fastMtrrs(mtrrs: CompiledMtrrs): FastMtrrs {
  if (mtrrs.count > MAX_RANGES) {
    return { digits: digitSets([]), codes: Uint8Array.of(WALK), mtrrs };
  }
  const ranges = rangesOf(mtrrs);
  const codes = Uint8Array.from({ length: 1 << ranges.length }, (_, set) => {
    const inFirstMib = set >> mtrrs.count !== 0;
    const defaultVaries = set === 0 && mtrrs.tom2 !== null;
    return inFirstMib || defaultVaries ? WALK : codeOfSet(mtrrs, set);
  });
  return { digits: digitSets(ranges), codes, mtrrs };
}

/**
 * As `mtrrCode`: the type code of a physical address below 2^52, or MTRR_UNDEFINED.
 *
 * @param hi upper 32 bits of the address
 * @param lo lower 32 bits of the address, unsigned
 */
export function fastMtrrCode(m: FastMtrrs, hi: number, lo: number): number {
  const { digits } = m;
  const set =
    (digits[(hi >>> 10) & 0x3ff] as number) &
    (digits[0x400 | (hi & 0x3ff)] as number) &
    (digits[0x800 | (lo >>> 22)] as number) &
    (digits[0xc00 | ((lo >>> 12) & 0x3ff)] as number);
  const code = m.codes[set] as number;
  return code === WALK ? mtrrCode(m.mtrrs, hi, lo) : code;
}

/**
 * The whole way of an access outside virtual machines, with CR0.CD=0: address and page-table leaf to
 * effective code, or EFFECTIVE_UNDEFINED.
 *
 * @param table `NATIVE.intel` or `NATIVE.amd`
 * @param hi upper 32 bits of the physical address, below 2^52
 * @param lo lower 32 bits of the address, unsigned
 * @param pat the codes of the PAT, as `patCodes` gives them
 * @param pteLo the low 32 bits of the page-table leaf
 * @param large true for a 2M, 4M or 1G leaf
 */
export function nativeCode(
  table: Uint8Array,
  m: FastMtrrs,
  hi: number,
  lo: number,
  pat: Uint8Array,
  pteLo: number,
  large: boolean,
): number {
  const mtrr = fastMtrrCode(m, hi, lo);
  return table[((mtrr & 7) << 3) | ptePatCode(pat, pteLo, large)] as number;
}
