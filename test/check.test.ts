import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, describe, expect, test } from 'vitest';
import { memtype } from './console.ts';

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
    expect(ran.stderr).toMatch(/^149 tests, \d+ runs, \d+ states: 0 failed\n$/);
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
