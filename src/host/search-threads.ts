import { Worker } from 'node:worker_threads';
import { reduced } from '../explore/reduce.ts';
import type { Search, SearchOptions } from '../explore/search.ts';
import {
  abandon,
  foundTogether,
  pause,
  pausedAt,
  progressOf,
  resumeTogether,
  type SharedMemory,
  sharedMemory,
} from '../explore/shared.ts';
import type { Space } from '../explore/space.ts';
import type { Found } from '../explore/table.ts';
import type { Machine } from '../machine/machine.ts';
import type { Checkpoint } from './checkpoint.ts';

export interface ThreadedSearch extends Omit<SearchOptions, 'from' | 'onLevel'> {
  readonly threads: number;
  /** What table and queue may take. */
  readonly bytes: number;
  readonly reduce: boolean;
  /** Where it is kept; null: nowhere. */
  readonly checkpoint: Checkpoint | null;
}

const PROGRESS_MS = 200;

/** The file of a thread, beside this one or beside the bundle. In a source tree there is none. */
function workerFile(): URL | null {
  if (import.meta.url.endsWith('.ts')) return null;
  return new URL('../host/search-worker.js', import.meta.url);
}

/** Whether a search of this machine can have threads: they generate the code for themselves. */
export function canThread({ engine }: Machine): boolean {
  return engine === 'generated' && workerFile() !== null;
}

function ended(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`a thread of the search ended with ${code}`));
    });
  });
}

/** Threads, until all have ended. */
async function work(
  { config }: Machine,
  memory: SharedMemory,
  { reduce, threads, checkpoint, progress }: ThreadedSearch,
): Promise<void> {
  const file = workerFile();
  if (file === null) throw new Error('threads need the built program');
  const workers = Array.from(
    { length: threads },
    (_, thread) => new Worker(file, { workerData: { config, reduce, memory, thread } }),
  );
  const timer = setInterval(() => {
    progress?.(...progressOf(memory));
    if (checkpoint?.isDue() === true) pause(memory);
  }, PROGRESS_MS);
  try {
    await Promise.all(workers.map(ended));
  } catch (error) {
    abandon(memory);
    throw error;
  } finally {
    clearInterval(timer);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** The memory of a search, with what was kept of it. */
function memoryOf(
  space: Space,
  { threads, bytes, maxStates = Number.POSITIVE_INFINITY, checkpoint }: ThreadedSearch,
): SharedMemory {
  const memory = sharedMemory(space, threads, bytes, maxStates);
  const kept = checkpoint?.read(space.words) ?? null;
  if (kept !== null) resumeTogether(space, memory, kept.states, kept);
  return memory;
}

/** Every state of a machine, by several threads on one table. This one only waits. */
export async function searchThreads(
  machine: Machine,
  options: ThreadedSearch,
): Promise<{ readonly search: Search; readonly found: Found }> {
  const { reduce, checkpoint, onFinal = () => {} } = options;
  const space = reduce ? reduced(machine) : machine;
  const memory = memoryOf(space, options);
  for (;;) {
    await work(machine, memory, options);
    const paused = pausedAt(memory);
    if (paused === null) break;
    checkpoint?.write(paused.found, space.words, paused);
  }
  const done = foundTogether(memory, onFinal);
  if (done.search.cut === null) checkpoint?.remove();
  return done;
}
