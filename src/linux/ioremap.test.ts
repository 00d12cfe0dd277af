import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAT_TYPES, type PatType } from '../x86/types.ts';
import {
  IOREMAP_REQUESTS,
  type IoremapFunction,
  ioremap,
  pgprotNoncached,
  pgprotWritecombine,
  remapPfnRange,
  vmfInsertPfn,
} from './ioremap.ts';
import { isNewMemtypeAllowed, MemtypeTracker, type TrackerHost } from './memtype-tracker.ts';
import { LINUX_PAT, NO_PAT } from './pat-layout.ts';

const PAGE = 4096;
const BAR = 0xfd000000;
const RAM_PAGES = 0x40000;
const NAMES = Object.keys(IOREMAP_REQUESTS) as IoremapFunction[];

function machine(host: Partial<TrackerHost> = {}): MemtypeTracker {
  return new MemtypeTracker({
    isRam: (page) => page < RAM_PAGES,
    mtrrType: () => 'UC',
    patEnabled: true,
    ...host,
  });
}

describe('ioremap', () => {
  const FRESH: readonly [IoremapFunction, PatType][] = [
    ['ioremap', 'UC-'],
    ['ioremap_uc', 'UC'],
    ['ioremap_wc', 'WC'],
    ['ioremap_wt', 'WT'],
    ['ioremap_cache', 'UC-'],
  ];
  it.each(FRESH)('%s of an untouched BAR under a UC MTRR gives %s', (name, mapped) => {
    expect(ioremap(machine(), name, BAR, 0x1000)).toEqual({ mapped });
  });

  it('is WB only where the MTRR is', () => {
    const tracker = machine({ mtrrType: () => 'WB' });
    expect(ioremap(tracker, 'ioremap_cache', BAR, 1)).toEqual({ mapped: 'WB' });
  });

  it('reserves whole pages', () => {
    const tracker = machine();
    ioremap(tracker, 'ioremap', BAR + 0x10, PAGE);
    expect(tracker.entries).toEqual([{ start: BAR, end: BAR + 2 * PAGE, type: 'UC-' }]);
  });

  it('refuses a type it must not take, and gives the reservation back', () => {
    const tracker = machine({ mtrrType: () => 'WB' });
    tracker.reserve(BAR, BAR + PAGE, 'WB', 'exact');
    expect(ioremap(tracker, 'ioremap', BAR, PAGE)).toEqual({
      error: 'not-allowed',
      requested: 'UC-',
      got: 'WB',
    });
    expect(tracker.entries).toHaveLength(1);
  });

  it('accepts WB even for a request of UC', () => {
    const tracker = machine({ mtrrType: () => 'WB' });
    tracker.reserve(BAR, BAR + PAGE, 'WB', 'exact');
    expect(ioremap(tracker, 'ioremap_uc', BAR, PAGE)).toEqual({ mapped: 'WB' });
  });

  it('maps the ISA hole WB, whatever was asked for', () => {
    const tracker = machine({ isRam: () => false });
    expect(ioremap(tracker, 'ioremap_wc', 0xa0000, 0x20000)).toEqual({ mapped: 'WB' });
  });

  it('refuses RAM, two types at once, and ioremap_np', () => {
    const tracker = machine();
    tracker.reserve(BAR, BAR + PAGE, 'WC', 'exact');
    tracker.reserve(BAR + PAGE, BAR + 2 * PAGE, 'UC-', 'exact');
    expect(ioremap(tracker, 'ioremap_wc', 0x2000000, PAGE)).toEqual({ error: 'ram' });
    expect(ioremap(tracker, 'ioremap', BAR, 2 * PAGE)).toMatchObject({ error: 'EBUSY' });
    expect(ioremap(tracker, 'ioremap_np', BAR, PAGE)).toEqual({ error: 'not-on-x86' });
  });

  it('never maps with a type that the request does not allow', () => {
    const step = fc.tuple(
      fc.constantFrom(...NAMES),
      fc.nat(7).map((page) => BAR + page * PAGE),
      fc.integer({ min: 1, max: 4 }).map((pages) => pages * PAGE),
    );
    const mtrr = fc.constantFrom<'WB' | 'UC' | 'mixed'>('WB', 'UC', 'mixed');
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), mtrr, (steps, type) => {
        const tracker = machine({ mtrrType: () => type });
        for (const [name, start, size] of steps) {
          const mapped = ioremap(tracker, name, start, size);
          const requested = IOREMAP_REQUESTS[name];
          if (!('mapped' in mapped) || requested === null) continue;
          expect(isNewMemtypeAllowed(requested, mapped.mapped)).toBe(true);
          expect(tracker.lookup(start)).toBe(mapped.mapped);
        }
      }),
    );
  });
});

describe('user mappings', () => {
  it('remap_pfn_range takes the tracked type of RAM, whatever it asked for', () => {
    const tracker = machine();
    tracker.reserve(0x2000000, 0x2001000, 'WC', 'exact');
    expect(remapPfnRange(tracker, 0x2000000, 0x2001000, 'WB')).toEqual({ mapped: 'WC' });
    expect(remapPfnRange(tracker, 0x2001000, 0x2002000, 'WC')).toEqual({ mapped: 'WB' });
  });

  it('remap_pfn_range reserves elsewhere', () => {
    const tracker = machine();
    expect(remapPfnRange(tracker, BAR, BAR + PAGE, 'WC')).toEqual({ mapped: 'WC' });
    expect(remapPfnRange(tracker, BAR, BAR + PAGE, 'UC-')).toEqual({ mapped: 'WC' });
    expect(tracker.entries).toHaveLength(2);
  });

  it.each(PAT_TYPES)('vmf_insert_pfn replaces %s by the tracked type', (requested) => {
    const tracker = machine();
    tracker.reserve(BAR, BAR + PAGE, 'WC', 'exact');
    expect(vmfInsertPfn(tracker, BAR / PAGE, requested)).toBe('WC');
    expect(vmfInsertPfn(tracker, BAR / PAGE + 1, requested)).toBe('UC-');
    expect(vmfInsertPfn(machine({ patEnabled: false }), BAR / PAGE, requested)).toBe(requested);
  });
});

describe('pgprot', () => {
  const pat = LINUX_PAT['wt-wp'];
  const bothOf = (kernel: '6.12' | '7.3'): PatType | undefined =>
    pat[pgprotWritecombine(pat, pgprotNoncached(pat, 0), kernel)];

  it('gives UC- and WC, each alone', () => {
    expect(pat[pgprotNoncached(pat, 0)]).toBe('UC-');
    expect(pat[pgprotWritecombine(pat, 0, '6.12')]).toBe('WC');
    expect(NO_PAT[pgprotWritecombine(NO_PAT, 0, '7.3')]).toBe('UC-');
  });

  it('gives UC for noncached and then writecombine up to 6.12, WC in 7.3', () => {
    expect(bothOf('6.12')).toBe('UC');
    expect(bothOf('7.3')).toBe('WC');
  });
});
