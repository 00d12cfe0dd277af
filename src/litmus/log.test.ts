import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { answer, litmusText, readTest } from '../../test/litmus-files.ts';
import { must } from '../base/assert.ts';
import { renderDiagnostic } from '../base/diagnostic.ts';
import { type Comparison, compareWithLog } from './compare.ts';
import { type LoggedTest, readLog } from './log.ts';
import { printResult } from './result.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;

const RUN = `Test SB Allowed
Histogram (4 states)
332   *>0:rax=0; 1:rax=0;
1999574:>0:rax=1; 1:rax=0;
1999619:>0:rax=0; 1:rax=1;
475   :>0:rax=1; 1:rax=1;
Ok

Witnesses
Positive: 332, Negative: 3999668
Condition exists (0:rax=0 /\\ 1:rax=0) is validated
Hash=055f9747fd517835a93f2f188e15e163
Observation SB Sometimes 332 3999668
Time SB 0.65
`;

function only(text: string): LoggedTest {
  const { value, problems } = readLog(text, 'a.log');
  expect(problems.map(renderDiagnostic)).toEqual([]);
  expect(value).toHaveLength(1);
  return must(value[0], 'a test');
}

function compared(text: string, log: LoggedTest): Extract<Comparison, { kind: 'compared' }> {
  const { test: compiled, result } = answer(readTest(text));
  const comparison = compareWithLog(compiled, result, log);
  if (comparison.kind !== 'compared') throw new Error(comparison.missing.join(' '));
  return comparison;
}

describe('reading', () => {
  test('litmus7', () => {
    const log = only(RUN);
    expect(log).toMatchObject({
      name: 'SB',
      quantifier: 'exists',
      kind: 'histogram',
      condition: 'exists (0:rax=0 /\\ 1:rax=0)',
      observation: { word: 'Sometimes', positive: 332, negative: 3999668 },
      hash: '055f9747fd517835a93f2f188e15e163',
    });
    const seen = log.states.map((s) => [s.count, s.starred, ...s.values.values()]);
    expect(seen).toEqual([
      [332, true, 0, 0],
      [1999574, false, 1, 0],
      [1999619, false, 0, 1],
      [475, false, 1, 1],
    ]);
  });

  test('herd7, and what we print ourselves', () => {
    const herd = RUN.replace('Histogram (4 states)', 'States 4')
      .replace(/^\d+ *[:*]>/gm, '')
      .replaceAll('\n', '\r\n');
    expect(only(herd).states.map((s) => [s.count, ...s.values.values()])).toEqual([
      [null, 0, 0],
      [null, 1, 0],
      [null, 0, 1],
      [null, 1, 1],
    ]);
    const { test: compiled, result } = answer(readTest(litmusText('SB')));
    const own = only(printResult(compiled, result));
    expect(own.states.map((s) => [...s.values.values()])).toEqual(result.states);
    expect(own.observation?.word).toBe(result.word);
  });

  test('many tests, and lines between them', () => {
    const text = `%%%%%%%\n% Results for SB %\n${RUN}\nMachine: x\n${RUN.replaceAll('SB', 'SB+po')}`;
    expect(readLog(text, 'a.log').value.map((t) => t.name)).toEqual(['SB', 'SB+po']);
  });

  test('locations in every spelling, hexadecimal numbers, addresses', () => {
    const log = only(
      'Test T Forbidden\nStates 1\n0:rax=0x10; x=-1; [y]=x; t[1]=2; [PA(z)]=0;\nNo\n',
    );
    expect([...must(log.states[0], 'a state').values]).toEqual([
      ['0:rax', 16],
      ['[x]', -1],
      ['[y]', { symbol: 'x', offset: 0 }],
      ['t[1]', 2],
      ['[PA(z)]', 0],
    ]);
    expect(log.quantifier).toBe('~exists');
  });

  test('what is missing or broken is said', () => {
    const problems = (text: string): readonly string[] =>
      readLog(text, 'a.log').problems.map((p) => p.message);
    expect(problems('hello\n')).toEqual(['no log of litmus7 or herd7']);
    expect(problems(RUN.slice(0, RUN.indexOf('1999619')))).toEqual([
      '2 of 4 states of SB are there',
    ]);
    expect(problems(RUN.slice(0, RUN.indexOf('Ok')))).toEqual(['4 of 4 states of SB are there']);
    expect(problems('Test SB Allowed\nFatal error: no\n')).toEqual(['SB has no result']);
    expect(problems(RUN.replace('475   :>', '475'))).toEqual([
      'expected a count and a state',
      '3 of 4 states of SB are there',
    ]);
    const [broken] = readLog(RUN.replace('0:rax=1; 1:rax=1', '0:rax+1'), 'a.log').problems;
    expect(renderDiagnostic(must(broken, 'a problem'))).toBe(
      [
        'error: expected "=", found "+"',
        '  --> a.log:6:14',
        '    6 | 475   :>0:rax+1;',
        '      |              ^',
      ].join('\n'),
    );
  });
});

describe('comparing', () => {
  test('all that was seen is allowed', () => {
    expect(compared(litmusText('SB'), only(RUN))).toMatchObject({
      forbidden: [],
      unseen: [],
      sameWord: true,
    });
  });

  test('seen, but forbidden', () => {
    const { forbidden, sameWord } = compared(litmusText('SB+mfences'), only(RUN));
    expect(forbidden.map((s) => [s.count, ...s.values])).toEqual([
      [332, ['0:rax', 0], ['1:rax', 0]],
    ]);
    expect(sameWord).toBe(false);
  });

  test('allowed, but not seen', () => {
    const text = RUN.replace('4 states', '3 states').replace(/^332 .*\n/m, '');
    expect(compared(litmusText('SB'), only(text)).unseen).toEqual([[0, 0]]);
  });

  test('a log of another question', () => {
    const { test: compiled, result } = answer(readTest(litmusText('MP')));
    expect(compareWithLog(compiled, result, only(RUN))).toEqual({
      kind: 'incomparable',
      missing: ['0:rax'],
    });
  });
});

describe.runIf(folder !== '')('logs of real CPUs', () => {
  const logs = folder === '' ? [] : readdirSync(`${folder}/litmus-hw/logs`).sort();

  test('there are some', () => {
    expect(logs).toHaveLength(20);
  });

  test.each(logs)('%s: nothing that was seen is forbidden', (file) => {
    const name = file.replace('.log', '');
    const log = only(readFileSync(`${folder}/litmus-hw/logs/${file}`, 'utf8'));
    const text = readFileSync(`${folder}/litmus-hw/tests/${name}.litmus`, 'utf8');
    const { forbidden } = compared(text, log);
    expect(forbidden).toEqual([]);
    const total = log.states.reduce((sum, s) => sum + (s.count ?? 0), 0);
    const { positive, negative } = must(log.observation, 'an observation');
    expect(total).toBe(positive + negative);
  });
});
