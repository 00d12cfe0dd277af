import type { Expression, Statement, Variable } from '../machine/language/expression.ts';
import { isEnabled, perform } from '../machine/language/interpret.ts';
import { type Layout, layOut, setBits } from '../machine/language/layout.ts';
import type { Command } from '../machine/language/system.ts';
import { accessOf, commandAccess, demandOf, variablesOf } from './access.ts';

/** Combinations of values that are tried for a pair. */
const TRIES_MAX = 4096;

function overlaps(a: ReadonlyMap<number, unknown>, b: ReadonlyMap<number, unknown>): number[] {
  return [...a.keys()].filter((key) => b.has(key));
}

/** Whether two guards demand different values of one variable: then they never hold together. */
function exclude(a: Command, b: Command): boolean {
  const demands = b.guard.map(demandOf).filter((d) => d !== null);
  return a.guard.some((g) => {
    const mine = demandOf(g);
    return (
      mine !== null &&
      demands.some(
        (d) =>
          d.variable.index === mine.variable.index &&
          !d.values.some((v) => mine.values.includes(v)),
      )
    );
  });
}

/** The parts of a command that touch some variables, and everything that those parts touch. */
interface Slice {
  readonly guard: readonly Expression[];
  readonly effect: readonly Statement[];
}

function sliceOf(c: Command, touched: ReadonlyMap<number, Variable>): Slice {
  const touches = (of: ReadonlyMap<number, unknown>): boolean => overlaps(of, touched).length > 0;
  return {
    guard: c.guard.filter((g) => touches(variablesOf(g))),
    effect: c.effect.filter((s) => {
      const { reads, writes } = accessOf([s]);
      return touches(reads) || touches(writes);
    }),
  };
}

/** Closes a set of variables: with each part of a or b that touches one all that this part touches. */
function closed(a: Command, b: Command, start: readonly Variable[]): ReadonlyMap<number, Variable> {
  const touched = new Map(start.map((v) => [v.index, v]));
  for (;;) {
    const before = touched.size;
    for (const { guard, effect } of [sliceOf(a, touched), sliceOf(b, touched)]) {
      for (const g of guard) for (const [i, v] of variablesOf(g)) touched.set(i, v);
      const { reads, writes } = accessOf(effect);
      for (const [i, v] of [...reads, ...writes]) touched.set(i, v);
    }
    if (touched.size === before) return touched;
  }
}

/** Whether both orders of two slices do the same from a state in which both may happen, and none prevents the other. */
function commutesAt(layout: Layout, a: Command, b: Command, state: Int32Array): boolean {
  if (!isEnabled(layout, a, state, 0) || !isEnabled(layout, b, state, 0)) return true;
  const after = (c: Command, from: Int32Array): Int32Array => {
    const to = new Int32Array(layout.words);
    perform(layout, c, from, 0, to, 0);
    return to;
  };
  const [first, second] = [after(a, state), after(b, state)];
  if (!isEnabled(layout, b, first, 0) || !isEnabled(layout, a, second, 0)) return false;
  const [one, other] = [after(b, first), after(a, second)];
  return one.every((word, i) => word === other[i]);
}

/** Tries every value of the variables that the two have in common. Too many: they are taken to be dependent. */
function commuteInAll(a: Command, b: Command, common: readonly Variable[]): boolean {
  const touched = closed(a, b, common);
  const variables = [...touched.values()];
  const tries = variables.reduce((product, v) => product * v.size, 1);
  if (tries > TRIES_MAX) return false;
  // A machine of these variables alone, under the numbers that they have.
  const places = layOut(variables);
  const bits: Layout['bits'][number][] = [];
  for (const [i, v] of variables.entries()) {
    const place = places.bits[i];
    if (place !== undefined) bits[v.index] = place;
  }
  const layout: Layout = { words: places.words, bits };
  const [x, y] = [a, b].map((c) => ({ ...c, ...sliceOf(c, touched) }));
  if (x === undefined || y === undefined) return false;
  const state = new Int32Array(places.words);
  for (let n = 0; n < tries; n++) {
    let rest = n;
    for (const [i, v] of variables.entries()) {
      const place = places.bits[i];
      if (place !== undefined) setBits(state, 0, place, rest % v.size);
      rest = Math.floor(rest / v.size);
    }
    if (!commutesAt(layout, x, y, state)) return false;
  }
  return true;
}

/**
 * Whether two commands are independent: wherever both may happen, each may still happen after the other, and both
 * orders lead to the same state. False when that is not found out.
 */
export function areIndependent(a: Command, b: Command): boolean {
  const [of, and] = [commandAccess(a), commandAccess(b)];
  const common = new Map<number, Variable>();
  const enter = (writes: ReadonlyMap<number, Variable>, other: typeof of): void => {
    for (const [i, v] of writes) if (other.reads.has(i) || other.writes.has(i)) common.set(i, v);
  };
  enter(of.writes, and);
  enter(and.writes, of);
  if (common.size === 0 || exclude(a, b)) return true;
  return commuteInAll(a, b, [...common.values()]);
}
