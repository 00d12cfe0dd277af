import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AxiomaticProgram,
  type AxiomaticStep,
  axiomaticOutcomes,
} from '../../test/axiomatic.ts';
import { outcomes } from '../../test/litmus.ts';
import { machineOf } from '../../test/programs.ts';
import { makeMachine } from './machine.ts';

function stepText(s: AxiomaticStep): string {
  switch (s.op) {
    case 'st':
      return `${s.line}=${s.value}`;
    case 'nt':
      return `nt ${s.line}=${s.value}`;
    case 'ld':
      return `${s.to}:=${s.line}`;
    case 'xchg':
      return `xchg ${s.line},${s.value}->${s.to}`;
    case 'mfence':
    case 'sfence':
    case 'lfence':
      return s.op;
  }
}

function machineOutcomes(p: AxiomaticProgram, weak: boolean): readonly string[] {
  const views = Object.entries(p.types).map(([line, type]) => `${line}:${type}@${line}`);
  const programs = p.threads.map((steps, i) => [`P${i}`, steps.map(stepText).join('; ')] as const);
  const config = machineOf(views.join(' '), Object.fromEntries(programs), {
    caches: 'visible',
    switches: { ntPassesOlder: weak, wcReopens: true },
  });
  return outcomes(makeMachine(config), false).set;
}

const line = fc.constantFrom('x', 'y');
const value = fc.constantFrom(1, 2);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('st' as const), line, value }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('nt' as const), line, value }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('ld' as const), line }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('xchg' as const), line, value }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constantFrom('mfence' as const, 'sfence' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('lfence' as const) }) },
);
const type = fc.constantFrom('WB' as const, 'WT' as const, 'WC' as const, 'UC' as const);

/** Of three stores to a line the machine has two on their way at most, in two buffers; the axioms have all. */
function fillsThree(thread: readonly AxiomaticStep[]): boolean {
  const lines = thread.flatMap((s) => (s.op === 'st' || s.op === 'nt' ? [s.line] : []));
  return ['x', 'y'].some((name) => lines.filter((l) => l === name).length > 2);
}

/** Programs in which every load has a register of its own. */
function programs(threads: number, length: number): fc.Arbitrary<AxiomaticProgram> {
  return fc
    .record({
      types: fc.record({ x: type, y: type }),
      threads: fc.array(fc.array(step, { minLength: 1, maxLength: length }), {
        minLength: threads,
        maxLength: threads,
      }),
    })
    .map(({ types, threads: steps }) => ({
      types,
      threads: steps.map((thread) =>
        thread.map((s, i): AxiomaticStep => {
          if (s.op === 'ld' || s.op === 'xchg') return { ...s, to: `r${i}` };
          return s;
        }),
      ),
    }))
    .filter(({ threads: all }) => all.every((thread) => !fillsThree(thread)));
}

const st = (name: string, n: number): AxiomaticStep => ({ op: 'st', line: name, value: n });
const nt = (name: string, n: number): AxiomaticStep => ({ op: 'nt', line: name, value: n });
const ld = (to: string, name: string): AxiomaticStep => ({ op: 'ld', line: name, to });

/** Programs that one clause of the axioms decides, and that random ones rarely are. */
const RARE: readonly (readonly [string, ...(readonly AxiomaticStep[])[]])[] = [
  [
    'an own NT store is not forwarded',
    [nt('x', 1), ld('a', 'x'), ld('b', 'y')],
    [nt('y', 1), ld('a', 'y'), ld('b', 'x')],
  ],
  [
    'stores to one line, the first NT',
    [nt('x', 1), st('x', 2), st('y', 1)],
    [ld('a', 'y'), ld('b', 'x')],
  ],
  [
    'forwarding of plain stores',
    [st('x', 1), ld('a', 'x'), ld('b', 'y')],
    [st('y', 1), ld('a', 'y'), ld('b', 'x')],
  ],
  [
    'NT stores collapse',
    [nt('x', 1), nt('x', 2), nt('y', 1)],
    [ld('a', 'y'), ld('b', 'x'), ld('c', 'x')],
  ],
];

describe('axioms and machine allow the same outcomes', () => {
  test.each(RARE)('%s', (...row) => {
    const threads = row.slice(1) as (readonly AxiomaticStep[])[];
    for (const x of ['WB', 'WT', 'WC', 'UC'] as const)
      for (const y of ['WB', 'WC'] as const)
        for (const weak of [false, true]) {
          const p = { types: { x, y }, threads };
          expect(machineOutcomes(p, weak)).toEqual(axiomaticOutcomes(p, weak));
        }
  });

  test.each([
    [2, 4, 700],
    [3, 2, 300],
  ])('%i threads of up to %i steps', (threads, length, numRuns) => {
    fc.assert(
      fc.property(programs(threads, length), fc.boolean(), (p, weak) => {
        expect(machineOutcomes(p, weak)).toEqual(axiomaticOutcomes(p, weak));
      }),
      { numRuns },
    );
  });
});
