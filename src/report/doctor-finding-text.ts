import { type Diagnosis, doctorExitCode } from '../doctor/diagnosis/diagnose.ts';
import { ifKnown } from '../doctor/fact.ts';
import type { DoctorFinding } from '../doctor/findings.ts';
import { count } from './doctor-words.ts';
import { labelled, wrap } from './wrap.ts';

function grave(d: Diagnosis): readonly DoctorFinding[] {
  return d.findings.filter((f) => f.severity !== 'info');
}

function seenWords(d: Diagnosis): string {
  const vms = d.vms.filter((v) => v.vm.evidence === 'fd').length;
  const hints = d.vms.length - vms;
  const closed = hints === 1 ? '1 process' : `${hints} processes`;
  const perhaps = hints === 0 ? '' : `; ${closed} with closed files may run one`;
  if (vms === 0) return `no VM was seen${perhaps}`;
  const regions = d.vms.reduce((sum, vm) => sum + vm.regions.length, 0);
  return `${count(vms, 'VM')}, ${count(regions, 'memory region')}${perhaps}`;
}

const ALL_WB = ': all WB, whatever the guest asks';

/** Every memory that was seen of every VM is WB for each type that a guest may ask. */
function isAllWb(d: Diagnosis): boolean {
  const regions = d.vms.flatMap((vm) => vm.regions);
  const isWb = (types: readonly string[]): boolean => types.length === 1 && types[0] === 'WB';
  return regions.length > 0 && regions.every((r) => r.answers.every((a) => isWb(a.types)));
}

/** The verdict on a machine, in one sentence. */
export function headline(d: Diagnosis): string {
  const certain = grave(d).filter((f) => f.certain).length;
  const possible = grave(d).length - certain;
  const open = d.undetermined.length;
  if (doctorExitCode(d) === 1) {
    const more = possible > 0 ? `, and ${possible} possible` : '';
    return `${count(certain, 'problem')} found${more} (${seenWords(d)}).`;
  }
  if (doctorExitCode(d) === 3) {
    const parts = [
      ...(possible > 0 ? [`${count(possible, 'possible problem')}`] : []),
      ...(open > 0 ? [`${open} left open`] : []),
    ];
    return `Undetermined: ${parts.join(', ')} (${seenWords(d)}).`;
  }
  const kvm = ifKnown(d.facts.kvm.present);
  if (kvm === false && d.vms.length === 0) {
    return d.guestSide === null
      ? 'There is no KVM on this machine and no VM: nothing to examine.'
      : 'There is no KVM on this machine, which is itself a guest: see below.';
  }
  return `Nothing wrong found (${seenWords(d)})${isAllWb(d) ? ALL_WB : ''}.`;
}

/** "possible error MT101: Stale data ..." */
export function findingTitle(f: DoctorFinding): string {
  return `${f.certain ? '' : 'possible '}${f.severity} ${f.code}: ${f.title}`;
}

/** Nothing stands before or between them: what is copied runs as it is. */
function commandLines(command: string): readonly string[] {
  return command.split('\n').map((line) => `    ${line}`);
}

/** A finding, its fix first. Commands are not wrapped: they are there to be copied. */
export function findingLines(f: DoctorFinding, width: number): readonly string[] {
  return [
    ...wrap(findingTitle(f), width, '  '),
    ...labelled('  fix    ', f.fix, width),
    ...(f.commands ?? []).flatMap(commandLines),
    ...labelled('  where  ', f.places.join('; '), width),
    ...(f.when === '' ? [] : labelled('  if     ', f.when, width)),
    ...(f.given === '' ? [] : labelled('  given  ', f.given, width)),
    ...(f.agents.length < 2 ? [] : labelled('  who    ', f.agents.join(' <-> '), width)),
    ...labelled('  what   ', f.text, width),
  ];
}

/** Where much is not known, much is possible. */
const POSSIBLE_SHOWN = 8;

export interface ShownFindings {
  readonly shown: readonly DoctorFinding[];
  /** Possible ones beyond the first few. */
  readonly more: number;
  /** Remarks that only may apply: their titles, each once. */
  readonly remarks: readonly string[];
}

/**
 * Those that a reader is shown, the gravest first: certain ones, and the first possible ones that are no
 * mere remarks.
 */
export function shownFindings(d: Diagnosis): ShownFindings {
  const possible = d.findings.filter((f) => !f.certain && f.severity !== 'info');
  const hidden = new Set(possible.slice(POSSIBLE_SHOWN));
  const remarks = d.findings.filter((f) => !f.certain && f.severity === 'info');
  return {
    shown: d.findings.filter((f) => !hidden.has(f) && (f.certain || f.severity !== 'info')),
    more: hidden.size,
    remarks: [...new Set(remarks.map(findingTitle))],
  };
}

/** Where questions are open and root would know more, that; null otherwise. */
export function nextStep(d: Diagnosis): string | null {
  if (d.undetermined.length === 0) return null;
  const asRoot = d.unknowns.find(({ remedy }) => /^run doctor\b.*\broot\b/.test(remedy));
  return asRoot?.remedy ?? null;
}
