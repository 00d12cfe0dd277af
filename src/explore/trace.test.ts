import { describe, expect, test } from 'vitest';
import { litmusNames, litmusText, readTest } from '../../test/litmus-files.ts';
import '../rules.ts';
import { causesOf } from './cause.ts';
import { type Run, runTest, searchHere, settingsOf, Tables } from './check.ts';
import { parsePath, pathTo, printPath } from './path.ts';
import { repairsOf } from './repair.ts';
import { traceAlong } from './trace.ts';
import { wantedOf, witnessOf } from './witness.ts';

const ALL = Number.POSITIVE_INFINITY;
const tables = new Tables(2 ** 21);

async function runsOf(name: string): Promise<readonly Run[]> {
  const litmus = readTest(litmusText(name));
  return Promise.all(
    settingsOf(litmus, null).map((setting) =>
      runTest(litmus, setting, searchHere(new Tables(2 ** 21))),
    ),
  );
}

async function first(name: string): Promise<Run> {
  const [run] = await runsOf(name);
  if (run === undefined) throw new Error(`${name} has no run`);
  return run;
}

function pathOf(run: Run): readonly number[] | null {
  const final = witnessOf(run);
  return final === null
    ? null
    : pathTo(run.machine, run.found, run.search, final.state, final.level);
}

describe('the shortest execution', () => {
  for (const name of litmusNames()) {
    test(`${name}: is one, where there is one, and ends as the test asks`, async () => {
      for (const run of await runsOf(name)) {
        const path = pathOf(run);
        const wanted = wantedOf(run);
        expect(path === null).toBe(wanted ? run.result.positive === 0 : run.result.negative === 0);
        if (path === null) continue;
        const trace = traceAlong(run.machine, path);
        expect(trace.isFinal).toBe(true);
        const outcome = run.compiled.observe(run.machine, trace.last, 0);
        expect(outcome !== null && run.compiled.holds(outcome)).toBe(wanted);
        const nearest = run.finals.filter((f) => run.compiled.holds(f.outcome) === wanted);
        expect(path.length).toBe(nearest.reduce((low, f) => Math.min(low, f.level), ALL));
        expect(parsePath(printPath(path))).toEqual(path);
      }
    });
  }

  test('a path that is none is refused', async () => {
    const { machine } = await first('SB');
    expect(() => traceAlong(machine, [0, 99])).toThrow('step 2 of the path: there is no choice 99');
    expect(() => parsePath('0.x')).toThrow('not a path: 0.x');
  });
});

describe('where a line is', () => {
  test('in buffers, caches and memory, step by step', async () => {
    const run = await first('MP+NT+WB');
    const trace = traceAlong(run.machine, pathOf(run) ?? []);
    const places = trace.steps.map(({ copies }) =>
      (copies['x'] ?? []).map(({ agent, place }) => `${agent} ${place}`.trim()),
    );
    expect(new Set(places.flat())).toEqual(
      new Set(['memory', 'P0 store buffer', 'P0 write-combining buffer', 'P1 cache (clean)']),
    );
  });
});

async function whyOf(
  name: string,
): Promise<{ readonly causes: readonly string[]; readonly repairs: string[] }> {
  const run = await first(name);
  const { compiled, machine, setting } = run;
  const wanted = wantedOf(run);
  const { repairs, undecided } = repairsOf(compiled.test, {
    switches: setting.switches,
    tables,
    wanted,
    maxStates: ALL,
  });
  expect(undecided).toBe(0);
  return {
    causes: causesOf(compiled, machine, tables, wanted, ALL).map((c) => `${c.rule.id} ${c.how}`),
    repairs: repairs.map((changes) => changes.map((c) => c.text).join(' + ')),
  };
}

describe('why', () => {
  test('SB: store buffers; two MFENCEs and nothing less, or an uncacheable line', async () => {
    expect(await whyOf('SB')).toEqual({
      causes: ['machine/drain-wb late'],
      repairs: [
        'mfence in P0 after movl $1,(x) + mfence in P1 after movl $1,(y)',
        'x as UC',
        'y as UC',
      ],
    });
  });

  test('MP with a non-temporal store: the combining buffer; SFENCE', async () => {
    const { causes, repairs } = await whyOf('MP+NT+WB');
    expect(causes).toEqual(['machine/evict-nt late']);
    expect(repairs[0]).toBe('sfence in P0 after movnti %esi,(x)');
    expect(repairs).not.toContain('mfence in P0 after movnti %esi,(x)');
  });

  test('a device that does not snoop: the cache; a flush, snooping, or another type', async () => {
    const { causes, repairs } = await whyOf('MP+WB-UC+nosnoop');
    expect(causes).toEqual(['machine/evict late']);
    expect(repairs).toEqual([
      'clflush (x) in P0 after movl $1,(x)',
      'GPU snoops',
      'x as WT',
      'x as WC',
      'x as UC',
    ]);
  });
});
