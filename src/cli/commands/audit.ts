import { Audit } from '../../audit/audit.ts';
import { auditFindings } from '../../audit/findings.ts';
import { inferences } from '../../audit/infer.ts';
import type { AuditPaging } from '../../audit/paging.ts';
import { Predictor } from '../../audit/predict.ts';
import type { PredictFacts } from '../../audit/predict-facts.ts';
import { InputError } from '../../base/diagnostic.ts';
import { exitCodeFor, FAIL_ON_DEFAULT, type FailOn } from '../../doctor/diagnosis/exit-code.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { type AuditReport, excerptOf } from '../../report/audit/document.ts';
import { auditJson } from '../../report/audit/json.ts';
import { outcomeOf } from '../../report/audit/outcome.ts';
import { auditText } from '../../report/audit/text.ts';
import { type HostSide, readHostSide } from '../audit/host-side.ts';
import { readTrace } from '../audit/input.ts';
import { readPredictFacts } from '../audit/predict-files.ts';
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
  readonly 'fail-on': FailOn;
}

const USAGE = 2;

/** What is known beside the traces. */
interface Beside {
  readonly host: HostSide | null;
  readonly facts: PredictFacts | null;
}

async function auditOf(file: string, flags: AuditFlags, beside: Beside): Promise<AuditReport> {
  const { host, facts } = beside;
  const kernel = flags.kernel === undefined ? null : parseKernelVersion(flags.kernel);
  const audit = new Audit({
    paging: flags.paging ?? host?.paging ?? null,
    kernel: kernel ?? facts?.kernel ?? host?.kernel ?? null,
    host: host?.pages ?? null,
    owners: host?.owners,
  });
  const predictor = facts === null ? null : new Predictor(facts);
  const trace = await readTrace(file, (batch) => {
    audit.push(batch);
    predictor?.push(batch);
  });
  const result = audit.result();
  const prediction = predictor?.result() ?? null;
  const found = auditFindings(result, prediction);
  const placed = found.flatMap(({ at, mark }, i) =>
    at === null ? [] : [{ i, place: at.place, mark }],
  );
  const texts = await trace.textOf(placed);
  const lines = new Map(placed.map(({ i }, n) => [i, texts[n] ?? null]));
  const findings = found.map((f, i) => {
    const line = lines.get(i) ?? null;
    return { ...f, excerpt: line === null ? null : excerptOf(line, f.mark) };
  });
  return { source: trace.source, result, findings, inferences: inferences(result), prediction };
}

function render(report: AuditReport, format: AuditFormat, isMany: boolean): string {
  if (format === 'text') return auditText(report);
  return `${JSON.stringify(auditJson(report), null, isMany ? 0 : 2)}\n`;
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
 * @returns the exit code: 0 nothing wrong, 1 findings, 2 bad input, 3 undetermined
 */
export async function runAudit(
  files: readonly string[],
  flags: AuditFlags,
  io: Io,
): Promise<number> {
  const names = files.length === 0 ? ['-'] : files;
  let exit = 0;
  let isBad = false;
  try {
    const beside = {
      host: flags.host === undefined ? null : await readHostSide(flags.host),
      facts: flags.predict === undefined ? null : readPredictFacts(flags.predict),
    };
    for (const [i, file] of names.entries()) {
      try {
        const report = await auditOf(file, flags, beside);
        if (i > 0 && flags.format === 'text') io.write('\n');
        io.write(render(report, flags.format, names.length > 1));
        const code = exitCodeFor(outcomeOf(report), flags['fail-on'] ?? FAIL_ON_DEFAULT);
        exit = worse(exit, code);
      } catch (error) {
        if (!(error instanceof InputError) || names.length === 1) throw error;
        complainTo(io, error.diagnostics);
        isBad = true;
      }
    }
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    complainTo(io, error.diagnostics);
    return USAGE;
  }
  return isBad ? USAGE : exit;
}
