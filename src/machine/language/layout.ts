import { assert, must } from '../../base/assert.ts';
import type { Variable } from './expression.ts';

/** Where a variable stands: the bits `mask << shift` of a 32-bit word. */
export interface Bits {
  readonly word: number;
  readonly shift: number;
  readonly mask: number;
}

export interface Layout {
  readonly words: number;
  /** By index of the variable. */
  readonly bits: readonly Bits[];
}

function widthOf(size: number): number {
  return 32 - Math.clz32(size - 1);
}

/**
 * Each variable in the first word that has room for it, in their order. No variable stands in two words; bit 31 of
 * word 0 stays free.
 */
export function layOut(variables: readonly Variable[]): Layout {
  const used: number[] = [1];
  const bits = variables.map(({ name, size }) => {
    const width = widthOf(size);
    assert(width <= 31, `${name}: too many values`);
    let word = used.findIndex((u) => u + width <= 32);
    if (word < 0) word = used.push(0) - 1;
    const before = used[word] ?? 0;
    used[word] = before + width;
    return { word, shift: word === 0 ? before - 1 : before, mask: 2 ** width - 1 };
  });
  return { words: used.length, bits };
}

export function bitsOf(layout: Layout, variable: Variable): Bits {
  return must(layout.bits[variable.index], `${variable.name}: not laid out`);
}

export function getBits(state: Int32Array, at: number, { word, shift, mask }: Bits): number {
  return ((state[at + word] ?? 0) >>> shift) & mask;
}

export function setBits(
  state: Int32Array,
  at: number,
  { word, shift, mask }: Bits,
  value: number,
): void {
  state[at + word] = ((state[at + word] ?? 0) & ~(mask << shift)) | (value << shift);
}

/** The state in which every variable has its initial value. */
export function pack(layout: Layout, values: readonly number[]): Int32Array {
  const state = new Int32Array(layout.words);
  layout.bits.forEach((bits, i) => {
    setBits(state, 0, bits, values[i] ?? 0);
  });
  return state;
}
