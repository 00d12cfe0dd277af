import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { u64, u64FromNumber } from '../base/u64.ts';
import type { MtrrState } from '../x86/mtrr.ts';
import type { MtrrType } from '../x86/types.ts';
import { PAT_TYPES, type PatType, TYPE_CODE } from '../x86/types.ts';
import {
  isNewMemtypeAllowed,
  type Memtype,
  MemtypeTracker,
  type ReserveMode,
  type TrackerHost,
} from './memtype-tracker.ts';
import { buildMtrrMap, mtrrHint } from './mtrr-lookup.ts';

const PAGE = 4096;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

const PLAIN: TrackerHost = { isRam: () => false, mtrrType: () => 'WB', patEnabled: true };

function range(base: number, size: number, type: MtrrType): MtrrState['variable'][number] {
  const mask = u64FromNumber(2 ** 40 - size);
  const { hi, lo } = u64FromNumber(base);
  return { base: u64(hi, lo + TYPE_CODE[type]), mask: u64(mask.hi, mask.lo + 0x800) };
}

/** The emulated PC of the recorded steps: 512 MiB, its MTRRs as SeaBIOS left them, then more of them. */
function recordedHost(more: MtrrState['variable'] = []): TrackerHost {
  const map = buildMtrrMap({
    defType: 0x800 | TYPE_CODE.WB,
    fixed: null,
    variable: [range(2 * GIB, 2 * GIB, 'UC'), ...more],
    physBits: 40,
  });
  return {
    isRam: (page) => page < 0x9f || (page >= 0x100 && page < 0x1ffe0),
    mtrrType: (start, end) => mtrrHint(map, start, end),
    patEnabled: true,
  };
}

function listed(tracker: MemtypeTracker): string[] {
  return tracker.entries.map((e) => `${e.start.toString(16)}-${e.end.toString(16)} ${e.type}`);
}

describe('recorded on Linux 6.1 (memtype-steps.txt and dmesg of the same boot)', () => {
  const tracker = new MemtypeTracker(recordedHost());
  const BOOT = ['1ffe0000-1ffe2000 WB', '1ffe1000-1ffe2000 WB', 'fed00000-fed01000 UC-'];

  // start, end, requested, granted
  const boot: readonly [number, number, PatType, PatType][] = [
    [0x1ffe1000, 0x1ffe2000, 'WB', 'WB'],
    [0x1ffe0000, 0x1ffe2000, 'WB', 'WB'],
    [0xfed00000, 0xfed01000, 'UC-', 'UC-'],
  ];
  it.each(boot)('at boot: %i-%i %s', (start, end, requested, granted) => {
    expect(tracker.reserve(start, end, requested, 'flexible')).toEqual({ granted });
  });

  it('lists what the kernel lists', () => {
    expect(listed(tracker)).toEqual(BOOT);
  });

  // The BAR: map with its _wc file, then without, then overlapping; unmap in the order of the record.
  type Step = ['map', number, number, PatType, PatType] | ['unmap', number, number];
  const bar: readonly [Step, readonly string[]][] = [
    [['map', 0xfd000000, 0xfd004000, 'WC', 'WC'], ['fd000000-fd004000 WC']],
    [
      ['map', 0xfd000000, 0xfd004000, 'UC-', 'WC'],
      ['fd000000-fd004000 WC', 'fd000000-fd004000 WC'],
    ],
    [
      ['map', 0xfd002000, 0xfd006000, 'UC-', 'WC'],
      ['fd000000-fd004000 WC', 'fd000000-fd004000 WC', 'fd002000-fd006000 WC'],
    ],
    [
      ['unmap', 0xfd000000, 0xfd004000],
      ['fd000000-fd004000 WC', 'fd002000-fd006000 WC'],
    ],
    [['unmap', 0xfd000000, 0xfd004000], ['fd002000-fd006000 WC']],
    [['unmap', 0xfd002000, 0xfd006000], []],
    [['map', 0xfd000000, 0xfd004000, 'UC-', 'UC-'], ['fd000000-fd004000 UC-']],
    [
      ['map', 0xfd000000, 0xfd004000, 'WC', 'UC-'],
      ['fd000000-fd004000 UC-', 'fd000000-fd004000 UC-'],
    ],
    [['unmap', 0xfd000000, 0xfd004000], ['fd000000-fd004000 UC-']],
    [['unmap', 0xfd000000, 0xfd004000], []],
    // /dev/mem without O_SYNC asks for WB; the MTRR there is UC
    [['map', 0xfd000000, 0xfd002000, 'WB', 'UC-'], ['fd000000-fd002000 UC-']],
    [['unmap', 0xfd000000, 0xfd002000], []],
    // the ISA hole: nothing tracked, always WB
    [['map', 0xf0000, 0xf2000, 'WB', 'WB'], []],
    [['map', 0xf0000, 0xf2000, 'UC-', 'WB'], []],
    [['unmap', 0xf0000, 0xf2000], []],
  ];
  it.each(bar)('%j', (step, entries) => {
    if (step[0] === 'map') {
      const [, start, end, requested, granted] = step;
      expect(tracker.reserve(start, end, requested, 'flexible')).toEqual({ granted });
    } else {
      expect(tracker.free(step[1], step[2])).toBe(true);
    }
    expect(listed(tracker)).toEqual([BOOT[0], BOOT[1], ...entries, BOOT[2]]);
  });

  // After writes to /proc/mtrr: WC and UC together at 16 GiB, WB at 20 GiB.
  const written = new MemtypeTracker(
    recordedHost([
      range(16 * GIB, GIB, 'WC'),
      range(16 * GIB, GIB, 'UC'),
      range(20 * GIB, MIB, 'WB'),
    ]),
  );
  const holes: readonly [number, PatType][] = [
    [16 * GIB, 'UC-'],
    [20 * GIB, 'WB'],
  ];
  it.each(holes)('/dev/mem at %i after MTRR writes', (at, granted) => {
    expect(written.reserve(at, at + 2 * PAGE, 'WB', 'flexible')).toEqual({ granted });
    expect(written.lookup(at)).toBe(granted);
  });
});

describe('conflicts', () => {
  it('refuses an exact request where another type is tracked', () => {
    const tracker = new MemtypeTracker(PLAIN);
    tracker.reserve(GIB, GIB + PAGE, 'WC', 'exact');
    expect(tracker.reserve(GIB, GIB + PAGE, 'UC-', 'exact')).toEqual({
      error: 'EBUSY',
      requested: 'UC-',
      because: {
        kind: 'conflict',
        found: 'UC-',
        against: { start: GIB, end: GIB + PAGE, type: 'WC' },
        track: 'UC-',
      },
    });
  });

  it('refuses any request over two types, and tracks nothing of it', () => {
    const tracker = new MemtypeTracker(PLAIN);
    tracker.reserve(GIB, GIB + PAGE, 'WC', 'exact');
    tracker.reserve(GIB + PAGE, GIB + 2 * PAGE, 'UC-', 'exact');
    const before = tracker.entries;
    expect(tracker.reserve(GIB, GIB + 2 * PAGE, 'WC', 'flexible')).toMatchObject({
      error: 'EBUSY',
      because: { kind: 'conflict', found: 'WC', against: { type: 'UC-' } },
    });
    expect(tracker.entries).toEqual(before);
  });

  it('compares an exact WB request after the MTRRs turned it into UC-', () => {
    const tracker = new MemtypeTracker({ ...PLAIN, mtrrType: () => 'UC' });
    tracker.reserve(GIB, GIB + PAGE, 'UC-', 'exact');
    expect(tracker.reserve(GIB, GIB + PAGE, 'WB', 'exact')).toEqual({ granted: 'UC-' });
  });
});

describe('RAM', () => {
  const ram: TrackerHost = { ...PLAIN, isRam: (page) => page < 0x40000 };

  it('keeps WC, WT and UC- in page flags, outside the list', () => {
    const tracker = new MemtypeTracker(ram);
    expect(tracker.reserve(16 * MIB, 17 * MIB, 'WC', 'exact')).toEqual({ granted: 'WC' });
    expect(tracker.reserve(17 * MIB, 18 * MIB, 'UC', 'flexible')).toEqual({ granted: 'UC-' });
    expect(tracker.entries).toEqual([]);
    expect(tracker.lookup(16 * MIB + 5)).toBe('WC');
    expect(tracker.lookup(17 * MIB)).toBe('UC-');
    expect(tracker.lookup(18 * MIB)).toBe('WB');
    expect(tracker.pfnImmuneToUcMtrr((16 * MIB) / PAGE)).toBe(true);
    expect(tracker.pfnImmuneToUcMtrr((18 * MIB) / PAGE)).toBe(false);
  });

  it('does not count users: the same type again is EBUSY, one free is enough', () => {
    const tracker = new MemtypeTracker(ram);
    tracker.reserve(16 * MIB, 17 * MIB, 'WC', 'exact');
    expect(tracker.reserve(16 * MIB, 16 * MIB + PAGE, 'WC', 'flexible')).toEqual({
      error: 'EBUSY',
      requested: 'WC',
      because: { kind: 'ram-taken', page: (16 * MIB) / PAGE, tracked: 'WC' },
    });
    expect(tracker.free(16 * MIB, 17 * MIB)).toBe(true);
    expect(tracker.lookup(16 * MIB)).toBe('WB');
  });

  it('refuses WP, and a hole before RAM', () => {
    const tracker = new MemtypeTracker(ram);
    expect(tracker.reserve(16 * MIB, 17 * MIB, 'WP', 'exact')).toMatchObject({
      error: 'EINVAL',
      because: { kind: 'wp-for-ram' },
    });
    expect(tracker.reserve(0x90000, 2 * MIB, 'WC', 'exact')).toMatchObject({
      error: 'EINVAL',
      because: { kind: 'ram-in-part' },
    });
    expect(tracker.reserve(GIB, GIB, 'WC', 'exact')).toMatchObject({
      because: { kind: 'empty-range' },
    });
  });

  it('does not ask the MTRRs', () => {
    const tracker = new MemtypeTracker({ ...ram, mtrrType: () => 'UC' });
    expect(tracker.reserve(16 * MIB, 17 * MIB, 'WB', 'exact')).toEqual({ granted: 'WB' });
  });

  it('is not RAM below 1 MiB, and does not notice a hole behind the last page', () => {
    const tracker = new MemtypeTracker(ram);
    expect(tracker.lookup(0x1000)).toBe('UC-');
    expect(tracker.kindOf(0x1000, 0x9000)).toBe('not-ram');
    expect(tracker.kindOf(GIB - PAGE, GIB + PAGE)).toBe('ram');
  });
});

describe('free', () => {
  it('shortens an entry that ends here, up to 6.15', () => {
    const tracker = new MemtypeTracker(PLAIN);
    tracker.reserve(GIB, GIB + 4 * PAGE, 'WC', 'exact');
    expect(tracker.free(GIB + PAGE, GIB + 4 * PAGE)).toBe(true);
    expect(listed(tracker)).toEqual(['40000000-40001000 WC']);
  });

  it('finds exact entries only, since then', () => {
    const tracker = new MemtypeTracker({ ...PLAIN, freeShortens: false });
    tracker.reserve(GIB, GIB + 4 * PAGE, 'WC', 'exact');
    expect(tracker.free(GIB + PAGE, GIB + 4 * PAGE)).toBe(false);
    expect(tracker.free(GIB, GIB + PAGE)).toBe(false);
  });
});

it('grants everything and tracks nothing with PAT off', () => {
  const tracker = new MemtypeTracker({ ...PLAIN, patEnabled: false });
  for (const type of PAT_TYPES) {
    expect(tracker.reserve(0xa0000, 0xa1000, type, 'exact')).toEqual({ granted: type });
  }
  expect(tracker.entries).toEqual([]);
});

it('is_new_memtype_allowed refuses four answers', () => {
  const refused = PAT_TYPES.flatMap((asked) =>
    PAT_TYPES.filter((got) => !isNewMemtypeAllowed(asked, got)).map((got) => `${asked} -> ${got}`),
  );
  expect(refused).toEqual(['UC- -> WB', 'WC -> WB', 'WT -> WC', 'WT -> WB']);
});

describe('for any history', () => {
  interface Request {
    readonly start: number;
    readonly end: number;
    readonly type: PatType;
    readonly mode: ReserveMode;
  }
  // Pages 8-15 of this machine are RAM; everything lies above 1 MiB.
  const at = (page: number): number => 2 * MIB + page * PAGE;
  const host: TrackerHost = {
    isRam: (page) => page >= 0x208 && page < 0x210,
    mtrrType: (start) => (start < at(20) ? 'WB' : 'UC'),
    patEnabled: true,
  };
  const request: fc.Arbitrary<Request> = fc
    .tuple(
      fc.nat(23),
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom(...PAT_TYPES),
      fc.constantFrom<ReserveMode>('exact', 'flexible'),
    )
    .map(([page, pages, type, mode]) => ({ start: at(page), end: at(page + pages), type, mode }));
  const history = fc.array(request, { maxLength: 20 });

  function replay(requests: readonly Request[]): MemtypeTracker {
    const tracker = new MemtypeTracker(host);
    for (const r of requests) tracker.reserve(r.start, r.end, r.type, r.mode);
    return tracker;
  }

  it('every page of a granted range is looked up as granted', () => {
    fc.assert(
      fc.property(history, request, (requests, r) => {
        const tracker = replay(requests);
        const reserved = tracker.reserve(r.start, r.end, r.type, r.mode);
        fc.pre('granted' in reserved && tracker.kindOf(r.start, r.end) === 'not-ram');
        for (let page = r.start; page < r.end; page += PAGE) {
          expect(tracker.lookup(page)).toBe('granted' in reserved && reserved.granted);
        }
      }),
    );
  });

  it('overlapping entries have one type', () => {
    fc.assert(
      fc.property(history, (requests) => {
        const { entries } = replay(requests);
        const clash = (a: Memtype, b: Memtype): boolean =>
          a.start < b.end && b.start < a.end && a.type !== b.type;
        expect(entries.some((a) => entries.some((b) => clash(a, b)))).toBe(false);
      }),
    );
  });

  it('a refused request changes nothing', () => {
    fc.assert(
      fc.property(history, request, (requests, r) => {
        const tracker = replay(requests);
        const before = [...tracker.entries];
        fc.pre('error' in tracker.reserve(r.start, r.end, r.type, r.mode));
        expect(tracker.entries).toEqual(before);
      }),
    );
  });

  it('freeing what was granted restores every lookup', () => {
    fc.assert(
      fc.property(history, request, (requests, r) => {
        const tracker = replay(requests);
        const pages = Array.from({ length: 32 }, (_, i) => at(i));
        const before = pages.map((page) => tracker.lookup(page));
        fc.pre('granted' in tracker.reserve(r.start, r.end, r.type, r.mode));
        expect(tracker.free(r.start, r.end)).toBe(true);
        expect(pages.map((page) => tracker.lookup(page))).toEqual(before);
      }),
    );
  });
});
