import { Worker } from 'node:worker_threads';
import type { EventBatch, Kind } from '../trace/batch.ts';
import {
  type PackedBatch,
  type PackedTally,
  pack,
  packTally,
  shiftLines,
  TotalTally,
  unpack,
} from '../trace/pieces.ts';
import { type ScanTally, TextScanner } from '../trace/scan.ts';
import { program } from '../trace/wasm/fast-lines.ts';
import { lineFrom, PIECE, readPiece } from './trace-piece.ts';

/** Bytes from one line end to another, for a thread to read. */
export interface Job {
  readonly piece: number;
  readonly start: number;
  readonly end: number;
  /** Columns that are done with. */
  readonly buffers: readonly ArrayBuffer[];
}

export interface JobDone {
  readonly piece: number;
  readonly batches: readonly PackedBatch[];
  readonly tally: PackedTally;
  /** Names of events, when there are more than before. */
  readonly names?: readonly string[];
}

interface Done extends JobDone {
  readonly named: readonly string[];
}

export interface ThreadOptions {
  /** Takes a batch; its columns may be used again afterwards. */
  readonly take: (batch: EventBatch) => void;
  readonly skip: readonly Kind[];
  /** Threads, this one included. */
  readonly threads: number;
  /** Called now and then with the bytes and lines that are done. */
  readonly progress: (bytes: number, lines: number) => void;
}

/** Pieces that may be read ahead of the one that is next, for each thread. */
const AHEAD = 3;

/** The file of a thread, beside this one or beside the bundle. In a source tree there is none. */
function workerFile(): URL | null {
  if (import.meta.url.endsWith('.ts')) return null;
  return new URL('../host/trace-worker.js', import.meta.url);
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * Reads a text file in pieces, by several threads: this one applies the batches in the order of the text, and
 * reads pieces itself while there is nothing to apply.
 */
export class TraceThreads {
  readonly #fd: number;
  readonly #size: number;
  readonly #options: ThreadOptions;
  readonly #total = new TotalTally();
  readonly #done = new Map<number, Done>();
  readonly #used: ArrayBuffer[] = [];
  readonly #scanner: TextScanner;
  /** Threads, each with how many pieces it has to read. */
  readonly #workers = new Map<Worker, number>();
  /** Handed out so far: the piece that comes next, and where it begins. */
  #piece = 0;
  #at = 0;
  /** The piece to apply next. */
  #next = 0;
  #applyNow = false;
  #batches: PackedBatch[] = [];
  #names: readonly string[] = [];
  #wake: (() => void) | null = null;
  #failure: unknown = null;

  constructor(fd: number, size: number, options: ThreadOptions) {
    this.#fd = fd;
    this.#size = size;
    this.#options = options;
    this.#scanner = new TextScanner({ skip: options.skip, emit: (batch) => this.#own(batch) });
  }

  async run(): Promise<ScanTally> {
    try {
      this.#start();
      while (this.#next < this.#piece || this.#at < this.#size) {
        if (this.#failure !== null) throw this.#failure;
        if (this.#apply()) continue;
        if (this.#mayRead()) {
          this.#readHere();
          await nextTurn();
        } else await this.#message();
      }
      return this.#total;
    } finally {
      await Promise.all([...this.#workers.keys()].map((worker) => worker.terminate()));
    }
  }

  #start(): void {
    const file = workerFile();
    const pieces = Math.ceil(this.#size / PIECE);
    if (file === null) return;
    for (let i = 1; i < Math.min(this.#options.threads, pieces); i += 1) {
      const { skip } = this.#options;
      const worker = new Worker(file, { workerData: { fd: this.#fd, skip, module: program() } });
      let named: readonly string[] = [];
      worker.on('message', (done: JobDone) => {
        named = done.names ?? named;
        this.#done.set(done.piece, { ...done, named });
        this.#workers.set(worker, (this.#workers.get(worker) ?? 1) - 1);
        this.#give(worker);
        this.#wake?.();
      });
      worker.on('error', (error) => {
        this.#failure = error;
        this.#wake?.();
      });
      this.#workers.set(worker, 0);
      this.#give(worker);
    }
  }

  #mayRead(): boolean {
    const limit = AHEAD * (this.#workers.size + 1);
    return this.#at < this.#size && this.#piece < this.#next + limit;
  }

  /** The next piece that nobody reads yet. */
  #job(): { readonly piece: number; readonly start: number; readonly end: number } {
    const start = this.#at;
    const end =
      start + PIECE >= this.#size ? this.#size : lineFrom(this.#fd, start + PIECE, this.#size);
    this.#at = end;
    this.#piece += 1;
    return { piece: this.#piece - 1, start, end };
  }

  /** Pieces for a thread: one to read, one to go on with. */
  #give(worker: Worker): void {
    for (let has = this.#workers.get(worker) ?? 0; has < 2 && this.#mayRead(); has += 1) {
      this.#workers.set(worker, has + 1);
      const buffers = this.#used.splice(0, 2);
      worker.postMessage({ ...this.#job(), buffers } satisfies Job, buffers);
    }
  }

  #message(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** A batch that this thread has read. */
  #own(batch: EventBatch): void {
    if (!this.#applyNow) {
      this.#batches.push(pack(batch, this.#used.pop()));
      this.#names = batch.names;
      return;
    }
    shiftLines(batch.place, batch.count, this.#total.lines);
    this.#options.take(batch);
  }

  #readHere(): void {
    const { piece, start, end } = this.#job();
    this.#applyNow = piece === this.#next;
    readPiece(this.#scanner, this.#fd, start, end);
    const tally = this.#scanner.take();
    if (this.#applyNow) {
      this.#finish(tally);
    } else {
      const done = { piece, batches: this.#batches, tally: packTally(tally), named: this.#names };
      this.#done.set(piece, done);
      this.#batches = [];
    }
  }

  /** Applies the next piece; false when it has not been read yet. */
  #apply(): boolean {
    const done = this.#done.get(this.#next);
    if (done === undefined) return false;
    this.#done.delete(this.#next);
    for (const batch of done.batches) {
      this.#options.take(unpack(batch, done.named, this.#total.lines));
      this.#used.push(batch.buffer);
    }
    this.#finish(done.tally);
    return true;
  }

  #finish(tally: ScanTally | PackedTally): void {
    this.#total.add(tally);
    this.#next += 1;
    for (const worker of this.#workers.keys()) this.#give(worker);
    this.#options.progress(this.#total.bytes, this.#total.lines);
  }
}
