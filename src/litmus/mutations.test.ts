import fc from 'fast-check';
import { expect, test } from 'vitest';
import { litmusNames, litmusText } from '../../test/litmus-files.ts';
import { InputError } from '../base/diagnostic.ts';
import { compileLitmus } from './compile.ts';
import { printForHerd } from './herd.ts';
import { readLog } from './log.ts';
import { parseLitmus } from './parse.ts';
import { printLitmus } from './print.ts';

const NAMES = litmusNames();
const PIECES = fc.oneof(
  fc.string({ maxLength: 3 }),
  fc.constantFrom(
    '{',
    '}',
    ';',
    '|',
    '(*',
    '*)',
    '%',
    '$',
    '(',
    '[',
    '=',
    '\n',
    'P9',
    'L:',
    'lock ',
    '-1',
    '"',
  ),
);

/** A real test with some pieces cut out and others put in. */
const MUTATED = fc
  .tuple(
    fc.constantFrom(...NAMES),
    fc.array(fc.tuple(fc.nat(999), fc.nat(6), PIECES), { minLength: 1, maxLength: 4 }),
  )
  .map(([name, changes]) => {
    let text = litmusText(name);
    for (const [where, cut, piece] of changes) {
      const at = Math.floor((text.length * where) / 1000);
      text = text.slice(0, at) + piece + text.slice(at + cut);
    }
    return text;
  });

function compiles(text: string): boolean {
  const { value, problems } = parseLitmus(text, 'a.litmus');
  const errors = problems.filter((p) => p.severity === 'error');
  expect(errors.filter((p) => p.place === undefined)).toEqual([]);
  if (value === null) {
    expect(errors).not.toEqual([]);
    return false;
  }
  expect(errors).toEqual([]);
  expect(parseLitmus(printLitmus(value), 'a.litmus').value).not.toBeNull();
  printForHerd(value);
  try {
    compileLitmus(value);
    return true;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.diagnostics.filter((p) => p.place === undefined)).toEqual([]);
    return false;
  }
}

test('whatever is broken in a test is an error with its place', () => {
  fc.assert(
    fc.property(MUTATED, (text) => {
      compiles(text);
    }),
    { numRuns: 1000 },
  );
});

test('whatever is broken in a log is, too', () => {
  fc.assert(
    fc.property(MUTATED, fc.array(PIECES), (text, pieces) => {
      const log = `Test T Allowed\nHistogram (2 states)\n1:>[x]=1;\n${pieces.join('')}\nOk\n${text}`;
      const { value, problems } = readLog(log, 'a.log');
      expect(value.length + problems.length).toBeGreaterThan(0);
    }),
  );
});
