import { InputError, refuse } from '../../base/diagnostic.ts';
import type { Diagnosis } from '../../doctor/diagnosis/diagnose.ts';
import { exitCodeFor, FAIL_ON_DEFAULT, type FailOn } from '../../doctor/diagnosis/exit-code.ts';
import { FLEET_FORMATS } from '../../report/doctor-fleet.ts';
import { doctorJson } from '../../report/doctor-json.ts';
import { doctorMarkdown } from '../../report/doctor-markdown.ts';
import { Exposition } from '../../report/doctor-prometheus.ts';
import { SarifLog } from '../../report/doctor-sarif.ts';
import { doctorText, MAIL_WIDTH } from '../../report/doctor-text.ts';
import { diagnosisOf, fileSource, liveSource } from '../doctor-sources.ts';
import { type FleetOptions, runFleet, runSummary } from '../fleet.ts';
import type { DoctorFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';
import { namesFrom, parseShard, sharded } from '../names.ts';
import type { LiveOptions } from '../take-live.ts';
import { packageVersion } from '../version.ts';

export interface DoctorOptions extends LiveOptions {
  readonly format: DoctorFormat;
  readonly 'fail-on'?: FailOn;
  /** A file with the names of capture files. */
  readonly 'files-from'?: string | undefined;
  /** "I/N". */
  readonly shard?: string | undefined;
  /** The files are lines that doctor printed of many. */
  readonly summarize?: boolean;
}

const USAGE = 2;

function render(d: Diagnosis, format: DoctorFormat, file: string | null): string {
  switch (format) {
    case 'text':
      return doctorText(d);
    case 'mail':
      return doctorText(d, MAIL_WIDTH);
    case 'json':
      return `${JSON.stringify(doctorJson(d), null, 2)}\n`;
    case 'markdown':
      return doctorMarkdown(d, packageVersion());
    case 'sarif': {
      const log = new SarifLog();
      return log.head(packageVersion()) + log.host(d, file) + log.tail();
    }
    case 'prometheus': {
      const exposition = new Exposition(packageVersion());
      exposition.diagnosis(d);
      return exposition.text();
    }
  }
}

/** What is asked of this machine cannot be asked of a file. */
function refuseLive(options: LiveOptions): void {
  for (const flag of ['pid', 'trace', 'qmp'] as const) {
    if (options[flag] === undefined) continue;
    refuse(`--${flag} is of this machine, and a file was given`, `capture with --${flag} instead`);
  }
}

/** One host: this machine, or a capture file. */
async function runOne(options: DoctorOptions, file: string | undefined, io: Io): Promise<number> {
  if (file !== undefined) refuseLive(options);
  const taken = await (file === undefined ? liveSource(options) : fileSource(file)).read();
  const diagnosis = diagnosisOf(taken);
  io.write(render(diagnosis, options.format, file ?? null));
  return exitCodeFor(diagnosis, options['fail-on'] ?? FAIL_ON_DEFAULT);
}

/** @throws InputError for a format that is of one host alone */
function fleetOptions(options: DoctorOptions): FleetOptions {
  const format = FLEET_FORMATS.find((f) => f === options.format);
  if (format === undefined) {
    refuse(`--format ${options.format} is of one host`, `of many: ${FLEET_FORMATS.join(', ')}`);
  }
  refuseLive(options);
  return { format, failOn: options['fail-on'] ?? FAIL_ON_DEFAULT };
}

/** @throws InputError when files are named in two ways */
function namesOf(options: DoctorOptions, files: readonly string[]): Iterable<string> {
  const list = options['files-from'];
  if (list === undefined) return files;
  if (files.length > 0) refuse('files are given both by name and by --files-from');
  return namesFrom(list);
}

/**
 * `memtype doctor`: what the guests of this machine get, or those of captured ones, whether it is coherent,
 * and the fix.
 *
 * @param files capture files; none: this machine. Two or more give a line each
 * @returns the exit code: see `exitCodeFor` and `FleetTally.exitCode`; 2 for wrong usage
 */
export async function runDoctor(
  options: DoctorOptions,
  io: Io,
  files: readonly string[] = [],
): Promise<number> {
  const { shard, summarize = false } = options;
  try {
    if (summarize) {
      if (shard !== undefined || options['files-from'] !== undefined) {
        refuse('--summarize takes the lines of earlier runs, not names of files');
      }
      return runSummary(files.length === 0 ? ['-'] : files, fleetOptions(options), io);
    }
    const isMany = files.length > 1 || options['files-from'] !== undefined || shard !== undefined;
    if (!isMany) return await runOne(options, files[0], io);
    const part = shard === undefined ? null : parseShard(shard);
    const names = sharded(namesOf(options, files), part);
    return await runFleet(names, { ...fleetOptions(options), shard: part }, io);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return USAGE;
  }
}
