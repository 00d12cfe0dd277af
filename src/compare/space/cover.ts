import { must } from '../../base/assert.ts';
import {
  type Cube,
  contains,
  FULL,
  INPUTS,
  intersection,
  meet,
  supercube,
  without,
} from './cube.ts';

/** Cubes that together hold every point of `on`, none of `off`, and perhaps some of neither. */
export interface CubeCover {
  readonly cubes: readonly Cube[];
  /** No fewer cubes do: as many points were found of which no two fit into one. */
  readonly minimal: boolean;
}

/**
 * As many values for each input as keep the cube clear of `off`, input by input in the order given. The
 * result is prime: no value of any input can be added to it.
 */
function expanded(cube: Cube, off: readonly Cube[], order: readonly number[]): Cube {
  const grown = Uint8Array.from(cube);
  for (const i of order) {
    const own = grown[i] as number;
    if (own === FULL[i]) continue;
    let blocked = 0;
    grown[i] = FULL[i] as number;
    for (const other of off) if (meet(grown, other)) blocked |= other[i] as number;
    grown[i] = own | ((FULL[i] as number) & ~blocked);
  }
  return grown;
}

/** Orders in which inputs are given up. What stands first in the space is given up first, in one of them last. */
const FORWARD: readonly number[] = Array.from({ length: INPUTS }, (_, i) => i);
const BACKWARD: readonly number[] = FORWARD.toReversed();
const ORDERS: readonly (readonly number[])[] = [
  FORWARD,
  BACKWARD,
  [...FORWARD.slice(8), ...FORWARD.slice(0, 8)],
  [...BACKWARD.slice(8), ...BACKWARD.slice(0, 8)],
];

/** Cubes of `on`, whole or in part, that a cube takes in. */
function taken(on: readonly Cube[], cube: Cube): number {
  let n = 0;
  for (const c of on)
    if (contains(cube, c)) n += 2;
    else if (meet(cube, c)) n += 1;
  return n;
}

function literals(cube: Cube): number {
  let n = 0;
  for (let i = 0; i < INPUTS; i++) if (cube[i] !== FULL[i]) n++;
  return n;
}

/** The prime around a cube that takes in most of what is left, and of those the one with the fewest literals. */
function bestPrime(cube: Cube, left: readonly Cube[], off: readonly Cube[]): Cube {
  const primes = ORDERS.map((order) => expanded(cube, off, order));
  const ranked = primes
    .map((prime, i) => ({ prime, i, takes: taken(left, prime), words: literals(prime) }))
    .sort((x, y) => y.takes - x.takes || x.words - y.words || x.i - y.i);
  return must(ranked[0], 'an order').prime;
}

/** Cubes that are needed: what only they hold is not empty. */
function irredundant(cubes: readonly Cube[], on: readonly Cube[]): readonly Cube[] {
  let kept = cubes;
  for (const cube of cubes) {
    const others = kept.filter((c) => c !== cube);
    if (privatePart(cube, others, on).length === 0) kept = others;
  }
  return kept;
}

/** The points of `on` that a cube has and the others have not. */
function privatePart(cube: Cube, others: readonly Cube[], on: readonly Cube[]): readonly Cube[] {
  let own = on.flatMap((c) => {
    const common = intersection(c, cube);
    return common === null ? [] : [common];
  });
  for (const other of others) own = [...without(own, other)];
  return own;
}

/** One point of a cube: the lowest value of each input, or the highest. */
function corner(cube: Cube, high: boolean): Cube {
  return Uint8Array.from(cube, (mask) => (high ? 2 ** (31 - Math.clz32(mask)) : mask & -mask));
}

/** Points of which no two fit into one cube clear of `off`, one from each cube; false when none were found. */
function provenMinimal(cubes: readonly Cube[], on: readonly Cube[], off: readonly Cube[]): boolean {
  const chosen: Cube[] = [];
  for (const cube of cubes) {
    const others = cubes.filter((c) => c !== cube);
    const points = privatePart(cube, others, on).flatMap((c) => [
      corner(c, false),
      corner(c, true),
    ]);
    const apart = points.find((p) =>
      chosen.every((q) => {
        const around = supercube(p, q);
        return off.some((c) => meet(c, around));
      }),
    );
    if (apart === undefined) return false;
    chosen.push(apart);
  }
  return true;
}

/**
 * A small cover of `on` that stays clear of `off`, by the method of Espresso: grow each cube until it is
 * prime, take the one that holds most, drop what is not needed. That no smaller one exists is proved
 * after that, where it can be.
 *
 * @param on disjoint cubes
 * @param off cubes that have no point in common with them; what is in neither may be covered or not
 */
export function coverOf(on: readonly Cube[], off: readonly Cube[]): CubeCover {
  const cubes: Cube[] = [];
  let left: readonly Cube[] = on;
  while (left.length > 0) {
    const prime = bestPrime(must(left[0], 'a cube is left'), left, off);
    cubes.push(prime);
    left = without(left, prime);
  }
  const needed = irredundant(cubes, on);
  return { cubes: needed, minimal: provenMinimal(needed, on, off) };
}
