/** What is wrong with a line of a trace. */
export type ProblemKind =
  /** An event of page-table entries without the fields that every kernel prints. */
  | 'unreadable'
  /** Two lines in one: a second event begins within the fields of the first. */
  | 'interleaved'
  /** Printed with the trace options `raw` or `hex`, which leave the fields out. */
  | 'raw'
  /** Bytes that no text has. */
  | 'garbage'
  /** Longer than any event; only its length was looked at. */
  | 'long'
  /** The last line has no end and is cut: what it says is not used. */
  | 'unended'
  /** Text that is no event, no header and no comment. */
  | 'noise';

export const PROBLEM_KINDS: readonly ProblemKind[] = [
  'unreadable',
  'interleaved',
  'raw',
  'garbage',
  'long',
  'unended',
  'noise',
];

export interface TraceProblem {
  readonly kind: ProblemKind;
  /** From 1. */
  readonly line: number;
  /** Of the line, in bytes from the begin of the text. */
  readonly offset: number;
  /** What is wrong begins here, from 1. */
  readonly column: number;
  /** The line, or its begin; bytes as Latin-1. */
  readonly text: string;
}

/** Of each kind, so many are kept. All are counted. */
export const PROBLEMS_KEPT = 8;
const TEXT_MAX = 240;

/** What was wrong with a trace: exact counts, and the first lines of each kind. */
export class Problems {
  readonly #counts = new Map<ProblemKind, number>();
  readonly #first: TraceProblem[] = [];

  get total(): number {
    return [...this.#counts.values()].reduce((sum, n) => sum + n, 0);
  }

  /** Of every kind that occurs, in the order of `PROBLEM_KINDS`. */
  get counts(): Readonly<Partial<Record<ProblemKind, number>>> {
    return Object.fromEntries(
      PROBLEM_KINDS.flatMap((kind) => {
        const count = this.#counts.get(kind);
        return count === undefined ? [] : [[kind, count]];
      }),
    );
  }

  /** The first lines of each kind, in the order of the text. */
  get first(): readonly TraceProblem[] {
    return this.#first;
  }

  count(kind: ProblemKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  add(problem: Omit<TraceProblem, 'text'>, bytes: Uint8Array, start: number, end: number): void {
    const count = this.count(problem.kind);
    this.#counts.set(problem.kind, count + 1);
    if (count >= PROBLEMS_KEPT) return;
    const shown = bytes.subarray(start, Math.min(end, start + TEXT_MAX));
    this.#first.push({ ...problem, text: String.fromCharCode(...shown) });
  }

  /** The last problem of a kind was none. */
  retract(kind: ProblemKind): void {
    const count = this.count(kind) - 1;
    if (count === 0) this.#counts.delete(kind);
    else this.#counts.set(kind, count);
    if (count >= PROBLEMS_KEPT) return;
    const last = this.#first.findLastIndex((p) => p.kind === kind);
    if (last >= 0) this.#first.splice(last, 1);
  }

  /** Adds those of the next piece of the text, which began after so many lines and bytes. */
  append(
    { counts, first }: Pick<Problems, 'counts' | 'first'>,
    lines: number,
    bytes: number,
  ): void {
    for (const problem of first) {
      const kept = this.#first.filter((p) => p.kind === problem.kind).length;
      if (kept >= PROBLEMS_KEPT) continue;
      const { line, offset } = problem;
      this.#first.push({ ...problem, line: line + lines, offset: offset + bytes });
    }
    for (const kind of PROBLEM_KINDS) {
      const more = counts[kind] ?? 0;
      if (more > 0) this.#counts.set(kind, this.count(kind) + more);
    }
  }
}
