import type { Expression, Statement, Variable } from '../machine/language/expression.ts';
import type { Command } from '../machine/language/system.ts';

function collect(e: Expression, into: Map<number, Variable>): void {
  switch (e.kind) {
    case 'constant':
      return;
    case 'variable':
      into.set(e.variable.index, e.variable);
      return;
    case 'equal':
    case 'less':
    case 'plus':
      collect(e.left, into);
      collect(e.right, into);
      return;
    case 'all':
    case 'any':
      for (const inner of e.of) collect(inner, into);
      return;
    case 'not':
      collect(e.of, into);
      return;
    case 'choose':
      collect(e.test, into);
      collect(e.yes, into);
      collect(e.no, into);
      return;
    case 'lookup':
      collect(e.index, into);
  }
}

/** What an expression looks at. */
export function variablesOf(e: Expression): ReadonlyMap<number, Variable> {
  const found = new Map<number, Variable>();
  collect(e, found);
  return found;
}

interface Access {
  readonly reads: Map<number, Variable>;
  readonly writes: Map<number, Variable>;
}

function add(s: Statement, { reads, writes }: Access): void {
  if (s.kind === 'set') {
    writes.set(s.variable.index, s.variable);
    collect(s.value, reads);
    return;
  }
  collect(s.test, reads);
  for (const inner of [...s.yes, ...s.no]) add(inner, { reads, writes });
}

/** What statements look at, and what they may change. */
export function accessOf(statements: readonly Statement[]): Access {
  const access: Access = { reads: new Map(), writes: new Map() };
  for (const s of statements) add(s, access);
  return access;
}

/** The same of a command, its guard included. */
export function commandAccess({ guard, effect }: Command): Access {
  const access = accessOf(effect);
  for (const g of guard) collect(g, access.reads);
  return access;
}

/** A demand on one variable. */
export interface Demand {
  readonly variable: Variable;
  readonly values: readonly number[];
}

/** Larger variables are not looked at value by value. */
const SIZE_MAX = 256;

function valueWith(e: Expression, value: number): number {
  const of = (x: Expression): number => valueWith(x, value);
  switch (e.kind) {
    case 'constant':
      return e.value;
    case 'variable':
      return value;
    case 'equal':
      return of(e.left) === of(e.right) ? 1 : 0;
    case 'less':
      return of(e.left) < of(e.right) ? 1 : 0;
    case 'plus':
      return of(e.left) + of(e.right);
    case 'all':
      return e.of.every((x) => of(x) !== 0) ? 1 : 0;
    case 'any':
      return e.of.some((x) => of(x) !== 0) ? 1 : 0;
    case 'not':
      return of(e.of) === 0 ? 1 : 0;
    case 'choose':
      return of(e.test) === 0 ? of(e.no) : of(e.yes);
    case 'lookup':
      return e.table[of(e.index)] ?? 0;
  }
}

/** A part of a guard as a demand, if it is about one variable. */
export function demandOf(e: Expression): Demand | null {
  const [variable, other] = [...variablesOf(e).values()];
  if (variable === undefined || other !== undefined || variable.size > SIZE_MAX) return null;
  const values = Array.from({ length: variable.size }, (_, v) => v);
  return { variable, values: values.filter((v) => valueWith(e, v) !== 0) };
}
