import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AxiomaticStep, axiomaticOutcomes, CLAUSES, type Clause } from './axiomatic.ts';
import { readTest } from './litmus-files.ts';
import { anyProgram, litmusText, type Shape } from './random-litmus.ts';
import {
  AXIOMS,
  anyVariant,
  disagreement,
  MACHINE,
  machineOutcomes,
  type Rival,
  smallestDisagreement,
} from './twin.ts';

/** More of them: TWIN_PROGRAMS=1000000 npx vitest run test/twin.test.ts; other ones: FC_SEED=7. */
const PROGRAMS = Number(process.env['TWIN_PROGRAMS'] ?? 20_000);

/** Share of the programs, and their shape. */
const SHAPES: readonly (readonly [number, Shape])[] = [
  [0.4, { threads: 2, steps: 5, lines: 2 }],
  [0.15, { threads: 2, steps: 4, lines: 3 }],
  [0.3, { threads: 3, steps: 3, lines: 2 }],
  [0.1, { threads: 4, steps: 2, lines: 3 }],
  [0.05, { threads: 4, steps: 3, lines: 2 }],
];

const st = (line: string, value: number): AxiomaticStep => ({ op: 'st', line, value });
const nt = (line: string, value: number): AxiomaticStep => ({ op: 'nt', line, value });
const ld = (to: string, line: string): AxiomaticStep => ({ op: 'ld', line, to });

/** Programs that one clause of the axioms decides, and that random ones rarely are. */
const RARE: readonly (readonly [string, ...(readonly AxiomaticStep[])[]])[] = [
  [
    'an own NT store is not forwarded',
    [nt('x', 1), ld('rax', 'x'), ld('rbx', 'y')],
    [nt('y', 1), ld('rax', 'y'), ld('rbx', 'x')],
  ],
  [
    'stores to one line, the first NT',
    [nt('x', 1), st('x', 2), st('y', 1)],
    [ld('rax', 'y'), ld('rbx', 'x')],
  ],
  [
    'forwarding of plain stores',
    [st('x', 1), ld('rax', 'x'), ld('rbx', 'y')],
    [st('y', 1), ld('rax', 'y'), ld('rbx', 'x')],
  ],
  [
    'NT stores collapse',
    [nt('x', 1), nt('x', 2), nt('y', 1)],
    [ld('rax', 'y'), ld('rbx', 'x'), ld('rcx', 'x')],
  ],
];

describe('axioms and machine allow the same outcomes', () => {
  test.each(RARE)('%s', (...row) => {
    const threads = row
      .slice(1)
      .map((steps) => ({ device: null, steps: steps as readonly AxiomaticStep[] }));
    for (const x of ['WB', 'WT', 'WP', 'WC', 'UC'] as const)
      for (const y of ['WB', 'WC'] as const)
        for (const ntPassesOlder of [false, true])
          for (const wcReopens of [false, true]) {
            const p = { types: { x, y }, threads };
            expect(disagreement(p, { ntPassesOlder, wcReopens }, [AXIOMS, MACHINE])).toBe(null);
          }
  });

  let done = 0;
  let sizes = 0;
  const counting: Rival = {
    ...AXIOMS,
    outcomes: (p, v) => {
      const set = axiomaticOutcomes(p, v);
      done += 1;
      sizes += set.length;
      return set;
    },
  };

  test.each(SHAPES)(
    'a share of %d of the programs: %o',
    (share, shape) => {
      const runs = Math.ceil(share * PROGRAMS);
      const found = smallestDisagreement(anyProgram(shape), anyVariant, [counting, MACHINE], runs);
      expect(found).toBe(null);
    },
    PROGRAMS * 60,
  );

  test(`${PROGRAMS} of them`, () => {
    expect(done).toBeGreaterThanOrEqual(PROGRAMS);
    process.stdout.write(`${done} random programs, ${sizes} outcomes: axioms and machine agree\n`);
  });
});

/** The axioms without one of their clauses. */
function without(clause: Clause): Rival {
  return {
    name: `the axioms without ${clause}`,
    outcomes: (p, v) => axiomaticOutcomes(p, { ...v, without: clause }),
  };
}

describe('a wrong model is found out', () => {
  test.each(CLAUSES)('without %s: by a small test, which reads', (clause) => {
    const shape = { threads: 3, steps: 4, lines: 2 };
    const programs = anyProgram(shape);
    const found = smallestDisagreement(programs, anyVariant, [without(clause), AXIOMS], 20_000);
    if (found === null) throw new Error(`${clause} makes no difference`);
    const { threads } = readTest(found);
    const instructions = threads.flatMap((t) => t.lines.filter((l) => l.instruction !== null));
    expect(threads.length).toBeLessThanOrEqual(3);
    expect(instructions.length).toBeLessThanOrEqual(8);
  });

  test.each(['fwdNT', 'ucPosted'])('a machine with %s, which the axioms deny', (name) => {
    const other: Rival = {
      name: `the machine with ${name}`,
      outcomes: (_p, _v, text) => machineOutcomes(text.replace('{}', `${name}=on\n{}`)).set,
    };
    const programs = anyProgram({ threads: 2, steps: 4, lines: 2 });
    const found = smallestDisagreement(programs, anyVariant, [AXIOMS, other], 5000);
    expect(found).toContain(`allowed by the machine with ${name} only`);
  });
});

test('random programs have what they are said to have', () => {
  const texts = fc
    .sample(fc.tuple(anyProgram({ threads: 4, steps: 3, lines: 2 }), anyVariant), 2000)
    .map(([p, v]) => litmusText(p, v));
  const words =
    'WB WT WP WC UC UCM WC+ CD movnti xchgl addl mfence sfence lfence cpuid vmexit snoop nosnoop';
  for (const word of [...words.split(' '), 'P3', 'movl %'])
    expect([word, texts.some((text) => text.includes(word))]).toEqual([word, true]);
});
