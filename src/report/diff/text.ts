import type { Difference, UserChange } from '../../compare/difference.ts';
import { fitted, table } from '../wrap.ts';
import { type Report, type ReportOptions, reportOf } from './build.ts';
import { consequenceWords } from './build-cause.ts';
import type { Block, Field } from './document.ts';
import { type DrawnTable, tableWords } from './drawn-grid.ts';
import type { UserView } from './gather.ts';
import { commandLines } from './witness.ts';
import { listed, platformWords } from './words.ts';

export interface TextOptions extends ReportOptions {
  readonly width: number;
}

const INDENT = 2;

function indented(lines: readonly string[], by = INDENT): readonly string[] {
  return lines.map((line) => (line === '' ? '' : ' '.repeat(by) + line));
}

/** The type before where one word says it for the whole table; kinds of page where they differ. */
function caption({ at, before, columnInput, backings }: DrawnTable): string {
  const words = [
    ...(at === null ? [] : [at]),
    ...(columnInput === null
      ? []
      : [before === null ? 'before>after' : `before ${before} everywhere`]),
    ...(at === null || backings.length === 0 ? [] : [backings.join(', ')]),
  ];
  return words.length === 0 ? '' : `${words.join('; ')}:`;
}

function typeLines(drawn: DrawnTable, width: number): readonly string[] {
  const words = caption(drawn);
  return [...(words === '' ? [] : fitted(words, width)), ...table(tableWords(drawn), width)];
}

function rowLines(
  { before, after, consequences, platforms }: UserChange,
  width: number,
): readonly string[] {
  const change = `${before.join(' or ')} -> ${after.join(' or ')}`;
  const where = `${change}  ${listed(platformWords(platforms))}`;
  const means =
    consequences.length === 0
      ? 'no consequence known'
      : consequences.map(consequenceWords).join('; ');
  return [...fitted(where, width), ...indented(fitted(means, width - INDENT))];
}

function userLines({ id, title, rows }: UserView, width: number): readonly string[] {
  return [
    ...fitted(`${id}: ${title}`, width, '  '),
    ...rows.flatMap((row) => indented(rowLines(row, width - INDENT))),
  ];
}

/** Labels in a column of their own, but for one that is longer than it. */
const LABEL = 9;

function fieldLines({ label, content }: Field, width: number): readonly string[] {
  const lines = content.flatMap((block) => blockLines(block, width - LABEL));
  const [first = '', ...rest] = lines;
  if (label.length < LABEL && first !== '') {
    return [(label.padEnd(LABEL) + first).trimEnd(), ...indented(rest, LABEL)];
  }
  return [...fitted(`${label}:`, width), ...indented(lines, LABEL)];
}

function blockLines(block: Block, width: number): readonly string[] {
  switch (block.kind) {
    case 'text':
      return fitted(block.text, width);
    case 'list':
      return block.items.flatMap((item) => fitted(item, width, '  '));
    case 'fields':
      return block.fields.flatMap((f) => fieldLines(f, width));
    case 'table':
      return table(block.rows, width);
    case 'types':
      return typeLines(block.table, width);
    case 'users':
      return block.users.flatMap((user) => userLines(user, width));
    case 'command':
      return commandLines(block.witness, width);
    case 'section':
      return [
        '',
        ...fitted(block.title, width, '  '),
        ...indented(linesOf(block.content, width - INDENT)),
      ];
    case 'more':
      return fitted(block.summary, width);
  }
}

function linesOf(blocks: readonly Block[], width: number): readonly string[] {
  return blocks.flatMap((block) => blockLines(block, width));
}

function reportLines({ title, content }: Report, width: number): readonly string[] {
  return [...fitted(title, width), ...linesOf(content, width)];
}

/** A difference as text, the verdict first. */
export function diffText(d: Difference, { all, width }: TextOptions): string {
  return `${reportLines(reportOf(d, { all }), width).join('\n')}\n`;
}
