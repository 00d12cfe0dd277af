import { assert } from '../base/assert.ts';
import type { Choice } from '../base/choice.ts';
import type { Machine } from '../machine/machine.ts';

/** Every state that a machine can reach, up to a bound, breadth first: state 0 is the initial one. */
export interface StateGraph {
  readonly machine: Machine;
  /** The states, `machine.words` words each, in the order in which they were found. */
  readonly states: Int32Array;
  readonly count: number;
  /** Of how many of them, the first, the steps are known. */
  readonly expanded: number;
  /** Numbers of states: step i leads from `from[i]` to `to[i]`. Grouped by `from`, in the order of the machine. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly steps: number;
  /** False: there are more states than the bound. */
  readonly isComplete: boolean;
}

/** States at most, unless said otherwise: some seconds of work. */
export const MOST_STATES = 1_000_000;

class Growing {
  words = new Int32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.words.length) this.#grow();
    this.words[this.length++] = value;
  }

  append(source: Int32Array, at: number, count: number): void {
    while (this.length + count > this.words.length) this.#grow();
    for (let i = 0; i < count; i++) this.words[this.length + i] = source[at + i] ?? 0;
    this.length += count;
  }

  #grow(): void {
    const larger = new Int32Array(this.words.length * 2);
    larger.set(this.words);
    this.words = larger;
  }
}

/** States by content: an open-addressing table of their numbers. */
class StateTable {
  readonly states = new Growing();
  readonly #words: number;
  #slots = new Int32Array(1 << 12).fill(-1);
  count = 0;

  constructor(words: number) {
    this.#words = words;
  }

  /** The number of the state at `at` in `source`, which is added when it is new. */
  numberOf(source: Int32Array, at: number): number {
    if (this.count * 2 >= this.#slots.length) this.#rehash();
    let slot = this.#hash(source, at) & (this.#slots.length - 1);
    for (;;) {
      const found = this.#slots[slot] ?? -1;
      if (found < 0) break;
      if (this.#equal(found, source, at)) return found;
      slot = (slot + 1) & (this.#slots.length - 1);
    }
    this.#slots[slot] = this.count;
    this.states.append(source, at, this.#words);
    return this.count++;
  }

  #hash(source: Int32Array, at: number): number {
    let h = 0;
    for (let i = 0; i < this.#words; i++) {
      h = Math.imul(h ^ (source[at + i] ?? 0), 0x9e3779b1);
      h ^= h >>> 15;
    }
    return h;
  }

  #equal(number: number, source: Int32Array, at: number): boolean {
    const { words } = this.states;
    const base = number * this.#words;
    for (let i = 0; i < this.#words; i++) if (words[base + i] !== source[at + i]) return false;
    return true;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (let n = 0; n < this.count; n++) {
      let slot = this.#hash(this.states.words, n * this.#words) & (slots.length - 1);
      while ((slots[slot] ?? -1) >= 0) slot = (slot + 1) & (slots.length - 1);
      slots[slot] = n;
    }
    this.#slots = slots;
  }
}

/** Explores a machine, exhaustively where it has no more than `most` states. */
export function explore(machine: Machine, most: number = MOST_STATES): StateGraph {
  const { words, maxSuccessors } = machine;
  const table = new StateTable(words);
  const from = new Growing();
  const to = new Growing();
  const out = new Int32Array(maxSuccessors * words);
  table.numberOf(machine.initial, 0);
  let next = 0;
  for (; next < table.count && table.count <= most; next++) {
    const n = machine.successors(table.states.words, next * words, out);
    for (let i = 0; i < n; i++) {
      from.push(next);
      to.push(table.numberOf(out, i * words));
    }
  }
  return {
    machine,
    states: table.states.words,
    count: table.count,
    expanded: next,
    from: from.words,
    to: to.words,
    steps: from.length,
    isComplete: next === table.count,
  };
}

/** The final states for which `wanted` holds, by number. */
export function finalStates(
  graph: StateGraph,
  wanted: (state: Int32Array, at: number) => boolean,
): readonly number[] {
  const { machine, states, count } = graph;
  const found: number[] = [];
  for (let n = 0; n < count; n++) {
    const at = n * machine.words;
    if (machine.isFinal(states, at) && wanted(states, at)) found.push(n);
  }
  return found;
}

/** States that are not final and have no step: somebody waits for ever. */
export function stuckStates(graph: StateGraph): readonly number[] {
  const { machine, states, from, steps, expanded } = graph;
  const hasStep = new Uint8Array(expanded);
  for (let i = 0; i < steps; i++) hasStep[from[i] ?? 0] = 1;
  const found: number[] = [];
  for (let n = 0; n < expanded; n++)
    if (hasStep[n] === 0 && !machine.isFinal(states, n * machine.words)) found.push(n);
  return found;
}

/** How many steps each state is away from the nearest of `goals`; -1: it cannot reach any. */
function distances(graph: StateGraph, goals: readonly number[]): Int32Array {
  const { from, to, steps, count } = graph;
  const firstInto = new Int32Array(count + 1);
  for (let i = 0; i < steps; i++)
    firstInto[(to[i] ?? 0) + 1] = (firstInto[(to[i] ?? 0) + 1] ?? 0) + 1;
  for (let n = 0; n < count; n++) firstInto[n + 1] = (firstInto[n + 1] ?? 0) + (firstInto[n] ?? 0);
  const fill = firstInto.slice();
  const sources = new Int32Array(steps);
  for (let i = 0; i < steps; i++) {
    const target = to[i] ?? 0;
    sources[fill[target] ?? 0] = from[i] ?? 0;
    fill[target] = (fill[target] ?? 0) + 1;
  }
  const distance = new Int32Array(count).fill(-1);
  const queue = [...goals];
  for (const goal of goals) distance[goal] = 0;
  for (let head = 0; head < queue.length; head++) {
    const n = queue[head] ?? 0;
    for (let i = firstInto[n] ?? 0; i < (firstInto[n + 1] ?? 0); i++) {
      const source = sources[i] ?? 0;
      if ((distance[source] ?? 0) >= 0) continue;
      distance[source] = (distance[n] ?? 0) + 1;
      queue.push(source);
    }
  }
  return distance;
}

/** One step of a schedule: from state to state, as the i-th step that the machine has there. */
export interface Move {
  readonly from: number;
  readonly to: number;
  readonly index: number;
}

/**
 * A schedule from the initial state to one of `goals`. A random one takes at each step any that leaves a goal
 * within reach, and the shortest way when it has strayed for long.
 *
 * @param choice null: the shortest schedule
 */
export function scheduleTo(
  graph: StateGraph,
  goals: readonly number[],
  choice: Choice | null,
): readonly Move[] {
  const distance = distances(graph, goals);
  assert((distance[0] ?? -1) >= 0, 'the goal is out of reach');
  const { from, to, steps } = graph;
  const patience = choice === null ? 0 : 2 * (distance[0] ?? 0) + 16;
  const moves: Move[] = [];
  let at = 0;
  while ((distance[at] ?? 0) > 0) {
    const first = firstStep(from, steps, at);
    const open: Move[] = [];
    for (let i = first; i < steps && from[i] === at; i++) {
      const target = to[i] ?? 0;
      if ((distance[target] ?? -1) < 0) continue;
      if (moves.length >= patience && (distance[target] ?? 0) >= (distance[at] ?? 0)) continue;
      open.push({ from: at, to: target, index: i - first });
    }
    const move = open[choice === null ? 0 : choice.pick(open.length)];
    assert(move !== undefined, 'a state on the way has no way on');
    moves.push(move);
    at = move.to;
  }
  return moves;
}

function firstStep(from: Int32Array, steps: number, state: number): number {
  let low = 0;
  let high = steps;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((from[middle] ?? 0) < state) low = middle + 1;
    else high = middle;
  }
  return low;
}
