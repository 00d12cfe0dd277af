import type { Cause, Change, Consequence, DecidedBy } from '../../compare/difference.ts';
import { type Block, type Field, field, section } from './document.ts';
import { drawnTables } from './drawn-grid.ts';
import {
  type Effect,
  effectsOf,
  type GroupView,
  knownChanges,
  type Numbered,
  type Place,
  pagesOf,
  pagesOfCause,
  pageWords,
  pointsOf,
  unknownChanges,
  withoutEffect,
  worstChange,
} from './gather.ts';
import { counted, coverWords, grouped, minimalWords, pairWords, percent } from './words.ts';

// ---- what a change means ------------------------------------------------------------------------

/** A consequence in full: for whom, by which verdicts, from where. */
export function consequenceWords({ text, forWhom, codes, sources }: Consequence): string {
  const whom = forWhom === null || text.includes(forWhom) ? '' : ` for ${forWhom}`;
  const notes = [...codes, ...sources];
  return `${text}${whom}${notes.length === 0 ? '' : ` [${notes.join(', ')}]`}`;
}

export function placeWords({ changes, backings }: Place): string {
  const pairs = changes.map(pairWords).join(', ');
  return backings === null ? pairs : `${pairs} of ${pageWords(backings)}`;
}

function effectWords({ consequence, places, everywhere }: Effect): string {
  const where = everywhere ? 'always' : places.map(placeWords).join('; ');
  return `${where}: ${consequenceWords(consequence)}`;
}

/** What the changes of a cause mean, the worst first, each said once. */
export function meaningWords(changes: readonly Change[]): readonly string[] {
  const effects = effectsOf(changes).map(effectWords);
  const none = withoutEffect(changes);
  if (none.length === 0) return effects;
  return [...effects, `${none.map(placeWords).join('; ')}: no consequence known`];
}

// ---- one cause ----------------------------------------------------------------------------------

function decidedWords({ leaf, why, source }: DecidedBy): string {
  return `${leaf}: ${why} [${source}]`;
}

function linesWords({ before, after }: Cause): string {
  return `${before.rule} -> ${after.rule}`;
}

function changeRows(changes: readonly Change[]): Block {
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

/** The types: as tables of the kinds of page that are known, else change by change. */
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
      : [field('', `no known kind of page, and not shown: ${rest.join(', ')}`)]),
    ...(all ? [field('changes', changeRows(cause.changes))] : []),
  ];
}

function unknownFields(cause: Cause): readonly Field[] {
  const rest = unknownChanges(cause);
  if (rest.length === 0) return [];
  const pairs = rest.map(pairWords).join(', ');
  return [field('beside', `${pairs}: ${counted(pointsOf(rest), 'point')}, no known kind of page`)];
}

/** The kinds of page that a cause reaches, where each of its changes reaches the same. */
function pageFields(cause: Cause): readonly Field[] {
  const pages = pagesOfCause(cause);
  if (pages.length === 0) return [];
  const same = knownChanges(cause).every((c) => pagesOf(c).join() === pages.join());
  return same
    ? [field('pages', pageWords(pages))]
    : knownChanges(cause).map((c, i) =>
        field(i === 0 ? 'pages' : '', `${pairWords(c)}: ${pageWords(pagesOf(c))}`),
      );
}

function meaningFields(changes: readonly Change[]): readonly Field[] {
  return meaningWords(changes).map((words, i) => field(i === 0 ? 'means' : '', words));
}

function commandFields(cause: Cause, all: boolean): readonly Field[] {
  const worst = worstChange(cause);
  const shown = all ? cause.changes : worst === null ? [] : [worst];
  return shown.map((c) =>
    field(`${pairWords(c)}, for example`, { kind: 'command', witness: c.witness }),
  );
}

/** What is not the same as for an earlier cause of the same lines and types. */
function otherMeaning(cause: Cause, like: Cause): readonly string[] {
  const own = meaningWords(knownChanges(cause));
  const theirs = meaningWords(knownChanges(like));
  const more = own.filter((w) => !theirs.includes(w));
  const gone = theirs.filter((w) => !own.includes(w));
  return [...more, ...gone.map((w) => `not here: ${w}`)];
}

function pointWords({ points, differing }: Cause, whole: number): string {
  const of = points === differing ? '' : ` of ${grouped(points)} that these lines decide`;
  return `${counted(differing, 'point')}${of}, ${percent(differing, whole)} of all`;
}

export function causeBlock(
  { no, cause, like, likeEffects }: Numbered,
  whole: number,
  all: boolean,
): Block {
  const title = `${no}. ${linesWords(cause)}`;
  const points = pointWords(cause, whole);
  if (like !== null && !all) {
    const other = likeEffects ? [] : otherMeaning(cause, like.cause);
    const as = likeEffects ? `as ${like.no}` : `as ${like.no}, but`;
    return section(title, [
      {
        kind: 'fields',
        fields: [
          field('points', points),
          field('the rest', as),
          ...other.map((w, i) => field(i === 0 ? 'means' : '', w)),
        ],
      },
    ]);
  }
  const { before, after, mmio, when } = cause;
  const fields = [
    field('points', points),
    field('before', decidedWords(before)),
    field('after', decidedWords(after)),
    ...(mmio === null
      ? []
      : [
          field('', `because ${mmio.before.rule}: ${decidedWords(mmio.before)}`),
          field('', `and now ${mmio.after.rule}: ${decidedWords(mmio.after)}`),
        ]),
    field('when', coverWords(when) + minimalWords(when)),
    ...typeFields(cause, all),
    ...(all ? [] : unknownFields(cause)),
    ...pageFields(cause),
    ...meaningFields(knownChanges(cause)),
  ];
  return section(title, [
    { kind: 'fields', fields },
    { kind: 'fields', fields: commandFields(cause, all) },
  ]);
}

/** Causes that no known kind of page reaches. */
export function unknownCauses({ group, unknown }: GroupView, all: boolean): readonly Block[] {
  if (unknown.length === 0) return [];
  const points = unknown.reduce((n, { cause }) => n + cause.differing, 0);
  const names = unknown.map(({ cause }) => linesWords(cause)).join('; ');
  return [
    {
      kind: 'more',
      summary:
        `No known kind of page gets into ${counted(unknown.length, 'more cause')} ` +
        `(${counted(points, 'point')}, ${percent(points, group.points)}): ${names}`,
      content: unknown.map((n) => causeBlock(n, group.points, all)),
    },
  ];
}
