import { InternalError } from '../base/assert.ts';
import { growInPlace, LOAD, slotsFor } from './grow.ts';
import { kernel, sharedInsert } from './kernel.ts';
import { BATCH, type Cut, type Progress, type Search } from './search.ts';
import { type Space, USED } from './space.ts';
import type { Found } from './table.ts';

// One search by several threads. All work on one level until its states are used up, and meet before the next one
// begins; they meet too when the table has to grow. Whoever comes last does what is to be done then.

/** Places in `control`. */
const CURSOR = 0;
const TAIL = 1;
const LEVEL_END = 2;
const SLOTS = 3;
const ARRIVED = 4;
const MEETING = 5;
/** Somebody has asked for a meeting within a level: the table is too full. */
const GROW = 6;
const END = 7;
const FINALS = 8;
const LEVELS = 9;
/** Somebody wants the search to end where the next level begins. */
const PAUSE = 10;
const LEVEL_FIRST = 11;
/** Levels that can be told; longer executions than these have no place in memory either. */
const LEVELS_MAX = 2 ** 20;

/** Values at END. */
const DONE = 1;
const NO_MEMORY = 2;
const TOO_MANY = 3;
const FAILED = 4;
const PAUSED = 5;

/** States that a thread takes at once. */
const CHUNK = 4 * BATCH;
/** How long a thread waits before it looks whether the search has ended, ms. */
const PATIENCE = 500;

/** What the threads of a search share, as it is sent to them: messages cut the length of a view that has 4 GiB. */
export interface SharedMemory {
  readonly words: number;
  readonly threads: number;
  readonly maxStates: number;
  readonly control: SharedArrayBuffer;
  readonly transitions: SharedArrayBuffer;
  readonly states: SharedArrayBuffer;
  readonly queue: SharedArrayBuffer;
  /** Places in the queue. */
  readonly finals: SharedArrayBuffer;
}

/** The same, to look into. */
class Views {
  readonly words: number;
  readonly threads: number;
  readonly maxStates: number;
  readonly control: Int32Array;
  readonly transitions: Float64Array;
  readonly states: Int32Array;
  readonly queue: Int32Array;
  readonly finals: Int32Array;

  constructor(memory: SharedMemory) {
    this.words = memory.words;
    this.threads = memory.threads;
    this.maxStates = memory.maxStates;
    this.control = new Int32Array(memory.control);
    this.transitions = new Float64Array(memory.transitions);
    this.states = new Int32Array(memory.states);
    this.queue = new Int32Array(memory.queue);
    this.finals = new Int32Array(memory.finals);
  }
}

function sharedWords(count: number): SharedArrayBuffer {
  return new SharedArrayBuffer(count * 4);
}

function reserved(words: number, bytes: number, smallest: number): readonly SharedArrayBuffer[] {
  for (let slots = slotsFor(words, bytes, smallest); slots >= smallest; slots /= 2) {
    try {
      const queue = Math.ceil(slots * LOAD);
      return [sharedWords(slots * words), sharedWords(queue), sharedWords(queue)];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  throw new InternalError('there is no memory for a shared table');
}

/** Memory for a search, with its initial state. @param bytes what table and queue may take */
export function sharedMemory(
  { words, initial, maxSuccessors }: Space,
  threads: number,
  bytes: number,
  maxStates: number,
): SharedMemory {
  // Every thread may be about to enter the successors of a batch.
  let first = 2 ** 12;
  while (first * LOAD < 4 * threads * BATCH * maxSuccessors) first *= 2;
  const [states, queue, finals] = reserved(words, bytes, first);
  if (states === undefined || queue === undefined || finals === undefined)
    throw new InternalError('no shared memory');
  const memory: SharedMemory = {
    words,
    threads,
    maxStates,
    control: sharedWords(LEVEL_FIRST + LEVELS_MAX),
    transitions: new SharedArrayBuffer(threads * 8),
    states,
    queue,
    finals,
  };
  const views = new Views(memory);
  const start = initial.slice();
  start[0] = (start[0] ?? 0) | USED;
  const slot = kernel(words).home(start, 0, first - 1);
  views.states.set(start, slot);
  views.queue[0] = slot;
  views.control[TAIL] = 1;
  views.control[LEVEL_END] = 1;
  views.control[SLOTS] = first;
  views.control[LEVELS] = 1;
  return memory;
}

function end(control: Int32Array, how: number): void {
  Atomics.compareExchange(control, END, 0, how);
  Atomics.notify(control, MEETING);
}

/** Ends a search whose threads cannot go on: those that wait wake up. */
export function abandon(memory: SharedMemory): void {
  end(new Int32Array(memory.control), FAILED);
}

/** States so far, and those whose next states are known or being computed. */
export function progressOf(memory: SharedMemory): readonly [number, number] {
  const control = new Int32Array(memory.control);
  return [Atomics.load(control, TAIL), Atomics.load(control, CURSOR)];
}

/** A thread at work. */
class SharedWorker {
  readonly #space: Space;
  readonly #memory: Views;
  readonly #kernel: ReturnType<typeof kernel>;
  readonly #insert: ReturnType<typeof sharedInsert>;
  readonly #out: Int32Array;
  readonly #homes: Int32Array;
  readonly #fresh: Int32Array;
  /** Slots that all threads together may be about to fill. */
  readonly #slack: number;

  constructor(space: Space, memory: Views) {
    const { words, maxSuccessors } = space;
    this.#space = space;
    this.#memory = memory;
    this.#kernel = kernel(words);
    this.#insert = sharedInsert(words);
    this.#out = new Int32Array(BATCH * Math.max(1, maxSuccessors) * words);
    this.#homes = new Int32Array(BATCH * Math.max(1, maxSuccessors) + 1);
    this.#fresh = new Int32Array(BATCH * Math.max(1, maxSuccessors));
    this.#slack = memory.threads * BATCH * maxSuccessors;
  }

  /** @returns the number of steps that this thread has seen */
  run(): number {
    const { control } = this.#memory;
    let transitions = 0;
    while (Atomics.load(control, END) === 0) {
      const levelEnd = Atomics.load(control, LEVEL_END);
      const from = Atomics.add(control, CURSOR, CHUNK);
      const to = Math.min(from + CHUNK, levelEnd);
      if (from >= levelEnd) {
        this.#meet();
        continue;
      }
      for (let i = from; i < to; i += BATCH) {
        while (this.#isFull() && Atomics.load(control, END) === 0) {
          Atomics.store(control, GROW, 1);
          this.#meet();
        }
        if (Atomics.load(control, END) !== 0) return transitions;
        transitions += this.#expand(i, Math.min(i + BATCH, to));
      }
    }
    return transitions;
  }

  #isFull(): boolean {
    const { control, maxStates } = this.#memory;
    const tail = Atomics.load(control, TAIL);
    if (tail > maxStates) end(control, TOO_MANY);
    const isFull = tail + this.#slack > Atomics.load(control, SLOTS) * LOAD;
    return isFull || Atomics.load(control, GROW) === 1;
  }

  #expand(from: number, to: number): number {
    const { successors, isFinal, words } = this.#space;
    const { control, states, queue, finals } = this.#memory;
    let n = 0;
    for (let i = from; i < to; i++) {
      const at = queue[i] ?? 0;
      if (isFinal(states, at)) finals[Atomics.add(control, FINALS, 1)] = i;
      n += successors(states, at, this.#out, n * words);
    }
    this.#enter(n);
    return n;
  }

  /** States that stand in `out`. */
  #enter(count: number): void {
    const { control, states, queue } = this.#memory;
    const mask = (control[SLOTS] ?? 0) - 1;
    const fresh = this.#insert(states, mask, this.#out, count, this.#homes, this.#fresh);
    const tail = Atomics.add(control, TAIL, fresh);
    for (let i = 0; i < fresh; i++) queue[tail + i] = this.#fresh[i] ?? 0;
  }

  /** States of a search that was kept, in their order, while no other thread works. */
  enter(kept: Int32Array, count: number): boolean {
    const { control, words } = this.#memory;
    for (let i = 0; i < count; i += BATCH) {
      while (this.#isFull()) {
        this.#grow();
        if (Atomics.load(control, END) !== 0) return false;
      }
      const some = Math.min(BATCH, count - i);
      this.#out.set(kept.subarray(i * words, (i + some) * words));
      this.#enter(some);
    }
    return true;
  }

  /** Waits for the others. */
  #meet(): void {
    const { control, threads } = this.#memory;
    const meeting = Atomics.load(control, MEETING);
    if (Atomics.add(control, ARRIVED, 1) === threads - 1) {
      if (Atomics.load(control, GROW) === 1) this.#grow();
      else this.#nextLevel();
      Atomics.store(control, ARRIVED, 0);
      Atomics.add(control, MEETING, 1);
      Atomics.notify(control, MEETING);
      return;
    }
    while (Atomics.load(control, MEETING) === meeting) {
      if (Atomics.load(control, END) !== 0) return;
      Atomics.wait(control, MEETING, meeting, PATIENCE);
    }
  }

  #grow(): void {
    const { control, words, states, queue } = this.#memory;
    const slots = control[SLOTS] ?? 0;
    Atomics.store(control, GROW, 0);
    if (slots * words === states.length) {
      end(control, NO_MEMORY);
      return;
    }
    growInPlace(this.#kernel, words, states, slots, queue, control[TAIL] ?? 0);
    Atomics.store(control, SLOTS, 2 * slots);
  }

  #nextLevel(): void {
    const { control } = this.#memory;
    const first = Atomics.load(control, LEVEL_END);
    const tail = Atomics.load(control, TAIL);
    if (tail === first) {
      end(control, DONE);
      return;
    }
    const level = Atomics.add(control, LEVELS, 1);
    if (level >= LEVELS_MAX) throw new InternalError(`more than ${LEVELS_MAX} levels`);
    control[LEVEL_FIRST + level] = first;
    Atomics.store(control, LEVEL_END, tail);
    Atomics.store(control, CURSOR, first);
    if (Atomics.exchange(control, PAUSE, 0) === 1) end(control, PAUSED);
  }
}

/** The work of one thread, until the search has ended. @param thread its number */
export function workTogether(space: Space, memory: SharedMemory, thread: number): void {
  try {
    const views = new Views(memory);
    const steps = new SharedWorker(space, views).run();
    views.transitions[thread] = (views.transitions[thread] ?? 0) + steps;
  } catch (error) {
    abandon(memory);
    throw error;
  }
}

/** Asks for a pause where the next level begins. */
export function pause({ control }: SharedMemory): void {
  Atomics.store(new Int32Array(control), PAUSE, 1);
}

/**
 * When all threads have ended: whether they did for a pause, and how far the search is then. Threads that are started
 * after this go on.
 */
export function pausedAt(memory: SharedMemory): (Progress & { readonly found: Found }) | null {
  const { control, states, queue, transitions } = new Views(memory);
  if (Atomics.compareExchange(control, END, PAUSED, 0) !== PAUSED) return null;
  control[ARRIVED] = 0;
  return {
    levels: levelsOf(control),
    transitions: transitions.reduce((a, b) => a + b, 0),
    found: { states, queue, count: control[TAIL] ?? 0 },
  };
}

/** Enters the states of a search to go on with, before any thread works. False when they do not fit. */
export function resumeTogether(
  space: Space,
  memory: SharedMemory,
  kept: Int32Array,
  { levels, transitions }: Progress,
): boolean {
  const views = new Views(memory);
  const { control, words } = views;
  const count = kept.length / words;
  views.states.fill(0, views.queue[0] ?? 0, (views.queue[0] ?? 0) + words);
  control[TAIL] = 0;
  const worker = new SharedWorker(space, views);
  if (!worker.enter(kept, count)) return false;
  views.transitions[0] = transitions;
  control.set(levels, LEVEL_FIRST);
  control[LEVELS] = levels.length;
  control[CURSOR] = levels.at(-1) ?? 0;
  control[LEVEL_END] = count;
  for (let i = 0; i < (levels.at(-1) ?? 0); i++)
    if (space.isFinal(views.states, views.queue[i] ?? 0))
      views.finals[Atomics.add(control, FINALS, 1)] = i;
  return true;
}

function levelsOf(control: Int32Array): readonly number[] {
  return Array.from(control.subarray(LEVEL_FIRST, LEVEL_FIRST + (control[LEVELS] ?? 0)));
}

function cutOf(how: number): Cut {
  if (how === NO_MEMORY) return 'memory';
  return how === TOO_MANY ? 'states' : null;
}

/** What the threads have found, when all have ended. @throws InternalError when one of them has failed */
export function foundTogether(
  memory: SharedMemory,
  onFinal: (states: Int32Array, at: number, level: number) => void,
): { readonly search: Search; readonly found: Found } {
  const { control, states, queue, finals, transitions } = new Views(memory);
  const how = control[END] ?? 0;
  if (how === FAILED || how === 0) throw new InternalError('a thread of the search has failed');
  const levels = levelsOf(control);
  const places = finals.slice(0, control[FINALS]).sort();
  let level = 0;
  for (const place of places) {
    while (level + 1 < levels.length && (levels[level + 1] ?? 0) <= place) level += 1;
    onFinal(states, queue[place] ?? 0, level);
  }
  const count = control[TAIL] ?? 0;
  return {
    search: {
      states: count,
      transitions: transitions.reduce((a, b) => a + b, 0),
      levels,
      cut: cutOf(how),
    },
    found: { states, queue, count },
  };
}
