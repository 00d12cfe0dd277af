import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { everyChoice } from '../src/base/choice.ts';
import { SPANS } from '../src/kvm/timeline.ts';
import { BACKINGS, backingClass } from '../src/linux/backing.ts';
import { exitCodeOf } from '../src/resolve/resolution.ts';
import { answer, type Flags } from './ask.ts';

const PAT = ['WB', 'WC', 'UC-', 'UC', 'WT', 'WP'];
const MTRR = ['WB', 'UC', 'WC', 'WT', 'WP'];
const YES_NO = ['yes', 'no'];

/** Facts without initial state: leaving one out must give the union over its values. */
const OPEN: Readonly<Record<string, readonly string[]>> = {
  paging: ['ept', 'npt', 'shadow'],
  backing: BACKINGS.map((b) => b.id),
  guest: PAT,
  'guest-mtrr': MTRR,
  'self-snoop': YES_NO,
  device: ['snoop', 'nosnoop', 'none'],
};

const kernel = fc.constantFrom(...SPANS.map((span) => span.from.text));
const one = (values: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...values);

const complete: fc.Arbitrary<Record<string, string>> = fc.record({
  kernel,
  paging: one(OPEN['paging'] ?? []),
  backing: one(OPEN['backing'] ?? []),
  guest: one(PAT),
  'guest-mtrr': one(MTRR),
  'self-snoop': one(YES_NO),
  device: one(OPEN['device'] ?? []),
  'noncoherent-dma': one(YES_NO),
  'cr0-cd': one(YES_NO),
  'quirk-cd-nw-cleared': one(['on', 'off']),
});

function without(flags: Flags, hidden: readonly string[]): Flags {
  return Object.fromEntries(Object.entries(flags).filter(([key]) => !hidden.includes(key)));
}

/** The types over every completion of the hidden facts, each asked on its own. */
function bruteForce(flags: Flags, hidden: readonly string[]): ReadonlySet<string> {
  const types = new Set<string>();
  everyChoice((choice) => {
    const full: Record<string, string | readonly string[]> = { ...without(flags, hidden) };
    for (const key of hidden) {
      const values = OPEN[key] ?? [];
      full[key] = values[choice.pick(values.length)] ?? '';
    }
    for (const type of answer(full).types) types.add(type);
  });
  return types;
}

describe('what is unknown is a set', () => {
  test('the answer without some facts is the union over their values', () => {
    const hidden = fc.subarray(Object.keys(OPEN), { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(complete, hidden, (flags, keys) => {
        const r = answer(without(flags, keys));
        expect(new Set(r.types)).toEqual(bruteForce(flags, keys));
      }),
      { numRuns: 150 },
    );
  });

  test('a fact named as deciding decides, and one that is not named does not', () => {
    const hidden = fc.subarray(Object.keys(OPEN), { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(complete, hidden, (flags, keys) => {
        const r = answer(without(flags, keys));
        const idle = keys.filter((key) => !(r.unknown as readonly string[]).includes(key));
        for (const key of idle) {
          for (const value of OPEN[key] ?? []) {
            const said = answer({ ...without(flags, keys), [key]: value });
            expect(said.types).toEqual(r.types);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test('nothing undetermined is reported as fine', () => {
    fc.assert(
      fc.property(complete, fc.subarray(Object.keys(OPEN)), (flags, keys) => {
        const r = answer(without(flags, keys));
        if (r.types.length > 1) expect(exitCodeOf(r)).toBe(3);
        if (r.verdicts.some((v) => v.severity === 'error')) expect(exitCodeOf(r)).not.toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test('the same question gives the same answer, byte for byte', () => {
    fc.assert(
      fc.property(complete, fc.subarray(Object.keys(OPEN)), (flags, keys) => {
        const asked = (): string => {
          const { question: _, ...rest } = answer(without(flags, keys));
          return JSON.stringify(rest);
        };
        expect(asked()).toBe(asked());
      }),
      { numRuns: 50 },
    );
  });
});

describe('what coherence means', () => {
  test('a device that snoops, or none, never sees stale data', () => {
    fc.assert(
      fc.property(complete, one(['snoop', 'none']), (flags, device) => {
        const found = answer({ ...flags, device }).verdicts.map((v) => v.code);
        expect(found).not.toContain('MT101');
        expect(found).not.toContain('MT102');
      }),
      { numRuns: 300 },
    );
  });

  test('RAM that ends up WB is stale for a device that does not snoop, whatever made it WB', () => {
    fc.assert(
      fc.property(complete, (flags) => {
        const r = answer({ ...flags, device: 'nosnoop' });
        const device = backingClass(flags['backing'] ?? '')?.page.device === true;
        if (r.types.length !== 1 || device) return;
        const stale = r.verdicts.some((v) => v.code === 'MT101');
        expect(stale).toBe(r.types[0] === 'WB');
      }),
      { numRuns: 500 },
    );
  });
});
