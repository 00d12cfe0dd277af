import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catalogue, configOf, reachable } from '../../test/litmus.ts';
import { anyMachine } from '../../test/random-machines.ts';
import type { MachineConfig } from './config.ts';
import { cSource } from './language/c.ts';
import { type Machine, makeMachine } from './machine.ts';

function nextOf(machine: Machine, state: Int32Array): readonly number[] {
  const out = new Int32Array(machine.maxSuccessors * machine.words);
  const n = machine.successors(state, 0, out);
  return [...out.subarray(0, n * machine.words)];
}

/** The first states, breadth first. */
function someStates(machine: Machine, count: number): readonly Int32Array[] {
  const seen = new Set([machine.initial.join()]);
  const states = [machine.initial];
  for (const state of states) {
    const next = nextOf(machine, state);
    for (let i = 0; i < next.length && states.length < count; i += machine.words) {
      const s = Int32Array.from(next.slice(i, i + machine.words));
      if (seen.has(s.join())) continue;
      seen.add(s.join());
      states.push(s);
    }
    if (states.length >= count) break;
  }
  return states;
}

function agree(config: MachineConfig, count: number): number {
  const fast = makeMachine(config);
  const plain = makeMachine(config, 'interpreted');
  expect([fast.engine, plain.engine]).toEqual(['generated', 'interpreted']);
  const states = someStates(fast, count);
  for (const state of states) {
    const next = nextOf(plain, state);
    expect(nextOf(fast, state)).toEqual(next);
    expect((state[0] ?? 0) >= 0).toBe(true);
  }
  return states.length;
}

describe('generated JavaScript and the interpreter agree, state by state', () => {
  test('on every state of the catalogue', () => {
    let states = 0;
    for (const t of catalogue())
      for (const { cfg } of t.expect) states += agree(configOf(t, cfg), Number.POSITIVE_INFINITY);
    expect(states).toBeGreaterThan(10_000);
  });

  test('on random machines', () => {
    fc.assert(
      fc.property(anyMachine, (config) => {
        agree(config, 60);
      }),
      { numRuns: 200 },
    );
  });

  test('every step says what it is', () => {
    fc.assert(
      fc.property(anyMachine, (config) => {
        const machine = makeMachine(config);
        for (const state of someStates(machine, 20)) {
          const n = nextOf(machine, state).length / machine.words;
          for (let i = 0; i < n; i++) {
            const step = machine.stepAt(state, 0, i);
            expect(step.text).not.toBe('');
            expect(step.sources.length).toBeGreaterThan(0);
          }
          expect(() => machine.stepAt(state, 0, n)).toThrow();
        }
      }),
      { numRuns: 40 },
    );
  });
});

const CC = process.env['CC'] ?? 'cc';
const compiles = spawnSync(CC, ['--version']).status === 0;

/** Reads states, writes for each the number of next states and the states. */
const MAIN = `
#include <stdio.h>
int main(void)
{
  uint32_t state[WORDS], out[WORDS * (MAX_SUCCESSORS + 1)];
  while (fread(state, 4, WORDS, stdin) == WORDS) {
    uint32_t n = (uint32_t)successors(state, out);
    fwrite(&n, 4, 1, stdout);
    fwrite(out, 4, n * WORDS, stdout);
  }
  for (int w = 0; w < WORDS; w++) fwrite(&initial[w], 4, 1, stdout);
  return 0;
}
`;

function runC(folder: string, machine: Machine, states: readonly Int32Array[]): Int32Array {
  const source = join(folder, 'step.c');
  const program = join(folder, 'step');
  writeFileSync(source, cSource(machine.system, machine.layout) + MAIN);
  const built = spawnSync(CC, [
    '-std=c99',
    '-Wall',
    '-Wno-unused',
    '-Werror',
    '-o',
    program,
    source,
  ]);
  expect(built.stderr.toString()).toBe('');
  const input = Buffer.concat(states.map((s) => Buffer.from(s.buffer)));
  const { stdout } = spawnSync(program, { input, maxBuffer: 1 << 30 });
  return new Int32Array(new Uint8Array(stdout).buffer);
}

describe.runIf(compiles)('the same in C', () => {
  const wanted = ['A19', 'B17', 'B38', 'B40', 'C14', 'C16', 'D19', 'D31', 'E05', 'E10', 'E12'];
  const configs = catalogue()
    .filter((t) => wanted.includes(t.id))
    .map((t) => configOf(t, t.expect.at(-1)?.cfg ?? {}));
  const random = fc.sample(anyMachine, { numRuns: 6, seed: 1 });

  test('on every state of some tests and of random machines', () => {
    const folder = mkdtempSync(join(tmpdir(), 'machine-c-'));
    try {
      for (const config of [...configs, ...random]) {
        const machine = makeMachine(config);
        const states = someStates(machine, 2000);
        const expected = states.flatMap((s) => {
          const next = nextOf(machine, s);
          return [next.length / machine.words, ...next];
        });
        expect([...runC(folder, machine, states)]).toEqual([...expected, ...machine.initial]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('the search of the tests finds what is known of SB with 4 threads', () => {
  const names = ['P0', 'P1', 'P2', 'P3'];
  const config: MachineConfig = {
    vendor: 'intel',
    caches: 'visible',
    lines: names.map((name) => ({ name })),
    views: names.map((name) => ({ name, line: name, type: 'WB' })),
    agents: names.map((name, i) => ({
      core: name,
      program: [
        { op: 'store', view: name, value: 1 },
        { op: 'load', to: 'r', view: names[(i + 1) % 4] ?? '' },
      ],
    })),
  };
  const { states, transitions } = reachable(makeMachine(config));
  expect([states.length, transitions]).toEqual([1154, 3940]);
});
