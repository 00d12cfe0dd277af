import { describe, expect, it } from 'vitest';
import { u64 } from '../base/u64.ts';
import { PAT_RESET, patMsr } from '../x86/pat.ts';
import {
  kernelPat,
  LINUX_PAT,
  mappedType,
  NO_PAT,
  PAT_LOWER_HALF,
  type PatBoot,
  slotFor,
  XEN_PAT,
} from './pat-layout.ts';

const MODERN: PatBoot = {
  vendor: 'intel',
  family: 6,
  model: 94,
  era: 'wt-wp',
  cpuHasPat: true,
  nopat: false,
  xenPv: false,
  msrAtBoot: PAT_RESET,
};

const WORDS: readonly [string, Partial<PatBoot>, string, boolean][] = [
  ['a modern kernel', {}, 'WB WC UC- UC WB WP UC- WT', true],
  ['before WP had a slot', { era: 'wt' }, 'WB WC UC- UC WB WC UC- WT', true],
  ['before WT had a slot', { era: 'wc' }, 'WB WC UC- UC WB WC UC- UC', true],
  ['AMD', { vendor: 'amd', family: 15, model: 4 }, 'WB WC UC- UC WB WP UC- WT', true],
  ['Pentium 4 Willamette', { family: 15, model: 0 }, 'WB WC UC- UC WB WC UC- UC', true],
  ['Pentium 4 Cedarmill', { family: 15, model: 6 }, 'WB WC UC- UC WB WC UC- UC', true],
  ['Pentium M Dothan', { model: 13 }, 'WB WT UC- UC WB WT UC- UC', false],
  ['Core Yonah', { model: 14 }, 'WB WT UC- UC WB WT UC- UC', false],
  ['Core 2 Merom', { model: 15 }, 'WB WC UC- UC WB WP UC- WT', true],
  ['no PAT in the CPU', { cpuHasPat: false }, 'WB WT UC- UC WB WT UC- UC', false],
  ['nopat after reset', { nopat: true }, 'WB WT UC- UC WB WT UC- UC', false],
  ['an MSR of 0', { msrAtBoot: u64(0, 0) }, 'WB WT UC- UC WB WT UC- UC', false],
  ['Xen PV', { xenPv: true }, 'WB WT UC- UC WC WP UC UC', true],
];

describe('kernelPat', () => {
  it.each(WORDS)('%s', (_name, boot, words, enabled) => {
    const setup = kernelPat({ ...MODERN, ...boot });
    expect(setup.layout.join(' ')).toBe(words);
    expect(setup.enabled).toBe(enabled);
  });

  it('keeps with nopat what an earlier kernel wrote (kexec)', () => {
    const setup = kernelPat({ ...MODERN, nopat: true, msrAtBoot: patMsr(LINUX_PAT['wt-wp']) });
    expect(setup.layout).toEqual(LINUX_PAT['wt-wp']);
    expect(setup.enabled).toBe(false);
  });
});

describe('slots', () => {
  it('uses the lowest slot that holds the type', () => {
    expect(slotFor(LINUX_PAT['wt-wp'], 'WT')).toBe(7);
    expect(slotFor(LINUX_PAT['wt-wp'], 'WC')).toBe(1);
    expect(slotFor(XEN_PAT, 'WC')).toBe(4);
  });

  it('redirects to UC- what has no slot', () => {
    expect(mappedType(NO_PAT, 'WC')).toBe('UC-');
    expect(mappedType(NO_PAT, 'WT')).toBe('WT');
    expect(mappedType(PAT_LOWER_HALF, 'WT')).toBe('UC-');
    expect(mappedType(PAT_LOWER_HALF, 'WP')).toBe('UC-');
    expect(mappedType(LINUX_PAT.wt, 'WP')).toBe('UC-');
  });
});
