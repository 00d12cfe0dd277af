import type { Cause, DecidedBy } from '../../compare/difference.ts';
import { joined, linesWords, type Memory, meaningOf, once, pageFields } from './build-cause.ts';
import { type Block, type Field, field, fieldsOf, section } from './document.ts';
import { type DrawnTable, drawnTables } from './drawn-grid.ts';
import { type Effect, rangeWords } from './effects.ts';
import { knownChanges, type Numbered } from './gather.ts';
import { KERNEL } from './kernel-words.ts';
import { pagesOfCause, partWords } from './pages.ts';
import { coverWords, minimalWords, pairWords } from './words.ts';

/** The tables of a cause of which some known kind of page is. */
function tablesOf(cause: Cause): readonly DrawnTable[] {
  if (cause.grid === null) return [];
  return drawnTables(cause.grid).filter(({ backings }) => backings.length > 0);
}

/** Tables with rows and columns, each once. */
export function squareTables(causes: readonly Cause[]): number {
  const square = causes.flatMap(tablesOf).filter(({ columnInput }) => columnInput !== null);
  return new Set(square.map(({ rows }) => JSON.stringify(rows))).size;
}

/** The new types by the old one: "WB -> WC/UC". */
function pairList(cause: Cause): string {
  const by = new Map<string, string[]>();
  for (const { before, after } of knownChanges(cause)) {
    by.set(before, [...(by.get(before) ?? []), after]);
  }
  return [...by].map(([before, after]) => `${before} -> ${after.join('/')}`).join(', ');
}

function typeFields(cause: Cause, square: boolean): readonly Field[] {
  const tables = tablesOf(cause);
  const draws = square || tables.every(({ columnInput }) => columnInput === null);
  if (tables.length === 0 || !draws) return [field('types', pairList(cause))];
  return [field('types', ...tables.map((table): Block => ({ kind: 'types', table })))];
}

function effectWords({ consequence, text, places }: Effect, pages: readonly string[]): string {
  const whom = consequence?.forWhom ?? null;
  const to = whom === null || text.includes(whom) ? '' : ` for ${whom}`;
  const range = rangeWords(places);
  const changes = [...new Set(places.flatMap((p) => p.changes.map(pairWords)))].join(', ');
  const some = [...new Set(places.map((p) => (p.pages === null ? '' : partWords(p.pages, pages))))];
  const [of = ''] = some.length === 1 ? some : ['some of them'];
  const where = places.length === 0 ? '' : `${changes}${of === '' ? '' : ` of ${of}`}: `;
  return `${where}${text}${range === '' ? '' : `, ${range}`}${to}`;
}

function meaningFields(cause: Cause, memory: Memory): readonly Field[] {
  const { as, effects, gone } = meaningOf(cause, memory);
  const pages = pagesOfCause(cause);
  const items = [...effects.map((e) => effectWords(e, pages)), ...gone.map((w) => `not: ${w}`)];
  const list: Block = { kind: 'list', items };
  if (as === null) return items.length === 0 ? [] : [field('so', list)];
  if (items.length === 0) return [field('so', `as ${as}`)];
  return [field('so', `as ${as}, but:`, list)];
}

function mmioFields({ mmio }: Cause): readonly Field[] {
  if (mmio === null) return [];
  const says = ({ leaf }: DecidedBy): string => (leaf === 'not MMIO' ? 'false' : 'true');
  return [field('because', `kvm_is_mmio_pfn() ${says(mmio.before)} -> ${says(mmio.after)}`)];
}

/** A cause as a cover letter has it: what is installed, when, which types, for which pages, so what. */
export function letterCause({ no, cause }: Numbered, square: boolean, memory: Memory): Block {
  const when = [field('when', coverWords(cause.when, KERNEL) + minimalWords(cause.when))];
  const parts = [
    once('condition', when, no, memory),
    once('types', typeFields(cause, square), no, memory),
    once('pages', pageFields(cause), no, memory),
  ];
  const fields = [
    field('rules', linesWords(cause)),
    ...mmioFields(cause),
    ...joined(parts.filter((p) => 'as' in p || p.length > 0)),
    ...meaningFields(cause, memory),
  ];
  memory.causes.push({ no, cause });
  return section(`${no}. ${cause.before.leaf} -> ${cause.after.leaf}`, fieldsOf(...fields));
}
