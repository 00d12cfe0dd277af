/**
 * States and the steps between them, packed: a state is `words` 32-bit words of an Int32Array. Bit 31 of the first word
 * is free: `successors` takes it over from the state to the next ones. A `Machine` is one.
 */
export interface Space {
  readonly words: number;
  readonly initial: Int32Array;
  /** No state has more next states than this. */
  readonly maxSuccessors: number;
  /** Writes the next states to `out`, one after the other from index `to`. Their number. */
  readonly successors: (state: Int32Array, at: number, out: Int32Array, to: number) => number;
  /** What a search tells its caller of. */
  readonly isFinal: (state: Int32Array, at: number) => boolean;
}

/** Bit 31 of the first word of a slot: it holds a state. */
export const USED = 1 << 31;

/** A state without the mark of its slot. */
export function stateAt(states: Int32Array, at: number, words: number): Int32Array {
  const state = states.slice(at, at + words);
  state[0] = (state[0] ?? 0) & ~USED;
  return state;
}

/** Whether a comes before b: by the first word in which they differ, unsigned and without marks. */
export function isBefore(a: Int32Array, b: Int32Array): boolean {
  for (let w = 0; w < a.length; w++) {
    const x = ((a[w] ?? 0) & (w === 0 ? ~USED : -1)) >>> 0;
    const y = ((b[w] ?? 0) & (w === 0 ? ~USED : -1)) >>> 0;
    if (x !== y) return x < y;
  }
  return false;
}
