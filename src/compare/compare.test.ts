import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { must } from '../base/assert.ts';
import type { FactKey, FactValues } from '../facts/facts.ts';
import { factWord } from '../facts/facts.ts';
import { NAMED_POLICIES } from '../kvm/policies.ts';
import { backingClass } from '../linux/backing.ts';
import { composeQuestions } from '../resolve/compose.ts';
import { resolve } from '../resolve/resolution.ts';
import { effectiveTypeOf } from '../x86/fast.ts';
import { compare } from './compare.ts';
import { consequencesAt, orderOf } from './consequence.ts';
import type { Change, Condition, Difference, Side, Witness } from './difference.ts';
import { type PointFacts, pageOf } from './kinds.ts';
import { notOn, PLATFORMS, type Platform } from './platforms.ts';
import { pairsOf } from './sides.ts';
import { accessAt } from './space/access.ts';
import { type Dimension, isDerived } from './space/cube.ts';
import { fold, givenBy, type Restriction, wayOf } from './space/fold.ts';
import { type ReadInput, SWEEP_INPUTS, SWEEP_VALUES, type SweepInput } from './space/space.ts';

function sides(a: string, b: string): { readonly a: Side; readonly b: Side } {
  return must(pairsOf({ text: a }, { text: b }).pairs[0], 'a pair');
}

function difference(a: string, b: string, facts: Restriction = {}): Difference {
  return compare({ ...sides(a, b), platforms: null, backings: [], facts, only: null });
}

const PAIRS: readonly (readonly [string, string])[] = [
  ['6.10', '6.11'],
  ['6.11-rc1', '6.11'],
  ['6.15', '6.16'],
  ['6.6', '6.7'],
  ['4.2.3', '4.2.4'],
  ['4.14', '4.15'],
  ['4.15', '4.16'],
  ['5.1', '5.2'],
  ['3.17', '3.18'],
  ['2.6.30', '2.6.38'],
  ['2.6.28', '2.6.29'],
  ['2.6.29', '3.13'],
  ['6.16', 'wc-as-mmio'],
  ['6.16', 'host-pat'],
  ['6.16', 'host-pat-tracked'],
  ['host-pat-tracked', 'host-pat'],
  ['6.16', 'host-pat-slot'],
  ['6.6', 'slot-flag'],
  ['6.16', 'mmio-by-mtrr'],
  ['6.16', 'invalid-ram-pat'],
  ['6.16', 'xen'],
];

type Point = Readonly<Record<SweepInput, unknown>>;

const point: fc.Arbitrary<Point> = fc.record(
  Object.fromEntries(
    SWEEP_INPUTS.map((key) => [key, fc.constantFrom<unknown>(...SWEEP_VALUES[key])]),
  ),
) as fc.Arbitrary<Point>;

/** What the platform says goes before what the point says. */
function reader(at: Point, platform: Platform): ReadInput {
  const given = givenBy(platform);
  return (key) => (given[key]?.[0] ?? at[key]) as never;
}

function holds(condition: Condition, read: ReadInput, derived: (d: Dimension) => boolean): boolean {
  return condition.every(({ input, values }) => {
    const value: FactValues[FactKey] = isDerived(input) ? derived(input) : read(input);
    return values.includes(factWord(value));
  });
}

/** The types on either side at a point, and which causes and changes claim it. */
function claimed(
  d: Difference,
  platform: Platform,
  at: Point,
): {
  readonly before: string | null;
  readonly after: string | null;
  readonly changes: readonly Change[];
} {
  const read = reader(at, platform);
  const way = wayOf(platform);
  const [x, y] = [accessAt(d.a.rules, way, read), accessAt(d.b.rules, way, read)];
  const derived = (dimension: Dimension): boolean => {
    if (dimension === 'live-cr0-cd') return read('cr0-cd') && read('quirk-cd-nw-cleared') === 'off';
    const { mmio } = accessAt({ ...d.a.rules, vmx: ASKS_MMIO }, 'ept', read);
    return (mmio?.decision as { returns: unknown } | undefined)?.returns === true;
  };
  const group = must(
    d.platforms.find((g) => g.platforms.includes(platform)),
    platform.id,
  );
  const changes = group.causes.flatMap((cause) => {
    if (!cause.when.conditions.some((c) => holds(c, read, derived))) return [];
    return cause.changes.filter((change) =>
      change.when.conditions.some((c) => holds(c, read, derived)),
    );
  });
  return { before: effectiveTypeOf(x.code), after: effectiveTypeOf(y.code), changes };
}

/** A list that asks for host MMIO first. */
const ASKS_MMIO = sides('6.10', '6.11').a.rules.vmx;

describe('a difference', () => {
  it('counts every point once, and the points of its changes', () => {
    for (const [a, b] of PAIRS) {
      const pair = sides(a, b);
      for (const platform of PLATFORMS) {
        if (notOn(platform, pair.a.rules) !== null || notOn(platform, pair.b.rules) !== null)
          continue;
        const whole = fold({ rules: pair.a.rules, platform }, { rules: pair.b.rules, platform }, [
          {},
        ]);
        expect(whole.paths.reduce((n, p) => n + p.points, 0)).toBe(whole.points);
      }
      const d = difference(a, b);
      for (const group of d.platforms) {
        const sum = group.causes.flatMap((c) => c.changes).reduce((n, c) => n + c.points, 0);
        expect(sum).toBe(group.differing);
        for (const cause of group.causes) {
          expect(cause.changes.reduce((n, c) => n + c.points, 0)).toBe(cause.differing);
          expect(cause.differing).toBeLessThanOrEqual(cause.points);
        }
      }
    }
  });

  it.each(PAIRS)('%s to %s: a point differs exactly where one change says so', (a, b) => {
    const d = difference(a, b);
    const platforms = d.platforms.flatMap((g) => g.platforms);
    fc.assert(
      fc.property(point, fc.constantFrom(...platforms), (at, platform) => {
        const { before, after, changes } = claimed(d, platform, at);
        expect(changes.map((c) => [c.before, c.after])).toEqual(
          before === after ? [] : [[before, after]],
        );
      }),
      { numRuns: 300 },
    );
  });

  it.each(PAIRS)('%s to %s and back are the same points', (a, b) => {
    const { differing, points } = difference(a, b);
    const pair = sides(a, b);
    const back = compare({
      a: pair.b,
      b: pair.a,
      platforms: null,
      backings: [],
      facts: {},
      only: null,
    });
    expect([back.differing, back.points]).toEqual([differing, points]);
  });

  it('is empty between equals, for every policy', () => {
    for (const name of ['6.16', '6.1', 'E6', ...NAMED_POLICIES.map((p) => p.id)]) {
      const d = difference(name, name);
      expect(d.differing, name).toBe(0);
      expect(d.points).toBeGreaterThan(0);
    }
  });
});

/** What `explain` answers to a witness, for either side. */
function explained({ facts }: Witness): readonly (readonly string[])[] {
  const entries = Object.entries(facts).map(([key, value]) => ({
    key,
    words: [{ text: value }],
  }));
  return composeQuestions(entries).map((q) => resolve(q).types);
}

describe('a witness', () => {
  it.each(PAIRS)('%s to %s: explain gives the types of the change', (a, b) => {
    const d = difference(a, b);
    for (const change of d.platforms.flatMap((g) => g.causes.flatMap((c) => c.changes))) {
      expect(explained(change.witness), JSON.stringify(change.witness)).toEqual([
        [change.before],
        [change.after],
      ]);
    }
    for (const user of d.users) {
      expect(explained(user.witness), user.id).toEqual([user.before, user.after]);
    }
  });
});

describe('consequences', () => {
  it.each([
    ['6.10', '6.11'],
    ['6.16', 'host-pat'],
    ['6.16', 'wc-as-mmio'],
    ['E6', 'E7'],
  ])('%s to %s: hold at any point of the kind of page, not at one alone', (a, b) => {
    const d = difference(a, b);
    const groups = d.platforms.filter((g) => g.causes.length > 0);
    fc.assert(
      fc.property(point, fc.constantFrom(...groups), fc.nat(), (at, group, n) => {
        const [platform] = group.platforms;
        const changes = group.causes.flatMap((c) => c.changes).filter((c) => c.kinds.length > 0);
        if (platform === undefined || changes.length === 0) return;
        const wanted = must(changes[n % changes.length], 'a change');
        const kind = must(wanted.kinds[n % wanted.kinds.length], 'a kind');
        const backing = must(backingClass(must(kind.backings[0], 'an id')), 'a class');
        const own = Object.fromEntries(
          Object.entries(pageOf(backing)).map(([key, values]) => [key, values[0]]),
        );
        const { before, after, changes: found } = claimed(d, platform, { ...at, ...own });
        const [change] = found;
        if (change === undefined || before === null || after === null) return;
        const expected = change.kinds.find((k) => k.backings.includes(backing.id));
        expect(expected).toBeDefined();
        const facts = factsAt({ ...at, ...own }, platform, backing.id);
        const guest = must(at['guest'], 'guest');
        const asked = guest === 'UC' || guest === 'UC-' ? 'all' : 'none';
        const real = [
          ...consequencesAt({ a: facts, b: facts }, backing, d.a, d.b, change),
          ...orderOf(change.before, change.after, asked),
        ];
        const said = (expected?.consequences ?? []).map((c) => c.kind + c.text);
        // What holds in a part of the change only says in which, and may be missing here.
        for (const c of real) expect(said).toContain(c.kind + c.text);
        for (const c of expected?.consequences ?? []) {
          if (c.forWhom?.includes('where the') === true) continue;
          expect(real.map((r) => r.kind + r.text)).toContain(c.kind + c.text);
        }
      }),
      { numRuns: 300 },
    );
  });
});

function factsAt(at: Point, platform: Platform, backing: string): PointFacts {
  const given = givenBy(platform);
  const page = Object.keys(pageOf(must(backingClass(backing), backing)));
  return new Map<FactKey, FactValues[FactKey]>([
    ['cpu', platform.vendor],
    ['paging', platform.paging],
    ['backing', backing],
    ...(platform.confidential === 'no'
      ? []
      : [['confidential', platform.confidential] as [FactKey, FactValues[FactKey]]]),
    ...SWEEP_INPUTS.filter((key) => !page.includes(key)).map(
      (key) => [key, given[key]?.[0] ?? at[key]] as [FactKey, FactValues[FactKey]],
    ),
  ]);
}
