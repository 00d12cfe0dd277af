import { Worker } from 'node:worker_threads';
import { reduced } from '../explore/reduce.ts';
import type { Search, SearchOptions } from '../explore/search.ts';
import { abandon, foundTogether, progressOf, sharedMemory } from '../explore/shared.ts';
import type { Found } from '../explore/table.ts';
import type { Machine } from '../machine/machine.ts';

export interface ThreadedSearch extends SearchOptions {
  readonly threads: number;
  /** What table and queue may take. */
  readonly bytes: number;
  readonly reduce: boolean;
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

/** Every state of a machine, by several threads on one table. This one only waits. */
export async function searchThreads(
  machine: Machine,
  options: ThreadedSearch,
): Promise<{ readonly search: Search; readonly found: Found }> {
  const { threads, bytes, reduce, maxStates = Number.POSITIVE_INFINITY } = options;
  const file = workerFile();
  if (file === null) throw new Error('threads need the built program');
  const space = reduce ? reduced(machine) : machine;
  const memory = sharedMemory(space, threads, bytes, maxStates);
  const { config } = machine;
  const workers = Array.from(
    { length: threads },
    (_, thread) => new Worker(file, { workerData: { config, reduce, memory, thread } }),
  );
  const timer = setInterval(() => options.progress?.(...progressOf(memory)), PROGRESS_MS);
  try {
    await Promise.all(workers.map(ended));
  } catch (error) {
    abandon(memory);
    throw error;
  } finally {
    clearInterval(timer);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return foundTogether(memory, options.onFinal ?? (() => {}));
}
