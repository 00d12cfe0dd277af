import type { Matrix, MatrixCell, MatrixSide } from '../compare/history/matrix.ts';
import { grouped, percent } from './diff/words.ts';

/** Cells by row and column. */
export function cellsOf(m: Matrix): (a: string, b: string) => MatrixCell | undefined {
  const cells = new Map(m.cells.map((c) => [`${c.row} ${c.column}`, c]));
  return (a, b) => cells.get(`${a} ${b}`) ?? cells.get(`${b} ${a}`);
}

export function sidesOf(m: Matrix, kind: MatrixSide['kind']): readonly MatrixSide[] {
  return m.sides.filter((side) => side.kind === kind);
}

export function headline(m: Matrix): string {
  const { platform, points, sides, cells } = m;
  return `${sides.length} policies against each other on ${platform.title}: ${cells.length} pairs, ${grouped(points)} points each`;
}

/** What a number in a cell is. */
export const MEANING =
  'Points of the whole input space at which the guest gets another effective type, counted without ' +
  'sampling. Every input counts alike, an opt-in that nobody has asked for too: this is no share of ' +
  'machines or of guests.';

/** Which kernels stand for an era. */
export const NEAREST =
  'Two eras are compared in the kernels that are nearest to each other, a proposal with the newest kernel ' +
  'of an era below it, and two proposals on the newest kernel.';

/** "6.10 and 6.11-rc1: 36,288,000 points (27.3%)" */
export function cellWords(m: Matrix, { rowIn, columnIn, differing }: MatrixCell): string {
  const count = differing === 0 ? 'no point' : `${grouped(differing)} points`;
  return `${columnIn} and ${rowIn}: ${count} (${percent(differing, m.points)})`;
}

/** Sentences: what is the same. */
export function sameWords(m: Matrix): readonly string[] {
  const zero = m.cells.filter((c) => c.differing === 0);
  const proposals = sidesOf(m, 'proposal').flatMap(({ id }) => {
    const eras = sidesOf(m, 'era').map((era) => era.id);
    const own = zero.filter((c) => c.row === id && eras.includes(c.column)).map((c) => c.column);
    if (own.length === 0) return [];
    const all = own.length === eras.length;
    return [`${id} changes nothing on ${all ? 'any era' : own.join(', ')}.`];
  });
  return [
    ...m.alike.map((group) => `No difference at all between ${group.join(', ')}.`),
    ...proposals,
  ];
}

/** The neighbours, oldest first: what each era changed. */
export function stepsOf(m: Matrix): readonly MatrixCell[] {
  const cell = cellsOf(m);
  const eras = sidesOf(m, 'era');
  return eras.flatMap(({ id }, i) => {
    const before = eras[i - 1];
    const found = before === undefined ? undefined : cell(id, before.id);
    return found === undefined ? [] : [found];
  });
}

/** "E0 to E10: KVM runs TDX guests from 6.16 on" */
export function missingWords({ missing }: Matrix): readonly string[] {
  const reasons = new Map<string, string[]>();
  for (const { id, why } of missing) reasons.set(why, [...(reasons.get(why) ?? []), id]);
  return [...reasons].map(([why, ids]) => `${ids.join(', ')}: ${why}`);
}

/** 14515200 as "14.5M": at most five characters. */
export function short(n: number): string {
  const units = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const;
  for (const [size, unit] of units) {
    if (n < size * 0.9995) continue;
    const digits = n < size * 10 ? 2 : n < size * 100 ? 1 : 0;
    return `${(n / size).toFixed(digits)}${unit}`;
  }
  return String(n);
}
