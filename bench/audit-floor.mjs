// Node starts, and a file is read by several threads that do nothing with it: below this nothing that is written
// for Node can be.
//
//     node bench/audit-floor.mjs FILE THREADS
import { fstatSync, openSync, readSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const WINDOW = 1 << 18;

function read({ fd, from, to }) {
  const window = new Uint8Array(WINDOW);
  for (let at = from; at < to; ) {
    const count = readSync(fd, window, 0, Math.min(WINDOW, to - at), at);
    if (count === 0) break;
    at += count;
  }
}

if (isMainThread) {
  const [, , file, threads] = process.argv;
  const fd = openSync(file, 'r');
  const { size } = fstatSync(fd);
  const share = Math.ceil(size / Number(threads));
  const part = (i) => ({ fd, from: i * share, to: Math.min(size, (i + 1) * share) });
  for (let i = 1; i < Number(threads); i++) {
    new Worker(new URL(import.meta.url), { workerData: part(i) });
  }
  read(part(0));
} else read(workerData);
