import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InternalError } from './assert.ts';
import { everyChoice } from './choice.ts';
import { renderDiagnostic } from './diagnostic.ts';
import { grid } from './grid.ts';
import {
  u64,
  u64Byte,
  u64FromBytes,
  u64FromHex,
  u64FromNumber,
  u64ToHex,
  u64ToNumber,
} from './u64.ts';

describe('grid', () => {
  const draw =
    (text: string): (() => string) =>
    () =>
      grid(['a', 'b'], ['x', 'y'], ['1', '2'], text).at('b', 'y');
  test('reads as it is drawn', () => {
    expect(draw('  x y\n a 1 1\n b 1 2(1,3)')()).toBe('2');
    const g = grid(['a'], ['x'], ['1'], ' x\n a 1(2,3)');
    expect(g.notesAt('a', 'x')).toEqual([2, 3]);
  });
  test.each([
    ['a missing row', ' x y\n a 1 1'],
    ['a row in the wrong place', ' x y\n b 1 1\n a 1 1'],
    ['a missing cell', ' x y\n a 1 1\n b 1'],
    ['an unknown word', ' x y\n a 1 1\n b 1 3'],
    ['a wrong column', ' x z\n a 1 1\n b 1 1'],
  ])('refuses %s', (_what, text) => {
    expect(draw(text)).toThrow(InternalError);
  });
});

describe('everyChoice', () => {
  test('visits every leaf of a tree once, in order', () => {
    const seen: string[] = [];
    everyChoice(({ pick }) => {
      const a = pick(2);
      seen.push(a === 0 ? `0${pick(3)}` : `1${pick(1)}${pick(2)}`);
    });
    expect(seen).toEqual(['00', '01', '02', '100', '101']);
  });
  test('a body without choices runs once', () => {
    let runs = 0;
    everyChoice(() => {
      runs += 1;
    });
    expect(runs).toBe(1);
  });
  test('the number of runs is the product of the sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 5 }), (sizes) => {
        let runs = 0;
        everyChoice(({ pick }) => {
          for (const n of sizes) pick(n);
          runs += 1;
        });
        expect(runs).toBe(sizes.reduce((a, b) => a * b, 1));
      }),
    );
  });
  test('a body that does not repeat itself is a bug', () => {
    const sizes = [2, 3];
    expect(() => everyChoice(({ pick }) => void pick(sizes.shift() ?? 1))).toThrow(InternalError);
  });
});

describe('u64', () => {
  const any64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  test('hexadecimal there and back, against BigInt', () => {
    fc.assert(
      fc.property(any64, (n) => {
        const v = u64FromHex(`0x${n.toString(16)}`);
        expect(v).toEqual(u64(Number(n >> 32n), Number(n & 0xffffffffn)));
        expect(u64ToHex(v ?? u64(0, 0))).toBe(`0x${n.toString(16)}`);
      }),
    );
  });
  test('bytes there and back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 8, maxLength: 8 }),
        (bytes) => {
          const v = u64FromBytes(bytes);
          expect(bytes.map((_, i) => u64Byte(v, i))).toEqual(bytes);
        },
      ),
    );
  });
  test('numbers there and back', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (n) => {
        expect(u64ToNumber(u64FromNumber(n))).toBe(n);
      }),
    );
  });
  test.each(['', '0x', '0x10000000000000000', 'xyz', '-1', '0x1 ', ' 1'])(
    'refuses "%s"',
    (text) => {
      expect(u64FromHex(text)).toBeNull();
    },
  );
});

describe('renderDiagnostic', () => {
  test('puts the caret under the word', () => {
    const text = renderDiagnostic({
      severity: 'error',
      message: 'no type',
      place: { file: 'f', line: 3, column: 8, length: 2 },
      source: 'guest: WD # no',
      help: 'WB',
    });
    expect(text).toBe(
      'error: no type\n  --> f:3:8\n    3 | guest: WD # no\n      |        ^^\n  help: WB',
    );
  });
  test('a line of any length and content stays one short line', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 3000 }),
        fc.nat(3000),
        fc.nat(50),
        (source, at, length) => {
          const column = Math.min(at, Math.max(0, source.length - 1)) + 1;
          const place = { file: 'f', line: 1, column, length };
          const lines = renderDiagnostic({ severity: 'error', message: 'm', place, source }).split(
            '\n',
          );
          expect(lines.length).toBe(4);
          expect(Math.max(...lines.map((l) => l.length))).toBeLessThan(125);
        },
      ),
    );
  });
});
