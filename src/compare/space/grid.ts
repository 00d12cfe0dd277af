import { factWord } from '../../facts/facts.ts';
import { effectiveTypeOf } from '../../x86/fast.ts';
import type { TypeGrid, TypePair, TypeSlice } from '../difference.ts';
import { PAGE_KINDS, partOf } from '../kinds.ts';
import { type Cube, DIMENSIONS, type Dimension, FULL, INPUTS, meet, valuesOf } from './cube.ts';
import type { JointPath } from './fold.ts';

/** The dimension in which two cubes lie apart, when it is the only one; else -1. */
function onlyApart(a: Cube, b: Cube): number {
  let only = -1;
  for (let d = 0; d < INPUTS; d++) {
    if (((a[d] as number) & (b[d] as number)) !== 0) continue;
    if (only >= 0) return -1;
    only = d;
  }
  return only;
}

/**
 * The dimensions on which the types within some paths depend: those in which two cubes with different
 * types lie apart and nowhere else.
 */
function dependsOn(paths: readonly JointPath[]): readonly number[] {
  const found = new Set<number>();
  for (let i = 0; i < paths.length; i++) {
    const p = paths[i] as JointPath;
    for (let j = i + 1; j < paths.length; j++) {
      const q = paths[j] as JointPath;
      if (p.a.code === q.a.code && p.b.code === q.b.code) continue;
      const only = onlyApart(p.cube, q.cube);
      if (only >= 0) found.add(only);
    }
  }
  return [...found].sort((x, y) => x - y);
}

/** Paths with different types lie apart in one of the dimensions: no cell has two answers. */
function decide(dimensions: readonly number[], paths: readonly JointPath[]): boolean {
  return paths.every((p, i) =>
    paths
      .slice(i + 1)
      .every(
        (q) =>
          (p.a.code === q.a.code && p.b.code === q.b.code) ||
          dimensions.some((d) => ((p.cube[d] as number) & (q.cube[d] as number)) === 0),
      ),
  );
}

function nameOf(d: number): Dimension {
  return DIMENSIONS[d] as Dimension;
}

function wordsOf(d: number): readonly string[] {
  return valuesOf(nameOf(d)).map(factWord);
}

/** The points with one value in each of some dimensions. */
function fixed(at: readonly (readonly [d: number, v: number])[]): Cube {
  const cube = Uint8Array.from(FULL);
  for (const [d, v] of at) cube[d] = 1 << v;
  return cube;
}

function cellAt(paths: readonly JointPath[], cube: Cube): TypePair | null {
  const path = paths.find((p) => meet(p.cube, cube));
  const before = path === undefined ? null : effectiveTypeOf(path.a.code);
  const after = path === undefined ? null : effectiveTypeOf(path.b.code);
  return before === null || after === null ? null : { before, after };
}

function backingsIn(paths: readonly JointPath[], cube: Cube): readonly string[] {
  const cubes = paths.filter((p) => meet(p.cube, cube)).map((p) => p.cube);
  return PAGE_KINDS.filter((kind) => meet(kind.cube, cube) && partOf(cubes, kind) !== null).flatMap(
    ({ backings }) => backings.map(({ id }) => id),
  );
}

const ROW_ORDER: readonly Dimension[] = ['host-memtype', 'vmm-mapping', 'guest-mtrr', 'host-mtrr'];

/** The guest's type stands on top, what it is combined with at the side, the rest makes slices. */
function arranged(dimensions: readonly number[]): readonly number[] {
  const rank = (d: number): number => {
    if (nameOf(d) === 'guest') return 0;
    const i = ROW_ORDER.indexOf(nameOf(d));
    return i < 0 ? 9 : 1 + i;
  };
  return dimensions.toSorted((x, y) => rank(x) - rank(y));
}

/** Rows, columns and slices. */
const MOST = 3;

/**
 * The types within a cause as a table; null when they depend on more than three inputs.
 *
 * @param said the paths of the cause in the terms of its conditions
 * @param whole the same paths over the inputs, for the kinds of page
 */
export function gridOf(said: readonly JointPath[], whole: readonly JointPath[]): TypeGrid | null {
  const dimensions = arranged(dependsOn(said));
  if (dimensions.length > MOST || !decide(dimensions, said)) return null;
  const [first, second, third] = dimensions;
  if (first === undefined) return null;
  const row = second ?? first;
  const column = second === undefined ? null : first;
  const slice = (at: readonly (readonly [number, number])[]): TypeSlice['cells'] =>
    wordsOf(row).map((_, r) =>
      (column === null ? [''] : wordsOf(column)).map((__, c) =>
        cellAt(said, fixed([...at, [row, r], ...(column === null ? [] : [[column, c] as const])])),
      ),
    );
  const slices: readonly TypeSlice[] =
    third === undefined
      ? [{ at: null, cells: slice([]), backings: backingsIn(whole, FULL) }]
      : wordsOf(third).map((value, v) => ({
          at: { input: nameOf(third), value },
          cells: slice([[third, v]]),
          backings: backingsIn(whole, fixed([[third, v]])),
        }));
  return {
    rows: { input: nameOf(row), values: wordsOf(row) },
    columns: column === null ? null : { input: nameOf(column), values: wordsOf(column) },
    slices,
  };
}
