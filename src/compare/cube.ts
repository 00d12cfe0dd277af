import { SWEEP_INPUTS, SWEEP_VALUES } from './space.ts';

/** For each input of the space, in its order, a bit for each value that it may have. A product of sets. */
export type Cube = Uint8Array;

export const INPUTS: number = SWEEP_INPUTS.length;

/** All values of each input. */
export const FULL: Cube = Uint8Array.from(SWEEP_INPUTS, (key) => 2 ** SWEEP_VALUES[key].length - 1);

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
