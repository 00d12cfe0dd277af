import type { Difference, TypePair } from '../../compare/difference.ts';
import { COLOURS, escaped } from '../svg-parts.ts';
import { type Report, reportOf } from './build.ts';
import { type Block, type Field, merged } from './document.ts';
import { captionWords, cellWords, type DrawnTable, headWords } from './drawn-grid.ts';
import type { Effect } from './effects.ts';
import type { UserRow, UserView } from './gather.ts';
import { STYLE } from './html-style.ts';
import { commandLines } from './witness.ts';
import { isWorse, listed, platformWords } from './words.ts';
import { effectWords, placeWords, userWords } from './words-of.ts';

/** Columns of a command. */
const CODE = 90;

function element(name: string, content: string, attributes = ''): string {
  return `<${name}${attributes === '' ? '' : ` ${attributes}`}>${content}</${name}>`;
}

const cells = (name: 'td' | 'th', words: readonly string[]): string =>
  words.map((w) => element(name, escaped(w))).join('');

function scrolled(table: string): string {
  return element('div', table, 'class="wide"');
}

// ---- types --------------------------------------------------------------------------------------

function typeCell(pair: TypePair | null, before: DrawnTable['before']): string {
  if (pair === null) return '<td class="none"></td>';
  const words = escaped(cellWords(pair, before).replace('>', ' \u2192 '));
  if (pair.before === pair.after) return element('td', words, 'class="same"');
  return element('td', words, `class="type" style="background:${COLOURS[pair.after] ?? '#fff'}"`);
}

function typesTable(drawn: DrawnTable): string {
  const caption = captionWords(drawn);
  const head = element('tr', cells('th', headWords(drawn)));
  const rows = drawn.rows.map(({ label, cells: pairs }) =>
    element(
      'tr',
      element('th', escaped(label)) + pairs.map((p) => typeCell(p, drawn.before)).join(''),
    ),
  );
  const title = caption === '' ? '' : element('caption', escaped(caption));
  return scrolled(element('table', `${title}\n${[head, ...rows].join('\n')}`, 'class="types"'));
}

// ---- consequences -------------------------------------------------------------------------------

function effectItem(effect: Effect): string {
  const { consequence, places } = effect;
  const kind =
    consequence === null ? '' : isWorse(consequence.kind) ? 'class="worse"' : 'class="better"';
  const inner = places.map((p) => element('li', escaped(placeWords(p)))).join('');
  const where = inner === '' ? '' : element('ul', inner);
  return element('li', element('span', escaped(effectWords(effect)), kind) + where);
}

function typeChip(type: string): string {
  const fill = COLOURS[type] ?? '#fff';
  return element('span', escaped(type), `class="chip" style="background:${fill}"`);
}

function userRow(row: UserRow): string {
  const chips = (types: readonly string[]): string => types.map(typeChip).join(' or ');
  return [
    element('td', escaped(listed(platformWords(row.platforms)))),
    element('td', `${chips(row.before)} \u2192 ${chips(row.after)}`, 'class="pair"'),
    element(
      'td',
      element(
        'ul',
        userWords(row)
          .map((w) => element('li', escaped(w)))
          .join(''),
      ),
    ),
  ].join('');
}

function usersTable(users: readonly UserView[]): string {
  const head = element('tr', cells('th', ['user', 'platforms', 'type', 'means']));
  const rows = users.flatMap(({ id, title, source, rows: all }) =>
    all.map((row, i) => {
      const name = `<b>${escaped(id)}</b><br>${escaped(title)} <i>[${escaped(source)}]</i>`;
      const first = i === 0 ? element('td', name, `rowspan="${all.length}"`) : '';
      return element('tr', first + userRow(row));
    }),
  );
  return scrolled(element('table', [head, ...rows].join('\n'), 'class="users"'));
}

// ---- blocks -------------------------------------------------------------------------------------

function fieldHtml({ label, content }: Field): string {
  const body = content.map((b) => blockHtml(b, 4)).join('\n');
  return `${element('dt', escaped(label))}\n${element('dd', body)}`;
}

/** Folded away: it is for those who want to see it. */
function detailsHtml(summary: string, body: string): string {
  return element('details', `${element('summary', escaped(summary))}\n${body}`);
}

function tableHtml([head = [], ...rows]: readonly (readonly string[])[]): string {
  const lines = [cells('th', head), ...rows.map((r) => cells('td', r))];
  return scrolled(element('table', lines.map((l) => element('tr', l)).join('\n')));
}

function blockHtml(block: Block, level: number): string {
  switch (block.kind) {
    case 'text':
      return element('p', escaped(block.text));
    case 'list':
      return element('ul', block.items.map((i) => element('li', escaped(i))).join('\n'));
    case 'fields':
      return element('dl', merged(block.fields).map(fieldHtml).join('\n'));
    case 'table':
      return tableHtml(block.rows);
    case 'types':
      return typesTable(block.table);
    case 'effects':
      return element('ul', block.effects.map(effectItem).join('\n'));
    case 'users':
      return usersTable(block.users);
    case 'command':
      return detailsHtml(
        block.title,
        element('pre', escaped(commandLines(block.witness, CODE).join('\n'))),
      );
    case 'section':
      return element(
        'section',
        `${element(`h${level}`, escaped(block.title))}\n${blocksHtml(block.content, level + 1)}`,
      );
    case 'more':
      return detailsHtml(block.summary, blocksHtml(block.content, level));
  }
}

function blocksHtml(blocks: readonly Block[], level: number): string {
  return blocks.map((block) => blockHtml(block, Math.min(level, 6))).join('\n');
}

function reportHtml({ title, content }: Report): string {
  const head = element('h1', escaped(title.replace('->', '\u2192')));
  return element('article', `${head}\n${blocksHtml(content, 2)}`);
}

/** Differences as one page that needs nothing else; what is not shown by default can be opened. */
export function diffHtml(differences: readonly Difference[]): string {
  const reports = differences.map((d) => reportOf(d, { all: true }));
  const title = reports.map((r) => r.title).join('; ');
  return [
    '<!DOCTYPE html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    element('title', escaped(`memtype diff: ${title}`)),
    element('style', STYLE),
    '</head>',
    '<body>',
    ...reports.map(reportHtml),
    '</body>',
    '</html>\n',
  ].join('\n');
}
