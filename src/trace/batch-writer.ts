import { BATCH_EVENTS, type EventBatch, type EventColumns, emptyColumns } from './batch.ts';

/**
 * Takes a full batch. What it returns is filled again, when it has room for `BATCH_EVENTS`: give back columns
 * that are done with, or nothing.
 */
export type Emit = (batch: EventBatch) => EventColumns | undefined;

/** Columns that are being filled. Whoever fills them writes at `count`, and calls `next`. */
export class BatchWriter {
  columns: EventColumns = emptyColumns();
  count = 0;
  readonly #emit: Emit;
  readonly #names: readonly string[];

  constructor(names: readonly string[], emit: Emit) {
    this.#names = names;
    this.#emit = emit;
  }

  /** The event at `count` is written. */
  next(): void {
    this.count += 1;
    if (this.count === BATCH_EVENTS) this.flush();
  }

  /** Hands over what there is. */
  flush(): void {
    if (this.count === 0) return;
    const batch = { ...this.columns, count: this.count, names: this.#names.slice() };
    const next = this.#emit(batch);
    this.columns = next !== undefined && next.kind.length >= BATCH_EVENTS ? next : emptyColumns();
    this.count = 0;
  }
}
