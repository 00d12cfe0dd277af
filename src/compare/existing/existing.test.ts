import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NAMED_POLICIES, proposalRules } from '../../kvm/policies.ts';
import { ALL_KERNEL_RULES, rulesFor } from '../../kvm/timeline.ts';
import { type ZapInputs, zapOn } from '../../kvm/zap.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import type { Side } from '../difference.ts';
import { notOn, PLATFORMS, type Platform } from '../platforms.ts';
import { accessAt } from '../space/access.ts';
import { givenBy, type Restriction, wayOf } from '../space/fold.ts';
import { type ReadInput, SWEEP_INPUTS, SWEEP_VALUES, type SweepInput } from '../space/space.ts';
import { EVENTS, type EventId, KINDS } from './events.ts';
import { type AfterEvent, type EventChange, type Existing, existingOf } from './existing.ts';

function side(name: string): Side {
  const proposal = NAMED_POLICIES.find(({ id }) => id === name);
  const [rules] =
    proposal === undefined ? rulesFor(parseKernelVersion(name)) : [proposalRules(proposal)];
  if (rules === undefined) throw new Error(name);
  return { name, kernel: name, title: name, rules, notes: [] };
}

function between(a: string, b: string, facts: Restriction = {}): Existing {
  const [x, y] = [side(a), side(b)];
  const pairs = PLATFORMS.filter((p) => notOn(p, x.rules) === null && notOn(p, y.rules) === null);
  return existingOf(
    x,
    y,
    pairs.map((p) => [p, p]),
    [facts],
  );
}

function changeOf(existing: Existing, event: EventId): EventChange {
  const found = existing.changes.find((c) => c.event === event);
  if (found === undefined) throw new Error(`${event}: no change`);
  return found;
}

const ids = ({ platforms }: EventChange): readonly string[] => platforms.map(({ id }) => id);
const EPT = ['intel-ept', 'intel-ept-noss'];

describe('what is known of installed mappings', () => {
  test('before 6.7 the first non-coherent device leaves WB+IPAT behind, from 6.7 on nothing', () => {
    const change = changeOf(between('6.6', '6.7'), 'noncoherent-appears');
    expect(ids(change)).toEqual(EPT);
    expect(change.before.stale).toBe(change.before.affected);
    expect(change.before.example).toEqual({
      installed: 'EPT WB+IPAT',
      now: 'EPT WB',
      state: 'noncoherent-dma no, then yes',
    });
    expect(change.after).toMatchObject({ stale: 0, example: null });
    expect(change.after.affected).toBeGreaterThan(0);
    expect(change.source).toBe('kvm/362ff6dca541');
  });

  test('the opt-out of 6.16 comes too late for what is installed', () => {
    const change = changeOf(between('6.15', '6.16'), 'quirk-ignore-guest-pat-disabled');
    // Without self-snoop the quirk cannot be disabled; a TDX guest has it disabled from birth.
    expect(ids(change)).toEqual(['intel-ept']);
    expect(change.before.affected).toBe(0);
    expect(change.after.stale).toBe(change.after.affected);
    expect(change.after.example).toMatchObject({ installed: 'EPT WB+IPAT', now: 'EPT WB' });
    expect(between('6.16', '7.3').staleOnBoth.map(({ event }) => event)).toContain(
      'quirk-ignore-guest-pat-disabled',
    );
  });

  test('CR0.CD: always zapped in 4.2 and 4.3, with the quirk not any more from 4.4 on, no matter from 6.11 on', () => {
    const fixed = changeOf(between('4.3', '4.4'), 'cr0-cd-toggles');
    expect(fixed.before).toMatchObject({ stale: 0 });
    expect(fixed.after.example).toEqual({
      installed: 'EPT WB',
      now: 'EPT WB+IPAT',
      state: 'noncoherent-dma yes; cr0-cd no, then yes',
    });
    const noQuirk = between('4.3', '4.4', { 'quirk-cd-nw-cleared': ['off'] });
    expect(noQuirk.changes.map(({ event }) => event)).not.toContain('cr0-cd-toggles');
    const gone = changeOf(
      between('6.10', '6.11', { 'quirk-cd-nw-cleared': ['off'] }),
      'cr0-cd-toggles',
    );
    expect([gone.before.stale, gone.after.affected]).toEqual([0, 0]);
    expect(gone.before.affected).toBeGreaterThan(0);
    expect(gone.source).toBe('kvm/e1548088ff54');
  });

  test('guest MTRR writes: without effect to 4.1, zapped to 6.10, without meaning from 6.11 on', () => {
    const first = changeOf(between('4.1', '4.4'), 'guest-writes-mtrr');
    expect(first.before.stale).toBe(first.before.affected);
    expect(first.before.action).toContain('reset-context');
    expect(first.after.stale).toBe(0);
    const gone = changeOf(between('6.10', '6.11'), 'guest-writes-mtrr');
    expect([gone.before.stale, gone.after.affected]).toEqual([0, 0]);
    expect(between('6.11', '6.15').changes).toEqual([]);
  });

  test('AMD: what the hardware reads by itself is in no leaf, but for 4.2.0 to 4.2.3', () => {
    for (const [a, b] of [
      ['4.1', '4.4'],
      ['6.6', '6.7'],
      ['6.10', '6.16'],
    ] as const) {
      const on = between(a, b).changes.flatMap(ids);
      expect(on.filter((id) => id.startsWith('amd') || id === 'snp')).toEqual([]);
    }
    const assigned = changeOf(between('4.1', '4.2'), 'device-assigned');
    expect(ids(assigned)).toEqual(['amd-npt']);
    expect(assigned.after.stale).toBe(assigned.after.affected);
  });

  test('the ideal by PTE: the MMU notifier is enough, but for the MMIO test, which asks the tracker', () => {
    const existing = between('6.16', 'host-pat');
    const stale = existing.changes.filter(({ after }) => after.stale > 0);
    expect(stale.map(({ event }) => event)).toEqual(['host-type-changes', 'host-type-changes']);
    expect(stale.flatMap(ids)).toEqual(['intel-ept-noss', 'intel-shadow-noss', 'amd-shadow']);
    expect(stale.map(({ after }) => after.example?.state.includes('page-reserved yes'))).toEqual([
      true,
      true,
    ]);
    expect(existing.staleOnBoth).toEqual([]);
    const pat = changeOf(existing, 'guest-writes-pat');
    expect(ids(pat)).toEqual(['intel-shadow', 'intel-shadow-noss', 'amd-shadow']);
  });

  test('the ideal by the tracker: nothing stale, with a new hook in set_memory_*()', () => {
    const existing = between('6.16', 'host-pat-tracked');
    expect(existing.changes.map(({ after }) => after.stale)).toEqual(existing.changes.map(() => 0));
    expect(existing.staleOnBoth).toEqual([]);
    expect(changeOf(existing, 'host-type-changes').after.action).toContain('new');
  });

  test('behind a memslot flag: nothing new for who does not set it, and for who does as the ideal', () => {
    expect(between('6.16', 'host-pat-slot', { 'slot-host-memtype': [false] }).changes).toEqual([]);
    const flagged = between('6.16', 'host-pat-slot', { 'slot-host-memtype': [true] });
    const stale = flagged.changes.filter(({ after }) => after.stale > 0);
    expect(new Set(stale.map(({ event }) => event))).toEqual(new Set(['host-type-changes']));
    expect(stale.flatMap(ids)).toEqual(['intel-ept-noss', 'intel-shadow-noss', 'amd-shadow']);
    expect(flagged.staleOnBoth).toEqual([]);
    expect(between('6.6', 'slot-flag', { 'slot-noncoherent': [false] }).changes).toEqual([]);
  });

  test('a set of rules does not differ from itself', () => {
    for (const name of ['2.6.32', '4.2', '6.6', '6.10', '7.3.4', 'host-pat', 'xen']) {
      expect(between(name, name)).toMatchObject({ differs: false, changes: [] });
    }
  });
});

// ---- against single points ----------------------------------------------------------------------

const RULES = [...ALL_KERNEL_RULES, ...NAMED_POLICIES.map(proposalRules)];

/** A restriction that leaves few points: mostly one value, sometimes all that there are. */
const restriction: fc.Arbitrary<Restriction> = fc
  .record({
    one: fc.tuple(...SWEEP_INPUTS.map((key) => fc.nat(SWEEP_VALUES[key].length - 1))),
    open: fc.uniqueArray(fc.constantFrom(...SWEEP_INPUTS), { maxLength: 4 }),
  })
  .map(({ one, open }) =>
    Object.fromEntries(
      SWEEP_INPUTS.map((key, i) => {
        const values: readonly unknown[] = SWEEP_VALUES[key];
        return [key, open.includes(key) ? values : [values[one[i] as number]]];
      }),
    ),
  );

type Point = ReadonlyMap<SweepInput, unknown>;

function* points(of: Restriction, keys: readonly SweepInput[] = SWEEP_INPUTS): Generator<Point> {
  const [key, ...rest] = keys;
  if (key === undefined) {
    yield new Map();
    return;
  }
  for (const value of of[key] ?? SWEEP_VALUES[key]) {
    for (const point of points(of, rest)) yield new Map([...point, [key, value]]);
  }
}

const reading =
  (point: Point): ReadInput =>
  (key) =>
    point.get(key) as never;

function inputsAt(platform: Platform, point: Point): ZapInputs {
  const { paging, vendor, confidential } = platform;
  const on = (key: SweepInput): boolean => point.get(key) === true || point.get(key) === 'on';
  const quirk =
    paging === 'shadow' ||
    (paging === 'ept' &&
      confidential === 'no' &&
      (on('quirk-ignore-guest-pat') || !on('self-snoop')));
  return {
    ept: () => paging === 'ept',
    tdp: () => paging !== 'shadow',
    amd: () => vendor === 'amd',
    noncoherent_dma: () => on('noncoherent-dma'),
    assigned_device: () => on('assigned-device'),
    self_snoop: () => vendor === 'intel' && on('self-snoop'),
    quirk_cd_nw_cleared: () => on('quirk-cd-nw-cleared'),
    quirk_ignore_guest_pat: () => quirk,
    slot_host_memtype: () => on('slot-host-memtype'),
  };
}

/** One letter for each state and what it becomes: kept, retyped, stale. */
function told({ rules }: Side, platform: Platform, event: EventId, of: Restriction): string {
  const { flips, rule } = KINDS[event];
  let outcomes = '';
  for (const { inputs, from, to } of flips) {
    for (const before of points(of)) {
      const values: readonly unknown[] = SWEEP_VALUES[inputs[0] ?? 'guest'];
      const olds = inputs.map((key) => before.get(key));
      if (from !== undefined && olds[0] !== from) continue;
      for (const value of to === undefined ? values : [to]) {
        if (olds.every((old) => old === value)) continue;
        const after = new Map([...before, ...inputs.map((key) => [key, value] as const)]);
        const [was, is] = [before, after].map(
          (point) => accessAt(rules, wayOf(platform), reading(point)).leaf,
        );
        const action = zapOn(rules.zap, rule, inputsAt(platform, before));
        if (was === is || action === 'refused') outcomes += 'k';
        else outcomes += action === 'zap-all' || action === 'zap-gfn-range' ? 'r' : 's';
      }
    }
  }
  return outcomes;
}

const count = (outcomes: string, letter: string): number => outcomes.split(letter).length - 1;
const numbers = ({ affected, stale }: AfterEvent): unknown => ({ affected, stale });

const sameCounts = (x: string, y: string): boolean =>
  count(x, 'r') === count(y, 'r') && count(x, 's') === count(y, 's');

test('the fold agrees with looking at each state by itself', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...RULES),
      fc.constantFrom(...RULES),
      fc.constantFrom(...PLATFORMS),
      restriction,
      (ra, rb, platform, free) => {
        const [a, b] = [ra, rb].map(
          (rules): Side => ({ name: '', kernel: '', title: '', rules, notes: [] }),
        );
        if (a === undefined || b === undefined) return;
        // The platform says its own, and a quirk that is given cannot be disabled later.
        const of = { ...free, ...givenBy(platform) };
        const existing = existingOf(a, b, [[platform, platform]], [of]);
        let states = 0;
        for (const event of EVENTS) {
          const given = KINDS[event].flips.some(({ inputs }) =>
            inputs.some((key) => givenBy(platform)[key] !== undefined),
          );
          const [before, after] = given
            ? ['', '']
            : [told(a, platform, event, of), told(b, platform, event, of)];
          states += before.length;
          const change = existing.changes.find((c) => c.event === event);
          const zapped = [before, after].map((o) => count(o, 'r') > 0 && count(o, 's') === 0);
          expect(change === undefined).toBe(
            before === after || zapped.every(Boolean) || sameCounts(before, after),
          );
          if (change === undefined) continue;
          for (const [outcomes, said] of [
            [before, change.before],
            [after, change.after],
          ] as const) {
            const [retyped, stale] = [count(outcomes, 'r'), count(outcomes, 's')];
            expect(numbers(said)).toEqual({ affected: retyped + stale, stale });
          }
        }
        expect(existing.points).toBe(states);
      },
    ),
    { numRuns: 400 },
  );
});
