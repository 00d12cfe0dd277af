import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type JsonTree, locateJson, parseJson, printJson } from './json.ts';

function treeOf(value: fc.JsonValue): JsonTree {
  if (Array.isArray(value)) return value.map(treeOf);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([key, inner]) => [key, treeOf(inner ?? null)]));
}

/** Every path of keys and indices in a value. */
function pathsIn(value: fc.JsonValue): readonly (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [[]];
  const members: readonly [string | number, fc.JsonValue][] = Array.isArray(value)
    ? value.map((inner, i) => [i, inner])
    : Object.entries(value).map(([key, inner]) => [key, inner ?? null]);
  return [[], ...members.flatMap(([step, inner]) => pathsIn(inner).map((path) => [step, ...path]))];
}

function at(value: fc.JsonValue, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((v, step) => (v as Record<string | number, unknown>)[step], value);
}

test('what is printed is JSON of the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const text = printJson(treeOf(value));
      // -0 is printed as 0.
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('every value is found where it stands', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 0, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      for (const path of pathsIn(value)) {
        const place = locateJson(text, path);
        const piece = text.slice(place.at, place.at + place.length);
        expect(JSON.parse(piece)).toEqual(JSON.parse(JSON.stringify(at(value, path))));
      }
    }),
  );
});

describe('a text that is no JSON has a place', () => {
  test.each([
    ['', 1, 1, 'the file ends where a value stands'],
    ['{"a": 1', 1, 8, 'the file ends where "," or "}" stands'],
    ['{"a": 1,\n "b": tru}', 2, 7, 'here stands a value'],
    ['{"a" 1}', 1, 6, 'here stands ":"'],
    ['[1,]', 1, 4, 'here stands a value'],
    ['{"a": 1,}', 1, 9, 'here stands a key in quotation marks'],
    ['[1 2]', 1, 4, 'here stands "," or "]"'],
    ['["a\tb"]', 1, 4, 'a control character stands in a string'],
    ['["\\x"]', 1, 3, 'no escape of JSON begins like this'],
    ['["abc', 1, 2, 'this string has no end: the file is cut'],
    ['{} x', 1, 4, 'here stands the end of the file'],
    ['{1: 2}', 1, 2, 'here stands a key in quotation marks or "}"'],
    ['[}', 1, 2, 'here stands a value or "]"'],
    ["{'a': 1}", 1, 2, 'here stands a key in quotation marks or "}"'],
    ['\ufeff{}', 1, 1, 'here stands a value'],
  ])('%j', (text, line, column, message) => {
    const parsed = parseJson(text, 'f.json');
    expect(parsed).toMatchObject({
      ok: false,
      diagnostic: { message: `no JSON: ${message}`, place: { file: 'f.json', line, column } },
    });
  });

  test('JSON.parse and the search for the place agree on what is JSON', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"',
      '\\',
      '1',
      '-',
      '0',
      'true',
      ' ',
      '\n',
      'e',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
        expect(() => parseJson(parts.join(''), 'f')).not.toThrow();
      }),
      { numRuns: 3000 },
    );
  });

  test('neither depth nor length is too much', () => {
    const deep = '['.repeat(500_000);
    expect(parseJson(deep, 'f').ok).toBe(false);
    expect(parseJson(`"${'a'.repeat(4_000_000)}`, 'f').ok).toBe(false);
    const nested = `{"a": ${deep}${']'.repeat(500_000)}, "b": 1}`;
    expect(parseJson(nested, 'f').ok).toBe(true);
    expect(locateJson(nested, ['b'])).toEqual({ at: nested.length - 2, length: 1 });
  });
});
