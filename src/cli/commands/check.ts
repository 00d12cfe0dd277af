import '../../rules.ts';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { InputError, refuse } from '../../base/diagnostic.ts';
import type { CampaignHead } from '../../explore/campaign.ts';
import { type Run, runTest, type Setting, settingsOf, Tables } from '../../explore/check.ts';
import { parsePath } from '../../explore/path.ts';
import { compileLitmus } from '../../litmus/compile.ts';
import { printForHerd } from '../../litmus/herd.ts';
import { parseLitmus } from '../../litmus/parse.ts';
import { promelaOf } from '../../litmus/promela.ts';
import type { LitmusTest } from '../../litmus/test.ts';
import { makeMachine } from '../../machine/machine.ts';
import type { Switches } from '../../machine/switches.ts';
import { runText } from '../../report/check/text.ts';
import { Logs } from '../check/against.ts';
import { litmusFiles } from '../check/files.ts';
import { bytesOf, countOf, secondsOf } from '../check/limits.ts';
import { DRAWINGS, drawn, type Item, Output } from '../check/output.ts';
import { type SearcherOptions, searcherFor } from '../check/searcher.ts';
import { shardOf } from '../check/shard.ts';
import { switchesGiven } from '../check/switches.ts';
import { Tally } from '../check/tally.ts';
import { tellPath, tellWitness } from '../check/tell.ts';
import type { CheckFormat } from '../formats.ts';
import { complainTo, type Io, readText } from '../io.ts';
import { packageVersion } from '../version.ts';

export interface CheckFlags {
  readonly format: CheckFormat;
  readonly with?: readonly string[];
  readonly trace: boolean;
  readonly why: boolean;
  readonly reduce: boolean;
  readonly replay?: string;
  readonly 'max-states'?: string;
  readonly memory?: string;
  readonly threads?: string;
  readonly resume?: string;
  readonly 'keep-every'?: string;
  readonly shard?: string;
  readonly against?: string;
  readonly to?: 'herd' | 'promela';
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

interface Campaign {
  readonly given: Partial<Switches> | null;
  readonly maxStates: number;
  readonly searching: SearcherOptions;
  readonly tables: Tables;
  readonly tells: 'nothing' | 'trace' | 'why';
  readonly output: Output;
  readonly logs: Logs | null;
  readonly tally: Tally;
  readonly io: Io;
}

async function runOne(
  item: Item,
  test: LitmusTest,
  setting: Setting,
  campaign: Campaign,
): Promise<Run> {
  const { maxStates, searching, tables, tells, output, tally, logs } = campaign;
  const run = await runTest(test, setting, searcherFor(test, setting, searching));
  tally.run(item, run);
  const told =
    tells === 'nothing' ? null : tellWitness(run, { tables, maxStates, why: tells === 'why' });
  output.add(item, run, told);
  if (run.search.cut === null) {
    for (const { lines, forbidden } of logs?.compare(run) ?? []) {
      output.compared(lines);
      for (const state of forbidden) tally.refuted(item, state);
    }
  }
  return run;
}

async function runFile(item: Item, campaign: Campaign): Promise<void> {
  const { file } = item;
  const { given, tally, io } = campaign;
  const test = readTest(file, io);
  const runs: Run[] = [];
  for (const setting of settingsOf(test, given))
    runs.push(await runOne(item, test, setting, campaign));
  const expected = given === null ? expectedBlocks(file) : null;
  const isWhole = runs.every((run) => run.search.cut === null);
  tally.test(item, expected === null || !isWhole || expected === runs.map(runText).join('\n'));
}

/** The one test that is meant, and its one setting. @throws InputError when there are several */
function onlyOne(
  files: readonly string[],
  given: Partial<Switches> | null,
  what: string,
  io: Io,
): { readonly test: LitmusTest; readonly setting: Setting } {
  const [file, other] = files;
  if (file === undefined || other !== undefined) refuse(`${what} is of one test`, 'name one file');
  const test = readTest(file, io);
  const [setting, another] = settingsOf(test, given);
  if (setting === undefined || another !== undefined)
    refuse(`${what} is of one setting, and ${test.name} expects several`, '--with specFill=off');
  return { test, setting };
}

/** The test as another program reads it, with the meaning that it has here: herd7, or SPIN. */
function printFor(files: readonly string[], flags: CheckFlags, io: Io): number {
  if (flags.to === 'promela') {
    const { test, setting } = onlyOne(files, switchesGiven(flags.with), '--to promela', io);
    io.write(promelaOf(compileLitmus(test, setting.switches)));
    return 0;
  }
  const [file, other] = files;
  if (file === undefined || other !== undefined)
    refuse('--to herd is of one test', 'name one file');
  const { value, problems } = printForHerd(readTest(file, io));
  if (problems.length > 0) complainTo(io, problems);
  if (value === null) return 2;
  io.write(value);
  return 0;
}

function replay(files: readonly string[], path: string, flags: CheckFlags, io: Io): number {
  const { test, setting } = onlyOne(files, switchesGiven(flags.with), '--replay', io);
  const compiled = compileLitmus(test, setting.switches);
  const subject = { compiled, setting, machine: makeMachine(compiled.config) };
  io.write(drawn(tellPath(subject, parsePath(path)), flags.format));
  return 0;
}

function campaignOf(flags: CheckFlags, io: Io): Campaign {
  const limit = flags['max-states'];
  const bytes = bytesOf(flags.memory);
  const tables = new Tables(bytes);
  const every = secondsOf(flags['keep-every']);
  const maxStates = limit === undefined ? Number.POSITIVE_INFINITY : countOf('max-states', limit);
  const isDrawing = DRAWINGS.includes(flags.format);
  return {
    given: switchesGiven(flags.with),
    maxStates,
    searching: {
      tables,
      bytes,
      maxStates,
      threads: flags.threads === undefined ? 1 : countOf('threads', flags.threads),
      reduce: flags.reduce,
      resume: flags.resume === undefined ? null : { file: flags.resume, every },
      io,
    },
    tables,
    tells: flags.why ? 'why' : flags.trace || isDrawing ? 'trace' : 'nothing',
    output: new Output(io, flags.format),
    logs: flags.against === undefined ? null : new Logs(flags.against, io),
    tally: new Tally(io),
    io,
  };
}

/** What makes two campaigns the same: version, options that change results, names and texts of all tests. */
function headOf(
  files: readonly string[],
  flags: CheckFlags,
  shard: CampaignHead['shard'],
): CampaignHead {
  const version = packageVersion();
  const { with: switches = [], 'max-states': limit = null, trace, why, reduce } = flags;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([version, switches, limit, trace, why, reduce]));
  for (const file of files) hash.update(JSON.stringify([file, textOf(file)]));
  return { version, inputs: hash.digest('hex'), shard, tests: files.length };
}

/** For the hash: what cannot be read is said later. */
function textOf(file: string): string | null {
  try {
    return file === '-' ? null : readText(file);
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

/** `memtype check FILE|DIR...`: every outcome of litmus tests. */
export async function runCheck(
  paths: readonly string[],
  flags: CheckFlags,
  io: Io,
): Promise<number> {
  try {
    const files = litmusFiles(paths);
    if (flags.to !== undefined) return printFor(files, flags, io);
    if (flags.replay !== undefined) return replay(files, flags.replay, flags, io);
    const campaign = campaignOf(flags, io);
    const shard = shardOf(flags.shard, process.env);
    if (DRAWINGS.includes(flags.format))
      onlyOne(files, campaign.given, `--format ${flags.format}`, io);
    if (flags.resume !== undefined) onlyOne(files, campaign.given, '--resume', io);
    for (const [item, file] of files.entries()) {
      if (shard !== null && item % shard.of !== shard.index) continue;
      try {
        await runFile({ item, file }, campaign);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        campaign.tally.broken({ item, file }, error);
      }
    }
    const others = campaign.logs?.others ?? [];
    if (others.length > 0) io.error(`not compared: ${others.join(' ')}\n`);
    campaign.output.end(headOf(files, flags, shard), campaign.tally.troubles);
    return campaign.tally.end();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return 2;
  }
}
