import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { u64 } from '../base/u64.ts';
import { rangeMsrs } from '../facts/layout.ts';
import { MTRR_TYPES, TYPE_CODE } from '../x86/types.ts';
import { compileGuestMtrrs } from './guest-mtrr.ts';
import {
  HUGE_PAGE,
  type HugePageInputs,
  type HugePageRule,
  LEVELS,
  type Level,
  mappedLevel,
  PAGES_OF,
} from './huge-page.ts';

const RULES = Object.keys(HUGE_PAGE) as HugePageRule[];

function inputs(over: { readonly [K in keyof HugePageInputs]?: boolean | null }): HugePageInputs {
  const one = (name: keyof HugePageInputs) => (): boolean => over[name] === true;
  return {
    ept: one('ept'),
    tdp: one('tdp'),
    noncoherent_dma: one('noncoherent_dma'),
    slot_host_memtype: one('slot_host_memtype'),
    mtrr_consistent: () => over.mtrr_consistent ?? null,
    one_host_type: one('one_host_type'),
  };
}

describe('huge mappings', () => {
  test('never larger than the host has it, and 4K stays 4K', () => {
    for (const rule of RULES) {
      for (const host of LEVELS) {
        for (const agree of [true, false]) {
          const level = mappedLevel(
            rule,
            inputs({
              ept: true,
              tdp: true,
              noncoherent_dma: true,
              mtrr_consistent: agree,
              one_host_type: agree,
            }),
            host,
          );
          expect(LEVELS.indexOf(level as Level)).toBeLessThanOrEqual(LEVELS.indexOf(host));
          if (agree) expect(level).toBe(host);
        }
      }
    }
  });

  test('who is limited when the guest MTRRs of the block differ', () => {
    const limited = (more: Parameters<typeof inputs>[0]): readonly HugePageRule[] =>
      RULES.filter(
        (rule) =>
          mappedLevel(
            rule,
            inputs({ ...more, mtrr_consistent: false, one_host_type: true }),
            '2M',
          ) === '4K',
      );
    expect(limited({ ept: true, tdp: true })).toEqual(['every-vm']);
    expect(limited({ tdp: true, noncoherent_dma: true })).toEqual(['every-vm']);
    expect(limited({ ept: true, tdp: true, noncoherent_dma: true })).toEqual([
      'every-vm',
      'noncoherent-only',
    ]);
    expect(limited({})).toEqual([]);
  });

  test('who is limited when the pages of the block differ on the host', () => {
    const limited = (more: Parameters<typeof inputs>[0]): readonly HugePageRule[] =>
      RULES.filter(
        (rule) =>
          mappedLevel(
            rule,
            inputs({ ...more, mtrr_consistent: true, one_host_type: false }),
            '1G',
          ) === '4K',
      );
    expect(limited({ ept: true, tdp: true, noncoherent_dma: true })).toEqual(['one-host-type']);
    expect(limited({ slot_host_memtype: true })).toEqual([
      'one-host-type',
      'one-host-type-in-flagged-slots',
    ]);
  });

  test('uninitialised memory is no answer', () => {
    expect(mappedLevel('every-vm', inputs({ tdp: true, mtrr_consistent: null }), '2M')).toBeNull();
    expect(mappedLevel('every-vm', inputs({ mtrr_consistent: null }), '2M')).toBe('2M');
  });

  // Why the order in which a kernel asks the levels does not matter.
  test('a block of 1G with one guest MTRR type has only blocks of 2M with one', () => {
    const range = fc
      .record({
        type: fc.constantFrom('WB' as const, 'UC' as const, 'WC' as const),
        bits: fc.integer({ min: 16, max: 32 }),
        at: fc.nat(63),
      })
      .map(({ type, bits, at }) => ({ type, base: (at * 2 ** bits) % 2 ** 33, size: 2 ** bits }));
    let seen = 0;
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 4 }),
        fc.constantFrom(...MTRR_TYPES),
        fc.boolean(),
        fc.nat(7),
        fc.nat(511),
        (ranges, def, fixed, gib, part) => {
          const mtrrs = compileGuestMtrrs('v2', {
            defType: (1 << 11) | (fixed ? 1 << 10 : 0) | TYPE_CODE[def],
            fixed: Array.from({ length: 11 }, () => u64(0x06060606, 0x06060606)),
            variable: ranges.map((r) => rangeMsrs(r, 40)),
            maxphyaddr: 40,
            cpuidMtrr: true,
          });
          const gfn = gib * PAGES_OF['1G'];
          if (mtrrs.consistent(gfn, PAGES_OF['1G']) !== true) return;
          seen++;
          expect(mtrrs.consistent(gfn + part * PAGES_OF['2M'], PAGES_OF['2M'])).toBe(true);
        },
      ),
      { numRuns: 3000 },
    );
    expect(seen).toBeGreaterThan(100);
  });
});
