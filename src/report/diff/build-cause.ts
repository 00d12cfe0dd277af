import type { Cause, Change, DecidedBy } from '../../compare/difference.ts';
import { type Block, type Field, field, fieldsOf, section } from './document.ts';
import { drawnTables } from './drawn-grid.ts';
import { type Effect, effectsOf } from './effects.ts';
import {
  type GroupView,
  knownChanges,
  type Numbered,
  pointsOf,
  unknownChanges,
  worstChange,
} from './gather.ts';
import { pagesOf, pagesOfCause, pageWords } from './pages.ts';
import {
  counted,
  coverWords,
  grouped,
  listed,
  minimalWords,
  pairsWords,
  pairWords,
  percent,
} from './words.ts';
import { decidedWords, placeWords } from './words-of.ts';

/** What the report has said already, so that it is not said again. */
export interface Memory {
  /** By what is said, the number of the cause where it is. */
  readonly said: Map<string, number>;
  /** Lines of decision lists that were explained. */
  readonly lines: Set<string>;
  readonly causes: Numbered[];
}

export function emptyMemory(): Memory {
  return { said: new Map(), lines: new Set(), causes: [] };
}

/** How a cause is written, and what may be left out. */
export interface Writing {
  readonly all: boolean;
  /** Null: everything is written out. */
  readonly memory: Memory | null;
}

export function linesWords({ before, after }: Pick<Cause, 'before' | 'after'>): string {
  return `${before.rule} -> ${after.rule}`;
}

// ---- types --------------------------------------------------------------------------------------

export function changeRows(changes: readonly Change[]): Block {
  return {
    kind: 'table',
    rows: [
      ['change', 'points', 'when'],
      ...changes.map((c) => [
        pairWords(c),
        grouped(c.points),
        coverWords(c.when) + minimalWords(c.when),
      ]),
    ],
  };
}

/** The types: as tables of what known kinds of page reach, else change by change. */
function typeFields(cause: Cause, all: boolean): readonly Field[] {
  const known = knownChanges(cause);
  if (cause.grid === null) return [field('types', changeRows(all ? cause.changes : known))];
  const tables = drawnTables(cause.grid);
  const shown = all ? tables : tables.filter((t) => t.backings.length > 0 || known.length === 0);
  const rest = tables.filter((t) => !shown.includes(t)).map(({ at }) => at ?? '');
  return [
    field('types', ...shown.map((table): Block => ({ kind: 'types', table }))),
    ...(rest.length === 0
      ? []
      : [field('', `no known kind of page, not shown: ${rest.join('; ')}`)]),
    ...(all
      ? [
          field('changes', {
            kind: 'more',
            summary: `${counted(cause.changes.length, 'change')}, with points and conditions`,
            content: [changeRows(cause.changes)],
          }),
        ]
      : []),
  ];
}

function unknownFields(cause: Cause): readonly Field[] {
  const rest = unknownChanges(cause);
  if (rest.length === 0) return [];
  const pairs = pairsWords(rest);
  return [field('besides', `${pairs}: ${counted(pointsOf(rest), 'point')}, no known kind of page`)];
}

/** The kinds of page that a cause reaches, by change where they are not the same for all. */
export function pageFields(cause: Cause): readonly Field[] {
  const pages = pagesOfCause(cause);
  if (pages.length === 0) return [];
  const by = new Map<string, Change[]>();
  for (const change of knownChanges(cause)) {
    const key = pageWords(pagesOf(change));
    by.set(key, [...(by.get(key) ?? []), change]);
  }
  if (by.size === 1) return [field('pages', pageWords(pages))];
  return [...by].map(([words, changes], i) =>
    field(i === 0 ? 'pages' : '', `${pairsWords(changes)}: ${words}`),
  );
}

// ---- what it means ------------------------------------------------------------------------------

/** An effect by what it says and where, whatever the verdicts and sources are. */
function effectKeys(effects: readonly Effect[]): readonly string[] {
  return effects.map(({ consequence, text, places }) =>
    [text, consequence?.forWhom ?? '', ...places.map(placeWords)].join('; '),
  );
}

/** What a cause means, as far as an earlier one with the same types and kinds of page does not. */
export interface Meaning {
  /** The number of the earlier cause; null: there is none that is much the same. */
  readonly as: number | null;
  readonly effects: readonly Effect[];
  /** What the earlier one means and this one does not. */
  readonly gone: readonly string[];
}

export function meaningOf(cause: Cause, memory: Memory | null): Meaning {
  const effects = effectsOf(knownChanges(cause));
  const types = (c: Cause): string =>
    JSON.stringify(knownChanges(c).map((x) => [x.before, x.after, pagesOf(x)]));
  const own = effectKeys(effects);
  for (const { no, cause: other } of memory?.causes ?? []) {
    if (types(other) !== types(cause)) continue;
    const theirs = effectsOf(knownChanges(other));
    const keys = effectKeys(theirs);
    const more = effects.filter((_, i) => !keys.includes(own[i] ?? ''));
    const gone = theirs
      .filter(({ text }, i) => !own.includes(keys[i] ?? '') && !more.some((m) => m.text === text))
      .map(({ text }) => text);
    if (more.length + gone.length < effects.length) return { as: no, effects: more, gone };
  }
  return { as: null, effects, gone: [] };
}

function meaningFields(cause: Cause, memory: Memory | null): readonly Field[] {
  const { as, effects, gone } = meaningOf(cause, memory);
  const block: Block = { kind: 'effects', effects };
  if (as === null) return effects.length === 0 ? [] : [field('means', block)];
  return [
    field('means', `as ${as}${effects.length + gone.length === 0 ? '' : ', but for this:'}`),
    ...(effects.length === 0 ? [] : [field('', block)]),
    ...gone.map((words) => field('', `not here: ${words}`)),
  ];
}

// ---- one cause ----------------------------------------------------------------------------------

/** A line of a decision list, explained where it is met first. */
function lineWords(by: DecidedBy, memory: Memory | null): string {
  if (memory === null) return decidedWords(by);
  const known = memory.lines.has(by.rule);
  memory.lines.add(by.rule);
  return known ? by.leaf : decidedWords(by);
}

function decidedFields({ before, after, mmio }: Cause, memory: Memory | null): readonly Field[] {
  const because = (by: DecidedBy | undefined): readonly Field[] =>
    by === undefined ? [] : [field('', `${by.rule}: ${lineWords(by, memory)}`)];
  return [
    field('before', lineWords(before, memory)),
    ...because(mmio?.before),
    field('after', lineWords(after, memory)),
    ...because(mmio?.after),
  ];
}

function commandFields(cause: Cause, all: boolean): readonly Field[] {
  const worst = worstChange(cause);
  const shown = all ? cause.changes : worst === null ? [] : [worst];
  const commands = shown.map(
    (c): Block => ({ kind: 'command', title: pairWords(c), witness: c.witness }),
  );
  return commands.length === 0 ? [] : [field('example', ...commands)];
}

/** As many characters are no longer than a reference to them. */
const WORTH = 60;

function size(fields: readonly Field[]): number {
  return fields.reduce(
    (n, { content }) =>
      n + content.reduce((k, b) => k + (b.kind === 'text' ? b.text.length : WORTH), 0),
    0,
  );
}

/** Fields of a kind, or where an earlier cause had the very same. */
export function once(
  what: string,
  fields: readonly Field[],
  no: number,
  memory: Memory | null,
): { readonly as: number; readonly what: string } | readonly Field[] {
  if (memory === null || size(fields) < WORTH) return fields;
  const key = JSON.stringify([what, fields]);
  const as = memory.said.get(key);
  if (as !== undefined) return { as, what };
  memory.said.set(key, no);
  return fields;
}

/** Parts of a cause in order, and one line for all that an earlier one has too. */
export function joined(parts: readonly ReturnType<typeof once>[]): readonly Field[] {
  const same = parts.flatMap((p) => ('as' in p ? [p] : []));
  const numbers = [...new Set(same.map(({ as }) => as))];
  const fields = parts.flatMap((p) => ('as' in p ? [] : p));
  return [
    ...numbers.map((n) =>
      field(`as ${n}`, listed(same.filter(({ as }) => as === n).map(({ what }) => what))),
    ),
    ...fields,
  ];
}

function pointWords({ points, differing }: Cause, whole: number): string {
  const of = points === differing ? '' : ` of ${grouped(points)} that these lines decide`;
  return `${grouped(differing)}${of}, ${percent(differing, whole)} of all`;
}

export function causeBlock(numbered: Numbered, whole: number, { all, memory }: Writing): Block {
  const { no, cause } = numbered;
  const when = [field('when', coverWords(cause.when) + minimalWords(cause.when))];
  const parts = [
    once('condition', when, no, memory),
    once('types', typeFields(cause, all), no, memory),
    once('kinds of page', pageFields(cause), no, memory),
  ];
  const fields = [
    field('points', pointWords(cause, whole)),
    ...decidedFields(cause, memory),
    ...joined(parts.filter((p) => 'as' in p || p.length > 0)),
    ...(all ? [] : unknownFields(cause)),
    ...meaningFields(cause, memory),
    ...commandFields(cause, all),
  ];
  memory?.causes.push(numbered);
  return section(`${no}. ${linesWords(cause)}`, fieldsOf(...fields));
}

/** Causes that no known kind of page reaches. */
export function unknownCauses({ group, unknown }: GroupView, writing: Writing): readonly Block[] {
  if (unknown.length === 0) return [];
  const points = unknown.reduce((n, { cause }) => n + cause.differing, 0);
  const names = unknown.map(({ cause }) => linesWords(cause)).join('; ');
  const summary =
    `No known kind of page gets into ${counted(unknown.length, 'more cause')} ` +
    `(${counted(points, 'point')}, ${percent(points, group.points)}): ${names}`;
  const content = writing.all ? unknown.map((n) => causeBlock(n, group.points, writing)) : [];
  return [{ kind: 'more', summary, content }];
}
