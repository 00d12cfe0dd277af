import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isPossible, outcomes } from '../../test/litmus.ts';
import { machineOf } from '../../test/programs.ts';
import { makeMachine } from './machine.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;

interface Log {
  readonly name: string;
  readonly litmus: string;
  /** Outcome as litmus7 prints it: how often it was seen. */
  readonly histogram: Readonly<Record<string, number>>;
}

const LOGS = JSON.parse(
  readFileSync(new URL('fixtures/litmus7.json', import.meta.url), 'utf8'),
) as readonly Log[];

/** AT&T instructions of one thread, registers that were loaded with a constant put in place of it. */
function threadOf(column: readonly string[]): string {
  const constants = new Map<string, string>();
  const value = (text: string) =>
    text.startsWith('$') ? text.slice(1) : (constants.get(text.slice(1)) ?? '');
  const register = (text: string) => text.slice(1).replace(/^e/, 'r');
  return column
    .flatMap((line) => {
      const [op = '', operands = ''] = line.split(' ');
      const [from = '', to = ''] = operands.split(',');
      const cell = (text: string) => text.slice(1, -1);
      if (op === 'movl' && from.startsWith('$') && to.startsWith('%')) {
        constants.set(to.slice(1), from.slice(1));
        return [];
      }
      if (op === 'movl' && to.startsWith('%')) return [`${register(to)}:=${cell(from)}`];
      if (op === 'movl') return [`${cell(to)}=${value(from)}`];
      if (op === 'movnti') return [`nt ${cell(to)}=${value(from)}`];
      if (op === 'xchgl') return [`xchg ${cell(to)},${value(from)}->${register(from)}`];
      return [op];
    })
    .join('; ');
}

function programsOf(litmus: string): Readonly<Record<string, string>> {
  const rows = litmus
    .split('\n')
    .filter((l) => l.includes('|'))
    .map((l) =>
      l
        .replace(';', '')
        .split('|')
        .map((c) => c.trim()),
    );
  const [head = [], ...body] = rows;
  return Object.fromEntries(
    head.map((name, i) => [name, threadOf(body.map((r) => r[i] ?? '').filter((t) => t !== ''))]),
  );
}

/** `0:rax=1; [x]=2;` as the search writes it. */
function conditionOf(state: string): string {
  return state
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => part.replace(/^\[(\w)\]/, (_, v: string) => `co:${v.toUpperCase()}`))
    .map((part) => part.replace(/^(\d)/, 'P$1'))
    .join(' & ');
}

function check({ litmus, histogram }: Pick<Log, 'litmus' | 'histogram'>): void {
  const config = machineOf('x:WB@X y:WB@Y', programsOf(litmus), { vendor: 'amd' });
  const { set } = outcomes(makeMachine(config));
  const states = Object.keys(histogram);
  expect(states.length).toBeGreaterThan(1);
  expect(states.filter((state) => !isPossible(set, conditionOf(state)))).toEqual([]);
}

describe('nothing that a real CPU showed is forbidden', () => {
  test.each(LOGS)('$name', check);

  test('a machine without store buffering would be found out', () => {
    const sb = LOGS.find((l) => l.name === 'SB');
    const fenced = sb?.litmus.replace(' movl (y)', ' mfence |mfence;\n movl (y)') ?? '';
    expect(() => check({ litmus: fenced, histogram: sb?.histogram ?? {} })).toThrow();
  });

  test.runIf(folder !== '')('the logs are what was taken from them', () => {
    for (const { name, litmus, histogram } of LOGS) {
      const read = (path: string) => readFileSync(join(folder, 'litmus-hw', path), 'utf8');
      const lines = [...read(`logs/${name}.log`).matchAll(/^(\d+)\s*[:*]>(.*)$/gm)];
      expect(histogram).toEqual(
        Object.fromEntries(lines.map(([, n, state = '']) => [state.trim(), Number(n)])),
      );
      expect(litmus).toBe(read(`tests/${name}.litmus`));
    }
  });
});
