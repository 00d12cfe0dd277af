import type { CheckedOutcome } from '../../scenario/outcomes.ts';
import type { Scenario } from '../../scenario/scenario.ts';
import { labelled, wrap } from '../wrap.ts';

const WIDTH = 80;

/** The table of outcomes: a line for each row of the file, and what is not as expected. */
export function outcomesText(all: readonly CheckedOutcome[], { title }: Scenario): string {
  const rows = [...new Set(all.map((c) => c.outcome))].flatMap((outcome) => {
    const own = all.filter((c) => c.outcome === outcome);
    const programs = [...new Set(own.map((c) => c.program.name))].map((name) => {
      const results = own.filter((c) => c.program.name === name).map((c) => c.got);
      return `${name} ${[...new Set(results)].join('|')}`;
    });
    const wrong = own.filter((c) => c.got !== c.expected);
    const words = `${outcome.title}: ${programs.join(', ')}  (${own.length === 1 ? '1 run' : `${own.length} runs`})`;
    return [
      ...labelled(wrong.length === 0 ? '  ' : 'x ', words, WIDTH),
      ...wrong.flatMap(({ facts, program, expected, got }) => {
        const said = facts.map((f) => `${f.key} ${f.words.map((w) => w.text).join(',')}`);
        return labelled(
          '    ',
          `${program.name} is ${got}, not ${expected}: ${said.join(', ')}`,
          WIDTH,
        );
      }),
    ];
  });
  const wrong = all.filter((c) => c.got !== c.expected).length;
  const sum = `${all.length} runs, ${wrong} not as expected.`;
  return [...wrap(title, WIDTH), '', ...rows, '', sum, ''].join('\n');
}
