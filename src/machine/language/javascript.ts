import { type Dialect, generate } from './generate.ts';
import type { Layout } from './layout.ts';
import type { System } from './system.ts';

type Successors = (state: Int32Array, at: number, out: Int32Array) => number;

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
    'return function successors(state, at, out) {',
    list(words, (w) => `const w${w} = state[at + ${w}];`, '\n'),
    'let o = 0;',
    ...calls,
    `return o / ${words};`,
    '};',
  ].join('\n');
}

/** Generated code; null where making code from text is forbidden, as a content security policy can do. */
export function generated(system: System, layout: Layout): Successors | null {
  try {
    return new Function(javascript(system, layout))() as Successors;
  } catch (e) {
    if (e instanceof EvalError) return null;
    throw e;
  }
}
