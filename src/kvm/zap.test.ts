import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { u64 } from '../base/u64.ts';
import { rangeMsrs } from '../facts/layout.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { MTRR_TYPES, TYPE_CODE } from '../x86/types.ts';
import { compileGuestMtrrs, type GuestMtrrState, rangeOfMtrrWrite } from './guest-mtrr.ts';
import { rulesFor } from './timeline.ts';
import {
  isZapped,
  ZAP,
  ZAP_EVENTS,
  ZAP_HOST_PAT,
  ZAP_HOST_PAT_SLOT,
  ZAP_HOST_PAT_TRACKED,
  ZAP_PROPOSED,
  ZAP_SLOT_FLAG,
  type ZapEvent,
  type ZapInputs,
  type ZapRules,
  zapOn,
  zapRuleWords,
} from './zap.ts';

const NAMES = [
  'ept',
  'tdp',
  'amd',
  'noncoherent_dma',
  'assigned_device',
  'self_snoop',
  'quirk_cd_nw_cleared',
  'quirk_ignore_guest_pat',
  'slot_host_memtype',
] as const satisfies readonly (keyof ZapInputs)[];

/** Inputs of which exactly the named ones hold. */
function only(...held: readonly (keyof ZapInputs)[]): ZapInputs {
  return Object.fromEntries(NAMES.map((n) => [n, () => held.includes(n)])) as unknown as ZapInputs;
}

const EPT = ['ept', 'tdp'] as const;

function rulesAt(version: string): ZapRules {
  const [rules] = rulesFor(parseKernelVersion(version));
  if (rules === undefined) throw new Error(version);
  return rules.zap;
}

describe('zapping', () => {
  // Section by section what the kernels do, by the least that has to hold for it.
  test.each<[string, ZapEvent, string, readonly (keyof ZapInputs)[]]>([
    ['2.6.32', 'mtrrWrite', 'reset-context', []],
    ['2.6.32', 'cdToggle', 'reset-context', []],
    ['4.1', 'noncoherentToggle', 'nothing', [...NAMES]],
    ['4.2', 'mtrrWrite', 'zap-gfn-range', ['tdp', 'noncoherent_dma']],
    ['4.2', 'cdToggle', 'zap-all', []],
    ['4.3', 'cdToggle', 'zap-all', []],
    ['4.2.8', 'cdToggle', 'zap-all', ['noncoherent_dma']],
    ['6.6', 'cdToggle', 'zap-all', ['noncoherent_dma']],
    ['6.6', 'noncoherentToggle', 'nothing', [...NAMES]],
    ['6.7', 'mtrrWrite', 'zap-gfn-range', [...EPT, 'noncoherent_dma']],
    ['6.7', 'cdToggle', 'zap-all', [...EPT, 'noncoherent_dma']],
    ['6.7', 'noncoherentToggle', 'zap-all', EPT],
    ['6.11-rc3', 'noncoherentToggle', 'zap-all', EPT],
    ['6.11', 'noncoherentToggle', 'zap-all', EPT],
    ['6.11', 'mtrrWrite', 'nothing', [...NAMES]],
    ['6.12.77', 'noncoherentToggle', 'zap-all', EPT],
    ['6.12.78', 'noncoherentToggle', 'zap-all', ['quirk_ignore_guest_pat']],
    ['6.15', 'cdToggle', 'nothing', [...NAMES]],
    ['7.3.4', 'noncoherentToggle', 'zap-all', ['quirk_ignore_guest_pat']],
    ['7.3.4', 'hostTypeChange', 'nothing', [...NAMES]],
    ['7.3.4', 'quirkDisabled', 'nothing', [...NAMES]],
  ])('%s, %s: %s with %j', (version, event, action, held) => {
    const rules = rulesAt(version);
    expect(zapOn(rules, event, only(...held))).toBe(action);
    for (const name of action === 'nothing'
      ? []
      : held.filter((n) => n !== 'tdp' || !held.includes('ept'))) {
      expect(zapOn(rules, event, only(...held.filter((n) => n !== name)))).toBe('nothing');
    }
  });

  test('what stops a zap', () => {
    const with_ = (...more: readonly (keyof ZapInputs)[]): ZapInputs =>
      only(...EPT, 'noncoherent_dma', ...more);
    expect(zapOn(rulesAt('6.6'), 'cdToggle', with_('quirk_cd_nw_cleared'))).toBe('nothing');
    expect(zapOn(rulesAt('6.10'), 'cdToggle', with_('quirk_cd_nw_cleared'))).toBe('nothing');
    expect(zapOn(rulesAt('6.11-rc3'), 'noncoherentToggle', with_('self_snoop'))).toBe('nothing');
    expect(zapOn(rulesAt('6.7'), 'mtrrWrite', only('tdp', 'noncoherent_dma'))).toBe('nothing');
  });

  test('no kernel zaps when a quirk is disabled, a flag or the tracked type changes; all do when the PTE changes', () => {
    for (const rules of ZAP) {
      for (const event of ['quirkDisabled', 'hostTypeChange', 'slotFlagChange'] as const) {
        expect(zapOn(rules, event, only(...NAMES))).toBe('nothing');
      }
      expect(zapOn(rules, 'vmmMappingChange', only())).toBe('zap-gfn-range');
    }
  });

  test('the proposals', () => {
    expect(zapOn(ZAP_HOST_PAT, 'vmmMappingChange', only())).toBe('zap-gfn-range');
    expect(zapOn(ZAP_HOST_PAT, 'hostTypeChange', only())).toBe('nothing');
    expect(zapOn(ZAP_HOST_PAT_TRACKED, 'hostTypeChange', only())).toBe('zap-gfn-range');
    expect(zapOn(ZAP_HOST_PAT, 'noncoherentToggle', only())).toBe('zap-all');
    expect(zapOn(ZAP_HOST_PAT, 'noncoherentToggle', only('self_snoop'))).toBe('nothing');
    expect(zapOn(ZAP_HOST_PAT, 'noncoherentToggle', only('amd', 'tdp'))).toBe('nothing');
    expect(zapOn(ZAP_HOST_PAT, 'noncoherentToggle', only('amd'))).toBe('zap-all');
    expect(zapOn(ZAP_HOST_PAT, 'guestPatWrite', only())).toBe('zap-all');
    expect(zapOn(ZAP_HOST_PAT, 'guestPatWrite', only(...EPT))).toBe('nothing');
    expect(ZAP_HOST_PAT_SLOT.hostTypeChange).toBe(rulesAt('6.16').hostTypeChange);
    for (const rules of [ZAP_HOST_PAT_SLOT, ZAP_SLOT_FLAG]) {
      const action = zapOn(rules, 'slotFlagChange', only());
      expect([action, isZapped(action)]).toEqual(['refused', false]);
    }
    expect(ZAP_SLOT_FLAG.noncoherentToggle).toBe(rulesAt('6.8').noncoherentToggle);
  });

  test('words say the condition that runs', () => {
    for (const rules of [...ZAP, ...ZAP_PROPOSED]) {
      for (const event of Object.keys(ZAP_EVENTS) as ZapEvent[]) {
        const { action, when } = rules[event];
        const words = zapRuleWords(rules[event]);
        expect(words.startsWith(action)).toBe(true);
        if (when !== null) expect(words).toContain(` if ${when.text}`);
        if (action === 'nothing') expect(when).toBeNull();
      }
    }
    expect(zapRuleWords(rulesAt('6.16').noncoherentToggle)).toBe(
      'zap-all if quirk_ignore_guest_pat (first or last device)',
    );
  });
});

// ---- the range of an MTRR write ---------------------------------------------------------------

const BLANK = Array.from({ length: 11 }, () => u64(0, 0));

describe('the range that the write of an MTRR zaps', () => {
  const on = (def: number, ranges: GuestMtrrState['variable'], fe = false): GuestMtrrState => ({
    defType: def | (1 << 11) | (fe ? 1 << 10 : 0),
    fixed: BLANK,
    variable: ranges,
    maxphyaddr: 40,
    cpuidMtrr: true,
  });
  const off = (state: GuestMtrrState): GuestMtrrState => ({
    ...state,
    defType: state.defType & 0xff,
  });
  const range = fc
    .record({
      type: fc.constantFrom(...MTRR_TYPES),
      bits: fc.integer({ min: 21, max: 32 }),
      at: fc.nat(31),
    })
    .map(({ type, bits, at }) => ({ type, base: (at * 2 ** bits) % 2 ** 36, size: 2 ** bits }));

  test('switched off: DEF_TYPE zaps everything, the rest nothing', () => {
    const state = off(on(6, [rangeMsrs({ type: 'UC', base: 0xc0000000, size: 2 ** 30 }, 40)]));
    expect(rangeOfMtrrWrite(0x2ff, state)).toEqual({ start: 0, end: 2 ** 52 });
    for (const msr of [0x200, 0x201, 0x250, 0x26f]) expect(rangeOfMtrrWrite(msr, state)).toBeNull();
  });

  test('fixed MSRs zap what they hold, with FE=1 only', () => {
    const at = (msr: number): unknown => rangeOfMtrrWrite(msr, on(6, [], true));
    expect(at(0x250)).toEqual({ start: 0, end: 0x80000 });
    expect(at(0x258)).toEqual({ start: 0x80000, end: 0xa0000 });
    expect(at(0x259)).toEqual({ start: 0xa0000, end: 0xc0000 });
    expect(at(0x26f)).toEqual({ start: 0xf8000, end: 0x100000 });
    expect(rangeOfMtrrWrite(0x250, on(6, []))).toBeNull();
  });

  // The writes that a guest makes with MTRRs on: everything that gets another type is zapped when a range
  // is added, but not what a range leaves behind when it moves.
  test('a range that is added: no page gets another type without a zap', () => {
    fc.assert(
      fc.property(
        range,
        range,
        fc.constantFrom(...MTRR_TYPES),
        fc.nat(2 ** 24),
        (old, added, def, gfn) => {
          const first = rangeMsrs(old, 40);
          const before = on(TYPE_CODE[def], [first]);
          const after = on(TYPE_CODE[def], [first, rangeMsrs(added, 40)]);
          const zapped = rangeOfMtrrWrite(0x203, after);
          const page = gfn * 4096;
          const changed =
            compileGuestMtrrs('v2', before).typeOf(gfn) !==
            compileGuestMtrrs('v2', after).typeOf(gfn);
          if (changed)
            expect(zapped !== null && page >= zapped.start && page < zapped.end).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('a range that moves leaves its old place unzapped', () => {
    const at = (base: number): GuestMtrrState =>
      on(6, [rangeMsrs({ type: 'UC', base, size: 2 ** 30 }, 40)]);
    const gfn = 0xc0000;
    expect(compileGuestMtrrs('v2', at(0xc0000000)).typeOf(gfn)).toBe('UC');
    expect(compileGuestMtrrs('v2', at(0x80000000)).typeOf(gfn)).toBe('WB');
    expect(rangeOfMtrrWrite(0x200, at(0x80000000))).toEqual({ start: 0x80000000, end: 0xc0000000 });
  });
});
