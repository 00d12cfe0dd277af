import type { EventBatch } from './batch.ts';
import type { ProblemKind, TraceProblem } from './problems.ts';
import { Problems } from './problems.ts';
import type { ScanTally } from './scan.ts';
import { COLUMNS_SIZE, columnsIn } from './wasm/layout.ts';

// A text that is read in pieces, by several threads, and put together again.

/** A batch as it goes from one thread to another: all columns in one buffer. */
export interface PackedBatch {
  readonly buffer: ArrayBuffer;
  readonly count: number;
}

/** A tally as it goes from one thread to another. */
export interface PackedTally extends Omit<ScanTally, 'problems'> {
  readonly problems: {
    readonly counts: Readonly<Partial<Record<ProblemKind, number>>>;
    readonly first: readonly TraceProblem[];
  };
}

/** Copies the columns of a scanner, into a buffer that is done with where there is one. */
export function pack(batch: EventBatch, used?: ArrayBuffer): PackedBatch {
  const buffer = used ?? new ArrayBuffer(COLUMNS_SIZE);
  const { time, count } = batch;
  // The columns of a scanner lie one after the other, the times first.
  new Uint8Array(buffer).set(new Uint8Array(time.buffer, time.byteOffset, COLUMNS_SIZE));
  return { buffer, count };
}

/** @param lines that came before the piece of the batch */
export function unpack(
  { buffer, count }: PackedBatch,
  names: readonly string[],
  lines: number,
): EventBatch {
  const columns = columnsIn(buffer);
  if (lines > 0) shiftLines(columns.place, count, lines);
  return { ...columns, count, names };
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
