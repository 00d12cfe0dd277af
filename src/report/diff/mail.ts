import type { Difference, Side } from '../../compare/difference.ts';
import { unchangedFor } from './build.ts';
import { emptyMemory } from './build-cause.ts';
import { type Block, field, fieldsOf, section, sectionOf, text } from './document.ts';
import { eventTitle, eventViews, otherEvents } from './existing-words.ts';
import {
  type GroupView,
  groupViews,
  knownChanges,
  pointsOf,
  type UserRow,
  userViews,
  worstOf,
} from './gather.ts';
import { letterCause, squareTables } from './letter-cause.ts';
import { userItems } from './letter-words.ts';
import { linesOf } from './text.ts';
import { samePlatforms, sameWords, sidesWords, verdictSentences } from './verdict.ts';
import {
  counted,
  FOLDED_INPUTS,
  grouped,
  listed,
  pairWords,
  percent,
  platformWords,
} from './words.ts';

/** Columns of a mail to a kernel list. */
const WIDTH = 72;

/** More tables with rows and columns than these are left to the full report. */
const TABLES = 3;

function sideFields({ name, title, notes }: Side): ReturnType<typeof field>[] {
  return [field(name, title), ...notes.map((note) => field('', note))];
}

function becomes(row: UserRow): string {
  return `${listed(platformWords(row.platforms))}: ${userItems(row).join('; ')}`;
}

function users(d: Difference): readonly Block[] {
  const views = userViews(d);
  const types = ({ before, after }: UserRow): string => `${before.join('/')} -> ${after.join('/')}`;
  return sectionOf(
    'Known users:',
    fieldsOf(
      ...views.flatMap(({ title, rows }) =>
        rows.map((row, i) =>
          field(types(row), `${i === 0 ? title : 'the same'}. ${becomes(row)}.`),
        ),
      ),
    ),
  );
}

function platforms(views: readonly GroupView[]): readonly Block[] {
  const memory = emptyMemory();
  const square = squareTables(views.flatMap((v) => v.known.map((n) => n.cause))) <= TABLES;
  return views.map(({ group, known, unknown }) =>
    section(
      `${listed(platformWords(group.platforms))}, ${percent(group.differing, group.points)} of the inputs:`,
      known.length === 0
        ? [
            text(
              `Only inputs of which no kind of page is known (${counted(unknown.length, 'cause')}).`,
            ),
          ]
        : known.map((n) => letterCause(n, square, memory)),
    ),
  );
}

function unchanged(d: Difference, views: readonly GroupView[]): readonly Block[] {
  const same = samePlatforms(d);
  const ids = d.usersUnchanged.map(({ id }) => id);
  const items = [
    ...(same.length === 0 ? [] : [`${sameWords(d)} on ${listed(same)}`]),
    ...unchangedFor(views),
    ...(ids.length === 0 ? [] : [`known users: ${ids.join(', ')}`]),
  ];
  return items.length === 0 ? [] : [section('Unchanged:', [{ kind: 'list', items }])];
}

function rules(d: Difference): readonly Block[] {
  const items = d.rules.map((r) => `${r.what}: ${r.before} -> ${r.after}. ${r.consequence}`);
  return items.length === 0 ? [] : [section('Other rules:', [{ kind: 'list', items }])];
}

function existing({ existing: of }: Difference): readonly Block[] {
  if (of.points === 0) return [];
  const items = eventViews(of).map((view) => {
    const { before, after, consequence } = view.change;
    const does = before.action === after.action ? '' : ` KVM: ${before.action} -> ${after.action}.`;
    return `${eventTitle(view)}: ${consequence}${does}`;
  });
  return [
    section('Mappings that exist already:', [
      { kind: 'list', items: [...items, ...otherEvents(of)] },
    ]),
  ];
}

/** What was generated is said in full only where something differs. */
function families({ families: all }: Difference): readonly Block[] {
  const items = all.map(({ title, members, differing, cases, bound }) => {
    if (differing === 0) return `${title}: none of ${grouped(members)} tried differs.`;
    const how = cases.map((c) => `${c.cause} (${grouped(c.count)})`).join('; ');
    return `${title}: ${grouped(differing)} of ${grouped(members)} tried differ: ${how}. Tried: ${bound}.`;
  });
  return items.length === 0
    ? []
    : [section('Infinite inputs, tried within a bound:', [{ kind: 'list', items }])];
}

/** What was folded, what was not, and what is left out here. */
function extent(d: Difference, views: readonly GroupView[]): readonly Block[] {
  const n = d.platforms.reduce((sum, g) => sum + g.platforms.length, 0);
  const restricted = d.restrictedTo.length === 0 ? '' : ` with ${d.restrictedTo.join('; ')}`;
  const rest = views.reduce((sum, { group, known }) => {
    const reached = known.reduce((k, { cause }) => k + pointsOf(knownChanges(cause)), 0);
    return sum + (group.differing - reached) * group.platforms.length;
  }, 0);
  const apart = d.notCompared.map(({ platform, why }) => `${platform.title} (${why})`);
  return [
    text(''),
    text(
      `Folded: every combination of ${FOLDED_INPUTS} inputs${restricted} on ${counted(n, 'platform')}, ` +
        `${counted(d.points, 'point')}; ${grouped(d.differing)} differ` +
        `${rest === 0 ? '' : `, ${grouped(rest)} of them with no known kind of page (not shown)`}.` +
        `${apart.length === 0 ? '' : ` Not compared: ${apart.join('; ')}.`}`,
    ),
  ];
}

function witness(views: readonly GroupView[]): readonly Block[] {
  const worst = worstOf(views);
  if (worst === null) return [];
  return [
    section('To see one:', [{ kind: 'command', title: pairWords(worst), witness: worst.witness }]),
  ];
}

/** Everything but ASCII as `?`: a mail to a list is plain. */
function ascii(words: string): string {
  return words.replace(/[^\n -~]/g, '?');
}

/** A difference as a section of a cover letter: plain, 72 columns, without sources. */
export function diffMail(d: Difference): string {
  const views = groupViews(d);
  const blocks: readonly Block[] = [
    text(`Memory types of guest accesses, ${sidesWords(d)}:`),
    text(''),
    ...fieldsOf(...sideFields(d.a), ...sideFields(d.b)),
    text(''),
    text(verdictSentences(d).join(' ')),
    ...users(d),
    ...platforms(views),
    ...unchanged(d, views),
    ...rules(d),
    ...existing(d),
    ...families(d),
    ...extent(d, views),
    ...witness(views),
  ];
  return ascii(`${linesOf(blocks, WIDTH).join('\n')}\n`);
}
