import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catalogue, configOf, isPossible, outcomes, reachable } from '../../test/litmus.ts';
import { machineOf } from '../../test/programs.ts';
import { anyMachine, smallMachine } from '../../test/random-machines.ts';
import { isCore, type MachineConfig } from './config.ts';
import { makeMachine } from './machine.ts';
import { SWITCH_NAMES, SWITCHES, type Switches, type SwitchName } from './switches.ts';

type Programs = Readonly<Record<string, string>>;

function can(
  condition: string,
  views: string,
  programs: Programs,
  more: Partial<MachineConfig> = {},
): boolean {
  const { set } = outcomes(makeMachine(machineOf(views, programs, more)));
  expect(set.length).toBeGreaterThan(0);
  return isPossible(set, condition);
}

describe('several cells in a line', () => {
  const views = 'x:WB@X x1:WB@X[1]';

  test('a device that does not snoop loses what it writes beside a modified cell', () => {
    const lost = 'mem:X[0]=1 & mem:X[1]=0';
    expect(can(lost, views, { P0: 'x=1', dma: 'X[1]=1' })).toBe(true);
    expect(can(lost, views, { P0: 'x=1', snoop: 'X[1]=1' })).toBe(false);
    for (const type of ['UC', 'UCM', 'WC', 'WT', 'WP', 'CD', 'WC+'])
      expect(can(lost, views.replaceAll('WB', type), { P0: 'x=1', dma: 'X[1]=1' })).toBe(false);
    expect(
      can(lost, views, { P0: 'x=1; clflush x; mfence; send f=1', dma: 'await f=1; X[1]=1' }),
    ).toBe(false);
  });

  test('a partly filled WC buffer tears', () => {
    const programs = { P0: 'x=1; x1=1', dma: 'r1:=X[1]; r0:=X' };
    const third = ' x2:WB@X[2]';
    const torn = 'dma:r1=1 & dma:r0=0';
    expect(can(torn, (views + third).replaceAll('WB', 'WC'), programs)).toBe(true);
    expect(can(torn, (views + third).replaceAll('WB', 'UC'), programs)).toBe(false);
    expect(can(torn, views.replaceAll('WB', 'WC'), programs)).toBe(false);
  });

  test('a full one is one burst', () => {
    const machine = makeMachine(machineOf(views.replaceAll('WB', 'WC'), { P0: 'x=1; x1=1' }));
    const full = reachable(machine).states.filter((s) => {
      const held = machine.read(s, 0).cores['P0']?.combining['X'] ?? [];
      return held.length === 2 && held.every((v) => v !== null);
    });
    expect(full.length).toBe(1);
    for (const state of full) {
      const out = new Int32Array(machine.maxSuccessors * machine.words);
      const n = machine.successors(state, 0, out);
      const texts = Array.from({ length: n }, (_, i) => machine.stepAt(state, 0, i).text);
      expect(texts).toEqual(['X[0] X[1] goes from the write-combining buffer to memory: 1 1']);
    }
  });

  test('a non-temporal store merges with what is modified beside it', () => {
    const { set } = outcomes(makeMachine(machineOf(views, { P0: 'x=1; mfence; nt x1=1; mfence' })));
    expect(set.every((o) => o.includes('co:X[0]=1 co:X[1]=1'))).toBe(true);
  });

  test('a write-back is of the whole line, a WP store of its cell', () => {
    const { set } = outcomes(
      makeMachine(machineOf('x:WB@X p1:WP@X[1]', { P0: 'x=1; mfence; p1=1; mfence' })),
    );
    expect(set).toEqual(['mem:X[0]=1 mem:X[1]=1 co:X[0]=1 co:X[1]=1']);
  });

  test('WP: a store takes the copies of others away', () => {
    const programs = { P0: 'x=1; y=1', P1: 'r0:=y; r1:=x' };
    const cached = { core: 'P1', cached: { X: 'clean' as const } };
    const config = machineOf('x:WP@X y:WB@Y', programs);
    const agents = config.agents.map((a) =>
      isCore(a) && a.core === 'P1' ? { ...a, ...cached } : a,
    );
    const { set } = outcomes(makeMachine({ ...config, agents }));
    expect(isPossible(set, 'P1:r0=1 & P1:r1=0')).toBe(false);
    expect(isPossible(set, 'P1:r0=0 & P1:r1=0')).toBe(true);
  });

  test('stores to fewer lines than there are buffers wait for none', () => {
    const three = 'x:WC@X y:WC@Y z:WC@Z';
    const programs = { P0: 'x=1; y=1; z=1', dma: 'a:=Z; b:=X; c:=Y' };
    expect(can('dma:a=1 & dma:b=0 & dma:c=0', three, programs)).toBe(true);
    expect(can('dma:a=1 & dma:b=0 & dma:c=0', three, programs, { combiningBuffers: 1 })).toBe(
      false,
    );
  });
});

describe('types of AMD', () => {
  const off = { switches: { selfSnoop: false, busSnoop: false } };
  const stale = 'P0:r0=0';

  test.each([
    ['WC', true],
    ['UCM', true],
    ['UC', false],
    ['WC+', false],
    ['CD', false],
  ])('a load through a %s alias of a modified line, nothing snooped by switches', (type, reads) => {
    const views = `x:WB@X a:${type}@X`;
    expect(can(stale, views, { P0: 'x=1; mfence; r0:=a' }, off)).toBe(reads);
  });

  test('CD and WC+ check the caches of other cores, whatever the switches say', () => {
    const programs = { P0: 'x=1; mfence; send f=1', P1: 'await f=1; r0:=a' };
    for (const [type, reads] of [
      ['WC', true],
      ['UCM', true],
      ['UC', false],
      ['WC+', false],
      ['CD', false],
    ] as const)
      expect(can('P1:r0=0', `x:WB@X a:${type}@X`, programs, off)).toBe(reads);
  });

  test('WC+ combines: two stores may pass each other; CD does not', () => {
    const programs = { P0: 'x=1; y=1', dma: 'r0:=Y; r1:=X' };
    expect(can('dma:r0=1 & dma:r1=0', 'x:WC+@X y:WC+@Y', programs)).toBe(true);
    expect(can('dma:r0=1 & dma:r1=0', 'x:CD@X y:CD@Y', programs)).toBe(false);
  });

  test('CR0.CD=1 on Intel: a store that hits is in memory if others had the line', () => {
    const writer = 'r0:=x; cd=1; await s=1; x=1; mfence; send f=1';
    const device = 'await f=1; r0:=X';
    const reads = (sharer: string, on: boolean): readonly boolean[] =>
      [0, 1].map((v) =>
        can(
          `dma:r0=${v}`,
          'x:WB@X',
          { P0: writer, P1: sharer, dma: device },
          {
            switches: { evict: false, cdUpdatesShared: on },
          },
        ),
      );
    expect(reads('r0:=x; send s=1', true)).toEqual([false, true]);
    expect(reads('r0:=x; send s=1', false)).toEqual([true, false]);
    expect(reads('send s=1', true)).toEqual([true, false]);
    const both = { P0: 'x=1; mfence; r1:=x', P1: 'r0:=x' };
    expect(can('P0:r1=0', 'x:WB@X', both)).toBe(false);
  });

  test('CR0.CD=1: hits are served on Intel, written back on AMD', () => {
    const programs = { P0: 'x=1; mfence; cd=1; x=2; send! f=1', dma: 'await f=1; r0:=X' };
    expect(can('dma:r0=0', 'x:WB@X', programs)).toBe(true);
    expect(can('dma:r0=2', 'x:WB@X', programs)).toBe(true);
    expect(can('dma:r0=2', 'x:WB@X', programs, { vendor: 'amd' })).toBe(true);
    expect(can('dma:r0=0', 'x:WB@X', programs, { vendor: 'amd' })).toBe(false);
    expect(can('dma:r0=1', 'x:WB@X', programs, { vendor: 'amd' })).toBe(false);
  });
});

describe('devices', () => {
  test('a cache of its own makes a device read what it has read before, until it is flushed', () => {
    const withCache = (text: string) => {
      const config = machineOf('x:UC@X', { P0: 'await f=1; x=1; send f=2', dma: text });
      const agents = config.agents.map((a) => ('device' in a ? { ...a, cache: true } : a));
      return outcomes(makeMachine({ ...config, agents })).set;
    };
    const reads = 'r0:=X; send f=1; await f=2; r1:=X';
    expect(isPossible(withCache(reads), 'dma:r1=0')).toBe(true);
    expect(isPossible(withCache(reads), 'dma:r1=1')).toBe(true);
    const flushed = reads.replace('r1', 'flush; r1');
    expect(isPossible(withCache(flushed), 'dma:r1=0')).toBe(false);
    expect(isPossible(withCache('X=1'), 'mem:X=0')).toBe(false);
  });

  test('what a device writes stays in its cache until it leaves', () => {
    const config = machineOf('x:UC@X', { P0: 'await f=1; r0:=x', dma: 'X=1; send f=1' });
    const cached = (flush: boolean) => ({
      ...config,
      agents: config.agents.map((a) =>
        'device' in a
          ? {
              ...a,
              cache: true,
              program: flush
                ? [...a.program.slice(0, 1), { op: 'flush' as const }, ...a.program.slice(1)]
                : a.program,
            }
          : a,
      ),
    });
    expect(isPossible(outcomes(makeMachine(cached(false))).set, 'P0:r0=0')).toBe(true);
    expect(isPossible(outcomes(makeMachine(cached(true))).set, 'P0:r0=0')).toBe(false);
  });

  test('a signal that serialises is the fence that a plain one is not', () => {
    for (const [sign, possible] of [
      ['', true],
      ['!', false],
    ] as const)
      expect(
        can('dma:r0=0', 'x:WC@X', { P0: `x=1; send${sign} f=1`, dma: 'await f=1; r0:=X' }),
      ).toBe(possible);
  });
});

describe('instructions', () => {
  test('locked additions lose nothing, unless one of them goes round the caches', () => {
    const programs = { P0: 'add x,1->r0', P1: 'add u,1->r0' };
    expect(can('co:X=2', 'x:WB@X u:WB@X', programs)).toBe(true);
    expect(can('co:X=1', 'x:WB@X u:WB@X', programs)).toBe(false);
    const off = { switches: { busSnoop: false } };
    expect(can('co:X=1', 'x:WB@X u:UCM@X', programs)).toBe(false);
    expect(can('co:X=1', 'x:WB@X u:UCM@X', programs, off)).toBe(true);
    expect(can('co:X=1', 'x:WB@X u:UC@X', programs, off)).toBe(false);
  });

  test('a register that is exchanged is written and read', () => {
    const { set } = outcomes(
      makeMachine(
        machineOf('x:WB@X y:WB@Y', { P0: 'x=1; r0:=x; y=r0; xchg y,r0->r0; xchg x,2->r1' }),
      ),
    );
    expect(set).toContain('P0:r0=1 P0:r1=1 mem:X=2 mem:Y=1 co:X=2 co:Y=1');
    expect(set.every((o) => o.includes('P0:r0=1 P0:r1=1') && o.includes('co:X=2 co:Y=1'))).toBe(
      true,
    );
  });

  test('a loop of load and branch is a poll', () => {
    const views = 'x:WC@X y:WB@Y';
    const writer = 'x=1; sfence; y=1';
    const one = outcomes(makeMachine(machineOf(views, { P0: writer, P1: 'wait y=1; r1:=x' })));
    const two = outcomes(
      makeMachine(machineOf(views, { P0: writer, P1: 'r0:=y; if r0=0 goto 0; r1:=x' })),
    );
    expect(two.set.map((o) => o.replace('P1:r0=1 ', ''))).toEqual(one.set);
  });

  test('a shoot-down reaches the TLBs of other cores, INVLPG does not', () => {
    const write = 'await f=1; x=1; sfence; send f=2';
    for (const [flush, stale] of [
      ['invlpg', true],
      ['invlpg-all', false],
    ] as const)
      expect(
        can('dma:r0=0', 'x:WB@X', {
          P0: `remap x WC; ${flush} x; send f=1`,
          P1: write.replace('sfence', 'mfence'),
          dma: 'await f=2; r0:=X',
        }),
      ).toBe(stale);
  });

  test('MOVNTDQA looks into the own cache even where a WC load does not', () => {
    const off = { switches: { selfSnoop: false } };
    const views = 'x:WB@X w:WC@X';
    expect(can('P0:r0=0', views, { P0: 'x=1; mfence; r0:=w' }, off)).toBe(true);
    expect(can('P0:r0=0', views, { P0: 'x=1; mfence; r0:=nt w' }, off)).toBe(false);
  });
});

test('MOVNTDQA never returns less than the own store before it, whatever name or cell that had', () => {
  const views = 'x:WC@X x1:WC@X[1] u:UC@X w:WB@X';
  for (const store of ['x=1', 'nt x=1', 'u=1', 'w=1', 'xchg x,1->r9', 'x1=1; r2:=nt x1; x=1'])
    for (const fence of ['', 'lfence; ', 'sfence; '])
      expect([
        store,
        can('P0:r1=0', views, { P0: `r0:=nt x; ${store}; ${fence}r1:=nt x` }),
      ]).toEqual([store, false]);
  // Of what another core writes the buffer knows nothing.
  expect(can('P0:r1=1 & P0:r2=0', views, { P0: 'r0:=nt x; r1:=x; r2:=nt x', P1: 'x=1' })).toBe(
    true,
  );
});

test('a CLFLUSH without an order is ordered by MFENCE and by nothing else', () => {
  const stale = (fence: string, more: Partial<MachineConfig>) =>
    can(
      'dma:r0=0',
      'x:WB@X y:WB@Y',
      { P0: `x=1; mfence; clflush x; ${fence}send f=1`, dma: 'await f=1; r0:=X' },
      more,
    );
  const on = { switches: { clflushUnordered: true, evict: false } };
  for (const fence of ['', 'sfence; ', 'lfence; ', 'cpuid; ', 'vmexit; ', 'xchg y,1->r1; '])
    expect([fence, stale(fence, on)]).toEqual([fence, true]);
  expect(stale('mfence; ', on)).toBe(false);
  for (const fence of ['cpuid; ', 'vmexit; ', 'xchg y,1->r1; '])
    expect([fence, stale(fence, { switches: { evict: false } })]).toEqual([fence, false]);
  const machine = makeMachine(machineOf('x:WB@X', { P0: 'clflush x' }, on));
  const [flying] = reachable(machine).states.filter((s) => !machine.isDrained(s, 0, 'P0'));
  expect(flying).toBeDefined();
  if (flying === undefined) return;
  expect(machine.read(flying, 0).cores['P0']?.pendingFlushes).toEqual({ X: ['clflush'] });
  expect(machine.isFinal(flying, 0)).toBe(false);
});

describe('every switch has a test that separates its sides', () => {
  type Separator = readonly [string, string, Programs, Partial<Switches>?];
  const OWN: Readonly<Partial<Record<SwitchName, Separator>>> = {
    cdUpdatesShared: [
      'dma:r0=0',
      'x:WB@X',
      {
        P0: 'r0:=x; cd=1; await s=1; x=1; mfence; send f=1',
        P1: 'r0:=x; send s=1',
        dma: 'await f=1; r0:=X',
      },
      { evict: false },
    ],
    busSnoop: [
      'P0:r0=0',
      'x:WB@X w:WC@X',
      { P0: 'r1:=x; send f=1; await! f=2; r0:=x', P1: 'await f=1; w=1; send! f=2' },
    ],
    flushAnyType: [
      'dma:r0=0',
      'x:WB@X m:UCM@X',
      { P0: 'x=1; mfence; clflush m; mfence; send f=1', dma: 'await f=1; r0:=X' },
    ],
    flushThroughWC: [
      'dma:r0=0',
      'x:WB@X w:WC@X',
      { P0: 'x=1; mfence; clflush w; mfence; send f=1', dma: 'await f=1; r0:=X' },
    ],
    clflushUnordered: [
      'dma:r0=0',
      'x:WB@X',
      { P0: 'x=1; clflush x; mfence; send f=1', dma: 'await f=1; r0:=X' },
      { evict: false },
    ],
    lfenceWaitsFlush: [
      'P0:r1=0',
      'x:WB@X',
      { P0: 'r0:=x; await f=1; clflush x; lfence; r1:=x', dma: 'X=1; send f=1' },
    ],
    clflushWaits: [
      'dma:r0=0',
      'x:WB@X y:WB@Y d:UC@D',
      { P0: 'x=1; clflushopt x; clflush y; d=1', dma: 'wait D=1; r0:=X' },
    ],
    exitDrains: ['dma:r0=0', 'x:WC@X d:WC@D', { P0: 'x=1; vmexit; d=1', dma: 'wait D=1; r0:=X' }],
    wcReopens: [
      'P1:r0=1 & P1:r1=0 & P1:r2=1',
      'x:WB@X y:WB@Y',
      { P0: 'nt x=1; nt x=2; nt y=1', P1: 'r0:=y; r1:=x; r2:=x' },
    ],
    streamOutlivesStore: ['P0:r1=0', 'x:WC@X', { P0: 'r0:=nt x; x=1; sfence; r1:=nt x' }],
    ucLoadsPass: [
      'P0:r0=0 & P1:r0=0',
      'x:WB@X y:UC@Y',
      { P0: 'x=1; r0:=y', P1: 'y=1; mfence; r0:=x' },
    ],
    evict: ['dma:r0=1', 'x:WB@X', { P0: 'x=1; mfence; send f=1', dma: 'await f=1; r0:=X' }],
  };

  test.each(SWITCH_NAMES)('%s', (name) => {
    const side = (on: boolean): readonly boolean[] => {
      const own = OWN[name];
      if (own !== undefined)
        return [can(own[0], own[1], own[2], { switches: { ...own[3], [name]: on } })];
      const ids: readonly string[] = SWITCHES[name].separatedBy.match(/\b[A-E]\d\d\b/g) ?? [];
      const tests = catalogue().filter((t) => ids.includes(t.id));
      expect(tests.length).toBe(ids.length);
      return tests.map((t) => {
        const { set } = outcomes(makeMachine(configOf(t, { ...t.expect[0]?.cfg, [name]: on })));
        return isPossible(set, t.exists);
      });
    };
    const [on, off] = [side(true), side(false)];
    expect(on.length).toBeGreaterThan(0);
    expect(on.map((v, i) => v !== off[i])).toEqual(on.map(() => true));
  });
});

describe('caches', () => {
  test('a modified copy is the only one', () => {
    fc.assert(
      fc.property(anyMachine, (config) => {
        const machine = makeMachine(config);
        const out = new Int32Array(machine.maxSuccessors * machine.words);
        let state = machine.initial;
        for (let step = 0; step < 60; step++) {
          const { cores } = machine.read(state, 0);
          for (const { name } of config.lines) {
            const copies = Object.values(cores).flatMap((c) => c.cache[name] ?? []);
            if (copies.some((c) => c.state === 'modified')) expect(copies.length).toBe(1);
          }
          const n = machine.successors(state, 0, out);
          if (n === 0) break;
          const pick = ((step * 2654435761) >>> 0) % n;
          state = out.slice(pick * machine.words, (pick + 1) * machine.words);
        }
      }),
      { numRuns: 300 },
    );
  });

  function sameOutcomes(config: MachineConfig): { full: number; fewer: number } {
    const full = outcomes(makeMachine(config), false);
    const fewer = outcomes(makeMachine({ ...config, caches: 'visible' }), false);
    expect(fewer.set).toEqual(full.set);
    expect(fewer.states).toBeLessThanOrEqual(full.states);
    return { full: full.states, fewer: fewer.states };
  }

  test('leaving out those that nobody can tell keeps every outcome of the catalogue', () => {
    let [full, fewer] = [0, 0];
    for (const t of catalogue())
      for (const { cfg } of t.expect) {
        const config = configOf(t, cfg);
        if (config.switches?.evict === false) continue;
        const states = sameOutcomes(config);
        full += states.full;
        fewer += states.fewer;
      }
    expect(fewer).toBeLessThan(full / 2);
  });

  test('and of random machines', () => {
    fc.assert(
      fc.property(smallMachine, (config) => {
        sameOutcomes(config);
      }),
      { numRuns: 150 },
    );
  });
});
