import type { Outcome } from '../../doctor/diagnosis/exit-code.ts';
import type { AuditReport } from './document.ts';

/** Findings that say of a trace what is wrong with it, not of a VM: nothing is certain by them. */
const OF_THE_TRACE: ReadonlySet<string> = new Set(['MT708', 'MT709', 'MT712', 'MT714', 'MT716']);
/** Findings that leave a question open. */
const OPEN: ReadonlySet<string> = new Set(['MT710', 'MT715']);

/** Why less can be said than was asked; empty: all of it was said. */
export function openQuestions({ findings, source }: AuditReport): readonly string[] {
  return [
    ...findings
      .filter((f) => OPEN.has(f.code) || OF_THE_TRACE.has(f.code))
      .map((f) => `${f.title}: ${f.text}`),
    ...source.damaged.filter((d) => d.isLoss).map((d) => `${d.count} ${d.what}`),
  ];
}

/** What the exit code of an audit depends on. */
export function outcomeOf(report: AuditReport): Outcome {
  const findings = report.findings
    .filter((f) => !OPEN.has(f.code))
    .map(({ code, severity }) => ({ severity, certain: !OF_THE_TRACE.has(code) }));
  return { findings, undetermined: openQuestions(report) };
}
