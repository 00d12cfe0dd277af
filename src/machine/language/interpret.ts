import type { Expression, Statement } from './expression.ts';
import { bitsOf, getBits, type Layout, setBits } from './layout.ts';
import type { Command, System } from './system.ts';

/** The value of an expression in the state at `at`. */
export function evaluate(layout: Layout, e: Expression, state: Int32Array, at: number): number {
  const value = (of: Expression): number => evaluate(layout, of, state, at);
  switch (e.kind) {
    case 'constant':
      return e.value;
    case 'variable':
      return getBits(state, at, bitsOf(layout, e.variable));
    case 'equal':
      return value(e.left) === value(e.right) ? 1 : 0;
    case 'less':
      return value(e.left) < value(e.right) ? 1 : 0;
    case 'plus':
      return value(e.left) + value(e.right);
    case 'all':
      return e.of.every((x) => value(x) !== 0) ? 1 : 0;
    case 'any':
      return e.of.some((x) => value(x) !== 0) ? 1 : 0;
    case 'not':
      return value(e.of) === 0 ? 1 : 0;
    case 'choose':
      return value(e.test) === 0 ? value(e.no) : value(e.yes);
    case 'lookup':
      return e.table[value(e.index)] ?? 0;
  }
}

function execute(layout: Layout, s: Statement, state: Int32Array, at: number): void {
  if (s.kind === 'set') {
    setBits(state, at, bitsOf(layout, s.variable), evaluate(layout, s.value, state, at));
    return;
  }
  const branch = evaluate(layout, s.test, state, at) === 0 ? s.no : s.yes;
  for (const inner of branch) execute(layout, inner, state, at);
}

/** Whether a command may happen. */
export function isEnabled(layout: Layout, c: Command, state: Int32Array, at: number): boolean {
  return c.guard.every((g) => evaluate(layout, g, state, at) !== 0);
}

/** Writes the state after a command to `out`, from index `to`. */
export function perform(
  layout: Layout,
  c: Command,
  state: Int32Array,
  at: number,
  out: Int32Array,
  to: number,
): void {
  for (let w = 0; w < layout.words; w++) out[to + w] = state[at + w] ?? 0;
  for (const s of c.effect) execute(layout, s, out, to);
}

/** The next states by the rules as they stand: the reference for generated code. */
export function interpreted(
  system: System,
  layout: Layout,
): (state: Int32Array, at: number, out: Int32Array, to?: number) => number {
  return (state, at, out, to = 0) => {
    let n = 0;
    for (const c of system.commands) {
      if (!isEnabled(layout, c, state, at)) continue;
      perform(layout, c, state, at, out, to + n * layout.words);
      n += 1;
    }
    return n;
  };
}
