import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catalogue, configOf } from '../../test/litmus.ts';
import { anyMachine, smallMachine } from '../../test/random-machines.ts';
import type { MachineConfig } from '../machine/config.ts';
import { isEnabled, perform } from '../machine/language/interpret.ts';
import { type Machine, makeMachine } from '../machine/machine.ts';
import { areIndependent } from './commute.ts';
import { reduced } from './reduce.ts';
import { search } from './search.ts';
import { type Space, stateAt } from './space.ts';
import { StateTable } from './table.ts';

const LIMIT = 60_000;

/** Every final state with its distance, and how many states there were. Null: more than the limit. */
function endsOf(
  space: Space,
  { words }: Machine,
): { readonly finals: readonly string[]; readonly states: number } | null {
  const finals: string[] = [];
  const { states, cut } = search(space, new StateTable(words, 2 ** 22), {
    maxStates: LIMIT,
    onFinal: (all, at, level) => finals.push(`${stateAt(all, at, words).join()} ${level}`),
  });
  return cut === null ? { finals: finals.sort(), states } : null;
}

/** States without and with reduction; final states and their distances are compared. Null: too many. */
function compared(config: MachineConfig): readonly [number, number] | null {
  const machine = makeMachine(config);
  const full = endsOf(machine, machine);
  if (full === null) return null;
  const less = endsOf(reduced(machine), machine);
  expect(less?.finals).toEqual(full.finals);
  return [full.states, less?.states ?? 0];
}

function ring(threads: number): MachineConfig {
  const all = Array.from({ length: threads }, (_, i) => i);
  const name = (i: number): string => `X${i % threads}`;
  return {
    vendor: 'intel',
    caches: 'visible',
    lines: all.map((i) => ({ name: name(i) })),
    views: all.map((i) => ({ name: name(i), line: name(i), type: 'WB' })),
    agents: all.map((i) => ({
      core: `P${i}`,
      program: [
        { op: 'store', view: name(i), value: 1 },
        { op: 'load', to: 'r', view: name(i + 1) },
      ],
    })),
  };
}

describe('the reduced search reaches the same final states by as many steps', () => {
  test('in the whole catalogue', () => {
    const sums = catalogue()
      .flatMap((entry) => entry.expect.map(({ cfg }) => compared(configOf(entry, cfg))))
      .reduce<readonly number[]>(
        (a, b) => [(a[0] ?? 0) + (b?.[0] ?? 0), (a[1] ?? 0) + (b?.[1] ?? 0)],
        [],
      );
    expect(sums[1]).toBeLessThan((sums[0] ?? 0) * 0.6);
  });

  test('in random machines with everything that machines have', () => {
    fc.assert(
      fc.property(anyMachine, (config) => {
        compared(config);
      }),
      { numRuns: 400 },
    );
  });

  test('in random machines without caches that anybody can tell', () => {
    fc.assert(
      fc.property(smallMachine, (config) => {
        compared({ ...config, caches: 'visible' });
        compared(config);
      }),
      { numRuns: 400 },
    );
  });

  test('and another program for the same reduction counted the same states', () => {
    expect(compared(ring(6))).toEqual([39202, 3651]);
  });
});

describe('independence', () => {
  test('holds in every state of a machine', () => {
    fc.assert(
      fc.property(smallMachine, (config) => {
        const machine = makeMachine(config);
        const { layout, words, system } = machine;
        const table = new StateTable(words, 2 ** 22);
        search(machine, table, { maxStates: 300 });
        const next = (c: (typeof system.commands)[number], state: Int32Array): Int32Array => {
          const to = new Int32Array(words);
          perform(layout, c, state, 0, to, 0);
          return to;
        };
        const pairs = system.commands.flatMap((a, i) =>
          system.commands
            .slice(i + 1)
            .filter((b) => areIndependent(a, b))
            .map((b) => [a, b] as const),
        );
        for (const at of table.queue.subarray(0, table.count)) {
          const state = stateAt(table.states, at, words);
          const enabled = new Set(system.commands.filter((c) => isEnabled(layout, c, state, 0)));
          for (const [a, b] of pairs) {
            if (!enabled.has(a) || !enabled.has(b)) continue;
            const [one, other] = [next(a, state), next(b, state)];
            expect(isEnabled(layout, b, one, 0) && isEnabled(layout, a, other, 0)).toBe(true);
            expect(next(b, one).join()).toBe(next(a, other).join());
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test('is not seen everywhere', () => {
    const { system } = makeMachine(ring(2));
    const find = (agent: string, text: string) =>
      system.commands.find((c) => c.agent === agent && c.text.join('').includes(text));
    const drain = system.commands.find((c) => c.agent === 'P0' && c.instruction === null);
    const load = system.commands.find((c) => c.agent === 'P1' && c.instruction === 1);
    const store = find('P0', 'enters');
    if (drain === undefined || load === undefined || store === undefined)
      throw new Error('SB has other rules');
    expect(areIndependent(drain, load)).toBe(false);
    expect(areIndependent(store, load)).toBe(true);
    expect(areIndependent(store, drain)).toBe(true);
  });
});
