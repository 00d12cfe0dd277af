import { type Space, USED } from './space.ts';
import type { StateTable } from './table.ts';

/** Why a search ended before every state was seen; null: it did not. */
export type Cut = 'states' | 'memory' | null;

export interface SearchOptions {
  /** The search ends when it has found more than these. */
  readonly maxStates?: number;
  /** Called for each final state, level by level. The first word has bit 31. */
  readonly onFinal?: (states: Int32Array, at: number, level: number) => void;
  /** A search to go on with: what it had found is in the table. */
  readonly from?: Progress;
  /** Called where a level begins: what is in the table then, and this, is enough to go on. */
  readonly onLevel?: (progress: Progress) => void;
  /** Called every 2^16 states or so. */
  readonly progress?: (found: number, done: number) => void;
}

/** How far a search is, at the beginning of a level. */
export interface Progress {
  /** Where levels begin; the last one is not done. */
  readonly levels: readonly number[];
  readonly transitions: number;
}

export interface Search {
  readonly states: number;
  /** Steps between them; where the search was cut, those of the states that were done. */
  readonly transitions: number;
  /** Where in the queue of the table each level begins: states that are that many steps away from the initial one. */
  readonly levels: readonly number[];
  readonly cut: Cut;
}

/** States that are expanded together. */
export const BATCH = 64;
const REPORT = 2 ** 16;

/** Tells of the final states that a search had done when it was kept. */
function tellFinals(space: Space, table: StateTable, options: SearchOptions): void {
  const { from, onFinal } = options;
  if (from === undefined || onFinal === undefined) return;
  for (const [level, end] of from.levels.slice(1).entries()) {
    for (let i = from.levels[level] ?? 0; i < end; i++) {
      const at = table.queue[i] ?? 0;
      if (space.isFinal(table.states, at)) onFinal(table.states, at, level);
    }
  }
}

/** Every state that can be reached, breadth first, into an empty table, or one to go on with. */
export function search(space: Space, table: StateTable, options: SearchOptions = {}): Search {
  const { words, successors, isFinal, maxSuccessors } = space;
  const { maxStates = Number.POSITIVE_INFINITY, onFinal, onLevel, progress, from } = options;
  const { states, queue } = table;
  const out = new Int32Array(BATCH * maxSuccessors * words + words);
  out.set(space.initial);
  out[0] = (out[0] ?? 0) | USED;
  const levels = from?.levels.slice(0, -1) ?? [];
  let transitions = from?.transitions ?? 0;
  let head = from?.levels.at(-1) ?? 0;
  let reported = head;
  tellFinals(space, table, options);
  let fits = from !== undefined || table.add(out, 1);
  while (fits && head < table.count) {
    const level = levels.push(head) - 1;
    onLevel?.({ levels, transitions });
    const levelEnd = table.count;
    while (fits && head < levelEnd) {
      if (table.count > maxStates)
        return { states: table.count, transitions, levels, cut: 'states' };
      const end = Math.min(head + BATCH, levelEnd);
      let n = 0;
      for (let i = head; i < end; i++) {
        const at = queue[i] ?? 0;
        if (onFinal !== undefined && isFinal(states, at)) onFinal(states, at, level);
        n += successors(states, at, out, n * words);
      }
      fits = table.add(out, n);
      if (!fits) break;
      transitions += n;
      head = end;
      if (progress !== undefined && head - reported >= REPORT) {
        reported = head;
        progress(table.count, head);
      }
    }
  }
  return { states: table.count, transitions, levels, cut: fits ? null : 'memory' };
}
