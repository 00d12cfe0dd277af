import { refuse } from '../base/diagnostic.ts';
import { type FactKey, factWord } from '../facts/facts.ts';
import type { BackingClass } from '../linux/backing.ts';
import { backingClass } from '../linux/backing.ts';
import { causesOf, hull, leafOnly } from './causes.ts';
import { consequencesFor, resolvedAt } from './consequence.ts';
import type {
  Category,
  Consequence,
  Difference,
  PlatformGroup,
  Side,
  UserChange,
} from './difference.ts';
import { existingOf } from './existing/existing.ts';
import { devices } from './families/devices.ts';
import { allows, type FamilyResult, type Scope } from './families/family.ts';
import { guestMtrrLayouts } from './families/guest-mtrr-layouts.ts';
import { hugePages } from './families/huge-pages.ts';
import { type PointFacts, pageOf, witnessOf } from './kinds.ts';
import { notOn, PLATFORMS, type Platform } from './platforms.ts';
import { ruleChanges } from './rule-changes.ts';
import { type Fold, fold, foldAsSaid, givenBy, type Restriction } from './space/fold.ts';
import type { SweepInput } from './space/space.ts';
import { USERS, type User } from './users.ts';
import { conditionOf } from './words.ts';

export interface Asked {
  readonly a: Side;
  readonly b: Side;
  /** Pairs of platforms, mostly one and the same; null: each platform with itself. */
  readonly platforms: readonly (readonly [Platform, Platform])[] | null;
  /** Classes of backing to which the fold is restricted; empty: any page. */
  readonly backings: readonly BackingClass[];
  /** Values to which other inputs are restricted. */
  readonly facts: Restriction;
  readonly only: Category | null;
}

// ---- the fold, by platform ----------------------------------------------------------------------

function unchangedWords(whole: Fold): readonly string[] {
  const around = hull(whole);
  if (around === null) return [];
  return conditionOf(around, whole.allowed).map(
    ({ input, others }) => `where ${input} is ${others.join(', ')}`,
  );
}

/** The parts of the space that are asked for; they have no point in common. */
function restrictionsOf({ backings, facts }: Asked): readonly Restriction[] {
  const pages = backings.length === 0 ? [{}] : distinct(backings).map(pageOf);
  return pages.map((page) => ({ ...page, ...facts }));
}

interface Compared {
  readonly platform: Platform;
  readonly group: Omit<PlatformGroup, 'platforms'>;
}

function compareOn(asked: Asked, [here, there]: readonly [Platform, Platform]): Compared {
  const { a, b, only } = asked;
  const restrictions = restrictionsOf(asked);
  const left = { rules: a.rules, platform: here };
  const right = { rules: b.rules, platform: there };
  const whole = fold(left, right, restrictions);
  const said = foldAsSaid(left, right, restrictions) ?? whole;
  const platform = here === there ? here : { ...here, against: there };
  const causes = causesOf({ whole, said, a, b, platform, only });
  return {
    platform,
    group: {
      points: whole.points,
      differing: causes.reduce((n, c) => n + c.differing, 0),
      leafOnly: leafOnly(whole),
      causes,
      unchanged: unchangedWords(said),
    },
  };
}

/** One class of those that are alike in every fact that is folded. */
function distinct(backings: readonly BackingClass[]): readonly BackingClass[] {
  const seen = new Set<string>();
  return backings.filter((backing) => {
    const key = JSON.stringify(pageOf(backing));
    return !seen.has(key) && seen.add(key);
  });
}

/** What tells one platform's changes from another's: everything but the witnesses. */
function signature(group: Compared['group']): string {
  return JSON.stringify(group, (key, value: unknown) => (key === 'witness' ? undefined : value));
}

function grouped(compared: readonly Compared[]): readonly PlatformGroup[] {
  const groups = new Map<string, { platforms: Platform[]; group: Compared['group'] }>();
  for (const { platform, group } of compared) {
    const key = signature(group);
    const same = groups.get(key);
    if (same === undefined) groups.set(key, { platforms: [platform], group });
    else same.platforms.push(platform);
  }
  const all = [...groups.values()].map(({ platforms, group }) => ({ platforms, ...group }));
  return [...all.filter((g) => g.differing > 0), ...all.filter((g) => g.differing === 0)];
}

// ---- users --------------------------------------------------------------------------------------

function platformFacts({ vendor, paging, selfSnoop, confidential }: Platform): PointFacts {
  return new Map<never, never>([
    ['cpu', vendor],
    ['paging', paging],
    ...(selfSnoop === null ? [] : [['self-snoop', selfSnoop]]),
    ...(confidential === 'no' ? [] : [['confidential', confidential]]),
  ] as never);
}

/** Whether a user is among those that are asked for, by what is known of them. */
function isAsked(user: User, { backings, facts }: Asked): boolean {
  return user.facts.every(([key, value]) => {
    if (key === 'backing') return backings.length === 0 || backings.some(({ id }) => id === value);
    const allowed = (facts as Readonly<Record<string, readonly unknown[] | undefined>>)[key];
    return allowed === undefined || allowed.includes(value);
  });
}

/** What was said of all accesses is said of a user's too. */
function userFacts(user: User, platform: Platform, { facts }: Asked): PointFacts {
  const said = Object.entries(facts).flatMap(([key, values]) =>
    values?.length === 1 ? [[key, values[0]]] : [],
  );
  return new Map([...platformFacts(platform), ...(said as [FactKey, never][]), ...user.facts]);
}

/** What a VMM can ask for, which nobody has before it exists. */
const OPT_INS = [
  ['slot-host-memtype', true],
  ['slot-noncoherent', true],
  ['quirk-ignore-guest-pat', 'off'],
] as const satisfies readonly (readonly [SweepInput, unknown])[];

/** A user as it is, or the first way in which it changes when its VMM asks for something. */
function userOn(user: User, platform: Platform, asked: Asked): UserChange | null {
  const facts = userFacts(user, platform, asked);
  const plain = changeOfUser(user, facts, platform, asked);
  if (plain !== null) return plain;
  for (const [key, value] of OPT_INS) {
    if (facts.has(key) || asked.facts[key]?.includes(value) === false) continue;
    if (platform.confidential === 'tdx' && key === 'quirk-ignore-guest-pat') continue;
    const opted = new Map([...facts, [key, value] as const]);
    const found = changeOfUser(user, opted, platform, asked);
    if (found === null) continue;
    const flag = `${key} ${factWord(value)}`;
    return { ...found, id: `${user.id}, ${flag}`, title: `${user.title}; its VMM asks: ${flag}` };
  }
  return null;
}

function changeOfUser(
  user: User,
  facts: PointFacts,
  platform: Platform,
  { a, b }: Asked,
): UserChange | null {
  const [before, after] = [resolvedAt(facts, a), resolvedAt(facts, b)];
  if (before.types.join() === after.types.join()) return null;
  const [from] = before.types;
  const [to] = after.types;
  const backing = user.facts.find(([key]) => key === 'backing')?.[1];
  const page = typeof backing === 'string' ? backingClass(backing)?.page : undefined;
  const consequences: readonly Consequence[] =
    from === undefined || to === undefined || before.types.length + after.types.length > 2
      ? []
      : consequencesFor(facts, page?.device === true, a, b, { before: from, after: to });
  return {
    id: user.id,
    title: user.title,
    source: user.source,
    platforms: [platform],
    before: before.types,
    after: after.types,
    consequences,
    witness: witnessOf({ a: facts, b: facts }, a, b),
  };
}

function usersOf(
  asked: Asked,
  platforms: readonly Platform[],
): Pick<Difference, 'users' | 'usersUnchanged'> {
  const changed: UserChange[] = [];
  const users = USERS.filter((user) => isAsked(user, asked));
  for (const user of users) {
    for (const platform of platforms) {
      if (user.on !== null && !user.on.includes(platform.id)) continue;
      const found = userOn(user, platform, asked);
      if (found === null) continue;
      const key = (u: UserChange): string =>
        JSON.stringify([u.id, u.before, u.after, u.consequences]);
      const i = changed.findIndex((u) => key(u) === key(found));
      const same = changed[i];
      if (same === undefined) changed.push(found);
      else changed[i] = { ...same, platforms: [...same.platforms, platform] };
    }
  }
  const relevant = changed.filter(
    (u) =>
      asked.only === null ||
      asked.only === 'guest-visible' ||
      u.consequences.some((c) => c.category === asked.only),
  );
  const ids = new Set(changed.map((u) => u.id.replace(/, .*/, '')));
  const there = users.filter(({ on }) => on === null || platforms.some((p) => on.includes(p.id)));
  return {
    users: relevant,
    usersUnchanged: there.filter(({ id }) => !ids.has(id)).map(({ id, title }) => ({ id, title })),
  };
}

// ---- all ----------------------------------------------------------------------------------------

function restrictedTo({ backings, facts }: Asked): readonly string[] {
  const words = Object.entries(facts).map(
    ([key, values]) =>
      `${key} ${(values ?? []).map((v) => (v === true ? 'yes' : v === false ? 'no' : String(v))).join(', ')}`,
  );
  return backings.length === 0
    ? words
    : [`backing ${backings.map(({ id }) => id).join(', ')}`, ...words];
}

/** Infinite inputs, as far as what was asked for has any. */
function familiesIn({ a, b }: Asked, scope: Scope): readonly FamilyResult[] {
  const mtrrs =
    scope.platforms.some(({ paging, confidential }) => paging === 'ept' && confidential === 'no') &&
    allows(scope, 'noncoherent-dma', true);
  return [
    ...(mtrrs ? [guestMtrrLayouts(a, b)] : []),
    hugePages(a, b, scope),
    ...(allows(scope, 'noncoherent-dma', true) ? [devices(a, b)] : []),
  ];
}

type Besides = Pick<Difference, 'rules' | 'existing' | 'families'>;

/** What differs beside the type of an access. */
function besides(asked: Asked, runs: readonly (readonly [Platform, Platform])[]): Besides {
  const { a, b, facts } = asked;
  const same = runs.every(([here, there]) => here === there);
  return {
    rules: ruleChanges(
      a.rules,
      b.rules,
      facts,
      runs.flatMap((pair) => pair.map(({ vendor }) => vendor)),
    ),
    existing: existingOf(a, b, runs, restrictionsOf(asked)),
    families: same ? familiesIn(asked, { platforms: runs.map(([here]) => here), facts }) : [],
  };
}

/** Somebody asked for one kind of consequence of a type: the rest is another question. */
const NOTHING_BESIDE: Besides = {
  rules: [],
  existing: { differs: false, points: 0, changes: [], staleOnBoth: [] },
  families: [],
};

/** Why two platforms are left out; null: they are compared. */
function whyNot(
  [here, there]: readonly [Platform, Platform],
  { a, b, facts }: Asked,
): string | null {
  const contrary = [here, there].flatMap((platform) =>
    Object.entries(givenBy(platform)).filter(([key, values]) => {
      const allowed = facts[key as SweepInput];
      return allowed !== undefined && values?.every((v) => !allowed.includes(v)) === true;
    }),
  );
  const [first] = contrary;
  if (first !== undefined) return `${first[0]} is another one there`;
  return notOn(here, a.rules) ?? notOn(there, b.rules);
}

/** Everything that differs between two sides. */
export function compare(asked: Asked): Difference {
  const { a, b, only } = asked;
  const pairs = asked.platforms ?? PLATFORMS.map((p) => [p, p] as const);
  const judged = pairs.map((pair) => ({ pair, why: whyNot(pair, asked) }));
  const notCompared = judged.flatMap(({ pair: [platform], why }) =>
    why === null ? [] : [{ platform, why }],
  );
  const runs = judged.filter(({ why }) => why === null).map(({ pair }) => pair);
  if (runs.length === 0) {
    const [first] = notCompared;
    refuse(
      'there is nothing to compare',
      first === undefined ? undefined : `${first.platform.title}: ${first.why}`,
    );
  }
  const compared = runs.map((pair) => compareOn(asked, pair));
  const platforms = grouped(compared);
  const same = pairs.every(([here, there]) => here === there);
  return {
    a,
    b,
    points: compared.reduce((n, { group }) => n + group.points, 0),
    differing: compared.reduce((n, { group }) => n + group.differing, 0),
    platforms,
    notCompared,
    restrictedTo: restrictedTo(asked),
    only,
    ...(same
      ? usersOf(
          asked,
          compared.map(({ platform }) => platform),
        )
      : { users: [], usersUnchanged: [] }),
    ...(only === null ? besides(asked, runs) : NOTHING_BESIDE),
  };
}
