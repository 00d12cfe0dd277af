import { type EventBatch, type EventColumns, emptyColumns } from './batch.ts';
import type { ProblemKind, TraceProblem } from './problems.ts';
import { Problems } from './problems.ts';
import type { ScanTally } from './scan.ts';
import { COLUMNS_SIZE, columnsIn } from './wasm/layout.ts';

// A text that is read in pieces, by several threads, and put together again.

/** A batch that waits on a `Shelf`. */
export interface KeptBatch {
  readonly slot: number;
  readonly count: number;
}

/** A tally as it goes from one thread to another. */
export interface PackedTally extends Omit<ScanTally, 'problems'> {
  readonly problems: {
    readonly counts: Readonly<Partial<Record<ProblemKind, number>>>;
    readonly first: readonly TraceProblem[];
  };
}

/**
 * Batches that wait to be applied. Their columns are in memory that two threads can see, and that is used again and
 * again: each has a shelf, one of them fills it, the other one takes from it.
 */
export class Shelf {
  readonly #buffers: SharedArrayBuffer[] = [];
  readonly #columns: Omit<EventColumns, 'count'>[] = [];
  readonly #free: number[] = [];

  /** Memory, by number of the slot. */
  get buffers(): readonly SharedArrayBuffer[] {
    return this.#buffers;
  }

  /** Slots that the other thread has made. */
  add(buffers: readonly SharedArrayBuffer[]): void {
    for (const buffer of buffers) {
      this.#buffers.push(buffer);
      this.#columns.push(columnsIn(buffer));
    }
  }

  /** Copies the columns of a scanner. */
  keep({ time, count }: EventBatch): KeptBatch {
    const slot = this.#free.pop() ?? this.#buffers.length;
    if (slot === this.#buffers.length) this.add([new SharedArrayBuffer(COLUMNS_SIZE)]);
    // The columns of a scanner lie one after the other, the times first.
    const columns = new Uint8Array(time.buffer, time.byteOffset, COLUMNS_SIZE);
    new Uint8Array(this.#buffers[slot] ?? columns.buffer).set(columns);
    return { slot, count };
  }

  /** @param lines that came before the piece of the batch */
  batch({ slot, count }: KeptBatch, names: readonly string[], lines: number): EventBatch {
    const columns = this.#columns[slot] ?? emptyColumns(0);
    if (lines > 0) shiftLines(columns.place, count, lines);
    return { ...columns, count, names };
  }

  /** These batches are done with. */
  free(slots: readonly number[]): void {
    this.#free.push(...slots);
  }
}

export function shiftLines(place: Float64Array, count: number, lines: number): void {
  for (let i = 0; i < count; i += 1) place[i] = (place[i] ?? 0) + lines;
}

export function packTally({ problems, ...rest }: ScanTally): PackedTally {
  return { ...rest, problems: { counts: problems.counts, first: problems.first } };
}

/** The tally of all pieces so far, in the order of the text. */
export class TotalTally implements ScanTally {
  lines = 0;
  bytes = 0;
  passed = 0;
  lost = 0;
  isTrace = false;
  readonly problems: Problems = new Problems();
  #events = new Map<string, number>();

  get events(): ReadonlyMap<string, number> {
    return new Map([...this.#events].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  add(piece: ScanTally | PackedTally): void {
    this.problems.append(piece.problems, this.lines, this.bytes);
    this.lines += piece.lines;
    this.bytes += piece.bytes;
    this.passed += piece.passed;
    this.lost += piece.lost;
    this.isTrace ||= piece.isTrace;
    for (const [name, count] of piece.events) {
      this.#events.set(name, (this.#events.get(name) ?? 0) + count);
    }
  }
}
