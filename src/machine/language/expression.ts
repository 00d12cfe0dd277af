import { assert } from '../../base/assert.ts';

/** A small number that belongs to the state: 0 .. size-1. */
export interface Variable {
  /** Its place in the list of variables. */
  readonly index: number;
  /** `P0.pc`, `X[0]`: what read-outs and generated comments call it. */
  readonly name: string;
  readonly size: number;
}

export type Comparison = 'equal' | 'less';

/** What a state is asked. Truth is 1 and 0. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'variable'; readonly variable: Variable }
  | {
      readonly kind: Comparison | 'plus';
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Expression[] }
  | { readonly kind: 'not'; readonly of: Expression }
  | {
      readonly kind: 'choose';
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    }
  | { readonly kind: 'lookup'; readonly table: readonly number[]; readonly index: Expression };

/** A variable, or the constant that stands in its place where the configuration leaves it only one value. */
export type Place = Extract<Expression, { kind: 'constant' | 'variable' }>;

/** What a step does: assignments one after the other, each seeing the ones before. */
export type Statement =
  | { readonly kind: 'set'; readonly variable: Variable; readonly value: Expression }
  | {
      readonly kind: 'when';
      readonly test: Expression;
      readonly yes: readonly Statement[];
      readonly no: readonly Statement[];
    };

// The functions below fold constants, so that a rule about what a configuration lacks becomes `NO` and is dropped.

export function constant(value: number): Place {
  return { kind: 'constant', value };
}

export const YES: Place = constant(1);
export const NO: Place = constant(0);

export function isNever(e: Expression): boolean {
  return e.kind === 'constant' && e.value === 0;
}

export function isAlways(e: Expression): boolean {
  return e.kind === 'constant' && e.value !== 0;
}

/** One more than the largest value. */
function sizeOf(e: Expression): number {
  switch (e.kind) {
    case 'constant':
      return e.value + 1;
    case 'variable':
      return e.variable.size;
    case 'choose':
      return Math.max(sizeOf(e.yes), sizeOf(e.no));
    case 'lookup':
      return Math.max(...e.table) + 1;
    case 'plus':
      return sizeOf(e.left) + sizeOf(e.right) - 1;
    case 'equal':
    case 'less':
    case 'all':
    case 'any':
    case 'not':
      return 2;
  }
}

export function same(a: Expression, b: Expression): boolean {
  if (a === b) return true;
  if (a.kind === 'constant') return b.kind === 'constant' && a.value === b.value;
  return a.kind === 'variable' && b.kind === 'variable' && a.variable === b.variable;
}

/** Whether the value is a truth. */
export function isTruth(e: Expression): boolean {
  return ['equal', 'less', 'all', 'any', 'not'].includes(e.kind);
}

export function equal(left: Expression, right: Expression | number): Expression {
  const other = typeof right === 'number' ? constant(right) : right;
  if (same(left, other)) return YES;
  if (isTruth(left) && other.kind === 'constant' && other.value < 2)
    return other.value === 1 ? left : not(left);
  if (left.kind === 'constant' && other.kind !== 'constant') return equal(other, left);
  if (other.kind === 'constant' && other.value >= sizeOf(left)) return NO;
  if (left.kind === 'constant' && other.kind === 'constant') return NO;
  return { kind: 'equal', left, right: other };
}

export function less(left: Expression, right: Expression | number): Expression {
  const other = typeof right === 'number' ? constant(right) : right;
  if (other.kind === 'constant' && sizeOf(left) <= other.value) return YES;
  if (left.kind === 'constant' && other.kind === 'constant') return NO;
  return { kind: 'less', left, right: other };
}

export function plus(left: Expression, right: Expression): Expression {
  if (left.kind === 'constant' && right.kind === 'constant')
    return constant(left.value + right.value);
  if (isNever(left)) return right;
  return isNever(right) ? left : { kind: 'plus', left, right };
}

export function not(e: Expression): Expression {
  if (e.kind === 'constant') return e.value === 0 ? YES : NO;
  return e.kind === 'not' ? e.of : { kind: 'not', of: e };
}

export function all(...of: readonly Expression[]): Expression {
  const flat = of.flatMap((e) => (e.kind === 'all' ? e.of : [e])).filter((e) => !isAlways(e));
  if (flat.some(isNever)) return NO;
  return flat.length === 0 ? YES : flat.length === 1 ? (flat[0] ?? YES) : { kind: 'all', of: flat };
}

export function any(...of: readonly Expression[]): Expression {
  const flat = of.flatMap((e) => (e.kind === 'any' ? e.of : [e])).filter((e) => !isNever(e));
  if (flat.some(isAlways)) return YES;
  return flat.length === 0 ? NO : flat.length === 1 ? (flat[0] ?? NO) : { kind: 'any', of: flat };
}

export function choose(test: Expression, yes: Expression, no: Expression): Expression {
  if (test.kind === 'constant') return test.value === 0 ? no : yes;
  return same(yes, no) ? yes : { kind: 'choose', test, yes, no };
}

/** The entry of a constant table. @param table one entry for each value that `index` can have */
export function lookup(table: readonly number[], index: Expression): Expression {
  assert(table.length >= sizeOf(index), 'lookup: an index has no entry');
  const first = table[0] ?? 0;
  if (table.every((v) => v === first)) return constant(first);
  if (index.kind === 'constant') return constant(table[index.value] ?? 0);
  const ones = table.flatMap((v, i) => (v === 0 ? [] : [i]));
  if (ones.length === 1 && table[ones[0] ?? 0] === 1) return equal(index, ones[0] ?? 0);
  return { kind: 'lookup', table, index };
}

/** Whether `index` is one of the values. @param size how many values `index` can have */
export function isOneOf(index: Expression, values: readonly number[], size: number): Expression {
  return lookup(
    Array.from({ length: size }, (_, i) => (values.includes(i) ? 1 : 0)),
    index,
  );
}

/** An assignment. In the place of a constant only that constant can be put, which is nothing to do. */
export function set(place: Place, value: Expression | number): readonly Statement[] {
  const e = typeof value === 'number' ? constant(value) : value;
  if (same(place, e)) return [];
  assert(place.kind === 'variable', 'set: this configuration has no such variable');
  return [{ kind: 'set', variable: place.variable, value: e }];
}

export function when(
  test: Expression,
  yes: readonly Statement[],
  no: readonly Statement[] = [],
): readonly Statement[] {
  if (test.kind === 'constant') return test.value === 0 ? no : yes;
  if (yes.length === 0 && no.length === 0) return [];
  return yes.length === 0
    ? [{ kind: 'when', test: not(test), yes: no, no: [] }]
    : [{ kind: 'when', test, yes, no }];
}
