import { readFileSync } from 'node:fs';
import '../src/rules.ts';
import { readFactsTree } from '../src/cli/facts-tree.ts';
import { runText } from '../src/report/run/text.ts';
import { composeQuestions } from '../src/resolve/compose.ts';
import { resolve } from '../src/resolve/resolution.ts';
import { hinges } from '../src/scenario/hinges.ts';
import { overlaid, readScenario } from '../src/scenario/read.ts';
import { type Run, run } from '../src/scenario/run.ts';
import type { Scenario } from '../src/scenario/scenario.ts';
import { ROOT } from './console.ts';

export function scenarioIn(text: string, name = 's.yaml'): Scenario {
  return readScenario(readFactsTree(text, name), name);
}

export function scenarioFile(file: string): Scenario {
  return scenarioIn(readFileSync(`${ROOT}scenarios/${file}`, 'utf8'), file);
}

/** A program of a scenario with facts as flags would say them. */
export function runOf(
  scenario: Scenario,
  name: string,
  said: Readonly<Record<string, string>> = {},
  seed = 0,
): Run {
  const program = scenario.programs.find((p) => p.name === name);
  if (program === undefined) throw new Error(`no program ${name}`);
  const entries = Object.entries(said).map(([key, text]) => ({ key, words: [{ text }] }));
  const [question] = composeQuestions(overlaid(scenario.facts, program.facts, entries));
  if (question === undefined) throw new Error('no question');
  return run(question, program, { seed });
}

export function textOf(scenario: Scenario, one: Run): string {
  return runText(one, scenario, { resolution: resolve(one.question), hinges: hinges(one) });
}
