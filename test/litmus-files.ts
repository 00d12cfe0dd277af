import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderDiagnostic } from '../src/base/diagnostic.ts';
import { compileLitmus } from '../src/litmus/compile.ts';
import type { CompiledTest } from '../src/litmus/compiled.ts';
import { parseLitmus } from '../src/litmus/parse.ts';
import { type Result, resultOf } from '../src/litmus/result.ts';
import type { LitmusTest } from '../src/litmus/test.ts';
import { makeMachine } from '../src/machine/machine.ts';
import type { Switches } from '../src/machine/switches.ts';
import { reachable } from './litmus.ts';

const DIRECTORY = fileURLToPath(new URL('../litmus/', import.meta.url));

/** Names of the tests in litmus/, sorted. */
export function litmusNames(): readonly string[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith('.litmus'))
    .map((file) => file.slice(0, -'.litmus'.length))
    .sort();
}

export function litmusText(name: string): string {
  return readFileSync(`${DIRECTORY}${name}.litmus`, 'utf8');
}

export function expectedText(name: string): string {
  return readFileSync(`${DIRECTORY}${name}.litmus.expected`, 'utf8');
}

/** A text that has to be a test without a single problem. */
export function readTest(text: string, file = 'test.litmus'): LitmusTest {
  const { value, problems } = parseLitmus(text, file);
  if (value === null || problems.length > 0)
    throw new Error(problems.map(renderDiagnostic).join('\n'));
  return value;
}

export interface Answer {
  readonly test: CompiledTest;
  readonly result: Result;
  readonly states: number;
}

/** A test answered by plain breadth-first search. */
export function answer(test: LitmusTest, switches: Partial<Switches> = {}): Answer {
  const compiled = compileLitmus(test, switches);
  const machine = makeMachine(compiled.config);
  const { states } = reachable(machine);
  const outcomes = states
    .filter((state) => machine.isFinal(state, 0))
    .map((state) => compiled.observe(machine, state, 0))
    .filter((outcome) => outcome !== null);
  return { test: compiled, result: resultOf(compiled, outcomes), states: states.length };
}
