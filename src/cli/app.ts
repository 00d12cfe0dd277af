import {
  buildApplication,
  buildCommand,
  buildRouteMap,
  type CommandContext,
  ExitCode,
  run,
  type StricliProcess,
} from '@stricli/core';
import { InternalError } from '../base/assert.ts';
import { CATEGORIES } from '../compare/categories.ts';
import { PLATFORM_NAMES } from '../compare/platforms.ts';
import { FAIL_ON, FAIL_ON_DEFAULT } from '../doctor/diagnosis/exit-code.ts';
import { FACT_KEYS, factDefinition } from '../facts/facts.ts';
import { vocabulary } from '../facts/words.ts';
import { EXPLAIN_KEYS } from '../resolve/compose.ts';
import type { DiffFlags } from './commands/diff.ts';
import type { DoctorOptions } from './commands/doctor.ts';
import {
  DIFF_FORMATS,
  DOCTOR_FORMATS,
  EXPLAIN_FORMATS,
  type ExplainFormat,
  SCHEMA_NAMES,
} from './formats.ts';
import type { Io } from './io.ts';
import { packageVersion } from './version.ts';

interface Context extends CommandContext {
  readonly io: Io;
  /** Set by a command; the contract's exit codes. */
  exit: number;
  failure: { readonly error: unknown } | null;
}

/** Runs a command; what it throws is a bug and is thrown again past the framework. */
async function act(context: Context, job: () => Promise<number>): Promise<void> {
  try {
    context.exit = await job();
  } catch (error) {
    context.failure = { error };
  }
}

type TextOrJson = 'text' | 'json';
const TEXT_OR_JSON = ['text', 'json'] as const;
const word = (text: string): string => text;

const format = {
  kind: 'enum',
  values: TEXT_OR_JSON,
  default: 'text',
  brief: 'output format',
} as const;

function optionalWord(brief: string, placeholder: string) {
  return { kind: 'parsed', parse: word, optional: true, brief, placeholder } as const;
}

// ---- explain ----------------------------------------------------------------------------------

const OTHER_BRIEFS: Readonly<Record<string, string>> = {
  kernel: 'kernel version, as uname -r prints it; several are compared',
  policy: 'an era (E0..E11) or a proposal, see memtype policies; several are compared',
  quirks2: 'what KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2) answers, e.g. 0x7ff',
  'guest-mtrr-ranges': 'guest MTRRs in register order: "WB 0-4G, UC 3G-4G"',
  'guest-mtrr-default': 'default type of the guest MTRRs',
  'guest-mtrr-fixed': 'one type for all fixed guest MTRRs (below 1 MiB)',
  gpa: 'guest-physical address, for guest-mtrr-ranges',
  'host-mtrr-ranges': 'host MTRRs in register order: "WB 0-4G, UC 3G-4G"',
  'host-mtrr-default': 'default type of the host MTRRs',
  'host-mtrr-fixed': 'one type for all fixed host MTRRs (below 1 MiB)',
  hpa: 'host-physical address, for host-mtrr-ranges',
  'phys-bits': 'physical address width for MTRR ranges, 36 to 52',
};

function brief(key: string): string {
  const fact = FACT_KEYS.find((k) => k === key);
  const other = OTHER_BRIEFS[key];
  if (fact === undefined || other !== undefined) return other ?? key;
  const definition = factDefinition(fact);
  return fact === 'cpu'
    ? 'intel, amd or FAMILY/MODEL'
    : `${definition.title}: ${fact === 'backing' ? 'see memtype rule linux/backing' : vocabulary(fact)}`;
}

/** One flag for every fact: the facts are the single list of what can be said. */
function factFlags(): Record<string, object> {
  return Object.fromEntries(
    EXPLAIN_KEYS.map((key) => [
      key,
      {
        kind: 'parsed',
        parse: word,
        brief: brief(key),
        optional: true,
        variadic: true,
        placeholder: 'value',
      },
    ]),
  );
}

interface ExplainArguments {
  readonly format: ExplainFormat;
}

const explain = buildCommand<ExplainArguments, [string?], Context>({
  docs: {
    brief: 'what a guest access gets, why, and so what',
    fullDescription:
      'From facts, given as flags or in a case file (YAML, or JSON with comments), to the effective ' +
      'memory type, step by step, with sources. A flag may name several values, joined by commas. What is ' +
      'not said is not guessed: the answer is then the set of possible types, and exit code 3.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: EXPLAIN_FORMATS, default: 'text', brief: 'output format' },
      ...factFlags(),
    },
    positional: {
      kind: 'tuple',
      parameters: [
        {
          brief: 'case file, - for standard input',
          parse: word,
          placeholder: 'case',
          optional: true,
        },
      ],
    },
  },
  func: async function (this: Context, flags: ExplainArguments, file?: string) {
    const { runExplain } = await import('./commands/explain.ts');
    const { format: shape, ...facts } = flags;
    await act(this, () => runExplain(facts, file, shape, this.io));
  },
} as never);

// ---- diff -------------------------------------------------------------------------------------

/** Facts whose flag means something else here: see `backing` below. */
const DIFF_FACTS = Object.fromEntries(
  Object.entries(factFlags()).filter(([key]) => key !== 'backing'),
);

const diff = buildCommand<DiffFlags, string[], Context>({
  docs: {
    brief: 'what changes between two kernels or policies, for whom',
    fullDescription:
      'Two of: a kernel version, an era (E8), a proposal (host-pat), a proposal on a kernel ' +
      '(6.8+wc-as-mmio), each with @PLATFORM when it matters. All inputs that rules of KVM look at are ' +
      'folded; a fact given as a flag restricts them. --timeline takes facts as explain does and no ' +
      'names; --matrix takes nothing.',
  },
  parameters: {
    flags: {
      format: { kind: 'enum', values: DIFF_FORMATS, default: 'text', brief: 'output format' },
      only: {
        kind: 'enum',
        values: CATEGORIES,
        optional: true,
        brief: 'only changes with such a consequence',
      },
      platform: {
        kind: 'parsed',
        parse: word,
        optional: true,
        variadic: true,
        placeholder: 'name',
        brief: `only there: ${PLATFORM_NAMES.join(' ')}`,
      },
      backing: {
        kind: 'parsed',
        parse: word,
        optional: true,
        variadic: true,
        placeholder: 'class',
        brief: 'only pages of this class: see memtype rule linux/backing',
      },
      all: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'also changes that no known kind of page reaches, and every witness',
      },
      matrix: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'every era and proposal against every other',
      },
      timeline: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'for one set of facts, how the answer moved from 2.6.26 on',
      },
      ...DIFF_FACTS,
    },
    positional: {
      kind: 'array',
      parameter: {
        brief: 'the two sides; with --timeline a case file',
        parse: word,
        placeholder: 'side',
      },
    },
  },
  func: async function (this: Context, flags: DiffFlags, ...names: string[]) {
    const { runDiff } = await import('./commands/diff.ts');
    await act(this, () => runDiff(names, flags, this.io));
  },
} as never);

// ---- the others -------------------------------------------------------------------------------

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
  routes: { doctor, capture, explain, diff, conform, rule, policies, sources, schema },
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
