import '../../rules.ts';
import { InputError, refuse } from '../../base/diagnostic.ts';
import { didYouMean } from '../../facts/words.ts';
import { compareRunsText, type ProgramRuns } from '../../report/run/compare.ts';
import { exitCodeOfRun, RUN_SCHEMA_VERSION, runJson, runJsonLines } from '../../report/run/json.ts';
import { outcomesText } from '../../report/run/outcomes.ts';
import { runText } from '../../report/run/text.ts';
import { composeQuestions, type Entry } from '../../resolve/compose.ts';
import type { Question } from '../../resolve/question.ts';
import { type Resolution, resolve, TooManyWorlds } from '../../resolve/resolution.ts';
import { MappingRefused } from '../../resolve/world.ts';
import { checkOutcomes } from '../../scenario/outcomes.ts';
import { overlaid, readScenario } from '../../scenario/read.ts';
import { type Run, run } from '../../scenario/run.ts';
import type { Program, Scenario } from '../../scenario/scenario.ts';
import { Undetermined } from '../../scenario/stage/known.ts';
import { type ExplainFlags, flagEntries } from '../fact-flags.ts';
import { readFactsTree } from '../facts-tree.ts';
import type { RunFormat } from '../formats.ts';
import { complainTo, type Io, readText } from '../io.ts';
import { packageVersion } from '../version.ts';

export interface RunCommandOptions {
  readonly format: RunFormat;
  /** Null: the first. */
  readonly program: string | null;
  readonly seed: string;
  readonly outcomes: boolean;
}

const MOST_SEED = 2 ** 32 - 1;

function seedOf(word: string): number {
  const seed = Number(word);
  if (/^\d+$/.test(word) && seed <= MOST_SEED) return seed;
  return refuse(`--seed: not a seed: "${word}"`, `a number from 0 to ${MOST_SEED}`);
}

function programsOf({ programs }: Scenario, name: string | null): readonly Program[] {
  if (name === 'all') return programs;
  if (name === null) return programs.slice(0, 1);
  const found = programs.find((p) => p.name.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return [found];
  const names = programs.map((p) => p.name);
  const near = didYouMean(name, names);
  const help = `${near === null ? '' : `did you mean ${near}? `}one of ${names.join(' ')}, or all`;
  return refuse(`--program: the scenario has no program "${name}"`, help);
}

/** What the resolver says of the same facts; null where the guest kernel refuses, or too much is open. */
function resolution(question: Question): Resolution | null {
  try {
    return resolve(question);
  } catch (error) {
    if (error instanceof MappingRefused || error instanceof TooManyWorlds) return null;
    throw error;
  }
}

async function renderOne(one: Run, scenario: Scenario, format: RunFormat): Promise<string> {
  const verdict = resolution(one.question);
  switch (format) {
    case 'text':
      return runText(one, scenario, verdict);
    case 'json':
      return `${JSON.stringify(runJson(one, scenario, verdict), null, 2)}\n`;
    case 'jsonl':
      return runJsonLines(one, scenario, verdict);
    case 'svg': {
      const { runSvg } = await import('../../report/run/svg.ts');
      return runSvg(one, scenario);
    }
    case 'perfetto': {
      const { runPerfetto } = await import('../../report/run/perfetto.ts');
      return runPerfetto(one, packageVersion());
    }
  }
}

async function render(
  all: readonly ProgramRuns[],
  scenario: Scenario,
  format: RunFormat,
): Promise<string> {
  const [[one, another] = [], more] = all;
  if (one !== undefined && another === undefined && more === undefined) {
    return renderOne(one, scenario, format);
  }
  const runs = all.flat();
  if (format === 'text') return compareRunsText(all, scenario);
  if (format === 'json') {
    const list = runs.map((r) => runJson(r, scenario, resolution(r.question)));
    return `${JSON.stringify({ schemaVersion: RUN_SCHEMA_VERSION, runs: list }, null, 2)}\n`;
  }
  if (format === 'jsonl') {
    return runs.map((r) => runJsonLines(r, scenario, resolution(r.question))).join('');
  }
  return refuse(`--format ${format} shows one run`, 'name one program, and one kernel or policy');
}

function runAll(
  scenario: Scenario,
  programs: readonly Program[],
  flags: readonly Entry[],
  seed: number,
): readonly ProgramRuns[] {
  return programs.map((program) => {
    const entries = overlaid(scenario.facts, program.facts, flags);
    return composeQuestions(entries).map((question) => run(question, program, { seed }));
  });
}

/** `memtype run SCENARIO`: 0 holds, 1 violated, 2 bad input, 3 undetermined. */
export async function runRun(
  flags: ExplainFlags,
  file: string,
  options: RunCommandOptions,
  io: Io,
): Promise<number> {
  try {
    const name = file === '-' ? '<stdin>' : file;
    const scenario = readScenario(readFactsTree(readText(file), name), name);
    const seed = seedOf(options.seed);
    const said = flagEntries(flags);
    if (options.outcomes) {
      if (options.format !== 'text') refuse('--outcomes prints text');
      const checked = checkOutcomes(scenario, said);
      io.write(outcomesText(checked, scenario));
      return checked.every((row) => row.expected === row.got) ? 0 : 1;
    }
    const all = runAll(scenario, programsOf(scenario, options.program), said, seed);
    io.write(await render(all, scenario, options.format));
    return Math.max(...all.flat().map(exitCodeOfRun));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return error instanceof Undetermined || error instanceof TooManyWorlds ? 3 : 2;
  }
}
