import { parentPort, workerData } from 'node:worker_threads';
import type { Kind } from '../trace/batch.ts';
import { type KeptBatch, packTally, Shelf } from '../trace/pieces.ts';
import { TextScanner } from '../trace/scan.ts';
import { useProgram } from '../trace/wasm/fast-lines.ts';
import { readPiece } from './trace-piece.ts';
import type { Job, JobDone } from './trace-threads.ts';

// A thread that reads pieces of a trace. The descriptor belongs to the thread that started this one.

const { fd, skip } = workerData as { readonly fd: number; readonly skip: readonly Kind[] };
const shelf = new Shelf();
let batches: KeptBatch[] = [];
let names: readonly string[] = [];
let toldNames = 0;
let toldSlots = 0;

function answer(scanner: TextScanner, { piece, start, end, free }: Job): void {
  shelf.free(free);
  readPiece(scanner, fd, start, end);
  const done: JobDone = {
    piece,
    batches,
    tally: packTally(scanner.take()),
    slots: shelf.buffers.slice(toldSlots),
    ...(names.length === toldNames ? {} : { names: names.slice() }),
  };
  toldNames = names.length;
  toldSlots = shelf.buffers.length;
  batches = [];
  parentPort?.postMessage(done);
}

// First the compiled program comes, then jobs.
parentPort?.once('message', (module: object | undefined) => {
  useProgram(module);
  const scanner = new TextScanner({
    skip,
    emit: (batch) => {
      batches.push(shelf.keep(batch));
      ({ names } = batch);
    },
  });
  parentPort?.on('message', (job: Job) => answer(scanner, job));
  parentPort?.postMessage('ready');
});
