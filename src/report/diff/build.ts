import type { Difference, PlatformGroup, Side } from '../../compare/difference.ts';
import type { AfterEvent, EventChange, Existing } from '../../compare/existing.ts';
import type { FamilyResult } from '../../compare/families/family.ts';
import { causeBlock, unknownCauses } from './build-cause.ts';
import { type Block, type Field, field, section, sectionOf, text } from './document.ts';
import { type GroupView, groupViews, userViews } from './gather.ts';
import { unchangedWords } from './unchanged.ts';
import { samePlatforms, sidesWords, verdictSentences } from './verdict.ts';
import { counted, FOLDED_INPUTS, grouped, listed, percent, platformWords } from './words.ts';

export interface ReportOptions {
  /** Also what no known kind of page reaches, and a command for every change. */
  readonly all: boolean;
}

const fields = (...list: readonly Field[]): readonly Block[] =>
  list.length === 0 ? [] : [{ kind: 'fields', fields: list }];

// ---- head ---------------------------------------------------------------------------------------

function sideFields({ name, title, notes }: Side): readonly Field[] {
  return [field(name, title), ...notes.map((note) => field('', `note: ${note}`))];
}

function head(d: Difference): readonly Block[] {
  return [...fields(...sideFields(d.a), ...sideFields(d.b)), text(verdictSentences(d).join(' '))];
}

function users(d: Difference): readonly Block[] {
  const changed = userViews(d);
  return changed.length === 0 ? [] : [section('Known users', [{ kind: 'users', users: changed }])];
}

// ---- platforms ----------------------------------------------------------------------------------

function groupTitle({ platforms, differing, points }: PlatformGroup): string {
  const ids = platforms.map(({ id }) => id).join(', ');
  return `${listed(platformWords(platforms))} (${ids}): ${percent(differing, points)} change`;
}

function leafOnlyWords({ leafOnly }: PlatformGroup): readonly Block[] {
  if (leafOnly === 0) return [];
  return [
    text(
      `At ${counted(leafOnly, 'other point')} KVM installs something else and the type is the same.`,
    ),
  ];
}

function groupBlock(view: GroupView, all: boolean): Block {
  const { group, known } = view;
  const each = group.platforms.length > 1 ? ' on each' : '';
  return section(groupTitle(group), [
    text(`${grouped(group.differing)} of ${counted(group.points, 'point')}${each}.`),
    ...known.map((n) => causeBlock(n, group.points, all)),
    ...unknownCauses(view, all),
    ...leafOnlyWords(group),
  ]);
}

// ---- what stays ---------------------------------------------------------------------------------

function unchanged(d: Difference, views: readonly GroupView[], all: boolean): readonly Block[] {
  const same = samePlatforms(d);
  const stays = [
    ...(same.length === 0 ? [] : [field('platforms', listed(same))]),
    ...views
      .filter(({ group }) => group.unchanged.length > 0)
      .map(({ group }) =>
        field(
          listed(platformWords(group.platforms)),
          group.unchanged.map(unchangedWords).join('; '),
        ),
      ),
    ...(d.usersUnchanged.length === 0
      ? []
      : [
          field(
            'known users',
            all
              ? { kind: 'list', items: d.usersUnchanged.map(({ id, title }) => `${id}: ${title}`) }
              : d.usersUnchanged.map(({ id }) => id).join(', '),
          ),
        ]),
  ];
  return sectionOf('Unchanged', fields(...stays));
}

// ---- beside the type ----------------------------------------------------------------------------

function rules(d: Difference): readonly Block[] {
  const found = d.rules.map(({ what, before, after, consequence, source }) =>
    section(
      what,
      fields(
        field('before', before),
        field('after', after),
        field('means', `${consequence} [${source}]`),
      ),
    ),
  );
  return sectionOf('Other rules', found);
}

function eventWords({ affected, stale, action, example }: AfterEvent): readonly string[] {
  return [
    `${action}; of ${counted(affected, 'state')} with another type ${grouped(stale)} stay stale`,
    ...(example === null
      ? []
      : [`for example ${example.state}: installed ${example.installed}, now ${example.now}`]),
  ];
}

function eventBlock({ title, platforms, before, after, consequence, source }: EventChange): Block {
  return section(
    `${title} (${listed(platformWords(platforms))})`,
    fields(
      ...eventWords(before).map((w, i) => field(i === 0 ? 'before' : '', w)),
      ...eventWords(after).map((w, i) => field(i === 0 ? 'after' : '', w)),
      field('means', `${consequence} [${source}]`),
    ),
  );
}

function existing({ points, changes, staleOnBoth }: Existing): readonly Block[] {
  if (points === 0) return [];
  const both = staleOnBoth.map(({ title }) => title).join('; ');
  return [
    section('Mappings that are there already', [
      ...changes.map(eventBlock),
      ...(both === '' ? [] : [text(`Stale on both sides after: ${both}.`)]),
      text(
        `${changes.length === 0 ? 'Both sides do the same after every event' : 'After every other event both do the same'} ` +
          `(${counted(points, 'state')} and events folded).`,
      ),
    ]),
  ];
}

function familyBlock({ title, bound, members, differing, cases }: FamilyResult): Block {
  return section(
    `${title}: ${grouped(differing)} of ${grouped(members)} differ`,
    fields(
      ...cases.flatMap((c) => [
        field('case', `${c.cause}: ${grouped(c.count)}, ${c.before} -> ${c.after} [${c.source}]`),
        field('', `for example ${c.example}`),
      ]),
      field('bound', bound),
    ),
  );
}

// ---- extent -------------------------------------------------------------------------------------

function extent(d: Difference): readonly Block[] {
  const platforms = d.platforms.reduce((n, g) => n + g.platforms.length, 0);
  const restricted = d.restrictedTo.length > 0 ? d.restrictedTo.join('; ') : null;
  const what =
    restricted === null
      ? `every combination of ${FOLDED_INPUTS} inputs`
      : `every combination of the inputs with ${restricted}`;
  return [
    section(
      'What was compared',
      fields(
        field(
          'folded',
          `${counted(d.points, 'point')}: ${what}, on ${counted(platforms, 'platform')}; ${grouped(d.differing)} differ`,
        ),
        ...(d.only === null ? [] : [field('only', `changes that matter for ${d.only}`)]),
        ...d.notCompared.map(({ platform, why }, i) =>
          field(i === 0 ? 'left out' : '', `${platform.title}: ${why}`),
        ),
      ),
    ),
  ];
}

// ---- all ----------------------------------------------------------------------------------------

export interface Report {
  readonly title: string;
  readonly content: readonly Block[];
}

/** Everything that a difference has to say, in the order in which it is read. */
export function reportOf(d: Difference, { all }: ReportOptions): Report {
  const views = groupViews(d);
  return {
    title: `${sidesWords(d)}`,
    content: [
      ...head(d),
      ...users(d),
      ...views.map((v) => groupBlock(v, all)),
      ...unchanged(d, views, all),
      ...rules(d),
      ...existing(d.existing),
      ...sectionOf('Infinite inputs, tried within a bound', d.families.map(familyBlock)),
      ...extent(d),
    ],
  };
}
