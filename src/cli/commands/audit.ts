import { Audit, type AuditResult } from '../../audit/audit.ts';
import { type AuditFinding, auditFindings } from '../../audit/findings.ts';
import type { HostPages } from '../../audit/host-pages.ts';
import { inferences } from '../../audit/infer.ts';
import type { AuditPaging } from '../../audit/paging.ts';
import { Predictor } from '../../audit/predict.ts';
import type { PredictFacts } from '../../audit/predict-facts.ts';
import { inForce, isComparable, type Said, saidByFacts } from '../../audit/said.ts';
import { InputError, refuse } from '../../base/diagnostic.ts';
import { exitCodeFor, FAIL_ON_DEFAULT, type FailOn } from '../../doctor/diagnosis/exit-code.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { type AuditReport, excerptOf, type ShownFinding } from '../../report/audit/document.ts';
import { outcomeOf } from '../../report/audit/outcome.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { type HostSide, readHostSide } from '../audit/host-side.ts';
import { type ReadTrace, readTrace, type ThreadNames } from '../audit/input.ts';
import { readPredictFacts } from '../audit/predict-files.ts';
import { rawName, readRawPages } from '../audit/raw-pages.ts';
import { type Rendering, renderingOf } from '../audit/rendering.ts';
import type { AuditFormat } from '../formats.ts';
import { complainTo, type Io } from '../io.ts';

export interface AuditFlags {
  readonly format: AuditFormat;
  readonly kernel?: string;
  readonly paging?: Exclude<AuditPaging, 'pages'>;
  /** A capture file. */
  readonly host?: string;
  /** Files of facts. */
  readonly predict?: readonly string[];
  /** The files are raw pages of one trace; events are described here. */
  readonly formats?: string;
  readonly 'fail-on': FailOn;
}

const USAGE = 2;

/** What is known beside the traces. */
interface Beside {
  readonly host: HostSide | null;
  readonly facts: PredictFacts | null;
  /** The frames of the machine that is being recorded. */
  readonly here: HostPages | null;
}

/** What is said of the host, the first word first. */
function saidOf(
  { paging, kernel }: AuditFlags,
  { host, facts }: Omit<Beside, 'here'>,
): readonly Said[] {
  const version = kernel === undefined ? null : parseKernelVersion(kernel);
  return [
    { by: 'options', paging: paging ?? null, kernel: version },
    ...(facts === null ? [] : [saidByFacts(facts)]),
    ...(host === null
      ? []
      : [{ by: 'capture', paging: host.paging, kernel: host.kernel } as const]),
  ];
}

/** Hands on the events of a trace. `soFar` is what has been made of those. */
export type TraceReader = (
  file: string,
  take: (batch: EventBatch) => void,
  soFar: () => AuditResult,
  names: ThreadNames,
) => Promise<ReadTrace>;

async function auditOf(
  file: string,
  flags: AuditFlags,
  { host, facts, here }: Beside,
  rendering: Rendering,
  read: TraceReader,
): Promise<AuditReport> {
  const names: ThreadNames = new Map();
  const said = saidOf(flags, { host, facts });
  const options = { ...inForce(said), owners: host?.owners, names };
  const audit = new Audit({ ...options, host: host?.pages ?? facts?.host ?? here, facts, said });
  const predictor = facts === null ? null : new Predictor(facts);
  const drawn = rendering.begin(file, options);
  const take = (batch: EventBatch): void => {
    audit.push(batch);
    predictor?.push(batch);
    drawn?.(batch);
  };
  const trace = await read(file, take, () => audit.result(), names);
  try {
    const result = audit.result();
    const told = isComparable(result) ? predictor : null;
    const prediction = told?.result() ?? null;
    const found = auditFindings(result, prediction, told?.standing(result.vms) ?? []);
    const findings = shown(found, trace);
    return { source: trace.source, result, findings, inferences: inferences(result), prediction };
  } finally {
    trace.close();
  }
}

/** Findings with the lines that they are about. */
function shown(found: readonly AuditFinding[], { textOf }: ReadTrace): readonly ShownFinding[] {
  const placed = found.filter(({ at }) => at !== null);
  const texts = textOf(placed.map(({ at, mark }) => ({ place: at?.place ?? 0, mark })));
  return found.map((f) => {
    const text = texts[placed.indexOf(f)] ?? null;
    return { ...f, excerpt: text === null ? null : excerptOf(text, f.mark) };
  });
}

/** The gravest of several: a finding, then an open question. */
function worse(a: number, b: number): number {
  if (a === 1 || b === 1) return 1;
  return Math.max(a, b);
}

/**
 * `memtype audit`: what KVM installed by traces, and what is wrong with it.
 *
 * @param files traces, "-" for standard input; none: standard input
 * @param read how they are read, where they are no files
 * @param here what the machine says of its frames while it is recorded
 * @returns the exit code: 0 nothing wrong, 1 findings, 2 bad input, 3 undetermined
 */
export async function runAudit(
  files: readonly string[],
  flags: AuditFlags,
  io: Io,
  read?: TraceReader,
  here: HostPages | null = null,
): Promise<number> {
  const given = files.length === 0 ? ['-'] : files;
  const { formats } = flags;
  const names = formats === undefined ? given : [rawName(given)];
  const reader: TraceReader =
    read ??
    ((file, take, _, threads) =>
      formats === undefined
        ? readTrace(file, take, io, threads)
        : readRawPages(given, formats, take, io, threads));
  let exit = 0;
  let isBad = false;
  try {
    const isMany = names.length > 1;
    if (isMany && flags.format === 'svg') refuse('--format svg is of one trace');
    const rendering = await renderingOf(flags.format, isMany, io);
    const beside = {
      host: flags.host === undefined ? null : await readHostSide(flags.host),
      facts: flags.predict === undefined ? null : readPredictFacts(flags.predict),
      here,
    };
    for (const file of names) {
      try {
        const report = await auditOf(file, flags, beside, rendering, reader);
        rendering.report(report);
        const code = exitCodeFor(outcomeOf(report), flags['fail-on'] ?? FAIL_ON_DEFAULT);
        exit = worse(exit, code);
      } catch (error) {
        if (!(error instanceof InputError) || !isMany) throw error;
        complainTo(io, error.diagnostics);
        isBad = true;
      }
    }
    rendering.end();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return USAGE;
  }
  return isBad ? USAGE : exit;
}
