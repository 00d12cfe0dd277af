import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catalogue, configOf, reachable } from '../../test/litmus.ts';
import { makeMachine } from '../machine/machine.ts';
import { kernel, plainKernel } from './kernel.ts';
import { search } from './search.ts';
import { isBefore, USED } from './space.ts';
import { StateTable } from './table.ts';

const BYTES = 2 ** 21;

/** States of small numbers, marked, so that many are equal. */
function states(words: number): fc.Arbitrary<Int32Array> {
  return fc
    .array(fc.array(fc.nat(6), { minLength: words, maxLength: words }), { maxLength: 1500 })
    .map((list) => new Int32Array(list.flatMap(([first = 0, ...rest]) => [first | USED, ...rest])));
}

describe('a table of states', () => {
  test('holds each state once, in the order in which it came, as it grows', () => {
    const words = fc.integer({ min: 1, max: 5 });
    const given = words.chain((w) => fc.tuple(fc.constant(w), states(w)));
    fc.assert(
      fc.property(given, ([w, all]) => {
        const table = new StateTable(w, BYTES);
        const count = all.length / w;
        for (let i = 0; i < count; i += 50) table.add(all.subarray(i * w), Math.min(50, count - i));
        const keys = Array.from({ length: count }, (_, i) => all.subarray(i * w, i * w + w).join());
        const kept = Array.from(table.queue.subarray(0, table.count), (at) =>
          table.states.subarray(at, at + w).join(),
        );
        expect(kept).toEqual([...new Set(keys)]);
        table.clear();
        expect(table.states.every((word) => word === 0)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('grows in place through every size, and says when it cannot', () => {
    for (const words of [1, 2, 3]) {
      const table = new StateTable(words, 2 ** 21);
      const one = new Int32Array(words * 2);
      let entered = 0;
      for (;;) {
        one[0] = entered | USED;
        one[words - 1] = (one[words - 1] ?? 0) | entered;
        if (!table.add(one, 1)) break;
        entered += 1;
        one.fill(0);
      }
      expect(table.count).toBe(entered);
      expect(entered).toBeGreaterThan(2 ** 16);
      const values = Array.from(
        table.queue.subarray(0, entered),
        (at) => (table.states[at] ?? 0) & ~USED,
      );
      expect(values.every((value, i) => value === i)).toBe(true);
      // Every state is still found where it is.
      for (let i = 0; i < entered; i += 997) {
        one.fill(0);
        one[0] = i | USED;
        one[words - 1] = (one[words - 1] ?? 0) | i;
        table.add(one, 1);
      }
      expect(table.count).toBe(entered);
    }
  });

  test('generated loops do what the plain ones do', () => {
    for (const words of [1, 2, 3, 4, 7]) {
      fc.assert(
        fc.property(states(words), (all) => {
          const count = all.length / words;
          const run = (k: ReturnType<typeof kernel>) => {
            const table = new Int32Array(2048 * words);
            const queue = new Int32Array(2048);
            const homes = new Int32Array(count + 1);
            const tail = k.insert(table, 2047, all, count, homes, queue, 0);
            return [tail, table.join(), queue.join(), homes.subarray(0, count).join()];
          };
          expect(run(kernel(words))).toEqual(run(plainKernel(words)));
        }),
        { numRuns: 20 },
      );
    }
  });
});

describe('a search', () => {
  test('finds the states and steps of the whole catalogue, level by level', () => {
    for (const entry of catalogue()) {
      for (const { cfg } of entry.expect) {
        const machine = makeMachine(configOf(entry, cfg));
        const all = reachable(machine);
        const table = new StateTable(machine.words, BYTES);
        const finals: number[] = [];
        const found = search(machine, table, { onFinal: (_, at) => finals.push(at) });
        expect([entry.id, found.states, found.transitions, found.cut]).toEqual([
          entry.id,
          all.states.length,
          all.transitions,
          null,
        ]);
        expect(finals.length).toBe(all.states.filter((s) => machine.isFinal(s, 0)).length);
        expect(found.levels).toEqual([...new Set(found.levels)].sort((a, b) => a - b));
      }
    }
  });

  test('is cut by a number of states, or by memory', () => {
    const [entry] = catalogue();
    if (entry === undefined) throw new Error('the catalogue is empty');
    const machine = makeMachine(configOf(entry, {}));
    const cut = search(machine, new StateTable(machine.words, BYTES), { maxStates: 20 });
    expect(cut.cut).toBe('states');
    expect(cut.states).toBeGreaterThan(20);
    const small = new StateTable(2, 0);
    const endless = {
      words: 2,
      initial: new Int32Array(2),
      maxSuccessors: 1,
      successors: (state: Int32Array, at: number, out: Int32Array, to: number) => {
        out[to] = (state[at] ?? 0) | 0;
        out[to + 1] = (state[at + 1] ?? 0) + 1;
        return 1;
      },
      isFinal: () => false,
    };
    const full = search(endless, small);
    expect(full.cut).toBe('memory');
    expect(full.states).toBeGreaterThan(700);
  });
});

test('states have an order that marks do not change', () => {
  expect(isBefore(new Int32Array([1 | USED, 2]), new Int32Array([1, 3]))).toBe(true);
  expect(isBefore(new Int32Array([1, 3]), new Int32Array([1 | USED, 3]))).toBe(false);
  expect(isBefore(new Int32Array([0, -1]), new Int32Array([0, 1]))).toBe(false);
});
