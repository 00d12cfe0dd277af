import { describe, expect, test } from 'vitest';
import {
  decimalNumber,
  type Format,
  hexNumber,
  Problems,
  quote,
  readLines,
  refusalIn,
} from './common.ts';

const FORMAT: Format = {
  name: '/proc/x',
  shape: 'x: 1',
  refusals: { 'Permission denied': 'be root' },
};

function read(text: string) {
  const problems = new Problems('f', FORMAT);
  const lines = readLines(text, problems);
  return { lines, problems: problems.list };
}

describe('lines', () => {
  test('numbers count blank lines; text has no blanks around it', () => {
    const { lines, problems } = read('\n  a b \n\t\n\nc\n');
    expect(problems).toEqual([]);
    expect(lines).toEqual([
      { number: 2, source: '  a b ', text: 'a b', offset: 2 },
      { number: 5, source: 'c', text: 'c', offset: 0 },
    ]);
  });

  test.each([
    ['CRLF', 'a\r\nb\r\n'],
    ['serial console', 'a\r\r\nb\r\r\n'],
    ['byte-order mark', '\ufeffa\nb\n'],
  ])('%s', (_, text) => {
    const { lines, problems } = read(text);
    expect(lines.map((line) => line.source)).toEqual(['a', 'b']);
    expect(problems).toEqual([]);
  });

  test('a last line without line end is read, with a warning', () => {
    const { lines, problems } = read('a\nb');
    expect(lines.map((line) => line.text)).toEqual(['a', 'b']);
    expect(problems).toMatchObject([{ severity: 'warning', place: { line: 2 }, source: 'b' }]);
  });

  test('blanks after the last line end are no line', () => {
    expect(read('a\n  ').problems).toEqual([]);
  });

  test('a line beyond any real length', () => {
    const { lines, problems } = read(`a\n${'x'.repeat(20_001)}\nb\n`);
    expect(lines.map((line) => line.text)).toEqual(['a', 'b']);
    expect(problems).toMatchObject([
      { severity: 'error', place: { line: 2, column: 1, length: 20_001 } },
    ]);
  });
});

describe('texts of which nothing can be read', () => {
  const utf16 = (text: string) => [...text].map((c) => `${c}\0`).join('');
  test.each([
    ['NUL bytes', '\0'.repeat(4096), 'only NUL bytes'],
    ['NUL bytes and line ends', '\0\0\n\0\n', 'only NUL bytes'],
    ['UTF-16, little endian, no mark', utf16('reg00: base'), 'UTF-16'],
    ['UTF-16, big endian, no mark', `\0${utf16('reg00: base')}`.slice(0, -1), 'UTF-16'],
    ['UTF-16 decoded as UTF-8', `\ufffd\ufffd${utf16('reg00: base')}`, 'UTF-16'],
    ['UTF-16 decoded as Latin-1', `\u00ff\u00fe${utf16('reg00: base')}`, 'UTF-16'],
    ['UTF-16 with swapped bytes', '\ufffe\u7200\u6500', 'UTF-16'],
  ])('%s', (_, text, message) => {
    const { lines, problems } = read(text);
    expect(lines).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column: 1 } }]);
    expect(problems[0]?.message).toContain(message);
    expect(problems[0]?.help).toBeTruthy();
  });

  test('a few NUL bytes do not spoil the other lines', () => {
    expect(read('\0\0\0a\nb\n').lines).toHaveLength(2);
  });
});

test.each([
  ['cat: /proc/x: Permission denied', 'Permission denied'],
  ["cat: can't open '/proc/x': No such file or directory", 'No such file or directory'],
  ['(no /proc/x: No such file or directory)', 'No such file or directory'],
  ['head: error reading /dev/x: Input/output error', 'Input/output error'],
  ['cat: /dev/x: No such device', 'No such device'],
  ['Permission denied', null],
  ['x: permission', null],
])('%j is refused with %j', (line, refusal) => {
  expect(refusalIn(line)).toBe(refusal);
});

describe('strangers', () => {
  const strangers = (text: string) => {
    const problems = new Problems('f', FORMAT);
    for (const line of readLines(text, problems)) problems.stranger(line);
    return problems.list;
  };

  test('a refused read: what it means for this file, or in general', () => {
    const [own, general] = strangers('x: Permission denied\nx: Input/output error\n');
    expect(own).toMatchObject({
      message: '/proc/x could not be read: Permission denied',
      help: 'be root',
    });
    expect(general?.help).toContain('nothing is known');
  });

  test('a NUL byte: where it stands', () => {
    expect(strangers('  ab\0c\n')).toMatchObject([
      { place: { column: 5, length: 1 }, source: '  ab\0c' },
    ]);
  });

  test('anything else: how a line looks', () => {
    expect(strangers('  what? \n')).toEqual([
      {
        severity: 'error',
        message: 'not a line of /proc/x: "what?"',
        place: { file: 'f', line: 1, column: 3, length: 5 },
        source: '  what? ',
        help: 'such a line looks like this: x: 1',
      },
    ]);
  });
});

test.each([
  ['0', 0],
  ['00ff', 255],
  ['1fffffffffffff', 2 ** 53 - 1],
  ['20000000000000', null],
  ['00000000000000000000000000000001', 1],
  ['10000000000000000', null],
  ['0x10', null],
  ['', null],
  ['12 ', null],
])('hexNumber(%j)', (text, value) => {
  expect(hexNumber(text)).toBe(value);
});

test.each([
  ['0', 0],
  ['0042', 42],
  ['9007199254740991', 2 ** 53 - 1],
  ['9007199254740992', null],
  ['99999999999999999999999', null],
  ['-1', null],
  ['', null],
  ['1e3', null],
])('decimalNumber(%j)', (text, value) => {
  expect(decimalNumber(text)).toBe(value);
});

test('long pieces of the input are cut in messages', () => {
  expect(quote('x'.repeat(50))).toBe(`"${'x'.repeat(40)}..."`);
  expect(quote('x')).toBe('"x"');
});
