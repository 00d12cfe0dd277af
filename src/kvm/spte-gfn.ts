import { type U64, u64Bits } from '../base/u64.ts';
import type { BitRange } from './spte-editions.ts';

/** Where an MMIO SPTE keeps the gfn. Source: kvm/spte-special. */
export interface MmioGfn {
  readonly gfn: number;
  /** Highest bit that can belong to it: below the reserved bits that make an entry of NPT fault. */
  readonly top: number;
  /** The bits that guard against L1TF, as far as they can be told; the gfn is without them. */
  readonly guard: BitRange | null;
}

/** Cache addresses have 36 to 46 bits where the L1TF bug is; with 47 there would be no guard. */
const CACHE_BITS = { least: 36, most: 46 };
export const GUARD_BITS = 5;

/** Five set bits, with nothing above them but what the gfn has at their place, moved up by five. */
function guardOf(value: U64, top: number): BitRange | null {
  for (let n = Math.min(CACHE_BITS.most, top + 1); n >= CACHE_BITS.least; n -= 1) {
    const above = n + GUARD_BITS > top ? 0 : u64Bits(value, top, n + GUARD_BITS);
    const set = u64Bits(value, n - 1, n - GUARD_BITS);
    if (above === 0 && set === 2 ** GUARD_BITS - 1) return [n - 1, n - GUARD_BITS];
  }
  return null;
}

/** Physical addresses have at least 36 bits; reserved bits are never below. */
const LEAST_TOP = 35;

function topOf(value: U64, isEpt: boolean): number {
  if (isEpt) return 51;
  let top = 50;
  // With memory encryption on, all bits from the first reserved one up to 51 are set.
  while (top > LEAST_TOP && u64Bits(value, top, top) === 1) top -= 1;
  return top;
}

export function mmioGfn(value: U64, isEpt: boolean): MmioGfn {
  const top = topOf(value, isEpt);
  const guard = guardOf(value, top);
  if (guard === null) return { gfn: u64Bits(value, top, 12), top, guard };
  const [high, low] = guard;
  const moved = top > high ? u64Bits(value, Math.min(high + GUARD_BITS, top), high + 1) : 0;
  return { gfn: u64Bits(value, low - 1, 12) + moved * 2 ** (low - 12), top, guard };
}
