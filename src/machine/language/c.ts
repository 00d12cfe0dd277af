import { type Dialect, generate } from './generate.ts';
import type { Layout } from './layout.ts';
import { pack } from './layout.ts';
import type { System } from './system.ts';

function list(words: number, of: (word: number) => string, separator = ', '): string {
  return Array.from({ length: words }, (_, w) => of(w)).join(separator);
}

function hexadecimal(value: number): string {
  return `0x${(value >>> 0).toString(16)}u`;
}

const C: Dialect = {
  shift: '>>',
  equals: '==',
  word: hexadecimal,
  table: (name, values) => `static const unsigned char ${name}[] = {${values.join(', ')}};`,
  group: (name, words, body) =>
    `static uint32_t *${name}(${list(words, (w) => `uint32_t w${w}`)}, uint32_t *next)\n{\n` +
    `uint32_t *out = next; int o = 0;\nuint32_t ${list(words, (w) => `n${w}`)};\n` +
    `${body}\nreturn out + o;\n}`,
};

/**
 * The step function in C99: `WORDS`, `MAX_SUCCESSORS`, `initial`, and
 * `int successors(const uint32_t *state, uint32_t *out)`.
 */
export function cSource(system: System, layout: Layout): string {
  const { tables, groups } = generate(system, layout, C);
  const { words } = layout;
  const initial = [...pack(layout, system.initial)].map(hexadecimal).join(', ');
  return [
    '#include <stdint.h>',
    `enum { WORDS = ${words}, MAX_SUCCESSORS = ${system.commands.length} };`,
    `static const uint32_t initial[WORDS] = {${initial}};`,
    tables,
    ...groups,
    'static int successors(const uint32_t *state, uint32_t *out)',
    '{',
    list(words, (w) => `const uint32_t w${w} = state[${w}];`, '\n'),
    'uint32_t *next = out;',
    ...groups.map((_, i) => `next = group${i}(${list(words, (w) => `w${w}`)}, next);`),
    `return (int)(next - out) / ${words};`,
    '}',
    '',
  ].join('\n');
}
