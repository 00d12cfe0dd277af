import { refuse } from '../base/diagnostic.ts';
import { type U64, u64, u64FromNumber } from '../base/u64.ts';
import { MTRR_ENABLE, MTRR_FIXED_ENABLE, type MtrrState } from '../x86/mtrr.ts';
import { MTRR_TYPES, type MtrrType, TYPE_CODE } from '../x86/types.ts';

/** MTRRs as a firmware plan states them, and the physical address (of the same machine) asked about. */
export interface MtrrLayout {
  readonly defaultType: MtrrType;
  readonly ranges: readonly LayoutRange[];
  /** One type for all fixed ranges (FE=1); null: FE=0. */
  readonly fixedType: MtrrType | null;
  /** Physical address, bytes. */
  readonly address: number;
  readonly physBits: number;
}

/** `size` is a power of two and `base` a multiple of it, as an MTRR pair can hold. */
export interface LayoutRange {
  readonly type: MtrrType;
  readonly base: number;
  readonly size: number;
}

const UNIT: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** "0xd0000000", "3G", "512M", "4096" to bytes; null when it is not an amount below 2^52. */
export function parseAmount(text: string): number | null {
  const match = /^(0x[0-9a-f]+|\d+)([KMGT]?)i?B?$/i.exec(text.trim());
  if (match === null) return null;
  const bytes = Number(match[1]) * (UNIT[(match[2] ?? '').toUpperCase()] ?? 1);
  return Number.isSafeInteger(bytes) && bytes < 2 ** 52 ? bytes : null;
}

const RANGE = /^(\S+)\s+(\S+?)\s*-\s*(\S+)$/;

/**
 * "WB 0-4G, UC 3G-4G" to ranges, in register order.
 *
 * @throws InputError when a range is not one that a single MTRR pair can hold.
 */
export function parseRanges(text: string): readonly LayoutRange[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const match = RANGE.exec(part);
      const type = MTRR_TYPES.find((t) => t === match?.[1]?.toUpperCase());
      const base = parseAmount(match?.[2] ?? '');
      const end = parseAmount(match?.[3] ?? '');
      if (type === undefined || base === null || end === null || end <= base) {
        refuse(`not an MTRR range: "${part}"`, 'write TYPE START-END, for example UC 3G-4G');
      }
      const size = end - base;
      if (!isPowerOfTwo(size) || size < 4096 || base % size !== 0) {
        refuse(
          `no MTRR pair can hold "${part}"`,
          'the size must be a power of two from 4K on, and the start a multiple of it: split the range',
        );
      }
      return { type, base, size };
    });
}

function isPowerOfTwo(n: number): boolean {
  return 2 ** Math.round(Math.log2(n)) === n;
}

const MASK_VALID = 1 << 11;

function sameBytes(byte: number): U64 {
  const half = Math.imul(byte, 0x01010101);
  return u64(half, half);
}

/** PHYSBASE and PHYSMASK of a range. */
export function rangeMsrs(range: LayoutRange, physBits: number): { base: U64; mask: U64 } {
  const base = u64FromNumber(range.base);
  const mask = u64FromNumber(2 ** physBits - range.size);
  return {
    base: u64(base.hi, base.lo | TYPE_CODE[range.type]),
    mask: u64(mask.hi, mask.lo | MASK_VALID),
  };
}

/** The layout as MSRs: E=1. */
export function layoutState(layout: MtrrLayout): MtrrState & { readonly fixed: readonly U64[] } {
  return {
    defType:
      MTRR_ENABLE |
      (layout.fixedType === null ? 0 : MTRR_FIXED_ENABLE) |
      TYPE_CODE[layout.defaultType],
    fixed: Array.from({ length: 11 }, () => sameBytes(TYPE_CODE[layout.fixedType ?? 'UC'])),
    variable: layout.ranges.map((range) => rangeMsrs(range, layout.physBits)),
    physBits: layout.physBits,
  };
}
