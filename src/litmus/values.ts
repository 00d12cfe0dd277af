import { InternalError } from '../base/assert.ts';
import type { Value } from './test.ts';

/** Values of the test as the small numbers that cells of the machine hold, and back. */
export interface Encoding {
  /** Values of a cell are 0 .. size-1. */
  readonly size: number;
  readonly encode: (value: Value) => number;
  /** What a locked addition of this number adds, modulo `size`. */
  readonly addend: (value: number) => number;
  readonly decode: (code: number) => Value;
}

/** Up to this every number stands for itself, so that steps read as the test is written. */
const PLAIN_MAX = 15;

/** 32-bit patterns have one number each: 4294967295 is -1, as herd7 prints an `int`. */
export function canonical(value: Value): Value {
  if (typeof value !== 'number' || value < 2 ** 31 || value >= 2 ** 32) return value;
  return value - 2 ** 32;
}

function keyOf(value: Value): string {
  return typeof value === 'number' ? String(value) : `${value.symbol} ${value.offset}`;
}

/** Whether two values are one. */
export function sameValue(a: Value, b: Value): boolean {
  return keyOf(canonical(a)) === keyOf(canonical(b));
}

/** Values that are only moved and compared: each gets a number. */
function numbered(all: readonly Value[]): Encoding {
  const values: Value[] = [0];
  for (const value of all) if (!values.some((v) => sameValue(v, value))) values.push(value);
  return {
    size: Math.max(2, values.length),
    encode: (value) => {
      const index = values.findIndex((v) => sameValue(v, value));
      if (index < 0) throw new InternalError(`a value that was not collected: ${keyOf(value)}`);
      return index;
    },
    addend: () => 0,
    decode: (code) => values[code] ?? 0,
  };
}

/** Every number from `low` to `high` modulo their count: additions stay exact. */
function modular(low: number, high: number): Encoding {
  const size = Math.max(2, high - low + 1);
  const encode = (n: number): number => ((n % size) + size) % size;
  return {
    size,
    encode: (value) => encode(Number(value)),
    addend: encode,
    decode: (code) => (code > high ? code - size : code),
  };
}

/**
 * The encoding for everything that can get into a register or a cell.
 *
 * @param values constants of programs and initial states
 * @param added what each locked addition adds; each happens once at most
 * @returns null when addresses are added to, or the sums span more than 2^20 values
 */
export function encodingOf(values: readonly Value[], added: readonly number[]): Encoding | null {
  const all = values.map(canonical);
  const numbers = all.filter((v) => typeof v === 'number');
  const plain = numbers.length === all.length && numbers.every((n) => n >= 0 && n <= PLAIN_MAX);
  if (added.every((n) => n === 0) && !plain) {
    const sorted = [...numbers].sort((a, b) => a - b);
    return numbered([...sorted, ...all.filter((v) => typeof v !== 'number')]);
  }
  if (numbers.length < all.length) return null;
  const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0);
  const low = numbers.reduce((a, b) => Math.min(a, b), 0) + sum(added.filter((n) => n < 0));
  const high = numbers.reduce((a, b) => Math.max(a, b), 0) + sum(added.filter((n) => n > 0));
  return high - low < 2 ** 20 ? modular(low, high) : null;
}
