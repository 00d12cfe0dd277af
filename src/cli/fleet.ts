import { type Diagnostic, InputError, refuse } from '../base/diagnostic.ts';
import { Answers } from '../doctor/diagnosis/answers.ts';
import type { FailOn } from '../doctor/diagnosis/exit-code.ts';
import { type FleetRow, FleetTally, hostRow, type Shard } from '../doctor/fleet/fleet.ts';
import { fleetRowFrom } from '../doctor/fleet/fleet-row.ts';
import { Parts } from '../doctor/fleet/parts.ts';
import { type FleetFormat, fleetReport } from '../report/doctor-fleet.ts';
import { diagnosisOf, fileSource } from './doctor-sources.ts';
import { chunksOf, complainTo, type Io } from './io.ts';
import { partsOf } from './names.ts';
import { packageVersion } from './version.ts';

const PATIENCE_MS = 1000;
const EVERY_MS = 500;

/** How far a long run is, for somebody who watches. */
class Progress {
  readonly #io: Io;
  readonly #start = performance.now();
  #next = this.#start + PATIENCE_MS;
  #files = 0;
  #width = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  tick(): void {
    this.#files += 1;
    const now = performance.now();
    if (this.#io.watched !== true || now < this.#next) return;
    this.#next = now + EVERY_MS;
    const rate = (this.#files / (now - this.#start)) * 1000;
    this.#show(`${this.#files} files, ${rate.toFixed(0)} a second`);
  }

  end(): void {
    if (this.#width > 0) this.#show('');
  }

  #show(text: string): void {
    this.#io.error(`\r${text.padEnd(this.#width)}${text === '' ? '\r' : ''}`);
    this.#width = text.length;
  }
}

/** The first thing that is wrong, in one line. */
function reason(error: InputError): string {
  const [first]: readonly (Diagnostic | undefined)[] = error.diagnostics;
  const at = first?.place === undefined ? '' : `${first.place.line}:${first.place.column}: `;
  return at + (first?.message ?? error.message);
}

async function rowOf(file: string, answers: Answers): Promise<FleetRow> {
  try {
    return hostRow(file, diagnosisOf(await fileSource(file).read(), answers));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { verdict: 'error', file, error: reason(error) };
  }
}

export interface FleetOptions {
  readonly format: FleetFormat;
  readonly failOn: FailOn;
  /** The part that is looked at; null: all. */
  readonly shard?: Shard | null;
}

/**
 * Many capture files: one line a host as soon as it is read, then what they come to. One file is held at a
 * time.
 *
 * @returns the exit code: see `FleetTally.exitCode`
 * @throws InputError when the list of names cannot be read
 */
export async function runFleet(
  names: Iterable<string>,
  options: FleetOptions,
  io: Io,
): Promise<number> {
  const report = fleetReport(options.format, packageVersion());
  const tally = new FleetTally(options.failOn);
  const answers = new Answers();
  const progress = new Progress(io);
  let started = false;
  for (const name of names) {
    const row = await rowOf(name, answers);
    tally.add(row);
    io.write((started ? '' : report.head()) + report.row(row));
    started = true;
    progress.tick();
  }
  progress.end();
  io.write((started ? '' : report.head()) + report.tail(tally.summary(options.shard)));
  return tally.exitCode();
}

// ---- the lines of earlier runs ----------------------------------------------------------------

const LINE_MAX = 16 * 2 ** 20;
const INCOMPLETE = 2;

/** @throws InputError also when there is none: every run ends with a line, and this one is lost */
function* rowsOf(path: string, parts: Parts): Generator<FleetRow> {
  const file = path === '-' ? 'standard input' : path;
  let number = 0;
  let isEmpty = true;
  for (const line of partsOf(chunksOf(path), '\n', LINE_MAX, `a line of ${file}`)) {
    number += 1;
    if (line.trim() === '') continue;
    isEmpty = false;
    const found = fleetRowFrom(line, file, number);
    parts.add(found);
    if (found.kind === 'host') yield found.row;
  }
  if (isEmpty) {
    refuse(
      `${file} has no lines of doctor`,
      'even a run over no file ends with a line: its summary',
    );
  }
}

/**
 * What the hosts of earlier runs come to, from the lines that `--format json` printed. Text and JSON are the
 * summary alone; SARIF and Prometheus have the hosts as well.
 *
 * @returns the exit code as that of one run; 2 also when lines are missing or there twice
 * @throws InputError for a line that is none, or no line
 */
export function runSummary(files: readonly string[], options: FleetOptions, io: Io): number {
  const report = fleetReport(options.format, packageVersion());
  const isWhole = options.format === 'sarif' || options.format === 'prometheus';
  const tally = new FleetTally(options.failOn);
  const parts = new Parts();
  let started = false;
  const write = (text: string): void => {
    io.write((started ? '' : report.head()) + text);
    started = true;
  };
  for (const file of files) {
    for (const row of rowsOf(file, parts)) {
      tally.add(row);
      if (isWhole) write(report.row(row));
    }
  }
  write(report.tail(tally.summary()));
  const problems = parts.problems();
  if (problems.length === 0) return tally.exitCode();
  complainTo(io, problems);
  return INCOMPLETE;
}
