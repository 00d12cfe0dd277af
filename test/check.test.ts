import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, test } from 'vitest';
import { must } from '../src/base/assert.ts';
import { shardOf } from '../src/cli/check/shard.ts';
import { compileLitmus } from '../src/litmus/compile.ts';
import { parseLitmus } from '../src/litmus/parse.ts';
import { promelaOf } from '../src/litmus/promela.ts';
import { memtype, ROOT } from './console.ts';

const scratch = mkdtempSync(join(tmpdir(), 'memtype-check-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const SB = 'litmus/SB.litmus';
const HEAD = 'X86_64 T\n';
const BODY = '{}\n P0          ;\n movl $1,(x) ;\n';

function file(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

describe('check', () => {
  test('the whole catalogue is as it is expected', () => {
    const ran = memtype(['check', 'litmus']);
    expect(ran.stderr).toMatch(/^157 tests, \d+ runs, \d+ states: 0 failed\n$/);
    expect(ran.status).toBe(0);
  });

  test('exit code 1: an expectation, a condition, a block', () => {
    const wrong = file('wrong.litmus', `${HEAD}Expect=Never\n${BODY}exists ([x]=1)\n`);
    expect(memtype(['check', wrong])).toMatchObject({
      status: 1,
      stderr: `${wrong}: T is Always, expected is Never\n`,
    });
    const claim = file('claim.litmus', `${HEAD}${BODY}~exists ([x]=1)\n`);
    expect(memtype(['check', claim]).status).toBe(1);
    const question = file('question.litmus', `${HEAD}${BODY}exists ([x]=2)\n`);
    expect(memtype(['check', question]).status).toBe(0);
    file('question.litmus.expected', 'something else\n');
    expect(memtype(['check', question])).toMatchObject({
      status: 1,
      stderr: `${question}: the result is not that of ${question}.expected\n`,
    });
  });

  test('exit code 2: not a test, not a switch, not a number; the others are run', () => {
    const broken = file('broken.litmus', 'X86_64 B\n{}\n P0 ;\n frob ;\nexists (x=1)\n');
    const ran = memtype(['check', broken, SB]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain(`--> ${broken}:4:2`);
    expect(ran.stderr).toContain('1 not read');
    expect(ran.stdout).toContain('Observation SB Sometimes 1 3');
    expect(memtype(['check', SB, '--with', 'selfSnop=off']).stderr).toContain('selfSnoop');
    expect(memtype(['check', SB, '--max-states', 'x']).status).toBe(2);
    expect(memtype(['check', SB, '--memory', '4']).status).toBe(2);
    expect(memtype(['check', join(scratch, 'none')]).status).toBe(2);
  });

  test('exit code 3: a search that is cut is no answer', () => {
    const ran = memtype(['check', SB, '--max-states', '20']);
    expect(ran.status).toBe(3);
    expect(ran.stdout).not.toContain('Observation');
    expect(ran.stderr).toContain('cut after');
    const json = JSON.parse(
      memtype(['check', SB, '--max-states', '20', '--format', 'json']).stdout,
    );
    expect(json.runs[0]).toMatchObject({ cut: 'states', observation: null, ok: null });
  });

  test('--with replaces what a test expects something for', () => {
    const ran = memtype(['check', 'litmus/MP+WB-UC+nosnoop.litmus', '--with', 'evict=off']);
    expect(ran.stdout.split('\n')[0]).toBe('With evict=off');
    expect(ran.stdout.match(/^Test /gm)).toHaveLength(1);
  });

  test('a path is replayed, and is the one that the trace shows', () => {
    const [run] = JSON.parse(memtype(['check', SB, '--trace', '--format', 'json']).stdout).runs;
    const again = JSON.parse(
      memtype(['check', SB, '--replay', run.trace.path, '--format', 'json']).stdout,
    );
    expect(again.steps).toEqual(run.trace.steps);
    expect(memtype(['check', SB, '--replay', '0.99']).status).toBe(2);
    expect(memtype(['check', SB, SB, '--replay', '0']).status).toBe(2);
  });

  test('JSON keeps to its schema, with and without an execution', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    const validate = ajv.compile(JSON.parse(memtype(['schema', 'check']).stdout));
    for (const more of [[], ['--trace'], ['--why'], ['--max-states', '20']]) {
      for (const name of ['SB', 'MP+WB-UC+nosnoop', 'SB+mfences']) {
        const { stdout } = memtype(['check', `litmus/${name}.litmus`, ...more, '--format', 'json']);
        expect(validate(JSON.parse(stdout)), ajv.errorsText(validate.errors)).toBe(true);
      }
    }
  });

  test('text fits 80 columns', () => {
    for (const name of ['SB', 'IRIW', 'MP+NT+WB', 'MP+WC-host-sfence+WB-guest-cached']) {
      const { stdout } = memtype(['check', `litmus/${name}.litmus`, '--why']);
      expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    }
  });

  test('an execution as a picture, a diagram, and in the Informal Trace Format', () => {
    const draw = (format: string) => memtype(['check', SB, '--format', format]).stdout;
    expect(draw('svg')).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(draw('mermaid')).toContain('sequenceDiagram\n  participant P0\n  participant P1\n');
    const itf = JSON.parse(draw('itf'));
    expect(itf['#meta'].format).toBe('ITF');
    for (const state of itf.states)
      expect(Object.keys(state).filter((key) => key !== '#meta')).toEqual(itf.vars);
    expect(itf.states[0].memory).toEqual({
      '#map': [
        ['x', [{ '#bigint': '0' }]],
        ['y', [{ '#bigint': '0' }]],
      ],
    });
    expect(memtype(['check', 'litmus', '--format', 'svg']).status).toBe(2);
  });
});

/** Each thread stores to its own location and loads the next one's. */
function ring(threads: number): string {
  const names = 'abcdefghij'.slice(0, threads).split('');
  const row = (of: (i: number) => string): string =>
    ` ${names.map((_, i) => of(i)).join(' | ')} ;\n`;
  const next = (i: number): string => names[(i + 1) % threads] ?? '';
  const text =
    `X86_64 SB-${threads}\nCaches=visible\n{}\n` +
    row((i) => `P${i}`) +
    row((i) => `movl $1,(${names[i]})`) +
    row((i) => `movl (${next(i)}),%eax`) +
    `exists (${names.map((_, i) => `${i}:rax=0`).join(' /\\ ')})\n`;
  return file(`SB-${threads}.litmus`, text);
}

describe('threads', () => {
  test('find the same states, steps, outcomes and executions', () => {
    const path = ring(8);
    const one = memtype(['check', path, '--trace', '--format', 'json']);
    // As many as SPIN and TLC count.
    const [run] = JSON.parse(one.stdout).runs;
    expect([run.states, run.transitions]).toEqual([1_331_714, 9_093_512]);
    for (const threads of ['2', '3']) {
      const more = memtype(['check', path, '--trace', '--format', 'json', '--threads', threads]);
      expect(more).toEqual(one);
    }
    const reduced = memtype(['check', path, '--reduce', '--format', 'json']);
    const both = memtype(['check', ring(9), '--reduce', '--format', 'json', '--threads', '2']);
    expect(both.stdout).toBe(memtype(['check', ring(9), '--reduce', '--format', 'json']).stdout);
    const outcomes = (stdout: string) => JSON.parse(stdout).runs[0].outcomes;
    expect(outcomes(reduced.stdout)).toEqual(outcomes(one.stdout));
  });

  test('are cut by a number of states, and by memory', () => {
    const cut = (...more: string[]) =>
      memtype(['check', ring(8), '--threads', '2', '--format', 'json', ...more]);
    const states = cut('--max-states', '100k');
    expect([states.status, JSON.parse(states.stdout).runs[0].cut]).toEqual([3, 'states']);
    const memory = cut('--memory', '4M');
    expect([memory.status, JSON.parse(memory.stdout).runs[0].cut]).toEqual([3, 'memory']);
  });
});

/** Kills a run as soon as it has kept something in `kept`, or lets it end. */
function killed(args: readonly string[], kept: string): Promise<void> {
  const child = spawn(process.execPath, [`${ROOT}dist/bin/main.js`, ...args], { stdio: 'ignore' });
  const before = existsSync(kept) ? statSync(kept).size : 0;
  const timer = setInterval(() => {
    if (existsSync(kept) && statSync(kept).size > before) child.kill('SIGKILL');
  }, 5);
  return new Promise((resolve) => {
    child.on('exit', () => {
      clearInterval(timer);
      resolve();
    });
  });
}

describe('--resume', () => {
  for (const threads of ['1', '2']) {
    test(`a run that is killed again and again ends as any other, ${threads} threads`, async () => {
      const path = ring(8);
      const kept = join(scratch, `kept-${threads}`);
      const whole = memtype(['check', path, '--trace', '--format', 'json']).stdout;
      const args = ['check', path, '--trace', '--format', 'json', '--resume', kept];
      const often = [...args, '--threads', threads, '--keep-every', '0'];
      await killed(often, kept);
      expect(existsSync(kept)).toBe(true);
      await killed(often, kept);
      const { stdout, status } = memtype([...args, '--threads', threads]);
      expect(status).toBe(0);
      expect(stdout).toBe(whole);
      expect(existsSync(kept)).toBe(false);
    });
  }

  test('what is of another search, or no search, is refused', async () => {
    const kept = join(scratch, 'kept-of-another');
    await killed(['check', ring(8), '--resume', kept, '--keep-every', '0'], kept);
    const other = memtype(['check', ring(7), '--resume', kept]);
    expect(other.status).toBe(2);
    expect(other.stderr).toContain('is of another test');
    const none = file('no-search', 'something\nelse\n');
    expect(memtype(['check', SB, '--resume', none]).stderr).toContain('is not a search');
    expect(memtype(['check', SB, SB, '--resume', none]).status).toBe(2);
  });
});

describe('a log', () => {
  const log = (states: string) =>
    file(
      'some.log',
      `Test SB Allowed\nHistogram (2 states)\n${states}Ok\n\nWitnesses\nPositive: 1, Negative: 9\n` +
        'Observation SB Sometimes 1 9\nTest OTHER Allowed\nHistogram (1 states)\n1 :>0:rax=0;\nNo\n',
    );

  test('is compared: what was seen and is forbidden refutes the machine', () => {
    const fine = memtype([
      'check',
      SB,
      '--against',
      log('1 *>0:rax=0; 1:rax=0;\n9 :>0:rax=0; 1:rax=1;\n'),
    ]);
    expect(fine.stdout).toContain(
      '\nSB: 2 states seen, 0 of them forbidden here, 2 allowed here and not seen\n',
    );
    expect(fine).toMatchObject({ status: 0, stderr: 'not compared: OTHER\n' });
    const wrong = log('1 *>0:rax=0; 1:rax=0;\n9 :>0:rax=2; 1:rax=1;\n');
    const ran = memtype(['check', SB, '--against', wrong, '--format', 'json']);
    expect(ran.status).toBe(1);
    expect(JSON.parse(ran.stdout).troubles).toEqual([
      {
        item: 0,
        file: SB,
        kind: 'log',
        message: 'a log has a state that is forbidden here: 0:rax=2; 1:rax=1;',
      },
    ]);
    expect(memtype(['check', SB, '--against', SB]).status).toBe(2);
  });
});

test('--to herd prints the test for herd7, or says what it has no words for', () => {
  const ran = memtype(['check', SB, '--to', 'herd']);
  expect(ran.stdout).toMatch(/^X86_64 SB\n/);
  expect(ran.stdout).not.toContain('Expect');
  expect(memtype(['check', 'litmus/MP+WB-UC+nosnoop.litmus', '--to', 'herd'])).toMatchObject({
    status: 2,
    stdout: '',
  });
});

test('--to promela prints the model that the library makes', () => {
  const { status, stdout } = memtype(['check', SB, '--to', 'promela']);
  const { value } = parseLitmus(readFileSync(join(ROOT, SB), 'utf8'), SB);
  expect([status, stdout]).toEqual([0, promelaOf(compileLitmus(must(value, SB)))]);
  const several = 'litmus/CoRMW+WB+UCM.litmus';
  expect(memtype(['check', several, '--to', 'promela']).status).toBe(2);
  expect(memtype(['check', several, '--to', 'promela', '--with', 'busSnoop=off']).status).toBe(0);
});

describe('shards', () => {
  const whole = memtype(['check', 'litmus', '--format', 'json']).stdout;
  const parts = [0, 1, 2].map((i) =>
    file(
      `part-${i}.json`,
      memtype(['check', 'litmus', '--shard', `${i}/3`, '--format', 'json']).stdout,
    ),
  );
  const [first = '', second = '', third = ''] = parts;

  test('merged in any order are the run that they are', () => {
    const merged = memtype(['merge', third, first, second, '--format', 'json']);
    expect(merged.stdout).toBe(whole);
    expect(merged.status).toBe(0);
    expect(memtype(['merge', ...parts]).stdout).toMatch(/^157 tests, \d+ runs in 3 shards: /);
  });

  test('that are missing, there twice, or of other inputs are refused', () => {
    expect(memtype(['merge', first, third]).stderr).toContain('missing: shard 1 of 3');
    expect(memtype(['merge', ...parts, first]).stderr).toContain('is the same shard as');
    const other = file(
      'other.json',
      memtype(['check', 'litmus', '--shard', '1/3', '--format', 'json', '--reduce']).stdout,
    );
    expect(memtype(['merge', first, other, third]).stderr).toContain('of other tests');
    expect(memtype(['merge', SB]).status).toBe(2);
    expect(memtype(['merge', file('whole.json', whole)]).stderr).toContain('is not a shard');
  });

  test('schedulers say which one this is', () => {
    expect(shardOf('1/4', {})).toEqual({ index: 1, of: 4 });
    expect(shardOf(undefined, { CI_NODE_INDEX: '1' })).toBe(null);
    const slurm = {
      SLURM_ARRAY_TASK_ID: '7',
      SLURM_ARRAY_TASK_MIN: '5',
      SLURM_ARRAY_TASK_COUNT: '4',
    };
    expect(shardOf('auto', slurm)).toEqual({ index: 2, of: 4 });
    expect(shardOf('auto/8', { JOB_COMPLETION_INDEX: '0' })).toEqual({ index: 0, of: 8 });
    expect(shardOf('auto', { CI_NODE_INDEX: '1', CI_NODE_TOTAL: '3' })).toEqual({
      index: 0,
      of: 3,
    });
    expect(() => shardOf('auto', { JOB_COMPLETION_INDEX: '0' })).toThrow('of how many');
    expect(() => shardOf('auto', {})).toThrow('no scheduler');
    expect(() => shardOf('4/4', {})).toThrow('not a shard');
  });

  const parallel = spawnSync('parallel', ['--version']).status === 0;
  test.skipIf(!parallel)('by GNU parallel', () => {
    const command = `${process.execPath} dist/bin/main.js check litmus --shard {}/3 --format json`;
    const ran = spawnSync(
      'parallel',
      ['--will-cite', '-j2', `${command} > ${scratch}/gnu-{}.json`, ':::', '0', '1', '2'],
      { cwd: ROOT, encoding: 'utf8' },
    );
    expect(ran.status).toBe(0);
    const files = [0, 1, 2].map((i) => join(scratch, `gnu-${i}.json`));
    expect(memtype(['merge', ...files, '--format', 'json']).stdout).toBe(whole);
  });
});
