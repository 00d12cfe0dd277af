/** What is wrong with a binary trace, and where. */
export interface TraceProblem {
  /** In the file; of what is compressed, where the compressed part begins. */
  readonly offset: number;
  readonly message: string;
  readonly help?: string;
}

const LISTED = 100;

/** Grows while a trace is read. A damaged file can have millions: the first hundred are listed, the rest counted. */
export class Problems {
  readonly #list: TraceProblem[] = [];
  #unlisted = 0;

  add(offset: number, message: string, help?: string): void {
    if (this.#list.length >= LISTED) this.#unlisted += 1;
    else this.#list.push({ offset, message, ...(help === undefined ? {} : { help }) });
  }

  get list(): readonly TraceProblem[] {
    return this.#list;
  }

  /** How many more there are than are listed. */
  get unlisted(): number {
    return this.#unlisted;
  }
}
