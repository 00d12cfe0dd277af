import type { Outcome } from '../doctor/diagnosis/exit-code.ts';
import { DOCTOR_FINDINGS, type DoctorFinding } from '../doctor/findings.ts';
import type { FleetRow } from '../doctor/fleet/fleet.ts';
import type { VerdictKind } from '../resolve/verdict.ts';
import { VERDICTS } from '../resolve/verdicts/index.ts';
import { LEVEL, ruleOf, sarifHead, sarifTail, uriOf } from './sarif-parts.ts';

const KINDS: readonly VerdictKind[] = [...VERDICTS, ...Object.values(DOCTOR_FINDINGS)];
/** The rules of results that are no verdict. */
const OPEN = 'undetermined';
const UNREAD = 'unreadable';

const OTHER_RULES: readonly object[] = [
  {
    id: OPEN,
    shortDescription: { text: 'Something that had to be known is not' },
    defaultConfiguration: { level: 'none' },
  },
  {
    id: UNREAD,
    shortDescription: { text: 'A capture file could not be read' },
    defaultConfiguration: { level: 'error' },
  },
];

const INDEX = new Map<string, number>(
  [...KINDS.map((k) => k.code), OPEN, UNREAD].map((id, i) => [id, i]),
);

function artifact(file: string | null): object {
  return file === null ? {} : { physicalLocation: { artifactLocation: { uri: uriOf(file) } } };
}

/** "VM 4711: memfd pc.ram" as the VM and its region; what is no place of a VM stands for itself. */
function locationOf(place: string, file: string | null): object {
  const [, vm = place, region] = /^(VM \d+)(?:: (.*))?$/s.exec(place) ?? [];
  const name = region ?? vm;
  const fullyQualifiedName = region === undefined ? vm : `${vm}/${region}`;
  return { ...artifact(file), logicalLocations: [{ name, fullyQualifiedName, kind: 'resource' }] };
}

/** SARIF has no level for what only may be: such a result is of kind "open", its severity a property. */
function findingResult(f: DoctorFinding, file: string | null): object {
  const { code, severity, certain, when, given, agents, commands = [] } = f;
  return {
    ruleId: code,
    ruleIndex: INDEX.get(code) ?? -1,
    kind: certain ? 'fail' : 'open',
    level: certain ? LEVEL[severity] : 'none',
    message: { text: `${f.text} Fix: ${f.fix}` },
    locations: f.places.map((place) => locationOf(place, file)),
    properties: { severity, certain, if: when, given, agents, commands },
  };
}

function plainResult(rule: string, text: string, file: string | null): object {
  const isOpen = rule === OPEN;
  return {
    ruleId: rule,
    ruleIndex: INDEX.get(rule) ?? -1,
    kind: isOpen ? 'open' : 'fail',
    level: isOpen ? 'none' : 'error',
    message: { text },
    locations: file === null ? [locationOf('this machine', null)] : [artifact(file)],
  };
}

type HostOutcome = Pick<Outcome, 'undetermined'> & { readonly findings: readonly DoctorFinding[] };

function hostResults(
  { findings, undetermined }: HostOutcome,
  file: string | null,
): readonly object[] {
  return [
    ...findings.map((f) => findingResult(f, file)),
    ...undetermined.map((text) => plainResult(OPEN, text, file)),
  ];
}

/** A SARIF log in pieces: head, results as they come, tail. One result a line. */
export class SarifLog {
  #started = false;

  /** @param version of memtype */
  head(version: string): string {
    return sarifHead(version, [...KINDS.map(ruleOf), ...OTHER_RULES]);
  }

  row(row: FleetRow): string {
    return this.#lines(
      row.verdict === 'error'
        ? [plainResult(UNREAD, row.error, row.file)]
        : hostResults(row, row.file),
    );
  }

  /** @param file null: the machine that doctor runs on */
  host(outcome: HostOutcome, file: string | null): string {
    return this.#lines(hostResults(outcome, file));
  }

  tail(): string {
    return sarifTail();
  }

  #lines(results: readonly object[]): string {
    return results
      .map((result) => {
        const comma = this.#started ? ',' : '';
        this.#started = true;
        return `${comma}\n${JSON.stringify(result)}`;
      })
      .join('');
  }
}
