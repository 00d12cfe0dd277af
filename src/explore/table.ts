import { assert } from '../base/assert.ts';
import { refuse } from '../base/diagnostic.ts';
import { type Kernel, kernel } from './kernel.ts';

/** Used slots are at most this part of all. */
const LOAD = 0.8;
const SMALLEST = 2 ** 10;
/** Offsets in words fit into an integer of V8 without a check for overflow. */
const WORDS_MAX = 2 ** 30;

function sizeFor(words: number, bytes: number): number {
  const slot = words * 4 + LOAD * 4;
  let slots = SMALLEST;
  while (slots * 2 * slot <= bytes && slots * 2 * words <= WORDS_MAX) slots *= 2;
  return slots;
}

/**
 * Every state that was found, once: open addressing, the state in its slot. `queue` has the slots in the order of
 * discovery. Room for the largest size is reserved, and costs memory only as far as it is used: the table doubles
 * in place.
 */
export class StateTable {
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
    for (let slots = sizeFor(words, bytes); ; slots /= 2) {
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

  /**
   * Twice the slots. A state's home stays, or moves up by the old size: taken out and entered again in the order of
   * their slots, from behind a free one on, states fill only slots that are done with. One that would run over the new
   * end into slots that are not has to wait.
   */
  #grow(): boolean {
    const { words, states, queue } = this;
    const old = this.#slots;
    if (old === this.#largest) return false;
    const mask = 2 * old - 1;
    const moved = new Int32Array(old);
    const late: { readonly slot: number; readonly state: Int32Array }[] = [];
    let free = 0;
    while (states[free * words] !== 0) free += 1;
    for (let k = 1; k < old; k++) {
      const slot = (free + k) & (old - 1);
      const at = slot * words;
      if (states[at] === 0) continue;
      let to = this.#kernel.home(states, at, mask);
      while (to !== at && states[to] !== 0 && to <= mask * words) to += words;
      if (to > mask * words) late.push({ slot, state: states.slice(at, at + words) });
      else if (to !== at) states.copyWithin(to, at, at + words);
      if (to !== at) states.fill(0, at, at + words);
      moved[slot] = to;
    }
    this.#slots = 2 * old;
    for (const { slot, state } of late) {
      let to = this.#kernel.home(state, 0, mask);
      while (states[to] !== 0) to = to === mask * words ? 0 : to + words;
      states.set(state, to);
      moved[slot] = to;
    }
    for (let i = 0; i < this.#count; i++) {
      const slot = (queue[i] ?? 0) / words;
      assert(Number.isInteger(slot), 'a place in the queue is no slot');
      queue[i] = moved[slot] ?? 0;
    }
    return true;
  }
}
