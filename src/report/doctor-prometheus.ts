import { printable } from '../base/diagnostic.ts';
import { type Diagnosis, doctorExitCode, type VmDiagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { DoctorFinding } from '../doctor/findings.ts';
import { eraWord, type FleetRow, type HostRow, hostRow } from '../doctor/fleet/fleet.ts';
import { patQuirkMatters } from './doctor-words.ts';

/** Every metric, in the order in which they are printed. All are gauges. */
const METRICS = {
  memtype_up: 'Whether the host could be examined: 0 when its capture file could not be read.',
  memtype_host_info:
    'What decides on the host: kernel release, era of the rules of KVM, paging, version of memtype.',
  memtype_doctor_exit_code:
    'Exit code of memtype doctor: 0 nothing wrong, 1 a certain error or warning, 3 undetermined.',
  memtype_findings:
    'Places (the machine, a VM, memory of a VM) with this finding; certain="false": it is only possible.',
  memtype_undetermined: 'Things that had to be known for an answer and are not.',
  memtype_vms: 'Processes seen that run a VM.',
  memtype_vm_info: 'A process that runs a VM; evidence other than "fd": it may not be one.',
  memtype_vm_regions: 'Kinds of mapping of the VM that are or may be guest memory.',
  memtype_vm_noncoherent_dma:
    'Whether KVM counts the DMA of the VM as non-coherent; absent: not known.',
  memtype_vm_ignore_guest_pat:
    'Whether KVM_X86_QUIRK_IGNORE_GUEST_PAT is in force for the VM; absent: not known, or KVM has no such quirk.',
  memtype_vm_findings: 'Places in the VM with this finding.',
} as const;

type Metric = keyof typeof METRICS;
type Labels = Readonly<Record<string, string>>;

/** Prometheus text format 0.0.4: backslash, quote and line feed are escaped in the value of a label. */
function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** A line but for its metric and host, whose label depends on the other hosts. */
interface Sample {
  /** Index of its file; null: the only host. */
  readonly host: number | null;
  /** `code="MT401"} 1`: what follows. */
  readonly tail: string;
}

/** The parts are joined, not appended: a string that refers to a piece of a capture keeps all of it. */
function tailOf(labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(
    ([name, text]) => `${name}="${escaped(printable(text))}"`,
  );
  return [pairs.join(','), pairs.length === 0 ? '' : '}', ` ${value}\n`].join('');
}

function line(metric: Metric, { host, tail }: Sample, hosts: readonly string[]): string {
  const hasLabels = !tail.startsWith(' ');
  if (host === null) return `${metric}${hasLabels ? '{' : ''}${tail}`;
  return `${metric}{host="${escaped(hosts[host] ?? '')}"${hasLabels ? ',' : '}'}${tail}`;
}

/**
 * What each file is called: its base name; of those whose base names are alike, each its whole name; what is
 * alike then, too (a file given twice), has a number from the second on. Hosts keep their labels in any order.
 */
function labelsOf(files: readonly string[]): readonly string[] {
  const names = files.map((file) => printable(file));
  const bases = names.map((name) => name.split('/').at(-1) ?? name);
  const counts = new Map<string, number>();
  for (const base of bases) counts.set(base, (counts.get(base) ?? 0) + 1);
  const wished = bases.map((base, i) => (counts.get(base) === 1 ? base : (names[i] ?? '')));
  const all = new Set(wished);
  const taken = new Set<string>();
  return wished.map((name) => {
    let label = name;
    for (let n = 2; taken.has(label) || (label !== name && all.has(label)); n++) {
      label = `${name}#${n}`;
    }
    taken.add(label);
    return label;
  });
}

/** How many places have a finding, by code, severity and certainty. */
function findingCounts(
  findings: readonly DoctorFinding[],
  ofVm: string | null,
): readonly (readonly [Labels, number])[] {
  const counts = new Map<string, { labels: Labels; places: Set<string> }>();
  for (const { code, severity, certain, places } of findings) {
    const isOurs = (place: string): boolean =>
      ofVm === null || place === ofVm || place.startsWith(`${ofVm}: `);
    const ours = places.filter(isOurs);
    if (ours.length === 0) continue;
    const labels = { code, severity, certain: String(certain) };
    const key = `${code} ${certain ? 0 : 1}`;
    const count = counts.get(key) ?? { labels, places: new Set<string>() };
    for (const place of ours) count.places.add(place);
    counts.set(key, count);
  }
  const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([, { labels, places }]) => [labels, places.size] as const);
}

/**
 * Samples in the text format of Prometheus, no timestamps. The format wants the samples of a metric in one
 * group, so that of many hosts they are kept until the end: about 0.5 KB a host.
 */
export class Exposition {
  readonly #version: string;
  readonly #samples = new Map<Metric, Sample[]>();
  /** Names of the files, in the order given. */
  readonly #files: string[] = [];

  /** @param version of memtype */
  constructor(version: string) {
    this.#version = version;
  }

  #add(metric: Metric, labels: Labels, value: number, host: number | null = null): void {
    const list = this.#samples.get(metric) ?? [];
    list.push({ host, tail: tailOf(labels, value) });
    this.#samples.set(metric, list);
  }

  #host(row: HostRow, host: number | null): void {
    this.#add('memtype_up', {}, 1, host);
    const info = {
      kernel: row.kernel ?? 'not known',
      era: eraWord(row),
      paging: row.paging ?? 'not known',
      version: this.#version,
    };
    this.#add('memtype_host_info', info, 1, host);
    this.#add('memtype_doctor_exit_code', {}, row.exitCode, host);
    for (const [kind, n] of findingCounts(row.findings, null)) {
      this.#add('memtype_findings', kind, n, host);
    }
    this.#add('memtype_undetermined', {}, row.undetermined.length, host);
    this.#add('memtype_vms', {}, row.vms, host);
  }

  /** One of many hosts: a label `host` tells them apart. */
  row(row: FleetRow): void {
    const host = this.#files.push(row.file) - 1;
    if (row.verdict === 'error') this.#add('memtype_up', {}, 0, host);
    else this.#host(row, host);
  }

  /** The only host, with its VMs. */
  diagnosis(d: Diagnosis): void {
    this.#host({ ...hostRow('', d), exitCode: doctorExitCode(d) }, null);
    for (const vm of d.vms) this.#vm(vm, d);
  }

  #vm({ vm, regions, coherency, quirk }: VmDiagnosis, d: Diagnosis): void {
    const labels = { pid: String(vm.pid) };
    const { vmm, evidence } = vm;
    this.#add('memtype_vm_info', { ...labels, vmm, evidence }, 1);
    this.#add('memtype_vm_regions', labels, regions.length);
    const [dma, ...otherDma] = coherency.noncoherent;
    if (dma !== undefined && otherDma.length === 0) {
      this.#add('memtype_vm_noncoherent_dma', labels, Number(dma));
    }
    const [state, ...otherStates] = quirk;
    if (state !== undefined && otherStates.length === 0 && patQuirkMatters(d)) {
      this.#add('memtype_vm_ignore_guest_pat', labels, Number(state === 'on'));
    }
    for (const [kind, n] of findingCounts(d.findings, `VM ${vm.pid}`)) {
      this.#add('memtype_vm_findings', { ...labels, ...kind }, n);
    }
  }

  /** All of it, a metric without samples left out. */
  text(): string {
    const hosts = labelsOf(this.#files);
    const parts = (Object.keys(METRICS) as Metric[]).flatMap((metric) => {
      const samples = this.#samples.get(metric);
      if (samples === undefined) return [];
      return [
        `# HELP ${metric} ${METRICS[metric]}\n# TYPE ${metric} gauge\n`,
        ...samples.map((sample) => line(metric, sample, hosts)),
      ];
    });
    return parts.join('');
  }
}
