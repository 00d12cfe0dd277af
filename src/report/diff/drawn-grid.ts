import type { TypeGrid, TypePair, TypeSlice } from '../../compare/difference.ts';
import type { EffectiveType } from '../../x86/types.ts';

/** One table of a grid, as every format draws it. */
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

function drawn({ rows, columns }: TypeGrid, slice: TypeSlice): DrawnTable {
  const base = {
    at: slice.at === null ? null : `${slice.at.input} ${slice.at.value}`,
    backings: slice.backings,
    before: uniform(slice),
    rowInput: rows.input,
  };
  if (columns === null) {
    const cells = slice.cells.map((row) => row[0] ?? null);
    return { ...base, columnInput: null, columns: rows.values, rows: [{ label: '', cells }] };
  }
  const all = slice.cells.map((cells, r) => ({ label: rows.values[r] ?? '', cells }));
  return { ...base, columnInput: columns.input, columns: columns.values, rows: folded(all) };
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

/** The rows of a table as words, the heading first. */
export function tableWords(table: DrawnTable): readonly (readonly string[])[] {
  const words = (cells: DrawnRow['cells']): readonly string[] =>
    cells.map((cell) => cellWords(cell, table.before));
  if (table.columnInput === null) {
    const [only] = table.rows;
    const label = table.before === null ? 'before>after' : `${table.before} ->`;
    return [
      [table.rowInput, ...table.columns],
      [label, ...words(only?.cells ?? [])],
    ];
  }
  return [
    [`${table.rowInput} \\ ${table.columnInput}`, ...table.columns],
    ...table.rows.map(({ label, cells }) => [label, ...words(cells)]),
  ];
}
