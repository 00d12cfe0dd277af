import { describe, expect, test } from 'vitest';
import { seededChoice } from '../base/random.ts';
import type { MachineConfig } from '../machine/config.ts';
import { makeMachine } from '../machine/machine.ts';
import { explore, finalStates, scheduleTo } from './search.ts';

/** Store buffering: both may read 0. */
const SB: MachineConfig = {
  vendor: 'intel',
  lines: [{ name: 'x' }, { name: 'y' }],
  views: [
    { name: 'x', line: 'x', type: 'WB' },
    { name: 'y', line: 'y', type: 'WB' },
  ],
  agents: [
    {
      core: 'a',
      program: [
        { op: 'store', view: 'x', value: 1 },
        { op: 'load', to: 'r', view: 'y' },
      ],
    },
    {
      core: 'b',
      program: [
        { op: 'store', view: 'y', value: 1 },
        { op: 'load', to: 'r', view: 'x' },
      ],
    },
  ],
  caches: 'visible',
};

const machine = makeMachine(SB);
const graph = explore(machine);
const outcomeOf = (n: number): string => {
  const { a, b } = machine.outcome(graph.states, n * machine.words);
  return `${a?.['r']}${b?.['r']}`;
};
const finals = finalStates(graph, () => true);

describe('the search', () => {
  test('finds every outcome, once', () => {
    expect(graph.isComplete).toBe(true);
    expect([...new Set(finals.map(outcomeOf))].sort()).toEqual(['00', '01', '10', '11']);
    const words = Array.from({ length: graph.count }, (_, n) =>
      graph.states.slice(n * machine.words, (n + 1) * machine.words).join(),
    );
    expect(new Set(words).size).toBe(graph.count);
  });

  test('a bound is told', () => {
    const small = explore(machine, 5);
    expect(small.isComplete).toBe(false);
    expect(small.count).toBeGreaterThan(5);
  });

  test('a schedule is a path of the machine to a goal, whatever the seed', () => {
    const goals = finals.filter((n) => outcomeOf(n) === '00');
    const shortest = scheduleTo(graph, goals, null);
    const out = new Int32Array(machine.maxSuccessors * machine.words);
    const seen = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const moves = scheduleTo(graph, goals, seededChoice(seed));
      expect(moves.length).toBeGreaterThanOrEqual(shortest.length);
      expect(goals).toContain(moves.at(-1)?.to);
      let at = 0;
      for (const { from, to, index } of moves) {
        expect(from).toBe(at);
        expect(machine.successors(graph.states, from * machine.words, out)).toBeGreaterThan(index);
        const next = out.slice(index * machine.words, (index + 1) * machine.words);
        expect([...next]).toEqual([
          ...graph.states.slice(to * machine.words, (to + 1) * machine.words),
        ]);
        at = to;
      }
      seen.add(moves.map((m) => m.to).join());
    }
    expect(seen.size).toBeGreaterThan(3);
  });
});

describe('a seed', () => {
  test('gives the same answers, all of them in time', () => {
    const list = (seed: number): readonly number[] => {
      const choice = seededChoice(seed);
      return Array.from({ length: 200 }, () => choice.pick(5));
    };
    expect(list(1)).toEqual(list(1));
    expect(list(1)).not.toEqual(list(2));
    expect([...new Set(list(0))].sort()).toEqual([0, 1, 2, 3, 4]);
  });
});
