import { InternalError } from '../base/assert.ts';
import { refuse } from '../base/diagnostic.ts';
import type { Search } from './search.ts';
import { isBefore, type Space, stateAt } from './space.ts';
import type { Found } from './table.ts';

/** Which of its next states each state takes, from the initial one on. */
export type Path = readonly number[];

/** `0.3.1`; `-` for no step. */
export function printPath(path: Path): string {
  return path.length === 0 ? '-' : path.join('.');
}

/** @throws InputError when it is none */
export function parsePath(text: string): Path {
  if (text === '-') return [];
  if (!/^\d+(?:\.\d+)*$/.test(text)) refuse(`not a path: ${text}`, '0.3.1, as check prints it');
  return text.split('.').map(Number);
}

/** Next states of one state after the other. */
class Expander {
  readonly #space: Space;
  readonly #out: Int32Array;

  constructor(space: Space) {
    this.#space = space;
    this.#out = new Int32Array(space.maxSuccessors * space.words);
  }

  /** The first next state that is this one; null where none is. */
  choiceTo(states: Int32Array, at: number, target: Int32Array): number | null {
    const { words, successors } = this.#space;
    const n = successors(states, at, this.#out, 0);
    for (let i = 0; i < n; i++) {
      const next = stateAt(this.#out, i * words, words);
      if (next.every((word, w) => word === target[w])) return i;
    }
    return null;
  }
}

/**
 * A shortest path to a state, by looking through the levels of a search backwards: nothing was kept for it. Of several
 * predecessors the first by its words is taken, so that it does not matter in which order they were found.
 *
 * @param level of the state
 */
export function pathTo(
  space: Space,
  table: Pick<Found, 'states' | 'queue'>,
  { levels }: Pick<Search, 'levels'>,
  state: Int32Array,
  level: number,
): Path {
  const { words } = space;
  const expander = new Expander(space);
  const path: number[] = [];
  let target = state;
  for (let below = level - 1; below >= 0; below--) {
    let best: { readonly state: Int32Array; readonly choice: number } | null = null;
    for (let i = levels[below] ?? 0; i < (levels[below + 1] ?? 0); i++) {
      const at = table.queue[i] ?? 0;
      const choice = expander.choiceTo(table.states, at, target);
      if (choice === null) continue;
      const candidate = stateAt(table.states, at, words);
      if (best === null || isBefore(candidate, best.state)) best = { state: candidate, choice };
    }
    if (best === null) throw new InternalError(`nothing on level ${below} leads to a state above`);
    path.unshift(best.choice);
    target = best.state;
  }
  return path;
}
