import type { Difference, PlatformGroup, Side } from '../../compare/difference.ts';
import type { AfterEvent, Existing } from '../../compare/existing/existing.ts';
import type { FamilyResult } from '../../compare/families/family.ts';
import type { Platform } from '../../compare/platforms.ts';
import { causeBlock, emptyMemory, unknownCauses, type Writing } from './build-cause.ts';
import { type Block, type Field, field, fieldsOf, section, sectionOf, text } from './document.ts';
import {
  actionWords,
  type EventView,
  eventTitle,
  eventViews,
  exampleWords,
  otherEvents,
} from './existing-words.ts';
import { type GroupView, groupViews, userViews } from './gather.ts';
import { unchangedWords } from './unchanged.ts';
import { samePlatforms, sameWords, sidesWords, verdictSentences } from './verdict.ts';
import { counted, FOLDED_INPUTS, grouped, listed, percent, platformWords } from './words.ts';

export interface ReportOptions {
  /** Also what no known kind of page reaches, and a command for every change. */
  readonly all: boolean;
}

// ---- head ---------------------------------------------------------------------------------------

function sideFields({ name, title, notes }: Side): readonly Field[] {
  return [field(name, title), ...notes.map((note) => field('', `note: ${note}`))];
}

function head(d: Difference): readonly Block[] {
  return [...fieldsOf(...sideFields(d.a), ...sideFields(d.b)), text(verdictSentences(d).join(' '))];
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

function groupBlock(view: GroupView, writing: Writing): Block {
  const { group, known } = view;
  const { leafOnly, differing, points } = group;
  const each = group.platforms.length > 1 ? ' on each' : '';
  const leaf =
    leafOnly === 0
      ? ''
      : `; at ${grouped(leafOnly)} others KVM installs something else and the type stays`;
  return section(groupTitle(group), [
    text(`${grouped(differing)} of ${counted(points, 'point')}${each}${leaf}.`),
    ...known.map((n) => causeBlock(n, points, writing)),
    ...unknownCauses(view, writing),
  ]);
}

// ---- what stays ---------------------------------------------------------------------------------

/** For whom nothing changes on the platforms where something does. */
export function unchangedFor(views: readonly GroupView[]): readonly string[] {
  const by = new Map<string, Platform[]>();
  for (const { group } of views) {
    if (group.unchanged.length === 0) continue;
    const words = group.unchanged.map(unchangedWords).join('; ');
    by.set(words, [...(by.get(words) ?? []), ...group.platforms]);
  }
  return [...by].map(([words, on]) => `on ${listed(platformWords(on))}: ${words}`);
}

function unchanged(d: Difference, views: readonly GroupView[], all: boolean): readonly Block[] {
  const same = samePlatforms(d);
  const ids = d.usersUnchanged.map(({ id }) => id);
  const named = d.usersUnchanged.map(({ id, title }) => `${id}: ${title}`);
  const items = [
    ...(same.length === 0 ? [] : [`${sameWords(d)} on ${listed(same)}`]),
    ...unchangedFor(views),
    ...(ids.length === 0 || all ? [] : [`known users: ${ids.join(', ')}`]),
    ...(all ? named : []),
  ];
  return items.length === 0 ? [] : [section('Unchanged', [{ kind: 'list', items }])];
}

// ---- beside the type ----------------------------------------------------------------------------

function rules(d: Difference): readonly Block[] {
  const found = d.rules.map(({ what, before, after, consequence, source }) =>
    section(
      what,
      fieldsOf(
        field('before', before),
        field('after', after),
        field('means', `${consequence} [${source}]`),
      ),
    ),
  );
  return sectionOf('Other rules', found);
}

function eventBlock(view: EventView): Block {
  const { before, after, consequence, source } = view.change;
  const side = (label: string, event: AfterEvent): readonly Field[] => {
    const example = exampleWords(event);
    return [field(label, actionWords(event)), ...(example === null ? [] : [field('', example)])];
  };
  return section(
    eventTitle(view),
    fieldsOf(
      ...side('before', before),
      ...side('after', after),
      field('means', `${consequence} [${source}]`),
    ),
  );
}

function existing(of: Existing): readonly Block[] {
  if (of.points === 0) return [];
  const rest: Block = { kind: 'list', items: otherEvents(of) };
  return [section('Mappings that are there already', [...eventViews(of).map(eventBlock), rest])];
}

function familyBlock({ title, bound, members, differing, cases }: FamilyResult): Block {
  return section(
    `${title}: ${grouped(differing)} of ${grouped(members)} differ`,
    fieldsOf(
      ...cases.flatMap((c) => [
        field('case', `${c.cause}: ${grouped(c.count)} [${c.source}]`),
        field('', `${c.before} -> ${c.after}`),
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
      fieldsOf(
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
  const memory = all ? null : emptyMemory();
  return {
    title: `${sidesWords(d)}`,
    content: [
      ...head(d),
      ...users(d),
      ...views.map((v) => groupBlock(v, { all, memory })),
      ...unchanged(d, views, all),
      ...rules(d),
      ...existing(d.existing),
      ...sectionOf('Infinite inputs, tried within a bound', d.families.map(familyBlock)),
      ...extent(d),
    ],
  };
}
