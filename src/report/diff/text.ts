import type { Difference } from '../../compare/difference.ts';
import { fitted, table } from '../wrap.ts';
import { type Report, type ReportOptions, reportOf } from './build.ts';
import type { Block, Field } from './document.ts';
import { captionWords, type DrawnTable, tableWords } from './drawn-grid.ts';
import type { Effect } from './effects.ts';
import type { UserRow, UserView } from './gather.ts';
import { commandLines } from './witness.ts';
import { listed, platformWords } from './words.ts';
import { effectWords, placeWords, rowWords, userWords } from './words-of.ts';

export interface TextOptions extends ReportOptions {
  /** Columns: 80 for a terminal or a pipe. */
  readonly width: number;
}

const INDENT = 2;

export function indented(lines: readonly string[], by = INDENT): readonly string[] {
  return lines.map((line) => (line === '' ? '' : ' '.repeat(by) + line));
}

export function typeLines(drawn: DrawnTable, width: number): readonly string[] {
  const words = captionWords(drawn);
  return [...(words === '' ? [] : fitted(words, width)), ...table(tableWords(drawn), width)];
}

function effectLines(effect: Effect, width: number): readonly string[] {
  const { places } = effect;
  return [
    ...fitted(`${effectWords(effect)}${places.length === 0 ? '' : ':'}`, width, '  '),
    ...places.flatMap((p) => indented(fitted(placeWords(p), width - INDENT, '  '))),
  ];
}

function rowLines(row: UserRow, width: number): readonly string[] {
  const where = `${rowWords(row)} on ${listed(platformWords(row.platforms))}`;
  return [
    ...fitted(where, width, '  '),
    ...userWords(row).flatMap((w) => indented(fitted(w, width - INDENT, '  '))),
  ];
}

function userLines({ id, title, source, rows }: UserView, width: number): readonly string[] {
  return [
    ...fitted(`${id}: ${title} [${source}]`, width, '    '),
    ...rows.flatMap((row) => indented(rowLines(row, width - INDENT))),
  ];
}

/** Labels stand in a column of their own, but for one that is longer than this. */
const WIDEST_LABEL = 16;

function fieldLines({ label, content }: Field, column: number, width: number): readonly string[] {
  const lines = content.flatMap((block) => blockLines(block, width - column));
  const [first = '', ...rest] = lines;
  if (label.length >= column) return [...fitted(`${label}:`, width), ...indented(lines, column)];
  return [(label.padEnd(column) + first).trimEnd(), ...indented(rest, column)];
}

function fieldsLines(fields: readonly Field[], width: number): readonly string[] {
  const labels = fields.map(({ label }) => label.length).filter((n) => n <= WIDEST_LABEL);
  const column = Math.max(7, ...labels) + 2;
  return fields.flatMap((f) => fieldLines(f, column, width));
}

function blockLines(block: Block, width: number): readonly string[] {
  switch (block.kind) {
    case 'text':
      return block.text === '' ? [''] : fitted(block.text, width);
    case 'list':
      return block.items.flatMap((item) => fitted(item, width, '  '));
    case 'fields':
      return fieldsLines(block.fields, width);
    case 'table':
      return table(block.rows, width);
    case 'types':
      return typeLines(block.table, width);
    case 'effects':
      return block.effects.flatMap((e) => effectLines(e, width));
    case 'users':
      return block.users.flatMap((user) => userLines(user, width));
    case 'command':
      return [
        ...(block.title === '' ? [] : [`${block.title}:`]),
        ...commandLines(block.witness, width),
      ];
    case 'section':
      return [
        '',
        ...fitted(block.title, width, '  '),
        ...indented(linesOf(block.content, width - INDENT)),
      ];
    case 'more':
      return [
        ...fitted(block.summary, width, '  '),
        ...indented(linesOf(block.content, width - INDENT)),
      ];
  }
}

/** Blocks as lines of at most `width` columns. */
export function linesOf(blocks: readonly Block[], width: number): readonly string[] {
  return blocks.flatMap((block) => blockLines(block, width));
}

function reportLines({ title, content }: Report, width: number): readonly string[] {
  return [...fitted(title, width), ...linesOf(content, width)];
}

/** A difference as text, the verdict first. */
export function diffText(d: Difference, { all, width }: TextOptions): string {
  return `${reportLines(reportOf(d, { all }), width).join('\n')}\n`;
}
