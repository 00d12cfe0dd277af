import { must } from '../base/assert.ts';
import { effectiveTypeOf } from '../x86/fast.ts';
import type { EffectiveType } from '../x86/types.ts';
import { consequencesAt, NOSNOOP, orderOf } from './consequence.ts';
import type { Category, Cause, Change, Consequence, Cover, KindGroup, Side } from './difference.ts';
import {
  PAGE_KINDS,
  type PointFacts,
  type PointPair,
  partOf,
  pointPairOf,
  witnessOf,
} from './kinds.ts';
import type { Platform } from './platforms.ts';
import { coverOf } from './space/cover.ts';
import { type Cube, FULL, supercube } from './space/cube.ts';
import { type Fold, indexOfInput, type JointPath } from './space/fold.ts';
import { gridOf } from './space/grid.ts';
import { SWEEP_VALUES } from './space/space.ts';
import { coverWords, decidedBy, lineWords } from './words.ts';

/** Both sides on one platform, and what is asked of them. */
export interface Question {
  /** Every point, in disjoint cubes. */
  readonly whole: Fold;
  /** The same in the terms in which conditions are said. */
  readonly said: Fold;
  readonly a: Side;
  readonly b: Side;
  /** Of the first side, which tells what a witness looks like. */
  readonly platform: Platform;
  readonly only: Category | null;
}

function typeOf(code: number): EffectiveType {
  return must(effectiveTypeOf(code), `effective code ${code}`);
}

function sum(paths: readonly JointPath[]): number {
  return paths.reduce((n, { points }) => n + points, 0);
}

function cubesOf(paths: readonly JointPath[]): readonly Cube[] {
  return paths.map(({ cube }) => cube);
}

function differs({ a, b }: JointPath): boolean {
  return a.code !== b.code;
}

/** Paths in groups of one key, in the order in which the keys are met. */
function groupedBy(
  paths: readonly JointPath[],
  key: (path: JointPath) => string,
): ReadonlyMap<string, readonly JointPath[]> {
  const groups = new Map<string, JointPath[]>();
  for (const path of paths) {
    const k = key(path);
    const group = groups.get(k);
    if (group === undefined) groups.set(k, [path]);
    else group.push(path);
  }
  return groups;
}

/** Whether the two sides disagree on what is host MMIO; they do not where one does not ask. */
function mmioDiffers({ a, b }: JointPath): boolean {
  if (a.mmio === null || b.mmio === null) return false;
  return lineWords(a.mmio).leaf !== lineWords(b.mmio).leaf;
}

function causeKey(path: JointPath): string {
  const { a, b } = path;
  const lines = [a.lines, b.lines].map((list) => list.map(({ rule }) => rule).join('+'));
  const mmio = mmioDiffers(path) ? `${a.mmio?.rule} ${b.mmio?.rule}` : '';
  return `${lines.join(' ')} ${mmio}`;
}

// ---- changes ----------------------------------------------------------------------------------

function sameConsequences(a: readonly Consequence[], b: readonly Consequence[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

const UC_BY = { leaf: 'the EPT leaf', guest: "the guest's PAT" } as const;

/** How the paths of a change come by a UC, in words; null where none is UC. */
function ucWords({ a, b }: JointPath): string | null {
  if (a.ucBy !== null) return `the UC was by ${UC_BY[a.ucBy]}`;
  return b.ucBy === null ? null : `the UC is by ${UC_BY[b.ucBy]}`;
}

/** What several parts of a change mean: what all say, then what some say, with the part that says it. */
function gathered(
  parts: readonly (readonly [words: string | null, consequences: readonly Consequence[]])[],
): readonly Consequence[] {
  const [first, ...rest] = parts;
  if (first === undefined) return [];
  const inAll = (c: Consequence): boolean =>
    rest.every(([, list]) => list.some((other) => sameConsequences([other], [c])));
  const common = first[1].filter(inAll);
  const some = parts.flatMap(([words, list]) =>
    list
      .filter((c) => !common.some((other) => sameConsequences([other], [c])))
      .map((c) => ({
        ...c,
        forWhom: [c.forWhom, `where ${words ?? 'it is not UC'}`]
          .filter((w) => w !== null)
          .join(', '),
      })),
  );
  return [...common, ...some];
}

const GUEST = indexOfInput('guest');
const UNCACHED = SWEEP_VALUES.guest.reduce(
  (mask, type, v) => (type === 'UC' || type === 'UC-' ? mask | (1 << v) : mask),
  0,
);

/** Whether the accesses of some paths asked for UC or UC-. */
function asksUncached(paths: readonly JointPath[]): 'all' | 'some' | 'none' {
  const masks = paths.map(({ cube }) => cube[GUEST] as number);
  if (masks.every((mask) => (mask & UNCACHED) === 0)) return 'none';
  return masks.every((mask) => (mask & ~UNCACHED) === 0) ? 'all' : 'some';
}

/** The kinds of page that get into some paths, with what it means for them. */
function kindsOf(
  paths: readonly JointPath[],
  q: Question,
  types: { readonly before: EffectiveType; readonly after: EffectiveType },
): readonly KindGroup[] {
  const groups: { backings: string[]; consequences: readonly Consequence[] }[] = [];
  const byOrigin = groupedBy(paths, (p) => String(ucWords(p)));
  for (const kind of PAGE_KINDS) {
    const backing = must(kind.backings[0], 'a kind has a class');
    const parts = [...byOrigin.values()].flatMap((own) => {
      const part = partOf(cubesOf(own), kind);
      if (part === null) return [];
      const point = pointPairOf(part, q.platform, backing);
      const words = ucWords(must(own[0], 'a path'));
      return [[words, consequencesAt(point, backing, q.a, q.b, types)] as const];
    });
    if (parts.length === 0) continue;
    const own = paths.filter(({ cube }) => partOf([cube], kind) !== null);
    const consequences = [
      ...gathered(parts),
      ...orderOf(types.before, types.after, asksUncached(own)),
    ];
    const ids = kind.backings.map(({ id }) => id);
    const same = groups.find((g) => sameConsequences(g.consequences, consequences));
    if (same === undefined) groups.push({ backings: ids, consequences });
    else same.backings.push(...ids);
  }
  return groups;
}

function wanted(kinds: readonly KindGroup[], only: Category | null): boolean {
  if (only === null || only === 'guest-visible') return true;
  return kinds.some((k) => k.consequences.some((c) => c.category === only));
}

function typesKey({ a, b }: JointPath): string {
  return `${a.code} ${b.code}`;
}

/** The conditions under which some of the paths are taken, among others or among all. */
function coverBy(
  all: readonly JointPath[],
  own: (path: JointPath) => boolean,
  { said }: Question,
): Cover {
  const on = all.filter(own);
  return coverWords(coverOf(cubesOf(on), cubesOf(all.filter((p) => !own(p)))), said.allowed);
}

/** Where something is said for a device that does not snoop, the witness has one. */
function withDevice(pair: PointPair, kinds: readonly KindGroup[]): PointPair {
  const [first] = kinds;
  const needed = first?.consequences.some((c) => c.forWhom?.includes(NOSNOOP) === true) === true;
  if (!needed) return pair;
  const seen = (facts: PointFacts): PointFacts =>
    new Map([...facts, ['device', 'nosnoop'] as const]);
  const a = seen(pair.a);
  return { a, b: pair.a === pair.b ? a : seen(pair.b) };
}

function changeOf(
  paths: readonly JointPath[],
  said: readonly JointPath[],
  q: Question,
): Change | null {
  const { a, b } = must(paths[0], 'a change has a path');
  const types = { before: typeOf(a.code), after: typeOf(b.code) };
  const cubes = cubesOf(paths);
  const kinds = kindsOf(paths, q, types);
  if (!wanted(kinds, q.only)) return null;
  const usual = PAGE_KINDS.find((kind) => partOf(cubes, kind) !== null);
  const part = usual === undefined ? must(cubes[0], 'a cube') : must(partOf(cubes, usual), 'met');
  const backing = usual === undefined ? null : (usual.backings[0] ?? null);
  return {
    ...types,
    points: sum(paths),
    when: coverBy(said, (p) => p.a.code === a.code && p.b.code === b.code, q),
    witness: witnessOf(withDevice(pointPairOf(part, q.platform, backing), kinds), q.a, q.b),
    kinds,
    unknownKind: usual === undefined,
  };
}

// ---- causes -----------------------------------------------------------------------------------

function causeOf(key: string, own: readonly JointPath[], q: Question): Cause | null {
  const first = must(own[0], 'a cause has a path');
  const said = q.said.paths.filter((p) => causeKey(p) === key);
  const changes = [...groupedBy(own.filter(differs), typesKey).values()].flatMap((paths) => {
    const change = changeOf(paths, said, q);
    return change === null ? [] : [change];
  });
  if (changes.length === 0) return null;
  const { a, b } = first;
  return {
    before: decidedBy(a),
    after: decidedBy(b),
    mmio:
      mmioDiffers(first) && a.mmio !== null && b.mmio !== null
        ? { before: lineWords(a.mmio), after: lineWords(b.mmio) }
        : null,
    points: sum(own),
    differing: changes.reduce((n, c) => n + c.points, 0),
    when: coverBy(q.said.paths, (p) => causeKey(p) === key, q),
    grid: gridOf(said, own),
    changes: changes.toSorted(
      (x, y) => Number(x.unknownKind) - Number(y.unknownKind) || y.points - x.points,
    ),
  };
}

/** Everything that changes on one platform, by cause. */
export function causesOf(q: Question): readonly Cause[] {
  const causes = [...groupedBy(q.whole.paths, causeKey)].flatMap(([key, own]) => {
    if (!own.some(differs)) return [];
    const cause = causeOf(key, own, q);
    return cause === null ? [] : [cause];
  });
  const known = (c: Cause): number => (c.changes.every((x) => x.unknownKind) ? 1 : 0);
  return causes.toSorted((x, y) => known(x) - known(y) || y.differing - x.differing);
}

/** Points where the leaf differs and the type does not. */
export function leafOnly({ paths }: Fold): number {
  return sum(paths.filter((p) => !differs(p) && p.a.leaf !== p.b.leaf));
}

/** The values of each input among which all changes are: no change is outside of it. Null: no change. */
export function hull({ paths }: Fold): Cube | null {
  const cubes = cubesOf(paths.filter(differs));
  if (cubes.length === 0) return null;
  return cubes.reduce(
    supercube,
    Uint8Array.from(FULL, () => 0),
  );
}
