import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../base/diagnostic.ts';
import { factKeyOf, parseValue } from '../facts/words.ts';
import { composeQuestions, EXPLAIN_KEYS } from '../resolve/compose.ts';
import { resolve } from '../resolve/resolution.ts';
import { readCaseFile } from './case-file.ts';

const CASE = readFileSync(new URL('../../cases/founding-mail.yaml', import.meta.url), 'utf8');

/** Either an answer, or an InputError whose places lie inside the text. */
function answersOrComplains(text: string): 'answers' | 'complains' {
  try {
    const questions = composeQuestions(readCaseFile(text, 'case'));
    for (const q of questions) expect(resolve(q).types.length).toBeGreaterThan(0);
    return 'answers';
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const lines = text.split('\n').length;
    for (const { place } of (error as InputError).diagnostics) {
      if (place === undefined) continue;
      expect(place.line).toBeGreaterThanOrEqual(1);
      expect(place.line).toBeLessThanOrEqual(lines + 1);
    }
    return 'complains';
  }
}

describe('a case file', () => {
  test('is answered', () => {
    expect(answersOrComplains(CASE)).toBe('answers');
  });

  test('cut anywhere is answered or refused', () => {
    for (let end = CASE.indexOf('backing'); end < CASE.length; end += 3) {
      answersOrComplains(CASE.slice(0, end));
    }
  });

  test('with anything changed is answered or refused', () => {
    const edit = fc.record({
      at: fc.nat(CASE.length),
      cut: fc.nat(20),
      put: fc.string({ unit: 'binary', maxLength: 8 }),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const text = edits.reduce((t, e) => t.slice(0, e.at) + e.put + t.slice(e.at + e.cut), CASE);
        answersOrComplains(text);
      }),
      { numRuns: 1500 },
    );
  });

  test('of any keys and words is answered or refused', () => {
    const key = fc.oneof(fc.constantFrom(...EXPLAIN_KEYS), fc.string({ maxLength: 12 }));
    const word = fc.oneof(
      fc.constantFrom(
        'WB',
        'WC',
        'yes',
        'no',
        '6.8',
        'E7',
        'host-pat',
        'ram',
        '0x1000',
        'WB 0-4G',
        'ept',
        'amd',
        '6/42',
      ),
      fc.string({ maxLength: 12 }),
      fc.integer().map(String),
    );
    const file = fc.uniqueArray(fc.tuple(key, word), { selector: ([k]) => k, maxLength: 8 });
    fc.assert(
      fc.property(file, (pairs) => {
        const said = { kernel: '6.8', paging: 'ept', backing: 'ram', ...Object.fromEntries(pairs) };
        answersOrComplains(JSON.stringify(said));
      }),
      { numRuns: 1500 },
    );
  });

  test('that leaves everything open in every way is refused, not searched for ever', () => {
    const open = EXPLAIN_KEYS.map(
      (key) => [key, ['yes', 'no', 'on', 'off', 'WB', 'WC', 'UC', 'ept', 'npt']] as const,
    );
    const sane = open.flatMap(([key, words]) => {
      const fit = words.filter(
        (w) =>
          factKeyOf(key) !== null &&
          key !== 'backing' &&
          key !== 'cpu' &&
          parseValue(factKeyOf(key) ?? 'guest', w).ok,
      );
      return fit.length > 1 ? [[key, fit] as const] : [];
    });
    expect(answersOrComplains(JSON.stringify(Object.fromEntries(sane)))).toBe('complains');
  });

  test('a billion laughs are refused', () => {
    const laughs = Array.from(
      { length: 30 },
      (_, i) => `l${i + 1}: &l${i + 1} [*l${i}, *l${i}, *l${i}]`,
    );
    expect(answersOrComplains(['l0: &l0 ha', ...laughs, 'guest: *l30'].join('\n'))).toBe(
      'complains',
    );
  });
});

describe('a hostile case file', () => {
  const SIZE = 250_000;
  const repeated = (part: (i: number) => string): string => {
    const parts: string[] = [];
    for (let length = 0, i = 0; length < SIZE; i += 1) {
      const next = part(i);
      parts.push(next);
      length += next.length;
    }
    return parts.join('');
  };

  test.each<readonly [string, string]>([
    ['many keys', repeated((i) => `${i.toString(36)}:\n`)],
    ['many keys on a line', `{${repeated((i) => `${i.toString(36)},`)}}`],
    ['many keys below a key', `guest:\n${repeated((i) => ` ${i.toString(36)}: a\n`)}`],
    ['many values', `guest: [${repeated(() => 'WC,')}]`],
    ['comments that are not closed', `{${repeated(() => '/*')}`],
    ['strings that are not closed', `{${repeated(() => '\\"')}`],
    ['deep lists', repeated(() => '[')],
    ['many errors', `guest: ${repeated(() => ']\n')}`],
  ])('%s: refused in reasonable time', (_, text) => {
    const start = performance.now();
    expect(() => readCaseFile(text, 'case')).toThrow(InputError);
    // Quadratic parsing took minutes; the bound leaves room for a busy machine.
    expect(performance.now() - start).toBeLessThan(8000);
  });

  test('a key said twice is shown where it is said again', () => {
    const read = (): unknown => readCaseFile('guest: WC\ncpu: intel\nguest: WB\n', 'case');
    expect(read).toThrow('"guest" is said twice (line 1)');
    try {
      read();
    } catch (error) {
      expect((error as InputError).diagnostics[0]?.place).toMatchObject({ line: 3, column: 1 });
    }
  });
});
