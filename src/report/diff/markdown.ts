import type { Difference, TypePair } from '../../compare/difference.ts';
import { type ReportOptions, reportOf } from './build.ts';
import { type Block, type Field, merged } from './document.ts';
import { captionWords, cellWords, type DrawnTable, headWords, SAME } from './drawn-grid.ts';
import type { UserView } from './gather.ts';
import { commandLines } from './witness.ts';
import { listed, platformWords } from './words.ts';
import { effectWords, placeWords, userWords } from './words-of.ts';

/** Columns of a command in a block of code. */
const CODE = 100;

/** What Markdown would take for its own; an @ would call somebody, a # an issue. */
function plain(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/[\\`*<|[\]~]/g, '\\$&')
    .replace(/@/g, '&#64;')
    .replace(/#(?=\d)/g, '&#35;')
    .replace(/(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g, '\\_')
    .replace(/^([-+>#])/, '\\$1')
    .replace(/^(\d+)([.)])(?=\s)/, '$1\\$2');
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return ['', row(head), row(head.map(() => '---')), ...rows.map(row), ''];
}

function cell(pair: TypePair | null, before: DrawnTable['before']): string {
  const words = plain(cellWords(pair, before));
  return words === '' || words === SAME ? words : `**${words}**`;
}

function types(drawn: DrawnTable): readonly string[] {
  const [corner = '', ...head] = headWords(drawn);
  const caption = captionWords(drawn);
  return [
    ...(caption === '' ? [] : ['', plain(caption)]),
    ...table(
      [plain(corner), ...head.map(plain)],
      drawn.rows.map(({ label, cells }) => [
        plain(label),
        ...cells.map((c) => cell(c, drawn.before)),
      ]),
    ),
  ];
}

function users(views: readonly UserView[]): readonly string[] {
  const rows = views.flatMap(({ id, title, source, rows: changes }) =>
    changes.map((change, i) => [
      i === 0 ? `**${plain(id)}**: ${plain(`${title} [${source}]`)}` : '',
      plain(listed(platformWords(change.platforms))),
      plain(change.before.join(' or ')),
      plain(change.after.join(' or ')),
      userWords(change).map(plain).join('<br>'),
    ]),
  );
  return table(['user', 'platforms', 'before', 'after', 'means'], rows);
}

/** One item of a list with its places below. */
function effects(block: Extract<Block, { kind: 'effects' }>): readonly string[] {
  return block.effects.flatMap((effect) => [
    `- ${plain(effectWords(effect))}`,
    ...effect.places.map((p) => `  - ${plain(placeWords(p))}`),
  ]);
}

/** Texts of which the others stand below the first. */
function item(name: string, [first = '', ...rest]: readonly string[]): readonly string[] {
  return [`- ${name}${plain(first)}`, ...rest.map((words) => `  - ${plain(words)}`)];
}

function textsOf(content: readonly Block[]): readonly string[] {
  return content.flatMap((b) => (b.kind === 'text' ? [b.text] : []));
}

/** A label with text in a list; one with a table, a list or a command by itself. */
function fieldLines({ label, content }: Field): readonly string[] {
  const texts = textsOf(content);
  if (texts.length === content.length) return item(`**${plain(label)}:** `, texts);
  const body = content.filter((b) => b.kind !== 'text').flatMap((b) => blockLines(b, 6));
  const words = texts.map(plain).join(' ');
  return ['', `**${plain(label)}:** ${words}`.trimEnd(), '', ...body, ''];
}

function details(summary: string, lines: readonly string[]): readonly string[] {
  return ['', `<details><summary>${summary}</summary>`, '', ...lines, '', '</details>', ''];
}

function blockLines(block: Block, level: number): readonly string[] {
  switch (block.kind) {
    case 'text':
      return ['', plain(block.text), ''];
    case 'list':
      return ['', ...block.items.map((item) => `- ${plain(item)}`), ''];
    case 'fields':
      return ['', ...merged(block.fields).flatMap(fieldLines), ''];
    case 'table': {
      const [head = [], ...rows] = block.rows;
      return table(
        head.map(plain),
        rows.map((r) => r.map(plain)),
      );
    }
    case 'types':
      return types(block.table);
    case 'effects':
      return effects(block);
    case 'users':
      return users(block.users);
    case 'command':
      return details(plain(block.title), ['```sh', ...commandLines(block.witness, CODE), '```']);
    case 'section':
      return [
        '',
        `${'#'.repeat(Math.min(level, 6))} ${plain(block.title)}`,
        ...linesOf(block.content, level + 1),
      ];
    case 'more':
      return block.content.length === 0
        ? ['', plain(block.summary), '']
        : details(plain(block.summary), linesOf(block.content, level));
  }
}

function linesOf(blocks: readonly Block[], level: number): readonly string[] {
  return blocks.flatMap((block) => blockLines(block, level));
}

/** A difference in GitHub-flavoured Markdown, for a pull request or an issue. */
export function diffMarkdown(d: Difference, options: ReportOptions): string {
  const { title, content } = reportOf(d, options);
  const lines = [`## ${plain(title)}`, ...linesOf(content, 3)];
  const once = lines.filter((line, i) => line !== '' || lines[i - 1] !== '');
  return `${once.join('\n').trimEnd()}\n`;
}
