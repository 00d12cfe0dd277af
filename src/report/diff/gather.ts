import type {
  Cause,
  Change,
  Consequence,
  ConsequenceKind,
  Difference,
  PlatformGroup,
  UserChange,
} from '../../compare/difference.ts';
import { BACKINGS } from '../../linux/backing.ts';
import { KINDS } from './words.ts';

// ---- causes, numbered ---------------------------------------------------------------------------

/** A cause with its number in the report. */
export interface Numbered {
  readonly no: number;
  readonly cause: Cause;
  /** An earlier cause with the same lines, condition and types; null: none. */
  readonly like: Numbered | null;
  /** What it means is the same too. */
  readonly likeEffects: boolean;
}

export interface GroupView {
  readonly group: PlatformGroup;
  /** Those that a known kind of page reaches. */
  readonly known: readonly Numbered[];
  /** Those that none reaches: possible in principle. */
  readonly unknown: readonly Numbered[];
}

function shape({ before, after, mmio, when, grid, changes }: Cause): string {
  return JSON.stringify([
    before.rule,
    after.rule,
    mmio,
    when,
    grid?.slices.map(({ at, cells }) => [at, cells]),
    changes.map((c) => [c.before, c.after, c.when, c.unknownKind]),
  ]);
}

function meaning({ changes }: Cause): string {
  return JSON.stringify(changes.map(({ kinds }) => kinds));
}

/** The groups that differ, their causes numbered through. */
export function groupViews({ platforms }: Difference): readonly GroupView[] {
  const met: Numbered[] = [];
  const number = (cause: Cause): Numbered => {
    const like = met.find((n) => n.like === null && shape(n.cause) === shape(cause)) ?? null;
    const likeEffects = like !== null && meaning(like.cause) === meaning(cause);
    const numbered = { no: met.length + 1, cause, like, likeEffects };
    met.push(numbered);
    return numbered;
  };
  return platforms
    .filter(({ differing }) => differing > 0)
    .map((group) => {
      const all = group.causes.map(number);
      const reached = ({ cause }: Numbered): boolean => cause.changes.some((c) => !c.unknownKind);
      return { group, known: all.filter(reached), unknown: all.filter((n) => !reached(n)) };
    });
}

export function knownChanges({ changes }: Cause): readonly Change[] {
  return changes.filter((c) => !c.unknownKind);
}

export function unknownChanges({ changes }: Cause): readonly Change[] {
  return changes.filter((c) => c.unknownKind);
}

export function pointsOf(changes: readonly Change[]): number {
  return changes.reduce((n, c) => n + c.points, 0);
}

// ---- kinds of page ------------------------------------------------------------------------------

const ALL_BACKINGS: readonly string[] = BACKINGS.map(({ id }) => id);

/** Kinds of page without repetition, in the order in which they are listed elsewhere. */
function ordered(backings: Iterable<string>): readonly string[] {
  const set = new Set(backings);
  return [
    ...ALL_BACKINGS.filter((id) => set.has(id)),
    ...[...set].filter((id) => !ALL_BACKINGS.includes(id)),
  ];
}

export function pagesOf(change: Change): readonly string[] {
  return ordered(change.kinds.flatMap(({ backings }) => backings));
}

/** Every known kind of page that a cause reaches. */
export function pagesOfCause(cause: Cause): readonly string[] {
  return ordered(knownChanges(cause).flatMap(pagesOf));
}

/** Kinds of page in words; by what is left out where that is much shorter. */
export function pageWords(backings: readonly string[]): string {
  const others = ALL_BACKINGS.filter((id) => !backings.includes(id));
  const exact = backings.every((id) => ALL_BACKINGS.includes(id));
  if (exact && others.length === 0) return 'every kind of page';
  if (exact && others.length * 2 < backings.length) return `all but ${others.join(', ')}`;
  return backings.join(', ');
}

// ---- consequences -------------------------------------------------------------------------------

/** Where a consequence holds within a cause. */
export interface Place {
  readonly changes: readonly Change[];
  /** Null: for every kind of page that gets into these changes. */
  readonly backings: readonly string[] | null;
}

export interface Effect {
  readonly consequence: Consequence;
  readonly places: readonly Place[];
  /** For all known changes and all their kinds of page. */
  readonly everywhere: boolean;
}

function keyOf({ kind, text, forWhom, codes, sources }: Consequence): string {
  return JSON.stringify([kind, text, forWhom, codes, sources]);
}

interface Found {
  readonly consequence: Consequence;
  readonly pages: Map<Change, readonly string[]>;
}

function found(changes: readonly Change[]): readonly Found[] {
  const all = new Map<string, Found>();
  for (const change of changes) {
    for (const { backings, consequences } of change.kinds) {
      for (const consequence of consequences) {
        const key = keyOf(consequence);
        const f = all.get(key) ?? { consequence, pages: new Map() };
        all.set(key, f);
        f.pages.set(change, ordered([...(f.pages.get(change) ?? []), ...backings]));
      }
    }
  }
  return [...all.values()];
}

function placesOf(pages: ReadonlyMap<Change, readonly string[]>): readonly Place[] {
  const places = new Map<string, { changes: Change[]; backings: readonly string[] | null }>();
  for (const [change, backings] of pages) {
    const every = backings.join() === pagesOf(change).join();
    const key = every ? '' : backings.join();
    const place = places.get(key);
    if (place === undefined) {
      places.set(key, { changes: [change], backings: every ? null : backings });
    } else place.changes.push(change);
  }
  return [...places.values()];
}

/** The consequences of some changes, each once, with where it holds; the worst first. */
export function effectsOf(changes: readonly Change[]): readonly Effect[] {
  const effects = found(changes).map(({ consequence, pages }): Effect => {
    const places = placesOf(pages);
    const everywhere =
      pages.size === changes.length && places.every(({ backings }) => backings === null);
    return { consequence, places, everywhere };
  });
  return effects.toSorted(
    (x, y) => KINDS.indexOf(x.consequence.kind) - KINDS.indexOf(y.consequence.kind),
  );
}

/** Changes that mean nothing for any kind of page, as far as is known. */
export function withoutEffect(changes: readonly Change[]): readonly Place[] {
  const pages = new Map<Change, readonly string[]>();
  for (const change of changes) {
    const none = change.kinds.filter(({ consequences }) => consequences.length === 0);
    const backings = ordered(none.flatMap((k) => k.backings));
    if (backings.length > 0) pages.set(change, backings);
  }
  return placesOf(pages);
}

/** The worst that a change can mean. */
function gravity(change: Change): number {
  const kinds = change.kinds.flatMap((k) => k.consequences.map((c) => KINDS.indexOf(c.kind)));
  return kinds.length === 0 ? KINDS.length : Math.min(...kinds);
}

/** The change of a cause with the worst consequence; of several the largest. */
export function worstChange({ changes }: Cause): Change | null {
  const [worst] = changes.toSorted(
    (x, y) =>
      Number(x.unknownKind) - Number(y.unknownKind) ||
      gravity(x) - gravity(y) ||
      y.points - x.points,
  );
  return worst ?? null;
}

/** The change with the worst consequence of all. */
export function worstOf(views: readonly GroupView[]): Change | null {
  const all = views.flatMap(({ known }) => known.flatMap(({ cause }) => worstChange(cause) ?? []));
  const [worst] = all.toSorted((x, y) => gravity(x) - gravity(y) || y.points - x.points);
  return worst ?? null;
}

// ---- users --------------------------------------------------------------------------------------

/** A known user with what becomes of them, a row for each set of platforms. */
export interface UserView {
  readonly id: string;
  readonly title: string;
  readonly rows: readonly UserChange[];
}

export function userViews({ users }: Difference): readonly UserView[] {
  const ids = [...new Set(users.map(({ id }) => id))];
  return ids.map((id) => {
    const rows = users.filter((u) => u.id === id);
    return { id, title: rows[0]?.title ?? id, rows };
  });
}

/** The users for whom something of a kind happens on some platform. */
export function usersWith(kind: ConsequenceKind, views: readonly UserView[]): readonly UserView[] {
  return views.filter(({ rows }) => rows.some((r) => r.consequences.some((c) => c.kind === kind)));
}
