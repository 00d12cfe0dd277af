import type { Expression } from './expression.ts';
import { type Dialect, expressionSource, generate } from './generate.ts';
import type { Layout } from './layout.ts';
import type { System } from './system.ts';

type Successors = (state: Int32Array, at: number, out: Int32Array, to?: number) => number;
type Predicate = (state: Int32Array, at: number) => boolean;

function list(words: number, of: (word: number) => string, separator = ', '): string {
  return Array.from({ length: words }, (_, w) => of(w)).join(separator);
}

const JAVASCRIPT: Dialect = {
  shift: '>>>',
  equals: '===',
  word: (value) => String(value | 0),
  table: (name, values) => `const ${name} = [${values.join(', ')}];`,
  group: (name, words, body) =>
    `function ${name}(${list(words, (w) => `w${w}`)}, out, o) {\n` +
    `let ${list(words, (w) => `n${w} = 0`)};\n${body}\nreturn o;\n}`,
};

/** `successors` as the body of a function that returns it. */
export function javascript(system: System, layout: Layout): string {
  const { tables, groups } = generate(system, layout, JAVASCRIPT);
  const { words } = layout;
  const calls = groups.map((_, i) => `o = group${i}(${list(words, (w) => `w${w}`)}, out, o);`);
  return [
    "'use strict';",
    tables,
    ...groups,
    'return function successors(state, at, out, to = 0) {',
    list(words, (w) => `const w${w} = state[at + ${w}];`, '\n'),
    'let o = to;',
    ...calls,
    `return (o - to) / ${words};`,
    '};',
  ].join('\n');
}

/** What a text is the body of; null where making code from text is forbidden, as a content security policy can do. */
function made<F>(body: string): F | null {
  try {
    return new Function(body)() as F;
  } catch (e) {
    if (e instanceof EvalError) return null;
    throw e;
  }
}

/** Generated code; null where it is forbidden. */
export function generated(system: System, layout: Layout): Successors | null {
  return made(javascript(system, layout));
}

/** A truth about states as generated code; null where it is forbidden. */
export function generatedPredicate(e: Expression, layout: Layout): Predicate | null {
  const { tables, text } = expressionSource(e, layout, JAVASCRIPT);
  const words = list(layout.words, (w) => `const w${w} = state[at + ${w}];`, '\n');
  return made(`'use strict';\n${tables}\nreturn (state, at) => {\n${words}\nreturn !!${text};\n};`);
}
