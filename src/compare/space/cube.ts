import type { FactKey, FactValues } from '../../facts/facts.ts';
import { SWEEP_INPUTS, SWEEP_VALUES } from './space.ts';

/** For each dimension, in their order, a bit for each value that it may have. A product of sets. */
export type Cube = Uint8Array;

/**
 * What a condition can speak of: the inputs, and what both sides make of some of them in the same way:
 * the answer of kvm_is_mmio_pfn(), and whether CR0.CD of an AMD guest is live in the hardware.
 */
export const DIMENSIONS = [...SWEEP_INPUTS, 'host-mmio', 'live-cr0-cd'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

export const INPUTS: number = DIMENSIONS.length;

/** No, then yes. */
export const HOST_MMIO: number = DIMENSIONS.indexOf('host-mmio');
export const LIVE_CR0_CD: number = DIMENSIONS.indexOf('live-cr0-cd');

/** A dimension that no page or guest has by itself. */
export function isDerived(dimension: Dimension): dimension is 'host-mmio' | 'live-cr0-cd' {
  return dimension === 'host-mmio' || dimension === 'live-cr0-cd';
}

export function valuesOf(dimension: Dimension): readonly FactValues[FactKey][] {
  return isDerived(dimension) ? [false, true] : SWEEP_VALUES[dimension];
}

/** All values of each dimension. */
export const FULL: Cube = Uint8Array.from(DIMENSIONS, (d) => 2 ** valuesOf(d).length - 1);

const BITS: Uint8Array = Uint8Array.from({ length: 256 }, (_, i) => {
  let n = 0;
  for (let rest = i; rest !== 0; rest &= rest - 1) n++;
  return n;
});

/** How many values a mask has. */
export function bits(mask: number): number {
  return BITS[mask & 255] as number;
}

export function meet(a: Cube, b: Cube): boolean {
  for (let i = 0; i < INPUTS; i++) {
    if (((a[i] as number) & (b[i] as number)) === 0) return false;
  }
  return true;
}

/** Every point of `b` is in `a`. */
export function contains(a: Cube, b: Cube): boolean {
  for (let i = 0; i < INPUTS; i++) {
    if (((b[i] as number) & ~(a[i] as number)) !== 0) return false;
  }
  return true;
}

/** The smallest cube around both. */
export function supercube(a: Cube, b: Cube): Cube {
  return Uint8Array.from(a, (mask, i) => mask | (b[i] as number));
}

/** The points of `a` that are not in `b`, as disjoint cubes. */
export function minus(a: Cube, b: Cube): readonly Cube[] {
  if (!meet(a, b)) return [a];
  const pieces: Cube[] = [];
  const rest = Uint8Array.from(a);
  for (let i = 0; i < INPUTS; i++) {
    const out = (rest[i] as number) & ~(b[i] as number);
    if (out === 0) continue;
    const piece = Uint8Array.from(rest);
    piece[i] = out;
    pieces.push(piece);
    rest[i] = (rest[i] as number) & (b[i] as number);
  }
  return pieces;
}

/** The points of all cubes that are not in `b`. */
export function without(cubes: readonly Cube[], b: Cube): readonly Cube[] {
  return cubes.flatMap((c) => minus(c, b));
}

/** The common points; null when there are none. */
export function intersection(a: Cube, b: Cube): Cube | null {
  if (!meet(a, b)) return null;
  return Uint8Array.from(a, (mask, i) => mask & (b[i] as number));
}
