import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printForHerd } from '../src/litmus/herd.ts';
import { printOutcome } from '../src/litmus/result.ts';
import { herdOutcomes, whyNoHerd } from './herd.ts';
import { answer, litmusNames, litmusText, readTest } from './litmus-files.ts';
import { anyProgram } from './random-litmus.ts';
import { AXIOMS, normal, type Rival, smallestDisagreement } from './twin.ts';

const HERD: Rival = {
  name: 'herd7 with litmus/x86-memory-types.cat',
  outcomes: (_p, v, text) => herdOutcomes(text, v.ntPassesOlder),
};

/** A process each. More of them: HERD_PROGRAMS=5000. */
const PROGRAMS = Number(process.env['HERD_PROGRAMS'] ?? 400);

/** The cat model has no buffers in which stores meet. */
const variants = fc.record({ ntPassesOlder: fc.boolean(), wcReopens: fc.constant(true) });

const missing = whyNoHerd();

describe.skipIf(missing !== null)(
  `herd7 with our cat model${missing ? `: ${missing}` : ''}`,
  () => {
    test.each([
      [0.5, { threads: 2, steps: 4, lines: 2, forHerd: true }],
      [0.1, { threads: 3, steps: 3, lines: 3, forHerd: true }],
      [0.2, { threads: 3, steps: 2, lines: 2, forHerd: true }],
      [0.2, { threads: 4, steps: 2, lines: 2, forHerd: true }],
    ])(
      `allows what the axioms allow: a share of %d of ${PROGRAMS} programs: %o`,
      (share, shape) => {
        const runs = Math.ceil(share * PROGRAMS);
        expect(smallestDisagreement(anyProgram(shape), variants, [HERD, AXIOMS], runs)).toBe(null);
      },
      PROGRAMS * 1000,
    );

    test('allows the same final states as the machine for every test of litmus/ that it reads', () => {
      let compared = 0;
      for (const name of litmusNames()) {
        const litmus = readTest(litmusText(name));
        const { value: text } = printForHerd(litmus);
        // herd7 reads MOVNTDQA and does not execute it.
        if (text === null || text.includes('movntdqa')) continue;
        compared += 1;
        const { test: compiled, result } = answer(litmus, { wcReopens: true });
        const states = result.states.map((state) => normal(printOutcome(compiled, state))).sort();
        expect([name, herdOutcomes(text, false)]).toEqual([name, states]);
      }
      expect(compared).toBeGreaterThan(60);
    }, 300_000);

    test('without the line that is marked, is found out where stores are in order', () => {
      const weaker: Rival = { ...HERD, outcomes: (_p, _v, text) => herdOutcomes(text, true) };
      const inOrder = fc.constant({ ntPassesOlder: false, wcReopens: true });
      const programs = anyProgram({ threads: 2, steps: 4, lines: 2, forHerd: true });
      const found = smallestDisagreement(programs, inOrder, [weaker, AXIOMS], 400);
      expect(found).toContain('allowed by herd7');
    });

    test('allows everything that litmus7 has seen', () => {
      const file = new URL('../src/machine/fixtures/litmus7.json', import.meta.url);
      const logs = JSON.parse(readFileSync(file, 'utf8')) as readonly {
        readonly name: string;
        readonly litmus: string;
        readonly histogram: Readonly<Record<string, number>>;
      }[];
      expect(logs.length).toBeGreaterThan(15);
      for (const { name, litmus, histogram } of logs) {
        const allowed = herdOutcomes(litmus, false);
        const seen = Object.keys(histogram).map(normal);
        expect([name, seen.filter((state) => !allowed.includes(state))]).toEqual([name, []]);
      }
    });
  },
);
