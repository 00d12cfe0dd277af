import type { AuditFinding } from '../../audit/findings.ts';
import type { Outcome } from '../../doctor/diagnosis/exit-code.ts';
import { type AuditReport, damageWords, mixedVms } from './document.ts';

/** Findings that say what is wrong with a trace, not with a VM: nothing is certain by them. */
const OF_THE_TRACE: ReadonlySet<string> = new Set([
  'MT708',
  'MT709',
  'MT710',
  'MT712',
  'MT714',
  'MT715',
  'MT716',
  'MT717',
]);

/** The finding is of a VM; others are of the trace, and leave open what it does not show. */
export function isCertain({ code }: Pick<AuditFinding, 'code'>): boolean {
  return !OF_THE_TRACE.has(code);
}

/** Why less can be said than was asked, beside the findings that are not certain. */
export function openQuestions({ source, result }: AuditReport): readonly string[] {
  const { told, least } = result;
  return [
    ...source.damaged.filter((d) => d.isLoss).map(damageWords),
    ...(told === 'one' && least > 1 ? [mixedVms(least)] : []),
  ];
}

/** All that is left open. */
export function leftOpen(report: AuditReport): readonly string[] {
  const uncertain = report.findings.filter((f) => !isCertain(f));
  return [...uncertain.map(({ title, text }) => `${title}: ${text}`), ...openQuestions(report)];
}

/** What the exit code of an audit depends on. */
export function outcomeOf(report: AuditReport): Outcome {
  const findings = report.findings.map((f) => ({ severity: f.severity, certain: isCertain(f) }));
  return { findings, undetermined: leftOpen(report) };
}
