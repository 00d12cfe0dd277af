import {
  buildApplication,
  buildCommand,
  buildRouteMap,
  ExitCode,
  run,
  type StricliProcess,
} from '@stricli/core';
import { InternalError } from '../base/assert.ts';
import { FAIL_ON, FAIL_ON_DEFAULT } from '../doctor/diagnosis/exit-code.ts';
import type { DoctorOptions } from './commands/doctor.ts';
import { DOCTOR_FORMATS, SCHEMA_NAMES } from './formats.ts';
import type { Io } from './io.ts';
import { act, type Context, format, optionalWord, type TextOrJson, word } from './route.ts';
import { audit } from './routes/audit.ts';
import { check } from './routes/check.ts';
import { diff } from './routes/diff.ts';
import { explain } from './routes/explain.ts';

import { merge } from './routes/merge.ts';

import { run as runScenario } from './routes/run.ts';

import { spte } from './routes/spte.ts';
import { packageVersion } from './version.ts';

const MONITORS = {
  kind: 'parsed',
  parse: word,
  optional: true,
  variadic: true,
  placeholder: 'socket',
  brief: 'also ask the QEMU monitor (QMP or HMP) at this Unix socket',
} as const;

/** Flags with a default are always there. */
type DoctorFlags = DoctorOptions & Required<Pick<DoctorOptions, 'fail-on' | 'summarize'>>;

const doctor = buildCommand<DoctorFlags, string[], Context>({
  docs: {
    brief: 'what the guests on this machine get, whether it is coherent, and the fix',
    fullDescription:
      'Of this machine, or of capture files. Two files or more, or a list of them, give a line a host as it ' +
      'is read, and a summary.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: DOCTOR_FORMATS, default: 'text', brief: 'output format' },
      'fail-on': {
        kind: 'enum',
        values: FAIL_ON,
        default: FAIL_ON_DEFAULT,
        brief: 'the least that gives exit code 1; undetermined: as warning, and 3 for what is open',
      },
      pid: optionalWord('look at this VMM only', 'pid'),
      trace: optionalWord('a trace of kvmmmu events of this machine', 'file'),
      qmp: MONITORS,
      'files-from': optionalWord(
        'names of capture files, a line each or NUL-separated; - for standard input',
        'file',
      ),
      shard: optionalWord('only every N-th file, I counts from 0', 'I/N'),
      summarize: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'the files are lines printed by --format json of many files: add them up',
      },
    },
    positional: {
      kind: 'array',
      parameter: {
        brief: 'capture files, - for standard input; none: this machine',
        parse: word,
        placeholder: 'file',
      },
    },
  },
  async func(flags, ...files) {
    const { runDoctor } = await import('./commands/doctor.ts');
    await act(this, () => runDoctor(flags, this.io, files));
  },
});

interface CaptureFlags {
  readonly output?: string;
  readonly pid?: string;
  readonly trace?: string;
  readonly qmp?: readonly string[];
  readonly 'print-script': boolean;
}

const capture = buildCommand<CaptureFlags, [], Context>({
  docs: { brief: 'everything doctor reads in one file, masked; doctor FILE gives the same answer' },
  parameters: {
    flags: {
      output: optionalWord('write it there, not to standard output', 'file'),
      pid: optionalWord('look at this VMM only', 'pid'),
      trace: optionalWord('a trace of kvmmmu events of this machine', 'file'),
      qmp: MONITORS,
      'print-script': {
        kind: 'boolean',
        default: false,
        brief: 'print a POSIX sh script that captures on machines without Node',
      },
    },
  },
  async func(flags) {
    const { runCapture } = await import('./commands/capture.ts');
    const { 'print-script': script, ...rest } = flags;
    await act(this, () => runCapture({ ...rest, script }, this.io));
  },
});

const conform = buildCommand<{ format: TextOrJson }, string[], Context>({
  docs: { brief: 'replay golden tables against the model' },
  parameters: {
    flags: { format },
    positional: {
      kind: 'array',
      minimum: 1,
      parameter: { brief: 'directory or file of golden tables', parse: word, placeholder: 'path' },
    },
  },
  async func(flags, ...paths) {
    const { runConform } = await import('./commands/conform.ts');
    await act(this, () => runConform(paths, flags.format, this.io));
  },
});

const rule = buildCommand<{ format: TextOrJson }, [string?], Context>({
  docs: {
    brief: 'the page of a rule, an era, a backing class or a verdict code; without one, the list',
  },
  parameters: {
    flags: { format },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          brief: 'MT101, E8, x86/ept-combine, ...',
          parse: word,
          placeholder: 'code',
          optional: true,
        },
      ],
    },
  },
  async func(flags, code) {
    const { runRule } = await import('./commands/rule.ts');
    await act(this, () => runRule(code, flags.format, this.io));
  },
});

const policies = buildCommand<{ format: TextOrJson }, [], Context>({
  docs: { brief: 'the KVM eras and the proposals' },
  parameters: { flags: { format } },
  async func(flags) {
    const { runPolicies } = await import('./commands/policies.ts');
    await act(this, () => runPolicies(flags.format, this.io));
  },
});

const sources = buildCommand<{ format: TextOrJson }, [], Context>({
  docs: { brief: 'every citation' },
  parameters: { flags: { format } },
  async func(flags) {
    const { runSources } = await import('./commands/sources.ts');
    await act(this, () => runSources(flags.format, this.io));
  },
});

const schema = buildCommand<Record<never, never>, [string], Context>({
  docs: { brief: 'the JSON Schema of a file that is read, or of what a command prints' },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [{ brief: SCHEMA_NAMES.join(', '), parse: word, placeholder: 'what' }],
    },
  },
  async func(_flags, what) {
    const { runSchema } = await import('./commands/schema.ts');
    await act(this, () => runSchema(what, this.io));
  },
});

const routes = buildRouteMap({
  routes: {
    doctor,
    capture,
    explain,
    diff,
    audit,
    check,
    merge,
    run: runScenario,
    spte,
    conform,
    rule,
    policies,
    sources,
    schema,
  },
  docs: {
    brief:
      "which x86 memory type a guest's access under KVM really gets, why, and is that coherent",
  },
});

const USAGE = 2;
/** Runs one command line and gives the exit code of the contract. */
export async function runApplication(args: readonly string[], io: Io): Promise<number> {
  const application = buildApplication(routes, {
    name: 'memtype',
    versionInfo: { currentVersion: packageVersion() },
    scanner: { caseStyle: 'original', allowArgumentEscapeSequence: true },
    documentation: { disableAnsiColor: true, onlyRequiredInUsageLine: true },
  });
  const streams: StricliProcess = {
    stdout: { write: (text: string) => io.write(text) },
    stderr: { write: (text: string) => io.error(text) },
    exitCode: null,
    env: { STRICLI_NO_COLOR: '1', STRICLI_SKIP_VERSION_CHECK: '1' },
  };
  const context: Context & { process: StricliProcess } = {
    io,
    exit: 0,
    failure: null,
    process: streams,
  };
  await run(application, args.length === 0 ? ['--help'] : args, context);
  if (context.failure !== null) throw context.failure.error;
  if (streams.exitCode === ExitCode.Success) return context.exit;
  if (
    streams.exitCode === ExitCode.UnknownCommand ||
    streams.exitCode === ExitCode.InvalidArgument
  ) {
    return USAGE;
  }
  throw new InternalError(`the command framework ended with ${streams.exitCode}`);
}
