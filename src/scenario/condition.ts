import { complain, type Word } from '../resolve/entries.ts';

/** A value at the end of a run: a register of an agent, or a byte in memory. */
export interface Cell {
  /** An agent, or `memory`. */
  readonly owner: string;
  readonly name: string;
}

export interface Comparison extends Cell {
  readonly equal: boolean;
  readonly value: number;
}

/** What a run may end with: any of these holds, of which each holds when all of its comparisons do. */
export interface Condition {
  readonly text: string;
  readonly word: Word;
  readonly any: readonly (readonly Comparison[])[];
}

const COMPARISON = /^([A-Za-z_]\w*)\.([A-Za-z_]\w*)\s*(=|!=)\s*(\d+)$/;

/**
 * "gpu.seen = 0 and guest.a != 1 or memory.y = 0": `and` binds tighter than `or`.
 *
 * @throws InputError with the place of the text
 */
export function parseCondition(word: Word): Condition {
  const any = word.text.split(/\bor\b/).map((alternative) =>
    alternative.split(/\band\b/).map((text): Comparison => {
      const [, owner, name, sign, value] = COMPARISON.exec(text.trim()) ?? [];
      if (owner === undefined || name === undefined) {
        complain(
          word,
          `not a comparison: "${text.trim()}"`,
          'for example: gpu.seen = 0 and memory.y != 1',
        );
      }
      return { owner, name, equal: sign === '=', value: Number(value) };
    }),
  );
  return { text: word.text.trim().replace(/\s+/g, ' '), word, any };
}

/** Whether it holds, `read` giving the value of each cell. */
export function holds(condition: Condition, read: (cell: Cell) => number): boolean {
  return condition.any.some((all) => all.every((c) => (read(c) === c.value) === c.equal));
}
