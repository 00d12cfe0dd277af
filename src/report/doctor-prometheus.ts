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

/** The parts are joined, not appended: a string that refers to a piece of a capture keeps all of it. */
function sample(metric: Metric, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escaped(text)}"`);
  return [metric, pairs.length === 0 ? '' : `{${pairs.join(',')}}`, ` ${value}\n`].join('');
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
  readonly #samples = new Map<Metric, string[]>();
  readonly #hosts = new Set<string>();

  /** @param version of memtype */
  constructor(version: string) {
    this.#version = version;
  }

  #add(metric: Metric, labels: Labels, value: number): void {
    const list = this.#samples.get(metric) ?? [];
    list.push(sample(metric, labels, value));
    this.#samples.set(metric, list);
  }

  /** The base name of the file, the whole name when the base name is taken, and then with a number. */
  #labelOf(file: string): string {
    const base = file.split('/').at(-1) ?? file;
    let label = this.#hosts.has(base) ? file : base;
    for (let n = 2; this.#hosts.has(label); n++) label = `${file}#${n}`;
    this.#hosts.add(label);
    return label;
  }

  #host(row: HostRow, labels: Labels): void {
    this.#add('memtype_up', labels, 1);
    const info = {
      ...labels,
      kernel: row.kernel ?? 'not known',
      era: eraWord(row),
      paging: row.paging ?? 'not known',
      version: this.#version,
    };
    this.#add('memtype_host_info', info, 1);
    this.#add('memtype_doctor_exit_code', labels, row.exitCode);
    for (const [kind, n] of findingCounts(row.findings, null)) {
      this.#add('memtype_findings', { ...labels, ...kind }, n);
    }
    this.#add('memtype_undetermined', labels, row.undetermined.length);
    this.#add('memtype_vms', labels, row.vms);
  }

  /** One of many hosts: a label `host` tells them apart. */
  row(row: FleetRow): void {
    const host = this.#labelOf(row.file);
    if (row.verdict === 'error') this.#add('memtype_up', { host }, 0);
    else this.#host(row, { host });
  }

  /** The only host, with its VMs. */
  diagnosis(d: Diagnosis): void {
    this.#host({ ...hostRow('', d), exitCode: doctorExitCode(d) }, {});
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
    const parts = (Object.keys(METRICS) as Metric[]).flatMap((metric) => {
      const samples = this.#samples.get(metric);
      if (samples === undefined) return [];
      return [`# HELP ${metric} ${METRICS[metric]}\n# TYPE ${metric} gauge\n`, ...samples];
    });
    return parts.join('');
  }
}
