import type { SourceId } from '../../cite/sources.ts';
import type {
  Cause,
  Change,
  Consequence,
  ConsequenceKind,
  Difference,
  PlatformGroup,
  UserChange,
} from '../../compare/difference.ts';
import { PLATFORMS, type Platform } from '../../compare/platforms.ts';
import type { EffectiveType } from '../../x86/types.ts';
import { withMore, worstFirst } from './effects.ts';
import { gravityOf } from './words.ts';

// ---- causes, numbered ---------------------------------------------------------------------------

/** A cause with its number in the report. */
export interface Numbered {
  readonly no: number;
  readonly cause: Cause;
}

export interface GroupView {
  readonly group: PlatformGroup;
  /** Those that a known kind of page reaches. */
  readonly known: readonly Numbered[];
  /** Those that none reaches: possible in principle. */
  readonly unknown: readonly Numbered[];
}

/** The groups that differ, their causes numbered through. */
export function groupViews({ platforms }: Difference): readonly GroupView[] {
  let no = 0;
  return platforms
    .filter(({ differing }) => differing > 0)
    .map((group) => {
      const all = group.causes.map((cause): Numbered => ({ no: ++no, cause }));
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

// ---- the worst ----------------------------------------------------------------------------------

/** More than any kind of consequence has. */
const HARMLESS = 99;

/** The worst that a change can mean. */
function gravity(change: Change): number {
  const kinds = change.kinds.flatMap((k) => k.consequences.map((c) => gravityOf(c.kind)));
  return kinds.length === 0 ? HARMLESS : Math.min(...kinds);
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

/** One change of the type of a known user, on all platforms on which it is this one. */
export interface UserRow {
  readonly before: readonly EffectiveType[];
  readonly after: readonly EffectiveType[];
  readonly platforms: readonly Platform[];
  /** Null: on all of these platforms. */
  readonly effects: readonly {
    readonly consequence: Consequence;
    readonly on: readonly Platform[] | null;
  }[];
}

/** What there is to say where no consequence is. */
export function withoutConsequence({ before, after }: UserRow): string {
  return before.length + after.length > 2
    ? 'which of them depends on what is not said of this user'
    : 'no consequence known';
}

export interface UserView {
  readonly id: string;
  readonly title: string;
  readonly source: SourceId;
  readonly rows: readonly UserRow[];
}

function rowOf(changes: readonly [UserChange, ...UserChange[]]): UserRow {
  const [first] = changes;
  const platforms = PLATFORMS.filter((p) => changes.some((c) => has(c.platforms, p)));
  const found = new Map<string, { consequence: Consequence; on: Platform[] }>();
  for (const change of changes) {
    for (const consequence of change.consequences) {
      const key = `${consequence.kind} ${consequence.text} ${consequence.forWhom}`;
      const same = found.get(key);
      if (same === undefined) found.set(key, { consequence, on: [...change.platforms] });
      else {
        same.on.push(...change.platforms);
        same.consequence = withMore(same.consequence, consequence);
      }
    }
  }
  const effects = [...found.values()].map(({ consequence, on }) => ({
    consequence,
    on: on.length === platforms.length ? null : platforms.filter((p) => has(on, p)),
  }));
  return { before: first.before, after: first.after, platforms, effects: worstFirst(effects) };
}

function has(platforms: readonly Platform[], { id }: Platform): boolean {
  return platforms.some((p) => p.id === id);
}

function groupedBy<T>(
  items: readonly T[],
  key: (item: T) => string,
): ReadonlyMap<string, readonly [T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** Known users that change, each with a row for each change. */
export function userViews({ users }: Difference): readonly UserView[] {
  return [...groupedBy(users, ({ id }) => id)].map(([id, all]) => ({
    id,
    title: all[0].title,
    source: all[0].source,
    rows: [...groupedBy(all, (u) => `${u.before.join()} ${u.after.join()}`).values()].map(rowOf),
  }));
}

/** The users for whom something of a kind happens on some platform. */
export function usersWith(kind: ConsequenceKind, views: readonly UserView[]): readonly UserView[] {
  return views.filter(({ rows }) =>
    rows.some((r) => r.effects.some((e) => e.consequence.kind === kind)),
  );
}
