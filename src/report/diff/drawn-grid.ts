import type { TypeGrid, TypePair, TypeSlice } from '../../compare/difference.ts';
import type { EffectiveType } from '../../x86/types.ts';
import { pageWords } from './pages.ts';

/** One table of a grid, as every format draws it: without the rows and columns in which the cause has no point. */
export interface DrawnTable {
  /** "host-mtrr WB"; null: the grid is one table. */
  readonly at: string | null;
  /** Known kinds of page in it. */
  readonly backings: readonly string[];
  /** The type before where it is the same in every cell; null: it is not, and each cell has its own. */
  readonly before: EffectiveType | null;
  /** Inputs of the rows and of the columns; no columns: one row. */
  readonly rowInput: string;
  readonly columnInput: string | null;
  readonly columns: readonly string[];
  readonly rows: readonly DrawnRow[];
}

export interface DrawnRow {
  readonly label: string;
  readonly cells: readonly (TypePair | null)[];
}

function pairsIn({ cells }: TypeSlice): readonly TypePair[] {
  return cells.flatMap((row) => row.flatMap((cell) => (cell === null ? [] : [cell])));
}

function uniform(slice: TypeSlice): EffectiveType | null {
  const [first, ...rest] = pairsIn(slice);
  if (first === undefined) return null;
  return rest.every(({ before }) => before === first.before) ? first.before : null;
}

/** Rows that are alike as one. */
function folded(rows: readonly DrawnRow[]): readonly DrawnRow[] {
  const met = new Map<string, { labels: string[]; row: DrawnRow }>();
  for (const row of rows) {
    const key = JSON.stringify(row.cells);
    const same = met.get(key);
    if (same === undefined) met.set(key, { labels: [row.label], row });
    else same.labels.push(row.label);
  }
  return [...met.values()].map(({ labels, row }) => ({ ...row, label: labels.join(',') }));
}

/** Columns in which some row has a point. */
function usedColumns({ cells }: TypeSlice, count: number): readonly number[] {
  return Array.from({ length: count }, (_, c) => c).filter((c) =>
    cells.some((row) => (row[c] ?? null) !== null),
  );
}

function drawn({ rows, columns }: TypeGrid, slice: TypeSlice): DrawnTable {
  const base = {
    at: slice.at === null ? null : `${slice.at.input} ${slice.at.value}`,
    backings: slice.backings,
    before: uniform(slice),
    rowInput: rows.input,
  };
  const all = slice.cells.map((cells, r) => ({ label: rows.values[r] ?? '', cells }));
  const used = all.filter(({ cells }) => cells.some((cell) => cell !== null));
  if (columns === null) {
    const cells = used.map((row) => row.cells[0] ?? null);
    return {
      ...base,
      columnInput: null,
      columns: used.map(({ label }) => label),
      rows: [{ label: base.before === null ? 'before>after' : `${base.before} ->`, cells }],
    };
  }
  const kept = usedColumns(slice, columns.values.length);
  return {
    ...base,
    columnInput: columns.input,
    columns: kept.map((c) => columns.values[c] ?? ''),
    rows: folded(
      used.map(({ label, cells }) => ({ label, cells: kept.map((c) => cells[c] ?? null) })),
    ),
  };
}

/** The tables of a grid in which a cell changes. */
export function drawnTables(grid: TypeGrid): readonly DrawnTable[] {
  return grid.slices
    .filter((slice) => pairsIn(slice).some((p) => p.before !== p.after))
    .map((slice) => drawn(grid, slice));
}

export const SAME = '.';

/** What a cell says: the new type, both where the type before is not one, `.` for no change. */
export function cellWords(cell: TypePair | null, before: EffectiveType | null): string {
  if (cell === null) return '';
  if (cell.before === cell.after) return SAME;
  return before === null ? `${cell.before}>${cell.after}` : cell.after;
}

/** What a table is of: the value of a third input, the type before, kinds of page; empty: nothing. */
export function captionWords({ at, before, columnInput, backings }: DrawnTable): string {
  const words = [
    ...(at === null ? [] : [at]),
    ...(columnInput === null || before === null ? [] : [`before ${before}`]),
    ...(at === null || backings.length === 0 ? [] : [pageWords(backings)]),
  ];
  return words.length === 0 ? '' : `${words.join('; ')}:`;
}

/** The heading: what the first column is, then the values of the others. */
export function headWords({ rowInput, columnInput, columns }: DrawnTable): readonly string[] {
  return [columnInput === null ? rowInput : `${rowInput} \\ ${columnInput}`, ...columns];
}

/** The rows of a table as words, the heading first. */
export function tableWords(table: DrawnTable): readonly (readonly string[])[] {
  return [
    headWords(table),
    ...table.rows.map(({ label, cells }) => [
      label,
      ...cells.map((cell) => cellWords(cell, table.before)),
    ]),
  ];
}
