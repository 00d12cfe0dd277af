import { must } from '../base/assert.ts';
import type { U64 } from '../base/u64.ts';
import { u64Byte } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { MTRR_TYPES, type MtrrType, mtrrType, mtrrTypeOf, TYPE_CODE } from './types.ts';

/** The MTRRs of a CPU as its MSRs hold them. */
export interface MtrrState {
  /** IA32_MTRR_DEF_TYPE: type 7:0, FE bit 10, E bit 11. */
  readonly defType: number;
  /** The eleven fixed MSRs 250H, 258H, 259H, 268H..26FH; null where the CPU has none. */
  readonly fixed: readonly U64[] | null;
  /** PHYSBASEn and PHYSMASKn, in register order. */
  readonly variable: readonly { readonly base: U64; readonly mask: U64 }[];
  /** MAXPHYADDR: bits from here up take no part in a match. */
  readonly physBits: number;
  /** AMD: with Tom2ForceMemTypeWB, 4 GiB up to this address defaults to WB. Null: not in force. */
  readonly tom2?: U64 | null;
}

rule({
  id: 'x86/mtrr',
  room: 'cpu',
  title: 'The type of a physical address by MTRRs',
  text:
    'E=0: everything is UC. Below 1 MiB with FE=1 the fixed range decides alone. Otherwise a variable ' +
    'range matches when (address & mask) == (base & mask) on bits 12 to MAXPHYADDR-1, whatever the mask ' +
    'looks like. Ranges that agree give their type; any UC among them gives UC; WT with WB gives WT; any ' +
    'other mix is undefined. No match gives the default type. On AMD, Tom2ForceMemTypeWB makes the ' +
    'default WB between 4 GiB and TOP_MEM2.',
  sources: ['sdm/mtrr', 'sdm/mtrr-precedence', 'apm/mtrr', 'apm/mtrr-precedence', 'apm/tom2'],
});

export const MTRR_ENABLE = 1 << 11;
export const MTRR_FIXED_ENABLE = 1 << 10;
const MASK_VALID = 1 << 11;
const ONE_MIB = 0x100000;

/** The MTRR type of an address: one type, or undefined over the types that overlap there. */
export type MtrrAnswer =
  | {
      readonly kind: 'type';
      readonly type: MtrrType;
      readonly by: 'disabled' | 'fixed' | 'variable' | 'default' | 'tom2';
    }
  | { readonly kind: 'undefined'; readonly among: readonly MtrrType[] };

/** MTRRs laid out for matching: one entry per valid variable range, in register order. */
export interface CompiledMtrrs {
  readonly enabled: boolean;
  /** 88 type codes, or null when fixed ranges are off or absent. */
  readonly fixed: Uint8Array | null;
  readonly defaultCode: number;
  readonly count: number;
  readonly baseHi: Uint32Array;
  readonly baseLo: Uint32Array;
  readonly maskHi: Uint32Array;
  readonly maskLo: Uint32Array;
  /** `1 << type code` of each range. */
  readonly typeBit: Uint8Array;
  readonly tom2: U64 | null;
}

/** Code returned by `mtrrCode` for an overlap that the architecture leaves undefined. */
export const MTRR_UNDEFINED = 255;

const BIT = { UC: 1, WC: 2, WT: 1 << 4, WP: 1 << 5, WB: 1 << 6 } as const;

/** Code for every set of overlapping types, indexed by the OR of `1 << code`. */
const PRECEDENCE: Uint8Array = Uint8Array.from({ length: 128 }, (_, seen) => {
  const alone = MTRR_TYPES.find((type) => BIT[type] === seen);
  if (alone !== undefined) return TYPE_CODE[alone];
  if (seen & BIT.UC) return TYPE_CODE.UC;
  return seen === (BIT.WT | BIT.WB) ? TYPE_CODE.WT : MTRR_UNDEFINED;
});

function above(bits: number): { hi: number; lo: number } {
  if (bits >= 64) return { hi: 0xffffffff, lo: 0xfffff000 };
  if (bits <= 32) return { hi: 0, lo: (bits === 32 ? 0xffffffff : 2 ** bits - 1) & 0xfffff000 };
  return { hi: 2 ** (bits - 32) - 1, lo: 0xfffff000 };
}

/**
 * @throws InternalError on a reserved type: an MSR cannot hold one, so the state is not from a CPU.
 */
export function compileMtrrs(state: MtrrState): CompiledMtrrs {
  const limit = above(state.physBits);
  const valid = state.variable.filter((range) => (range.mask.lo & MASK_VALID) !== 0);
  const enabled = (state.defType & MTRR_ENABLE) !== 0;
  const fixedOn = enabled && (state.defType & MTRR_FIXED_ENABLE) !== 0 && state.fixed !== null;
  return {
    enabled,
    fixed: fixedOn ? fixedCodes(state.fixed ?? []) : null,
    defaultCode: enabled ? TYPE_CODE[mtrrType(state.defType & 0xff)] : TYPE_CODE.UC,
    count: valid.length,
    baseHi: Uint32Array.from(valid, (r) => r.base.hi),
    baseLo: Uint32Array.from(valid, (r) => r.base.lo),
    maskHi: Uint32Array.from(valid, (r) => r.mask.hi & limit.hi),
    maskLo: Uint32Array.from(valid, (r) => r.mask.lo & limit.lo),
    typeBit: Uint8Array.from(valid, (r) => BIT[mtrrType(r.base.lo & 0xff)]),
    tom2: state.tom2 ?? null,
  };
}

/** AMD keeps RdMem and WrMem in bits 4:3 of a fixed-range byte; the type is in bits 2:0. */
const FIXED_TYPE_MASK = 0x07;

function fixedCodes(msrs: readonly U64[]): Uint8Array {
  const codes = new Uint8Array(88);
  for (let i = 0; i < 88; i++) {
    const msr = must(msrs[i >> 3], 'fixed MTRRs: eleven MSRs');
    const byte = u64Byte(msr, i & 7);
    codes[i] = TYPE_CODE[mtrrType(byte & 0xe0 ? byte : byte & FIXED_TYPE_MASK)];
  }
  return codes;
}

/** Which of the 88 fixed ranges holds an address below 1 MiB: 8 x 64K, 16 x 16K, 64 x 4K. */
export function fixedIndex(address: number): number {
  if (address < 0x80000) return address >>> 16;
  if (address < 0xc0000) return 8 + ((address - 0x80000) >>> 14);
  return 24 + ((address - 0xc0000) >>> 12);
}

/** OR of the type bits of the variable ranges that match an address. */
function seenBits(m: CompiledMtrrs, hi: number, lo: number): number {
  const { baseHi, baseLo, maskHi, maskLo, typeBit, count } = m;
  let seen = 0;
  for (let i = 0; i < count; i++) {
    const differ =
      ((hi ^ (baseHi[i] as number)) & (maskHi[i] as number)) |
      ((lo ^ (baseLo[i] as number)) & (maskLo[i] as number));
    if (differ === 0) seen |= typeBit[i] as number;
  }
  return seen;
}

function belowTom2(m: CompiledMtrrs, hi: number, lo: number): boolean {
  const top = m.tom2;
  return top !== null && hi > 0 && (hi < top.hi || (hi === top.hi && lo < top.lo));
}

/**
 * The type code of a physical address, or MTRR_UNDEFINED: the fast path.
 *
 * @param hi upper 32 bits of the address
 * @param lo lower 32 bits of the address, unsigned
 */
export function mtrrCode(m: CompiledMtrrs, hi: number, lo: number): number {
  if (!m.enabled) return TYPE_CODE.UC;
  if (m.fixed !== null && hi === 0 && lo < ONE_MIB) return m.fixed[fixedIndex(lo)] as number;
  const seen = seenBits(m, hi, lo);
  if (seen !== 0) return PRECEDENCE[seen] as number;
  return belowTom2(m, hi, lo) ? TYPE_CODE.WB : m.defaultCode;
}

/** The same answer with its reason. */
export function mtrrLookup(m: CompiledMtrrs, address: U64): MtrrAnswer {
  const code = mtrrCode(m, address.hi, address.lo);
  if (code === MTRR_UNDEFINED) {
    const seen = seenBits(m, address.hi, address.lo);
    return { kind: 'undefined', among: MTRR_TYPES.filter((type) => (seen & BIT[type]) !== 0) };
  }
  return { kind: 'type', type: mtrrType(code), by: reason(m, address) };
}

function reason(
  m: CompiledMtrrs,
  { hi, lo }: U64,
): 'disabled' | 'fixed' | 'variable' | 'default' | 'tom2' {
  if (!m.enabled) return 'disabled';
  if (m.fixed !== null && hi === 0 && lo < ONE_MIB) return 'fixed';
  if (seenBits(m, hi, lo) !== 0) return 'variable';
  return belowTom2(m, hi, lo) ? 'tom2' : 'default';
}

rule({
  id: 'x86/smrr',
  room: 'cpu',
  title: 'System-management range registers (Intel)',
  text:
    'Inside SMM the range has the SMRR type. Outside it an access is UC, a write is dropped and a read ' +
    'gives a fixed value, whatever the MTRRs say.',
  sources: ['sdm/smrr'],
});

/** The type SMRR imposes on an address in its range. */
export function smrrType(inSmm: boolean, smrrTypeByte: number): MtrrType | null {
  return inSmm ? mtrrTypeOf(smrrTypeByte) : 'UC';
}

rule({
  id: 'x86/large-page',
  room: 'cpu',
  title: 'A large page over several MTRR types',
  text:
    'Undefined: software must split the page or ask for the most conservative type. The one exception is ' +
    'a large page that overlaps the first MiB, which P6 to Xeon CPUs splinter.',
  sources: ['sdm/large-pages', 'apm/mtrr'],
});

/**
 * The type of `size` bytes from `start` (both multiples of 4 KiB, below 2^53) taken as one page:
 * undefined when the 4K pages in it differ.
 */
export function mtrrTypeOfPage(m: CompiledMtrrs, start: number, size: number): MtrrAnswer {
  const found = new Set<MtrrType>();
  let undefinedInside = false;
  let first: MtrrAnswer | null = null;
  for (const at of boundaries(m, start, size)) {
    const answer = mtrrLookup(m, { hi: Math.floor(at / 2 ** 32), lo: (at % 2 ** 32) >>> 0 });
    first ??= answer;
    if (answer.kind === 'type') found.add(answer.type);
    else {
      undefinedInside = true;
      for (const type of answer.among) found.add(type);
    }
  }
  if (found.size === 1 && !undefinedInside && first !== null) return first;
  return { kind: 'undefined', among: MTRR_TYPES.filter((type) => found.has(type)) };
}

/** One 4K page of every stretch over which no MTRR bit can change the answer. */
function boundaries(m: CompiledMtrrs, start: number, size: number): readonly number[] {
  const pages: number[] = [];
  const step = smallestStep(m, start);
  for (let at = start; at < start + size; at += step) pages.push(at);
  return pages;
}

/** The lowest set bit of an address or mask, as a number; 2^52 when none is set. */
function lowestBit(hi: number, lo: number): number {
  if (lo !== 0) return (lo & -lo) >>> 0;
  return hi === 0 ? 2 ** 52 : ((hi & -hi) >>> 0) * 2 ** 32;
}

function smallestStep(m: CompiledMtrrs, start: number): number {
  let step = 2 ** 30;
  if (m.fixed !== null && start < ONE_MIB) step = 4096;
  if (m.tom2 !== null) step = Math.min(step, lowestBit(m.tom2.hi, m.tom2.lo & 0xfffff000));
  for (let i = 0; i < m.count; i++) {
    step = Math.min(step, lowestBit(m.maskHi[i] as number, m.maskLo[i] as number));
  }
  return step;
}
