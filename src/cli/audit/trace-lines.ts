const LINE_FEED = 10;
/** No more of a line is kept. */
const LINE_MAX = 4096;

/** A line begins at this byte: what has to be read again for a line starts at the last one before it. */
export interface Mark {
  readonly line: number;
  readonly offset: number;
}

/** Picks lines out of a text that comes in pieces. */
export class LinePicker {
  readonly found = new Map<number, string>();
  readonly #wanted: ReadonlySet<number>;
  readonly #last: number;
  #line: number;
  #text: string | null;

  /** @param first number of the line that the text begins with */
  constructor(wanted: ReadonlySet<number>, first = 1) {
    this.#wanted = wanted;
    this.#last = Math.max(0, ...wanted);
    this.#line = first;
    this.#text = wanted.has(first) ? '' : null;
  }

  /** There is nothing more to find. */
  get isDone(): boolean {
    return this.#line > this.#last;
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.isDone; ) {
      const feed = bytes.indexOf(LINE_FEED, at);
      const end = feed < 0 ? bytes.length : feed;
      if (this.#text !== null && this.#text.length < LINE_MAX)
        this.#text += Buffer.from(bytes.subarray(at, Math.min(end, at + LINE_MAX))).toString(
          'latin1',
        );
      if (feed < 0) return;
      this.#next();
      at = feed + 1;
    }
  }

  end(): void {
    if (this.#text !== null) this.found.set(this.#line, this.#text.replace(/\r$/, ''));
  }

  #next(): void {
    this.end();
    this.#line += 1;
    this.#text = this.#wanted.has(this.#line) ? '' : null;
  }
}

/** The last mark at or before a line. */
export function markBefore(marks: readonly Mark[], line: number): Mark {
  let low = 0;
  let high = marks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((marks[middle]?.line ?? 0) <= line) low = middle + 1;
    else high = middle;
  }
  return marks[low - 1] ?? { line: 1, offset: 0 };
}
