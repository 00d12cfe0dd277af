import { assert } from '../base/assert.ts';
import type { Kernel } from './kernel.ts';

/** Used slots are at most this part of all. */
export const LOAD = 0.8;

/** Offsets in words fit into an integer of V8 without a check for overflow. */
const WORDS_MAX = 2 ** 30;

/** The largest number of slots, a power of two, whose table and queue fit into so many bytes; at least `smallest`. */
export function slotsFor(words: number, bytes: number, smallest: number): number {
  const slot = words * 4 + LOAD * 4;
  let slots = smallest;
  while (slots * 2 * slot <= bytes && slots * 2 * words <= WORDS_MAX) slots *= 2;
  return slots;
}

/**
 * Twice the slots, in place. A state's home stays, or moves up by the old size: taken out and entered again in the order
 * of their slots, from behind a free one on, states fill only slots that are done with. One that would run over the new
 * end into slots that are not has to wait.
 *
 * @param old slots so far
 * @param queue of which the first `count` are offsets of slots, and follow the states
 */
export function growInPlace(
  { home }: Pick<Kernel, 'home'>,
  words: number,
  states: Int32Array,
  old: number,
  queue: Int32Array,
  count: number,
): void {
  const mask = 2 * old - 1;
  const moved = new Int32Array(old);
  const late: { readonly slot: number; readonly state: Int32Array }[] = [];
  let free = 0;
  while (states[free * words] !== 0) free += 1;
  for (let k = 1; k < old; k++) {
    const slot = (free + k) & (old - 1);
    const at = slot * words;
    if (states[at] === 0) continue;
    let to = home(states, at, mask);
    while (to !== at && to <= mask * words && states[to] !== 0) to += words;
    if (to > mask * words) late.push({ slot, state: states.slice(at, at + words) });
    else if (to !== at) states.copyWithin(to, at, at + words);
    if (to !== at) states.fill(0, at, at + words);
    moved[slot] = to;
  }
  for (const { slot, state } of late) {
    let to = home(state, 0, mask);
    while (states[to] !== 0) to = to === mask * words ? 0 : to + words;
    states.set(state, to);
    moved[slot] = to;
  }
  for (let i = 0; i < count; i++) {
    const slot = (queue[i] ?? 0) / words;
    assert(Number.isInteger(slot), 'a place in the queue is no slot');
    queue[i] = moved[slot] ?? 0;
  }
}
