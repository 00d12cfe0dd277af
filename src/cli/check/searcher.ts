import { createHash } from 'node:crypto';
import { refuse } from '../../base/diagnostic.ts';
import { type Searcher, type Setting, searchHere, type Tables } from '../../explore/check.ts';
import { reduced } from '../../explore/reduce.ts';
import { search } from '../../explore/search.ts';
import { Checkpoint } from '../../host/checkpoint.ts';
import { canThread, searchThreads } from '../../host/search-threads.ts';
import type { LitmusTest } from '../../litmus/test.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Io } from '../io.ts';
import { packageVersion } from '../version.ts';
import { SearchProgress } from './progress.ts';

/** Searches of fewer states than these are done before threads have started. */
const SMALL = 2 ** 15;

export interface SearcherOptions {
  readonly tables: Tables;
  /** What one table may take. */
  readonly bytes: number;
  readonly maxStates: number;
  readonly threads: number;
  readonly reduce: boolean;
  /** Where the search is kept, and how many seconds there are between two times; null: nowhere. */
  readonly resume: { readonly file: string; readonly every: number } | null;
  readonly io: Io;
}

function checkpointOf(
  test: LitmusTest,
  { switches }: Setting,
  { resume, reduce }: SearcherOptions,
): Checkpoint | null {
  if (resume === null) return null;
  const key = createHash('sha256')
    .update(JSON.stringify([packageVersion(), test.source.text, switches, reduce]))
    .digest('hex');
  return new Checkpoint(resume.file, key, resume.every);
}

/** A search by this thread that is kept. */
function keptSearch(
  machine: Machine,
  checkpoint: Checkpoint,
  onFinal: Parameters<Searcher>[1],
  progress: (found: number, done: number) => void,
  { tables, maxStates, reduce }: SearcherOptions,
): Awaited<ReturnType<Searcher>> {
  const found = tables.take(machine.words);
  const space = reduce ? reduced(machine) : machine;
  const kept = checkpoint.read(machine.words);
  if (kept !== null && !found.add(kept.states, kept.states.length / machine.words))
    refuse('the search that was kept does not fit into --memory');
  const done = search(space, found, {
    maxStates,
    onFinal,
    progress,
    ...(kept === null ? {} : { from: kept }),
    onLevel: (at) => {
      if (checkpoint.isDue()) checkpoint.write(found, machine.words, at);
    },
  });
  if (done.cut === null) checkpoint.remove();
  return { search: done, found };
}

function isSmall(machine: Machine, { tables }: SearcherOptions): boolean {
  return search(machine, tables.take(machine.words), { maxStates: SMALL }).cut === null;
}

/** How a test is searched: here, or by threads; with a line on how far it is. */
export function searcherFor(
  test: LitmusTest,
  setting: Setting,
  options: SearcherOptions,
): Searcher {
  const { tables, maxStates, threads, reduce, io } = options;
  return async (machine, onFinal) => {
    const line = new SearchProgress(io, test.name);
    const progress = (found: number, done: number): void => line.at(found, done);
    const checkpoint = checkpointOf(test, setting, options);
    try {
      if (threads > 1 && canThread(machine) && !isSmall(machine, options))
        return await searchThreads(machine, { ...options, onFinal, progress, checkpoint });
      if (checkpoint !== null) return keptSearch(machine, checkpoint, onFinal, progress, options);
      return await searchHere(tables, { maxStates, reduce, progress })(machine, onFinal);
    } finally {
      line.end();
    }
  };
}
