import type { Run } from '../../explore/check.ts';
import { printSwitches } from '../../litmus/print.ts';
import { printResult } from '../../litmus/result.ts';

/** The block of herd7; of a search that was cut only that it was. */
export function runText(run: Run): string {
  const { compiled, result, setting, search } = run;
  if (search.cut === null) return printResult(compiled, result, setting.switches);
  const words = printSwitches(setting.switches);
  const what = search.cut === 'states' ? 'more than --max-states' : 'they fill --memory';
  return [
    ...(words.length === 0 ? [] : [`With ${words.join(' ')}`]),
    `Test ${compiled.test.name} was not finished`,
    `Cut after ${search.states} states: ${what}`,
    `Found so far: ${result.positive} final states with the proposition, ${result.negative} without`,
    '',
  ].join('\n');
}
