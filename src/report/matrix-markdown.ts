import type { Matrix, MatrixSide } from '../compare/history/matrix.ts';
import { grouped, percent } from './diff/words.ts';
import { code, plain, table } from './markdown.ts';
import {
  cellsOf,
  cellWords,
  headline,
  MEANING,
  missingWords,
  NEAREST,
  sameWords,
  sidesOf,
  stepsOf,
} from './matrix-words.ts';

function grid(
  m: Matrix,
  rows: readonly MatrixSide[],
  columns: readonly MatrixSide[],
): readonly string[] {
  const cell = cellsOf(m);
  const lines = rows.map((row) => [
    `**${row.id}**`,
    ...columns.map((column) => {
      const found = cell(row.id, column.id);
      // Of a pair within one table, only the half below the diagonal.
      if (found?.row !== row.id) return '';
      if (found.differing === 0) return '=';
      return `${plain(percent(found.differing, m.points))} (${grouped(found.differing)})`;
    }),
  ]);
  return table(['', ...columns.map(({ id }) => id)], lines);
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', `### ${title}`, '', ...lines];
}

/** Every policy against every other, as Markdown. */
export function matrixMarkdown(m: Matrix): string {
  const eras = sidesOf(m, 'era');
  const proposals = sidesOf(m, 'proposal');
  const lines = [
    `**${plain(headline(m))}**`,
    '',
    plain(`${MEANING} ${NEAREST}`),
    ...section(
      'Eras (= means no difference at all)',
      eras.length < 2 ? [] : grid(m, eras.slice(1), eras.slice(0, -1)),
    ),
    ...section('What each proposal changes', grid(m, proposals, eras)),
    ...section('Proposals against each other', grid(m, proposals.slice(1), proposals.slice(0, -1))),
    ...section(
      'From each era to the next',
      stepsOf(m).map((c) => `- ${c.column} to ${c.row}: ${plain(cellWords(m, c))}`),
    ),
    ...section(
      'The same',
      sameWords(m).map((words) => `- ${plain(words)}`),
    ),
    ...section(
      'Policies',
      m.sides.map(({ id, title }) => `- ${code(id)}: ${plain(title)}`),
    ),
    ...section(
      'Not on this platform',
      missingWords(m).map((words) => `- ${plain(words)}`),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
