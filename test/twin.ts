import fc from 'fast-check';
import { must } from '../src/base/assert.ts';
import { compileLitmus } from '../src/litmus/compile.ts';
import { printOutcome } from '../src/litmus/result.ts';
import { makeMachine } from '../src/machine/machine.ts';
import {
  type AxiomaticProgram,
  type AxiomaticStep,
  axiomaticOutcomes,
  fillsThree,
  type Variant,
} from './axiomatic.ts';
import { reachable } from './litmus.ts';
import { readTest } from './litmus-files.ts';
import { litmusText } from './random-litmus.ts';

/** `0:rax=1; [x]=2;` as the axioms write it. */
export function normal(outcome: string): string {
  const parts = outcome.split(';').map((part) => part.trim());
  return parts
    .filter((part) => part !== '')
    .sort()
    .join(' ');
}

/** All outcomes of the machine for a test, sorted, and how many states it took. */
export function machineOutcomes(text: string): {
  readonly set: readonly string[];
  readonly states: number;
} {
  const compiled = compileLitmus(readTest(text));
  const machine = makeMachine(compiled.config, 'interpreted');
  const { states } = reachable(machine);
  const set = new Set<string>();
  for (const state of states) {
    if (!machine.isFinal(state, 0)) continue;
    const outcome = compiled.observe(machine, state, 0);
    if (outcome !== null) set.add(normal(printOutcome(compiled, outcome)));
  }
  return { set: [...set].sort(), states: states.length };
}

/** Another model of the same programs. */
export interface Rival {
  readonly name: string;
  readonly outcomes: (p: AxiomaticProgram, v: Variant, text: string) => readonly string[];
}

export const AXIOMS: Rival = {
  name: 'the axioms',
  outcomes: (p, v) => axiomaticOutcomes(p, v),
};

/** The machine. */
export const MACHINE: Rival = {
  name: 'the machine',
  outcomes: (_p, _v, text) => machineOutcomes(text).set,
};

/** A test that shows where two models differ, asking for an outcome that one of them allows; null if nowhere. */
export function disagreement(
  p: AxiomaticProgram,
  v: Variant,
  [one, two]: readonly [Rival, Rival],
): string | null {
  const text = litmusText(p, v);
  const [left, right] = [one.outcomes(p, v, text), two.outcomes(p, v, text)];
  const only = (a: readonly string[], b: readonly string[]) => a.find((o) => !b.includes(o));
  const name = 'disagreement';
  for (const [by, outcome] of [
    [one.name, only(left, right)],
    [two.name, only(right, left)],
  ] as const)
    if (outcome !== undefined)
      return litmusText(p, v, { name, text: `allowed by ${by} only`, outcome });
  return null;
}

/** In order, or with non-temporal stores passing older ones; with one write-combining buffer a line, or two. */
export const anyVariant: fc.Arbitrary<Variant> = fc.record({
  ntPassesOlder: fc.boolean(),
  wcReopens: fc.boolean(),
});

/** What of a variant the machine can be asked: of three stores on their way to a line it has room for two. */
export function fitting(p: AxiomaticProgram, v: Variant): Variant {
  return v.wcReopens && fillsThree(p) ? { ...v, wcReopens: false } : v;
}

// ---- small tests --------------------------------------------------------------------------------

function simplerSteps(s: AxiomaticStep): readonly AxiomaticStep[] {
  if (s.op === 'cpuid' || s.op === 'vmexit') return [{ op: 'mfence' }];
  if (!('value' in s)) return [];
  if (s.op === 'nt') return [{ ...s, op: 'st' }];
  const simple = s.value === 1 ? [] : [{ ...s, value: 1 }];
  if (s.op === 'xchg') return [{ op: 'ld', line: s.line, to: s.to }, ...simple];
  return s.op === 'add' ? [{ ...s, op: 'st' }, ...simple] : simple;
}

/** A program without what nobody needs: empty threads, lines without an access. */
function trimmed({ types, threads }: AxiomaticProgram): AxiomaticProgram {
  const used = threads.flatMap((t) => t.steps.flatMap((s) => ('line' in s ? [s.line] : [])));
  return {
    types: Object.fromEntries(Object.entries(types).filter(([line]) => used.includes(line))),
    threads: threads
      .map(({ device, steps }) => {
        const loaded = steps.flatMap((s) => ('to' in s ? [s.to] : []));
        const known = steps.map((s) => {
          const copies = 'value' in s && typeof s.value === 'object';
          return copies && !loaded.includes(s.value.register) ? { ...s, value: 1 } : s;
        });
        return { device, steps: known };
      })
      .filter((t) => t.steps.length > 0),
  };
}

/** Programs that are a little simpler, the simplest first. */
function simplerPrograms(p: AxiomaticProgram): readonly AxiomaticProgram[] {
  const { types, threads } = p;
  const withSteps = (thread: number, steps: readonly AxiomaticStep[]): AxiomaticProgram =>
    trimmed({ types, threads: threads.map((t, i) => (i === thread ? { ...t, steps } : t)) });
  return [
    ...threads.map((_, i) => withSteps(i, [])),
    ...threads.flatMap(({ steps }, i) => steps.map((_, k) => withSteps(i, steps.toSpliced(k, 1)))),
    ...threads.flatMap((t, i) =>
      t.device === null ? [] : [{ types, threads: threads.with(i, { ...t, device: null }) }],
    ),
    ...Object.entries(types).flatMap(([line, type]) =>
      type === 'WB' ? [] : [{ types: { ...types, [line]: 'WB' as const }, threads }],
    ),
    ...threads.flatMap(({ steps }, i) =>
      steps.flatMap((s, k) => simplerSteps(s).map((to) => withSteps(i, steps.with(k, to)))),
    ),
  ];
}

/** Makes a failing program smaller as long as that is possible. */
function smallest(
  p: AxiomaticProgram,
  v: Variant,
  fails: (p: AxiomaticProgram, v: Variant) => boolean,
): readonly [AxiomaticProgram, Variant] {
  const candidates: (readonly [AxiomaticProgram, Variant])[] = [
    ...simplerPrograms(p)
      .filter((q) => q.threads.length > 0)
      .map((q) => [q, v] as const),
    ...(['ntPassesOlder', 'wcReopens'] as const)
      .filter((name) => v[name])
      .map((name) => [p, { ...v, [name]: false }] as const),
  ];
  const next = candidates.find(([q, w]) => fails(q, w));
  return next === undefined ? [p, v] : smallest(...next, fails);
}

/** The first disagreement among random programs, made as small as possible, as a test; null if there is none. */
export function smallestDisagreement(
  programs: fc.Arbitrary<AxiomaticProgram>,
  variants: fc.Arbitrary<Variant>,
  rivals: readonly [Rival, Rival],
  numRuns: number,
): string | null {
  const differ = (p: AxiomaticProgram, v: Variant): string | null =>
    disagreement(p, fitting(p, v), rivals);
  const found = fc.check(
    fc.property(programs, variants, (p, v) => differ(p, v) === null),
    { numRuns, endOnFailure: true },
  );
  if (!found.failed) return null;
  const [p, v] = must(found.counterexample, 'a failure has a counterexample');
  return differ(...smallest(p, v, (q, w) => differ(q, w) !== null));
}
