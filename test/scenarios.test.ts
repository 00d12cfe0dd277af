import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import '../src/rules.ts';
import { InputError } from '../src/base/diagnostic.ts';
import { readFactsTree } from '../src/cli/facts-tree.ts';
import { FACT_KEYS, type FactKey, factDefinition, factWord } from '../src/facts/facts.ts';
import { PROPOSALS } from '../src/kvm/policies.ts';
import { BACKINGS } from '../src/linux/backing.ts';
import { runJson, runJsonLines } from '../src/report/run/json.ts';
import { runPerfetto } from '../src/report/run/perfetto.ts';
import { runOutputSchema, scenarioSchema } from '../src/report/run/schema.ts';
import { runSvg } from '../src/report/run/svg.ts';
import { runText } from '../src/report/run/text.ts';
import { composeQuestions } from '../src/resolve/compose.ts';
import { resolve } from '../src/resolve/resolution.ts';
import { checkOutcomes } from '../src/scenario/outcomes.ts';
import { overlaid, readScenario } from '../src/scenario/read.ts';
import { type Run, run } from '../src/scenario/run.ts';
import type { Program, Scenario } from '../src/scenario/scenario.ts';
import { memtype, ROOT } from './console.ts';
import { xmlFaults } from './pictures.ts';

const FILES = readdirSync(`${ROOT}scenarios`).filter((f) => f.endsWith('.yaml'));
const text = (file: string): string => readFileSync(`${ROOT}scenarios/${file}`, 'utf8');
const scenarioOf = (file: string): Scenario => readScenario(readFactsTree(text(file), file), file);

function runsOf(scenario: Scenario, seed: number): readonly Run[] {
  return scenario.programs.map((program) => runOf(scenario, program, seed));
}

function runOf({ facts }: Scenario, program: Program, seed: number): Run {
  const [question] = composeQuestions(overlaid(facts, program.facts));
  if (question === undefined) throw new Error('no question');
  return run(question, program, { seed });
}

const KERNELS = [
  '2.6.27',
  '2.6.30',
  '3.18',
  '4.4',
  '4.14',
  '5.10',
  '6.1',
  '6.8',
  '6.11-rc3',
  '6.14',
  '6.16',
  '7.3',
];

function valuesOf(key: FactKey): readonly string[] {
  if (key === 'backing') return BACKINGS.map((b) => b.id);
  return (factDefinition(key).values ?? []).map(factWord);
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
const isScenario = ajv.compile(scenarioSchema());
const isRun = ajv.compile(runOutputSchema());

describe.each(FILES)('scenarios/%s', (file) => {
  const scenario = scenarioOf(file);

  test('ends as it says', () => {
    const checked = checkOutcomes(scenario, []);
    const wrong = checked.filter((c) => c.got !== c.expected);
    expect(
      wrong.map(({ outcome, facts, program, expected, got }) => [
        outcome.title,
        ...facts.map((f) => `${f.key} ${f.words.map((w) => w.text).join()}`),
        `${program.name}: ${got}, not ${expected}`,
      ]),
    ).toEqual([]);
    expect(checked.length).toBeGreaterThan(3);
  });

  test('every program has an outcome', () => {
    const named = new Set(scenario.outcomes.flatMap((o) => o.results.map((r) => r.program.text)));
    const open = scenario.programs.map((p) => p.name).filter((name) => !named.has(name));
    expect(open).toEqual([]);
  });

  test('fits its schema', () => {
    isScenario(parse(text(file)));
    expect(isScenario.errors).toBeNull();
  });

  test.each([0, 1, 7])('seed %i: every rendering, the same each time', (seed) => {
    const [first, second] = [runsOf(scenario, seed), runsOf(scenario, seed)];
    first.forEach((one, i) => {
      const again = second[i];
      if (again === undefined) throw new Error('a run is missing');
      const verdict = resolve(one.question);
      const shown = runText(one, scenario, verdict);
      expect(runText(again, scenario, resolve(again.question))).toBe(shown);
      expect(shown.split('\n').filter((l) => l.length > 80 || l !== l.trimEnd())).toEqual([]);
      const json = runJson(one, scenario, verdict);
      isRun(JSON.parse(JSON.stringify(json)));
      expect(isRun.errors).toBeNull();
      const lines = runJsonLines(one, scenario, verdict).trimEnd().split('\n');
      expect(lines.map((l) => JSON.parse(l) as object)).toHaveLength(one.events.length + 1);
      expect(xmlFaults(runSvg(one, scenario))).toEqual([]);
      const trace = JSON.parse(runPerfetto(one, '0')) as { traceEvents: { ph: string }[] };
      expect(trace.traceEvents.filter((e) => e.ph === 'X')).toHaveLength(one.events.length);
    });
  });

  test('what the schedule shown ends with is what is told', () => {
    for (const seed of [0, 3, 11]) {
      for (const one of runsOf(scenario, seed)) {
        const nevers = one.violations.filter((v) => v.kind === 'never').map((v) => v.text);
        expect(one.holds).toBe(one.violations.length === 0);
        if (one.final === null) continue;
        const { outcome } = one;
        const shown = one.program.never.filter((c) =>
          c.any.some((all) =>
            all.every((k) => (outcome[k.owner]?.[k.name] === k.value) === k.equal),
          ),
        );
        if (nevers.length === 0) expect(shown).toEqual([]);
        else expect(nevers).toEqual(expect.arrayContaining(shown.map((c) => c.text)));
        if (nevers.length > 0) expect(shown.length).toBeGreaterThan(0);
      }
    }
  });
});

describe('the founding bug', () => {
  const scenario = scenarioOf('virtio-gpu-host-blob.yaml');

  test('says what the GPU saw, and why', () => {
    const [upload, fence, clobber] = runsOf(scenario, 0);
    const shown = (one: Run | undefined): string =>
      one === undefined ? '' : runText(one, scenario, resolve(one.question));
    expect(shown(upload)).toContain('gpu read x = 0 from memory while cpu0 cache held 1');
    expect(shown(fence)).toContain('guest read f = 0 from cache while memory held 1');
    expect(shown(clobber)).toContain('memory lost y = 1');
    expect(shown(upload)).toContain('error MT101');
    expect(shown(upload)).toMatch(/maps the blob: EPT WB\+IPAT \(SPTE [0-9a-f]+\)/);
  });

  test('another seed, another schedule, the same violation', () => {
    const [, , clobber] = scenario.programs;
    if (clobber === undefined) throw new Error('no program');
    const told = Array.from({ length: 8 }, (_, seed) => {
      const one = runOf(scenario, clobber, seed);
      expect(one.violations.map((v) => v.text)).toEqual(['gpu.seen = 0']);
      expect(one.outcome['gpu']).toEqual({ seen: 0 });
      return JSON.stringify(one.events);
    });
    expect(new Set(told).size).toBeGreaterThan(2);
  });
});

describe('any facts', () => {
  const scenario = scenarioOf('virtio-gpu-host-blob.yaml');
  const keys = FACT_KEYS.filter((key) => key !== 'policy');
  const oneFact = fc
    .constantFrom(...keys)
    .chain((key) => fc.tuple(fc.constant(key), fc.constantFrom(...valuesOf(key))));
  const rules = fc.constantFrom(
    ...KERNELS.map((text) => ({ key: 'kernel', words: [{ text }] })),
    ...PROPOSALS.map(({ id }) => ({ key: 'policy', words: [{ text: id }] })),
  );

  test('run as the resolver says, are refused, or are undetermined', () => {
    const ended = new Map<string, number>();
    const count = (how: string): void => {
      ended.set(how, (ended.get(how) ?? 0) + 1);
    };
    fc.assert(
      fc.property(
        fc.array(oneFact, { maxLength: 5 }),
        rules,
        fc.constantFrom(...scenario.programs),
        (said, rule, program) => {
          const entries = said.map(([key, text]) => ({ key, words: [{ text }] }));
          try {
            const [q] = composeQuestions(
              overlaid(scenario.facts, program.facts, [rule], ...entries.map((e) => [e])),
            );
            if (q === undefined) throw new Error('no question');
            const one = run(q, program, { seed: 1 });
            count(one.result);
            const verdict = resolve(q);
            runText(one, scenario, verdict);
            // Acts of the VMM change the facts on the way.
            const hasActs = one.program.parts.some((p) =>
              p.instructions.some((i) => i.op === 'attach'),
            );
            if (one.stage.leaf === null || hasActs || one.types.length === 0) return;
            expect(verdict.types).toEqual(one.types);
            count('compared with the verdict');
          } catch (error) {
            if (!(error instanceof InputError)) throw error;
            count('refused input');
          }
        },
      ),
      { numRuns: 1500 },
    );
    for (const how of ['ok', 'slow', 'x', 'refused', 'refused input', 'compared with the verdict'])
      expect(ended.get(how) ?? 0, how).toBeGreaterThan(20);
  });
});

describe('memtype run', () => {
  const BLOB = 'scenarios/virtio-gpu-host-blob.yaml';

  test.each([
    [[BLOB, '--kernel', '6.8'], 1],
    [[BLOB, '--policy', 'host-pat'], 0],
    [[BLOB, '--kernel', '6.15', '--vmm', 'qemu-11', '--honor-guest-pat', 'on'], 1],
    [[BLOB, '--kernel', '6.8', '--policy', 'wc-as-mmio'], 0],
    [[BLOB, '--outcomes'], 0],
    [[BLOB, '--paging', 'shadow', '--cpu', 'intel,amd'], 3],
    [[BLOB, '--kernel', '4.3-rc4'], 3],
    [[BLOB, '--program', 'L99'], 2],
    [[BLOB, '--seed', '-1'], 2],
    [[BLOB, '--seed', '1.5'], 2],
    [[BLOB, '--kernel', 'x'], 2],
    [[BLOB, '--format', 'svg', '--program', 'all'], 2],
    [['README.md'], 2],
    [['scenarios'], 2],
    [['no-such-file'], 2],
  ])('%j ends with %i', (args, status) => {
    const ran = memtype(['run', ...args]);
    expect(ran.stderr).not.toContain('internal error');
    expect([ran.stderr, ran.status]).toEqual([ran.stderr, status]);
    if (status >= 2) expect(ran.stderr).toMatch(/^error: /);
    else expect(ran.stderr).toBe('');
  });

  test('reads standard input', () => {
    const ran = memtype(['run', '-', '--format', 'json', '--seed', '5'], text('vgem.yaml'));
    const told = JSON.parse(ran.stdout) as { holds: boolean; seed: number; outcome: object };
    expect(told).toMatchObject({ holds: true, seed: 5, outcome: { guest: { seen: 1, got: 2 } } });
  });

  test('several kernels or programs are compared', () => {
    const args = ['run', BLOB, '--kernel', '6.8,6.16', '--policy', 'host-pat', '--program', 'all'];
    const table = memtype(args);
    expect(table.stdout).toMatch(/^L1 upload +x +x +ok$/m);
    expect(table.stdout.split('\n').filter((l) => l.length > 80)).toEqual([]);
    const json = memtype([...args, '--format', 'json']);
    const { runs } = JSON.parse(json.stdout) as { runs: { program: string }[] };
    expect(runs).toHaveLength(3 * scenarioOf('virtio-gpu-host-blob.yaml').programs.length);
    isRun(JSON.parse(json.stdout));
    expect(isRun.errors).toBeNull();
  });
});
