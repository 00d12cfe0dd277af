import { markText, OTHER_NAMES, TEXTS_MAX } from '../event-names.ts';
import type { EventFormat } from './format.ts';

/**
 * Where a record of `print` has what a program wrote to trace_marker: from here to a zero; -1: it is another
 * event. trace_printk() of a kernel has this record, too, where its text is not a constant.
 */
export function markAt({ system, name, fields }: EventFormat): number {
  if (name !== 'print' || (system !== 'ftrace' && system !== '')) return -1;
  const field = fields.get('buf');
  return field?.place === 'inline' && field.isArray ? field.offset : -1;
}

const LINE_FEED = 10;

/** Texts of marks, as indexes in the names of batches. */
export class MarkTexts {
  readonly #names: string[];
  readonly #known = new Map<string, number>();
  #rest = -1;

  constructor(names: string[]) {
    this.#names = names;
  }

  /** Of the text at `at`: its first line, as a line of text has it. */
  indexOf(view: DataView, at: number, end: number): number {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    let stop = at;
    while (stop < end && bytes[stop] !== 0 && bytes[stop] !== LINE_FEED) stop += 1;
    const text = markText(bytes, at, stop);
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= TEXTS_MAX) {
      if (this.#rest < 0) this.#rest = this.#names.push(OTHER_NAMES) - 1;
      return this.#rest;
    }
    const index = this.#names.push(text) - 1;
    this.#known.set(text, index);
    return index;
  }
}
