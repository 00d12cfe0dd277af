import { assert, must } from './assert.ts';

/**
 * A table drawn in the source as the manual draws it, checked when it is loaded:
 *
 *     grid(rows, cols, `
 *            UC   WC
 *       UC   UC   WC
 *       WB   UC   WC
 *     `)
 *
 * The first line names the columns, every other line starts with its row. A cell may carry footnotes:
 * `UC(2,3)`.
 */
export interface Grid<R extends string, C extends string, V extends string> {
  readonly rows: readonly R[];
  readonly cols: readonly C[];
  readonly at: (row: R, col: C) => V;
  /** The table as it is drawn in the source, indentation taken off. */
  readonly drawing: string;
  /** Numbers of the footnotes of a cell, ascending. */
  readonly notesAt: (row: R, col: C) => readonly number[];
}

interface Cell<V> {
  readonly value: V;
  readonly notes: readonly number[];
}

function parseCell<V extends string>(
  text: string,
  vocabulary: readonly V[],
  where: string,
): Cell<V> {
  const match = /^([^()]+)(?:\(([\d,]+)\))?$/.exec(text);
  const value = vocabulary.find((v) => v === match?.[1]);
  assert(match && value !== undefined, `grid: bad cell "${text}" in ${where}`);
  return { value, notes: match[2] === undefined ? [] : match[2].split(',').map(Number) };
}

function sameWords(got: readonly string[], want: readonly string[], what: string): void {
  assert(
    got.join(' ') === want.join(' '),
    `grid: ${what} are "${got.join(' ')}", not "${want.join(' ')}"`,
  );
}

function undented(drawing: string): string {
  const lines = drawing.split('\n').filter((line) => line.trim() !== '');
  const margin = Math.min(...lines.map((line) => /^ */.exec(line)?.[0].length ?? 0));
  return lines.map((line) => line.slice(margin).trimEnd()).join('\n');
}

/** @throws InternalError when the drawing is not a full table over `rows` and `cols`. */
export function grid<R extends string, C extends string, V extends string>(
  rows: readonly R[],
  cols: readonly C[],
  vocabulary: readonly V[],
  drawing: string,
): Grid<R, C, V> {
  const lines = drawing
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words[0] !== '');
  const [head, ...body] = lines;
  sameWords(must(head, 'grid: empty'), cols, 'columns');
  sameWords(
    body.map((words) => words[0] ?? ''),
    rows,
    'rows',
  );
  const cells = new Map<string, Cell<V>>();
  for (const [row, ...texts] of body) {
    assert(texts.length === cols.length, `grid: row ${row} has ${texts.length} cells`);
    texts.forEach((text, i) => {
      cells.set(`${row}|${cols[i]}`, parseCell(text, vocabulary, `row ${row}`));
    });
  }
  const cell = (row: R, col: C): Cell<V> =>
    must(cells.get(`${row}|${col}`), `grid: no cell ${row} ${col}`);
  return {
    rows,
    cols,
    drawing: undented(drawing),
    at: (r, c) => cell(r, c).value,
    notesAt: (r, c) => cell(r, c).notes,
  };
}
