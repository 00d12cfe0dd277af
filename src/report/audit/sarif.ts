import { AUDIT_FINDINGS } from '../../audit/kinds.ts';
import type { VerdictKind } from '../../resolve/verdict.ts';
import { LEVEL, ruleOf, sarifHead, sarifTail, uriOf } from '../sarif-parts.ts';
import type { AuditReport, ShownFinding, TraceSource } from './document.ts';
import { isCertain, openQuestions } from './outcome.ts';

const KINDS: readonly VerdictKind[] = Object.values(AUDIT_FINDINGS);
/** The rule of results that are no finding. */
const OPEN = 'undetermined';
const OPEN_RULE = {
  id: OPEN,
  shortDescription: { text: 'Something that had to be known is not' },
  defaultConfiguration: { level: 'none' },
};

const INDEX = new Map<string, number>([...KINDS.map((k) => k.code), OPEN].map((id, i) => [id, i]));

/** Where an event stands. SARIF counts lines and columns from 1, bytes from 0. */
function regionOf({ at, excerpt }: ShownFinding, unit: TraceSource['unit']): object | null {
  if (at === null) return null;
  if (unit === 'offset') return { byteOffset: at.place };
  if (excerpt === null) return { startLine: at.place };
  const { text, column, length } = excerpt;
  const endColumn = column + length;
  return { startLine: at.place, startColumn: column, endColumn, snippet: { text } };
}

/** Standard input has no name that a viewer could open. */
function artifactOf(source: TraceSource): object {
  return { uri: source.file === '-' ? 'stdin' : uriOf(source.file) };
}

function findingResult(f: ShownFinding, source: TraceSource): object {
  const { code, severity, vm, count, agents, at } = f;
  const region = regionOf(f, source.unit);
  const certain = isCertain(f);
  const logical = vm === null ? {} : { logicalLocations: [{ name: `VM ${vm}`, kind: 'resource' }] };
  const physicalLocation = {
    artifactLocation: artifactOf(source),
    ...(region === null ? {} : { region }),
  };
  return {
    ruleId: code,
    ruleIndex: INDEX.get(code) ?? -1,
    kind: certain ? 'fail' : 'open',
    level: certain ? LEVEL[severity] : 'none',
    message: { text: `${f.text} Fix: ${f.fix}` },
    locations: [{ physicalLocation, ...logical }],
    properties: { severity, certain, count, agents, time: at?.time ?? null },
  };
}

function openResult(text: string, source: TraceSource): object {
  return {
    ruleId: OPEN,
    ruleIndex: INDEX.get(OPEN) ?? -1,
    kind: 'open',
    level: 'none',
    message: { text },
    locations: [{ physicalLocation: { artifactLocation: artifactOf(source) } }],
  };
}

/** A SARIF log in pieces: head, the results of each trace, tail. One result a line. */
export class AuditSarif {
  #started = false;

  /** @param version of memtype */
  head(version: string): string {
    return sarifHead(version, [...KINDS.map(ruleOf), OPEN_RULE]);
  }

  report(report: AuditReport): string {
    const { findings, source } = report;
    return [
      ...findings.map((f) => findingResult(f, source)),
      ...openQuestions(report).map((text) => openResult(text, source)),
    ]
      .map((result) => {
        const comma = this.#started ? ',' : '';
        this.#started = true;
        return `${comma}\n${JSON.stringify(result)}`;
      })
      .join('');
  }

  tail(): string {
    return sarifTail();
  }
}
