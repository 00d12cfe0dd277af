import type { Cause } from '../../compare/difference.ts';
import { joined, type Meaning, type Memory, meaningOf, once, pageFields } from './build-cause.ts';
import { type Block, type Field, field, fieldsOf, section } from './document.ts';
import { type DrawnTable, drawnTables } from './drawn-grid.ts';
import { knownChanges, type Numbered } from './gather.ts';
import { KERNEL, kernelInput } from './kernel-words.ts';
import { effectItems } from './letter-words.ts';
import { coverWords, listed, minimalWords, pairsWords } from './words.ts';

/** The tables of a cause of which some known kind of page is. */
function tablesOf(cause: Cause): readonly DrawnTable[] {
  if (cause.grid === null) return [];
  return drawnTables(cause.grid).filter(({ backings }) => backings.length > 0);
}

function inKernelWords(table: DrawnTable): DrawnTable {
  const [input = '', value = ''] = table.at?.split(' ') ?? [];
  return {
    ...table,
    at: table.at === null ? null : `${kernelInput(input)} ${value}`,
    rowInput: kernelInput(table.rowInput),
    columnInput: table.columnInput === null ? null : kernelInput(table.columnInput),
  };
}

/** Tables with rows and columns, each once. */
export function squareTables(causes: readonly Cause[]): number {
  const square = causes.flatMap(tablesOf).filter(({ columnInput }) => columnInput !== null);
  return new Set(square.map(({ rows }) => JSON.stringify(rows))).size;
}

/** What the types depend on, where no table shows it. */
function byWords({ grid }: Cause): string {
  if (grid === null) return '';
  const inputs = [grid.rows.input, grid.columns?.input, grid.slices[0]?.at?.input];
  return `, by ${listed(inputs.flatMap((i) => (i === undefined ? [] : [kernelInput(i)])))}`;
}

function typeFields(cause: Cause, square: boolean): readonly Field[] {
  const tables = tablesOf(cause);
  const draws = square || tables.every(({ columnInput }) => columnInput === null);
  if (tables.length === 0 || !draws)
    return [field('types', `${pairsWords(knownChanges(cause))}${byWords(cause)}`)];
  return [
    field(
      'types',
      ...tables.map((table): Block => ({ kind: 'types', table: inKernelWords(table) })),
    ),
  ];
}

function meaningFields({ as, effects, gone }: Meaning): readonly Field[] {
  const items = [...effectItems(effects), ...gone.map((w) => `not: ${w}`)];
  const list: Block = { kind: 'list', items };
  if (items.length === 0) return as === null ? [] : [field('so', `as ${as}`)];
  return as === null ? [field('so', list)] : [field('so', `as ${as}, but:`, list)];
}

/** Why, where it is met first. */
function whyFields({ after, mmio }: Cause, { lines }: Memory): readonly Field[] {
  const reasons = [
    ...(mmio === null ? [] : [{ by: mmio.after, words: `kvm_is_mmio_pfn(): ${mmio.after.why}` }]),
    { by: after, words: after.why },
  ].filter(({ by }) => !lines.has(by.rule));
  for (const { by } of reasons) lines.add(by.rule);
  return reasons.map(({ words }, i) => field(i === 0 ? 'why' : '', words));
}

/** An earlier cause that is the same, maybe under another condition. */
function sameAs(cause: Cause, { as, effects, gone }: Meaning, { causes }: Memory): Numbered | null {
  if (as === null || effects.length + gone.length > 0) return null;
  const key = ({ before, after, mmio }: Cause): string =>
    JSON.stringify([before.leaf, after.leaf, mmio?.before.leaf, mmio?.after.leaf]);
  const like = causes.find(({ no }) => no === as);
  return like !== undefined && key(like.cause) === key(cause) ? like : null;
}

/** A cause as a cover letter has it: what is installed, when, which types, for which pages, so what. */
export function letterCause({ no, cause }: Numbered, square: boolean, memory: Memory): Block {
  const when = [field('when', coverWords(cause.when, KERNEL) + minimalWords(cause.when))];
  const meaning = meaningOf(cause, memory);
  const as = sameAs(cause, meaning, memory);
  const parts =
    as !== null
      ? [
          JSON.stringify(as.cause.when) === JSON.stringify(cause.when)
            ? [field(`as ${as.no}`, 'all of it')]
            : [field(`as ${as.no}`, 'all but the condition'), ...when],
        ]
      : [
          once('condition', when, no, memory),
          once('types', typeFields(cause, square), no, memory),
          once('pages', pageFields(cause), no, memory),
        ];
  const fields = [
    ...whyFields(cause, memory),
    ...joined(parts.filter((p) => 'as' in p || p.length > 0)),
    ...(as === null ? meaningFields(meaning) : []),
  ];
  memory.causes.push({ no, cause });
  return section(`${no}. ${cause.before.leaf} -> ${cause.after.leaf}`, fieldsOf(...fields));
}
