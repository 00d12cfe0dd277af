import { Worker } from 'node:worker_threads';
import type { EventBatch, Kind } from '../trace/batch.ts';
import {
  type KeptBatch,
  type PackedTally,
  packTally,
  Shelf,
  shiftLines,
  TotalTally,
} from '../trace/pieces.ts';
import { type ScanTally, TextScanner } from '../trace/scan.ts';
import { program } from '../trace/wasm/fast-lines.ts';
import { lineFrom, PIECE, readPiece } from './trace-piece.ts';

/** Bytes from one line end to another, for a thread to read. */
export interface Job {
  readonly piece: number;
  readonly start: number;
  readonly end: number;
  /** Slots of the thread's shelf that are done with. */
  readonly free: readonly number[];
}

export interface JobDone {
  readonly piece: number;
  readonly batches: readonly KeptBatch[];
  readonly tally: PackedTally;
  /** Slots that the thread's shelf has more than before. */
  readonly slots: readonly SharedArrayBuffer[];
  /** Names of events, when there are more than before. */
  readonly names?: readonly string[];
}

/** A piece that waits to be applied. */
interface Done extends Pick<JobDone, 'batches' | 'tally'> {
  readonly named: readonly string[];
  readonly shelf: Shelf;
  /** Takes slots that are done with. */
  readonly free: (slots: readonly number[]) => void;
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
const AHEAD = 4;
/** Pieces that a thread gets at once: it shall not sleep and wake for each of them. */
const ROUND = 3;

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

/** Another thread, seen from this one. */
class Helper {
  readonly worker: Worker;
  isReady = false;
  /** That it has to read. */
  pieces = 0;
  readonly #shelf = new Shelf();
  #free: number[] = [];
  #names: readonly string[] = [];

  constructor(worker: Worker) {
    this.worker = worker;
  }

  give(job: Omit<Job, 'free'>): void {
    this.pieces += 1;
    this.worker.postMessage({ ...job, free: this.#free } satisfies Job);
    this.#free = [];
  }

  done({ batches, tally, slots, names }: JobDone): Done {
    this.pieces -= 1;
    this.#shelf.add(slots);
    this.#names = names ?? this.#names;
    return {
      batches,
      tally,
      named: this.#names,
      shelf: this.#shelf,
      free: (done) => void this.#free.push(...done),
    };
  }
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
  readonly #shelf = new Shelf();
  readonly #scanner: TextScanner;
  readonly #workers: readonly Helper[];
  /** Handed out so far: the piece that comes next, and where it begins. */
  #piece = 0;
  #at = 0;
  /** The piece to apply next. */
  #next = 0;
  #applyNow = false;
  #batches: KeptBatch[] = [];
  #names: readonly string[] = [];
  #wake: (() => void) | null = null;
  #failure: unknown = null;

  constructor(fd: number, size: number, options: ThreadOptions) {
    this.#fd = fd;
    this.#size = size;
    this.#options = options;
    // They start while this thread makes the program that they will run.
    this.#workers = this.#start();
    this.#scanner = new TextScanner({ skip: options.skip, emit: (batch) => this.#own(batch) });
  }

  async run(): Promise<ScanTally> {
    try {
      for (const { worker } of this.#workers) worker.postMessage(program());
      while (this.#next < this.#piece || this.#at < this.#size) {
        if (this.#failure !== null) throw this.#failure;
        if (this.#apply()) await nextTurn();
        else if (this.#room > 0) {
          this.#readHere();
          await nextTurn();
        } else await this.#message();
      }
      return this.#total;
    } finally {
      await Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
    }
  }

  #start(): readonly Helper[] {
    const file = workerFile();
    if (file === null) return [];
    const pieces = Math.ceil(this.#size / PIECE);
    const workerData = { fd: this.#fd, skip: this.#options.skip };
    const length = Math.max(0, Math.min(this.#options.threads, pieces) - 1);
    return Array.from({ length }, () => {
      const helper = new Helper(new Worker(file, { workerData }));
      helper.worker.on('message', (message: 'ready' | JobDone) => {
        if (message === 'ready') helper.isReady = true;
        else this.#done.set(message.piece, helper.done(message));
        this.#give(helper);
        this.#wake?.();
      });
      helper.worker.on('error', (error) => {
        this.#failure = error;
        this.#wake?.();
      });
      return helper;
    });
  }

  /** How many pieces may be handed out. */
  get #room(): number {
    if (this.#at >= this.#size) return 0;
    return this.#next + AHEAD * (this.#workers.length + 1) - this.#piece;
  }

  /** The next piece that nobody reads yet. */
  #job(): Omit<Job, 'free'> {
    const start = this.#at;
    const end =
      start + PIECE >= this.#size ? this.#size : lineFrom(this.#fd, start + PIECE, this.#size);
    this.#at = end;
    this.#piece += 1;
    return { piece: this.#piece - 1, start, end };
  }

  /** Pieces for a thread that has nothing to go on with. */
  #give(helper: Helper): void {
    if (!helper.isReady || helper.pieces > 1 || this.#room < ROUND) return;
    for (let i = 0; i < ROUND && this.#room > 0; i += 1) helper.give(this.#job());
  }

  #message(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** A batch that this thread has read. */
  #own(batch: EventBatch): void {
    if (!this.#applyNow) {
      this.#batches.push(this.#shelf.keep(batch));
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
      this.#done.set(piece, {
        batches: this.#batches,
        tally: packTally(tally),
        named: this.#names,
        shelf: this.#shelf,
        free: (slots) => this.#shelf.free(slots),
      });
      this.#batches = [];
    }
  }

  /** Applies the next piece; false when it has not been read yet. */
  #apply(): boolean {
    const done = this.#done.get(this.#next);
    if (done === undefined) return false;
    this.#done.delete(this.#next);
    const { batches, named, shelf } = done;
    for (const batch of batches) {
      this.#options.take(shelf.batch(batch, named, this.#total.lines));
    }
    done.free(batches.map(({ slot }) => slot));
    this.#finish(done.tally);
    return true;
  }

  #finish(tally: ScanTally | PackedTally): void {
    this.#total.add(tally);
    this.#next += 1;
    for (const helper of this.#workers) this.#give(helper);
    this.#options.progress(this.#total.bytes, this.#total.lines);
  }
}
