import '../../rules.ts';
import { existsSync } from 'node:fs';
import { InputError } from '../../base/diagnostic.ts';
import { type Run, runTest, settingsOf, Tables, verdictOf } from '../../explore/check.ts';
import { parseLitmus } from '../../litmus/parse.ts';
import type { LitmusTest } from '../../litmus/test.ts';
import type { Switches } from '../../machine/switches.ts';
import { checkJson, runJson } from '../../report/check/json.ts';
import { runText } from '../../report/check/text.ts';
import { litmusFiles } from '../check/files.ts';
import { bytesOf, countOf } from '../check/limits.ts';
import { SearchProgress } from '../check/progress.ts';
import { switchesGiven } from '../check/switches.ts';
import type { CheckFormat } from '../formats.ts';
import { complainTo, type Io, readText } from '../io.ts';

export interface CheckFlags {
  readonly format: CheckFormat;
  readonly with?: readonly string[];
  readonly 'max-states'?: string;
  readonly memory?: string;
}

/** A test as it is in a file, complaints about it said. @throws InputError when it is none */
function readTest(file: string, io: Io): LitmusTest {
  const name = file === '-' ? '<stdin>' : file;
  const { value, problems } = parseLitmus(readText(file), name);
  if (value === null) throw new InputError(problems);
  if (problems.length > 0) complainTo(io, problems);
  return value;
}

/** What stands beside a test: every block that it prints. Null where nothing does. */
function expectedBlocks(file: string): string | null {
  const path = `${file}.expected`;
  return file !== '-' && existsSync(path) ? readText(path) : null;
}

/** How a campaign went. */
class Tally {
  readonly #io: Io;
  #tests = 0;
  #runs = 0;
  #states = 0;
  #failed = 0;
  #cut = 0;
  #broken = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  run(file: string, run: Run): void {
    const verdict = verdictOf(run);
    const { setting, compiled, result, search } = run;
    this.#runs += 1;
    this.#states += search.states;
    if (verdict === 'pass') return;
    const name = compiled.test.name;
    if (verdict === 'cut') {
      this.#cut += 1;
      this.#io.error(`${file}: ${name}: cut after ${search.states} states (${search.cut})\n`);
      return;
    }
    const claim = setting.expected ?? compiled.test.condition.quantifier;
    this.#failed += 1;
    this.#io.error(`${file}: ${name} is ${result.word}, expected is ${claim}\n`);
  }

  test(file: string, isEqual: boolean): void {
    this.#tests += 1;
    if (isEqual) return;
    this.#failed += 1;
    this.#io.error(`${file}: the result is not that of ${file}.expected\n`);
  }

  broken(error: InputError): void {
    this.#broken += 1;
    complainTo(this.#io, error.diagnostics);
  }

  /** The exit code of the contract. */
  end(): number {
    const words = [
      `${this.#tests} tests, ${this.#runs} runs, ${this.#states} states: ${this.#failed} failed`,
      ...(this.#cut === 0 ? [] : [`${this.#cut} not finished`]),
      ...(this.#broken === 0 ? [] : [`${this.#broken} not read`]),
    ];
    if (this.#tests + this.#broken > 1) this.#io.error(`${words.join(', ')}\n`);
    if (this.#broken > 0) return 2;
    if (this.#failed > 0) return 1;
    return this.#cut > 0 ? 3 : 0;
  }
}

interface Campaign {
  readonly given: Partial<Switches> | null;
  readonly maxStates: number;
  readonly tables: Tables;
  readonly tally: Tally;
  readonly io: Io;
}

function runsOf(file: string, campaign: Campaign): readonly Run[] {
  const { given, maxStates, tables, tally, io } = campaign;
  const test = readTest(file, io);
  const runs = settingsOf(test, given).map((setting) => {
    const progress = new SearchProgress(io, test.name);
    const run = runTest(test, setting, tables, {
      maxStates,
      progress: (found, done) => progress.at(found, done),
    });
    progress.end();
    tally.run(file, run);
    return run;
  });
  const expected = given === null ? expectedBlocks(file) : null;
  const isWhole = runs.every((run) => run.search.cut === null);
  tally.test(file, expected === null || !isWhole || expected === runs.map(runText).join('\n'));
  return runs;
}

/** `memtype check FILE|DIR...`: every outcome of litmus tests. */
export async function runCheck(
  paths: readonly string[],
  flags: CheckFlags,
  io: Io,
): Promise<number> {
  try {
    const tally = new Tally(io);
    const limit = flags['max-states'];
    const campaign: Campaign = {
      given: switchesGiven(flags.with),
      maxStates: limit === undefined ? Number.POSITIVE_INFINITY : countOf('max-states', limit),
      tables: new Tables(bytesOf(flags.memory)),
      tally,
      io,
    };
    const json: object[] = [];
    let isFirst = true;
    for (const file of litmusFiles(paths)) {
      try {
        for (const run of runsOf(file, campaign)) {
          if (flags.format === 'json') json.push(runJson(file, run));
          else io.write(`${isFirst ? '' : '\n'}${runText(run)}`);
          isFirst = false;
        }
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        tally.broken(error);
      }
    }
    if (flags.format === 'json') io.write(`${JSON.stringify(checkJson(json), null, 2)}\n`);
    return tally.end();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return 2;
  }
}
