import { openSync } from 'node:fs';
import { InputError, refuse } from '../../base/diagnostic.ts';
import type { Run } from '../../explore/check.ts';
import { compareWithLog } from '../../litmus/compare.ts';
import { type LoggedTest, readLog } from '../../litmus/log.ts';
import { printValue } from '../../litmus/print-parts.ts';
import { printOutcome } from '../../litmus/result.ts';
import { complainTo, type Io, readText } from '../io.ts';

const LOG_MAX = 2 ** 28;

/** What a run of a test says beside what was seen or computed elsewhere. */
export interface Against {
  /** For people: one line, and one for each state that the machine forbids. */
  readonly lines: readonly string[];
  /** States in the log that the machine forbids: it is refuted, if the log is of hardware. */
  readonly forbidden: readonly string[];
}

function stateText(values: LoggedTest['states'][number]['values']): string {
  return [...values].map(([name, value]) => `${name}=${printValue(value)};`).join(' ');
}

function compared(run: Run, log: LoggedTest, file: string): Against {
  const { compiled, result } = run;
  const { name } = compiled.test;
  const comparison = compareWithLog(compiled, result, log);
  if (comparison.kind === 'incomparable')
    return {
      lines: [
        `${name}: ${file} has ${comparison.missing.join(', ')}, which the test does not name`,
      ],
      forbidden: [],
    };
  const { forbidden, unseen, sameWord } = comparison;
  const verb = log.kind === 'histogram' ? 'seen' : 'allowed';
  const word = sameWord === false ? `, ${log.observation?.word} there and ${result.word} here` : '';
  const counts = `${log.states.length} states ${verb}, ${forbidden.length} of them forbidden here`;
  return {
    lines: [
      `${name}: ${counts}, ${unseen.length} allowed here and not ${verb}${word}`,
      ...forbidden.map((s) => `  forbidden: ${stateText(s.values)} (${s.count ?? verb})`),
      ...unseen.map((outcome) => `  not ${verb}: ${printOutcome(compiled, outcome)}`),
    ],
    forbidden: forbidden.map((s) => stateText(s.values)),
  };
}

/** Logs of litmus7, klitmus7 or herd7 that tests are compared with. */
export class Logs {
  readonly #file: string;
  readonly #byName = new Map<string, LoggedTest[]>();
  readonly #compared = new Set<string>();

  /** @throws InputError when a test in it is not whole */
  constructor(file: string, io: Io) {
    const reading = { what: 'log', max: LOG_MAX, open: (path: string) => openSync(path, 'r') };
    const { value, problems } = readLog(readText(file, reading), file);
    if (problems.some((p) => p.severity === 'error')) throw new InputError(problems);
    if (problems.length > 0) complainTo(io, problems);
    this.#file = file;
    for (const log of value)
      this.#byName.set(log.name, [...(this.#byName.get(log.name) ?? []), log]);
    if (value.length === 0) refuse(`${file} has no test`);
  }

  /** Names of tests in the log that nothing was compared with. */
  get others(): readonly string[] {
    return [...this.#byName.keys()].filter((name) => !this.#compared.has(name));
  }

  /** Comparisons with each log of this test. */
  compare(run: Run): readonly Against[] {
    this.#compared.add(run.compiled.test.name);
    const logs = this.#byName.get(run.compiled.test.name) ?? [];
    return logs.map((log) => compared(run, log, this.#file));
  }
}
