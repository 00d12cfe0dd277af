import type { Matrix, MatrixCell, MatrixSide } from '../compare/history/matrix.ts';
import { percent } from './diff/words.ts';
import type { TextOptions } from './explain-text.ts';
import {
  cellsOf,
  cellWords,
  headline,
  MEANING,
  missingWords,
  NEAREST,
  sameWords,
  short,
  sidesOf,
  stepsOf,
} from './matrix-words.ts';
import { labelled, wrap } from './wrap.ts';

const CELL = 5;

interface Named {
  readonly label: string;
  readonly side: MatrixSide;
}

/** What the rows of a table are called, and what the columns. */
interface Grid {
  readonly rows: readonly Named[];
  readonly columns: readonly Named[];
  /** The rows are the columns, and the last of them. */
  readonly triangle: boolean;
}

function cellLines(m: Matrix, cell: MatrixCell | undefined): readonly [string, string] {
  if (cell === undefined) return ['', ''];
  if (cell.differing === 0) return ['=', ''];
  return [percent(cell.differing, m.points), short(cell.differing)];
}

/** Each row has two lines: percent, and the count below it. A row of a triangle has what is before itself. */
function gridLines(m: Matrix, { rows, columns, triangle }: Grid, from: number): readonly string[] {
  const cell = cellsOf(m);
  const wide = Math.max(...rows.map(({ label }) => label.length));
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(wide)} ${cells.map((c) => c.padStart(CELL)).join(' ')}`.trimEnd();
  const body = rows.flatMap(({ label, side }, i) => {
    if (triangle && i < from) return [];
    const shown = triangle ? columns.slice(0, i - from) : columns;
    const both = shown.map((column) => cellLines(m, cell(side.id, column.side.id)));
    const shares = both.map(([share]) => share);
    const counts = both.map(([, count]) => count);
    const first = line(label, shares);
    return counts.every((count) => count === '') ? [first] : [first, line('', counts)];
  });
  const labels = columns.map(({ label }) => label);
  return [line('', labels), ...body];
}

/** As many columns at a time as there is room for. */
function blocks(m: Matrix, grid: Grid, width: number): readonly string[] {
  const { rows, columns } = grid;
  if (rows.length === 0 || columns.length === 0) return [];
  const wide = Math.max(...rows.map(({ label }) => label.length));
  const most = Math.max(1, Math.floor((width - wide) / (CELL + 1)));
  const count = Math.ceil(columns.length / most);
  const each = Math.ceil(columns.length / count);
  return Array.from({ length: count }, (_, i) => {
    const some = columns.slice(i * each, (i + 1) * each);
    return [...(i > 0 ? [''] : []), ...gridLines(m, { ...grid, columns: some }, i * each)];
  }).flat();
}

function named(side: MatrixSide): Named {
  return { label: side.id, side };
}

/** Proposals go by a letter as columns, and by their name and the letter as rows. */
function proposalTriangle(m: Matrix): Grid {
  const columns = sidesOf(m, 'proposal').map((side, i) => {
    return { label: String.fromCharCode(97 + i), side };
  });
  const rows = columns.map(({ label, side }) => ({ label: `${label} ${side.id}`, side }));
  return { rows, columns: columns.slice(0, -1), triangle: true };
}

function sideLines(m: Matrix, width: number): readonly string[] {
  const wide = Math.max(...m.sides.map(({ id }) => id.length));
  return m.sides.flatMap(({ id, title }) => labelled(`  ${id.padEnd(wide)}  `, title, width));
}

/** Every policy against every other, as text. */
export function matrixText(m: Matrix, { width }: TextOptions): string {
  const block = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : ['', ...wrap(title, width), ...lines];
  const eras = sidesOf(m, 'era').map(named);
  const proposals = sidesOf(m, 'proposal').map(named);
  const among = { rows: eras, columns: eras.slice(0, -1), triangle: true };
  const below = { rows: proposals, columns: eras, triangle: false };
  const lines = [
    ...wrap(headline(m), width),
    ...wrap(MEANING, width),
    ...block('Eras, percent and count (= means no difference at all):', blocks(m, among, width)),
    ...block(
      'What each proposal changes, on the newest kernel of each era:',
      blocks(m, below, width),
    ),
    ...block('Proposals against each other:', blocks(m, proposalTriangle(m), width)),
    ...block(
      'From each era to the next:',
      stepsOf(m).flatMap((c) => labelled(`  ${c.column} to ${c.row}: `, cellWords(m, c), width)),
    ),
    ...block(
      'The same:',
      sameWords(m).flatMap((sentence) => labelled('  ', sentence, width)),
    ),
    ...block('Policies:', sideLines(m, width)),
    ...block(
      'Not on this platform:',
      missingWords(m).flatMap((words) => labelled('  ', words, width)),
    ),
    '',
    ...wrap(NEAREST, width),
  ];
  return `${lines.join('\n')}\n`;
}
