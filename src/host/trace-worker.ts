import { parentPort, workerData } from 'node:worker_threads';
import type { Kind } from '../trace/batch.ts';
import { type PackedBatch, pack, packTally } from '../trace/pieces.ts';
import { TextScanner } from '../trace/scan.ts';
import { useProgram } from '../trace/wasm/fast-lines.ts';
import { readPiece } from './trace-piece.ts';
import type { Job, JobDone } from './trace-threads.ts';

// A thread that reads pieces of a trace. The descriptor belongs to the thread that started this one.

const { fd, skip, module } = workerData as {
  readonly fd: number;
  readonly skip: readonly Kind[];
  readonly module: object | undefined;
};
useProgram(module);
const used: ArrayBuffer[] = [];
let batches: PackedBatch[] = [];
let names: readonly string[] = [];
let told = 0;

const scanner = new TextScanner({
  skip,
  emit: (batch) => {
    batches.push(pack(batch, used.pop()));
    ({ names } = batch);
  },
});

parentPort?.on('message', ({ piece, start, end, buffers }: Job) => {
  used.push(...buffers);
  readPiece(scanner, fd, start, end);
  const tally = packTally(scanner.take());
  const done: JobDone = {
    piece,
    batches,
    tally,
    ...(names.length === told ? {} : { names: names.slice() }),
  };
  told = names.length;
  parentPort?.postMessage(
    done,
    batches.map((batch) => batch.buffer),
  );
  batches = [];
});
