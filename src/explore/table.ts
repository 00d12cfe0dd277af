import { refuse } from '../base/diagnostic.ts';
import { growInPlace, LOAD, slotsFor } from './grow.ts';
import { type Kernel, kernel } from './kernel.ts';

const SMALLEST = 2 ** 10;

/** Some states in the order of discovery, marked, one after the other: to be kept. */
export function inOrder(
  { states, queue }: Found,
  words: number,
  from: number,
  to: number,
): Int32Array {
  const some = new Int32Array((to - from) * words);
  for (let i = from; i < to; i++) {
    const at = queue[i] ?? 0;
    for (let w = 0; w < words; w++) some[(i - from) * words + w] = states[at + w] ?? 0;
  }
  return some;
}

/** States that were found: `queue` has their offsets in `states`, level by level. */
export interface Found {
  readonly states: Int32Array;
  readonly queue: Int32Array;
  readonly count: number;
}

/**
 * Every state that was found, once: open addressing, the state in its slot. `queue` has the slots in the order of
 * discovery. Room for the largest size is reserved, and costs memory only as far as it is used: the table doubles
 * in place.
 */
export class StateTable implements Found {
  readonly words: number;
  /** Slots one after the other, `words` each; the first word of a free one is 0, of a used one it has bit 31. */
  readonly states: Int32Array;
  /** Offsets into `states`. */
  readonly queue: Int32Array;
  readonly #kernel: Kernel;
  readonly #largest: number;
  #slots = SMALLEST;
  #homes = new Int32Array(1);
  #count = 0;

  /** @param bytes what table and queue may take. @throws InputError when even the smallest does not fit */
  constructor(words: number, bytes: number) {
    this.words = words;
    this.#kernel = kernel(words);
    for (let slots = slotsFor(words, bytes, SMALLEST); ; slots /= 2) {
      if (slots < SMALLEST) refuse('there is no memory for a table of states');
      try {
        this.states = new Int32Array(slots * words);
        this.queue = new Int32Array(Math.ceil(slots * LOAD));
        this.#largest = slots;
        return;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  }

  get count(): number {
    return this.#count;
  }

  /** Enters states that stand in `from`, marked as used. False, and none is entered, when there may be no room. */
  add(from: Int32Array, count: number): boolean {
    while (this.#count + count > this.#slots * LOAD) if (!this.#grow()) return false;
    if (this.#homes.length <= count) this.#homes = new Int32Array(2 * count + 1);
    this.#count = this.#kernel.insert(
      this.states,
      this.#slots - 1,
      from,
      count,
      this.#homes,
      this.queue,
      this.#count,
    );
    return true;
  }

  /** Takes all states out. */
  clear(): void {
    const { words, states, queue } = this;
    for (let i = 0; i < this.#count; i++) {
      const slot = queue[i] ?? 0;
      states.fill(0, slot, slot + words);
    }
    this.#count = 0;
    this.#slots = SMALLEST;
  }

  #grow(): boolean {
    if (this.#slots === this.#largest) return false;
    growInPlace(this.#kernel, this.words, this.states, this.#slots, this.queue, this.#count);
    this.#slots *= 2;
    return true;
  }
}
