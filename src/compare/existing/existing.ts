import type { SourceId } from '../../cite/sources.ts';
import { zapRuleWords } from '../../kvm/zap.ts';
import type { Side } from '../difference.ts';
import type { Platform } from '../platforms.ts';
import { givenBy, type Restriction, wayOf } from '../space/fold.ts';
import { SWEEP_INPUTS, type SweepInput } from '../space/space.ts';
import { ALWAYS_KEEPS, type Allowed, sameOutcomes, type Told, told } from './after-event.ts';
import { EVENTS, type EventId, type EventKind, KINDS, ZAP_RULES } from './events.ts';
import { type Behaviour, behaviourOf } from './leaf-table.ts';
import { type Digits, type PageClasses, pageClasses } from './page-class.ts';
import { PLAIN_FIRST, upTo } from './table.ts';

export type { EventId } from './events.ts';

/**
 * An event on one side: does a mapping that would get another type now keep the old one? Numbers are of
 * all platforms of the change together.
 */
export interface AfterEvent {
  /** States (points before the event) in which the leaf would now be another one; none for a refused call. */
  readonly affected: number;
  /** Of those, states in which nothing zaps it: it stays stale until something else refaults it. */
  readonly stale: number;
  /** What KVM does, e.g. "zap-all if ept (first or last device)"; "nothing (until 6.7)". */
  readonly action: string;
  /** An example of a stale mapping: installed, and what would be installed now; null: none. */
  readonly example: {
    readonly installed: string;
    readonly now: string;
    readonly state: string;
  } | null;
}

export interface EventChange {
  readonly event: EventId;
  readonly title: string;
  readonly platforms: readonly Platform[];
  readonly before: AfterEvent;
  readonly after: AfterEvent;
  /** One sentence: what that means for those who have the event. */
  readonly consequence: string;
  readonly source: SourceId;
}

/** What happens to mappings that are there already. */
export interface Existing {
  readonly differs: boolean;
  /** States x events folded. */
  readonly points: number;
  /** Events after which the two sides do not do the same. */
  readonly changes: readonly EventChange[];
  /** Events after which both leave mappings stale: no change, but worth knowing. */
  readonly staleOnBoth: readonly { readonly event: EventId; readonly title: string }[];
}

// ---- points ------------------------------------------------------------------------------------

/** Pairs of a state and what it may become, one platform, one restriction. */
function pointsOf({ flips }: EventKind, given: Restriction, allowed: Digits): number {
  const count = (key: SweepInput): number => (given[key] === undefined ? allowed(key).length : 1);
  return flips.reduce((sum, { inputs, from, to }) => {
    const rest = SWEEP_INPUTS.filter((key) => !inputs.includes(key));
    const others = rest.reduce((n, key) => n * count(key), 1);
    const [first = 'guest'] = inputs;
    const values = PLAIN_FIRST[first];
    const has = (key: SweepInput, value: unknown): boolean =>
      (given[key] ?? allowed(key).map((v) => PLAIN_FIRST[key][v])).includes(value);
    if (to !== undefined) return sum + (has(first, from) ? others : 0);
    const olds = inputs.reduce((n, key) => n * count(key), 1);
    const unmoved = values.filter((value) => inputs.every((key) => has(key, value))).length;
    return sum + others * (olds * values.length - unmoved);
  }, 0);
}

// ---- two sides ----------------------------------------------------------------------------------

const LATER = 'until something else zaps them';

function consequenceOf(before: AfterEvent, after: AfterEvent): string {
  if (before.stale > 0 && after.stale === 0) {
    return after.affected > 0
      ? 'Mappings that are there already get their new type at once; before, they kept the old one.'
      : 'No mapping is left with an old type: the type does not depend on it any more.';
  }
  if (before.stale === 0 && after.stale > 0) {
    return before.affected > 0
      ? `Mappings that are there already now keep their old type ${LATER}.`
      : `The type depends on it now, and mappings that are there already keep the old one ${LATER}.`;
  }
  if (before.stale !== after.stale) {
    const more = after.stale > before.stale ? 'More' : 'Fewer';
    return `${more} states than before in which mappings keep their old type ${LATER}.`;
  }
  if (after.affected === 0) return 'No zapping any more, and none needed: no type depends on it.';
  if (before.affected === 0) return 'The type depends on it now, and what is there is zapped.';
  return `Other mappings than before keep their old type ${LATER}.`;
}

/** The states that a restriction leaves. */
function allowedBy(restriction: Restriction, classes: PageClasses): Allowed {
  const lists = new Map(
    SWEEP_INPUTS.map((key) => {
      const only = restriction[key];
      const numbers = upTo(PLAIN_FIRST[key].length);
      return [key, numbers.filter((v) => only?.includes(PLAIN_FIRST[key][v]) ?? true)] as const;
    }),
  );
  const digits: Digits = (key) => lists.get(key) ?? [];
  return {
    digits,
    pages: classes.weights(digits),
    pageWords: (page) => classes.words(page, digits),
  };
}

/** One side on any platform. Platforms that say the same to KVM are asked once. */
function teller(
  { rules }: Side,
  side: 0 | 1,
  classes: PageClasses,
  allowed: readonly Allowed[],
): (platform: Platform, event: EventId) => Told {
  const behaviours = new Map<string, Behaviour>();
  const answers = new Map<string, Told>();
  return (platform, event) => {
    const kind = KINDS[event];
    const alike = JSON.stringify([wayOf(platform), givenBy(platform)]);
    const behaviour =
      behaviours.get(alike) ?? behaviourOf(rules, platform, ZAP_RULES, classes, side);
    behaviours.set(alike, behaviour);
    const key = `${event} ${alike}`;
    const answer =
      answers.get(key) ?? told(behaviour, zapRuleWords(rules.zap[kind.rule]), kind, allowed);
    answers.set(key, answer);
    return answer;
  };
}

interface Compared {
  readonly platform: Platform;
  readonly event: EventId;
  readonly before: AfterEvent;
  readonly after: AfterEvent;
  readonly same: boolean;
}

function together(all: readonly AfterEvent[]): AfterEvent {
  return {
    affected: all.reduce((n, { affected }) => n + affected, 0),
    stale: all.reduce((n, { stale }) => n + stale, 0),
    action: all[0]?.action ?? '',
    example: all.find(({ example }) => example !== null)?.example ?? null,
  };
}

/**
 * As many mappings are left with an old type on either side, or none: which ones were zapped is no
 * difference to anybody.
 */
function isNoNews({ before, after }: Pick<Compared, 'before' | 'after'>): boolean {
  if (before.affected === after.affected && before.stale === after.stale) return true;
  const zapped = (side: AfterEvent): boolean => side.affected > 0 && side.stale === 0;
  return zapped(before) && zapped(after);
}

/** Platforms for which an event means the same, in one change. */
function grouped(compared: readonly Compared[], b: Side): readonly EventChange[] {
  const groups = new Map<string, Compared[]>();
  for (const one of compared) {
    if (one.same) continue;
    const key = `${one.event} ${consequenceOf(one.before, one.after)}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].flatMap((group): readonly EventChange[] => {
    const [first] = group;
    if (first === undefined) return [];
    const { title, rule } = KINDS[first.event];
    const { source } = b.rules.zap[rule];
    const before = together(group.map((one) => one.before));
    const after = together(group.map((one) => one.after));
    return [
      {
        event: first.event,
        title,
        platforms: group.map(({ platform }) => platform),
        before,
        after,
        consequence: consequenceOf(first.before, first.after),
        source,
      },
    ];
  });
}

/**
 * What the two sides do to mappings that are already installed, when a fact by which they were typed
 * changes: each state, each value that the fact may take, each platform.
 *
 * @param platforms pairs, mostly of one platform with itself, on which both sides run
 * @param restrictions of the states before the event; they must have no point in common
 */
export function existingOf(
  a: Side,
  b: Side,
  platforms: readonly (readonly [Platform, Platform])[],
  restrictions: readonly Restriction[],
): Existing {
  const classes = pageClasses(a.rules, b.rules);
  const allowed = restrictions.map((restriction) => allowedBy(restriction, classes));
  const tellA = teller(a, 0, classes, allowed);
  const tellB = teller(b, 1, classes, allowed);
  let points = 0;
  const compared = EVENTS.flatMap((event) =>
    platforms.map(([here, there]): Compared => {
      const [before, after] = [tellA(here, event), tellB(there, event)];
      points += allowed.reduce(
        (n, only) => n + pointsOf(KINDS[event], givenBy(here), only.digits),
        0,
      );
      const same = before.outcomes.every((o, i) =>
        sameOutcomes(o, after.outcomes[i] ?? ALWAYS_KEEPS),
      );
      const sides = { before: before.after, after: after.after };
      return { platform: here, event, ...sides, same: same || isNoNews(sides) };
    }),
  );
  const changes = grouped(compared, b);
  const changed = new Set(changes.map(({ event }) => event));
  const staleOnBoth = EVENTS.filter(
    (event) => !changed.has(event) && compared.some((c) => c.event === event && c.before.stale > 0),
  ).map((event) => ({ event, title: KINDS[event].title }));
  return { differs: changes.length > 0, points, changes, staleOnBoth };
}
