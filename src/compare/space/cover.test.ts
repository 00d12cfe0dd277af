import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coverOf } from './cover.ts';
import { bits, type Cube, contains, DIMENSIONS, FULL, meet, minus } from './cube.ts';

/** Three dimensions of 2, 3 and 6 values; the others stay free. */
const SMALL = [
  DIMENSIONS.indexOf('pfn-valid'),
  DIMENSIONS.indexOf('compound'),
  DIMENSIONS.indexOf('guest'),
];
const SIZES = SMALL.map((d) => bits(FULL[d] as number));
const POINTS: readonly Cube[] = Array.from({ length: SIZES.reduce((a, b) => a * b, 1) }, (_, n) => {
  const cube = Uint8Array.from(FULL);
  let rest = n;
  SMALL.forEach((d, i) => {
    const size = SIZES[i] as number;
    cube[d] = 1 << (rest % size);
    rest = Math.floor(rest / size);
  });
  return cube;
});

type Kind = 'on' | 'off' | 'either';
const table = fc.array(fc.constantFrom<Kind>('on', 'off', 'either'), {
  minLength: POINTS.length,
  maxLength: POINTS.length,
});

function split(kinds: readonly Kind[]): { on: readonly Cube[]; off: readonly Cube[] } {
  return {
    on: POINTS.filter((_, i) => kinds[i] === 'on'),
    off: POINTS.filter((_, i) => kinds[i] === 'off'),
  };
}

/** Every product of value sets over the three dimensions that meets no point of `off`. */
function implicants(off: readonly Cube[]): readonly Cube[] {
  const all: Cube[] = [];
  const [a = 0, b = 0, c = 0] = SMALL;
  for (let x = 1; x <= (FULL[a] as number); x++) {
    for (let y = 1; y <= (FULL[b] as number); y++) {
      for (let z = 1; z <= (FULL[c] as number); z++) {
        const cube = Uint8Array.from(FULL);
        cube[a] = x;
        cube[b] = y;
        cube[c] = z;
        if (!off.some((p) => meet(p, cube))) all.push(cube);
      }
    }
  }
  return all;
}

/** The size of the smallest cover, by trying all covers of one cube, of two, ... */
function smallest(on: readonly Cube[], off: readonly Cube[], limit: number): number {
  const primes = implicants(off);
  const need = (left: readonly Cube[], budget: number): boolean => {
    const [first] = left;
    if (first === undefined) return true;
    if (budget === 0) return false;
    return primes
      .filter((p) => contains(p, first))
      .some((p) =>
        need(
          left.filter((q) => !contains(p, q)),
          budget - 1,
        ),
      );
  };
  for (let n = 0; n < limit; n++) if (need(on, n)) return n;
  return limit;
}

describe('coverOf', () => {
  it('covers what it must and nothing that it must not', () => {
    fc.assert(
      fc.property(table, (kinds) => {
        const { on, off } = split(kinds);
        const { cubes } = coverOf(on, off);
        for (const p of on) expect(cubes.some((c) => contains(c, p))).toBe(true);
        for (const p of off) expect(cubes.some((c) => meet(c, p))).toBe(false);
      }),
    );
  });

  it('says minimal only where brute force finds no smaller cover', () => {
    let proven = 0;
    fc.assert(
      fc.property(table, (kinds) => {
        const { on, off } = split(kinds.map((k, i) => (i % 3 === 0 ? 'either' : k)));
        const { cubes, minimal } = coverOf(on, off);
        if (!minimal || cubes.length > 4) return;
        proven++;
        expect(smallest(on, off, cubes.length)).toBe(cubes.length);
      }),
      { numRuns: 60 },
    );
    expect(proven).toBeGreaterThan(5);
  });
});

describe('minus', () => {
  it('leaves disjoint cubes that hold the rest', () => {
    fc.assert(
      fc.property(table, fc.nat(), (kinds, seed) => {
        const { on } = split(kinds);
        const cube = Uint8Array.from(FULL);
        const d = SMALL[seed % 3] as number;
        cube[d] = 1 + (seed % (FULL[d] as number));
        for (const p of POINTS) {
          const pieces = minus(p, cube);
          expect(pieces.length === 0).toBe(contains(cube, p));
        }
        const whole = minus(FULL, cube);
        for (const p of on) {
          const inside = whole.filter((w) => meet(w, p)).length;
          expect(inside).toBe(contains(cube, p) ? 0 : 1);
        }
      }),
    );
  });
});
