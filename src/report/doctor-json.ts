import { type Diagnosis, doctorExitCode, type VmDiagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { RegionDiagnosis } from '../doctor/diagnosis/region-diagnosis.ts';
import type { Fact } from '../doctor/fact.ts';
import type { DoctorFinding } from '../doctor/findings.ts';
import type { HostFacts } from '../doctor/host-facts.ts';
import type { Policy } from '../doctor/machine/policy.ts';
import type { VmmOptions } from '../doctor/vmms/options.ts';
import type { QemuOptions } from '../doctor/vmms/qemu.ts';

/** Version of the JSON that `doctor` prints; it grows when a field changes its meaning or goes. */
export const DOCTOR_SCHEMA_VERSION = 1;

function mapped<T>(fact: Fact<T>, value: (v: T) => unknown): object {
  return fact.known ? { ...fact, value: value(fact.value) } : fact;
}

/**
 * Paths of memory files are left out: they name the VM. QEMU's own defaults are stated of a process that
 * holds a VM; of one that is only named like QEMU they are null.
 */
function qemuJson(qemu: QemuOptions | null, holdsVm: boolean): object | null {
  if (qemu === null) return null;
  const { memPath: _, monitors: _monitors, backends, ...rest } = qemu;
  return {
    ...rest,
    ram: holdsVm || qemu.ramGiven ? qemu.ram : null,
    firmware: holdsVm ? qemu.firmware : null,
    backends: backends.map(({ path: _path, ...backend }) => backend),
  };
}

/** What is the same for every VMM; the rest of a QEMU stands under `qemu`. */
function optionsJson(options: VmmOptions | null, holdsVm: boolean): object | null {
  if (options === null) return null;
  const { memPath: _, qemu: _qemu, backends, ...rest } = options;
  return {
    ...rest,
    ram: holdsVm || options.ramGiven ? options.ram : null,
    firmware: holdsVm ? options.firmware : null,
    backends: backends.map(({ path: _path, ...backend }) => backend),
  };
}

function policyJson({ rules, ...policy }: Policy): object {
  const named = rules?.map((r) => ({
    id: r.id,
    kernels: r.kernels,
    ept: r.vmx.id,
    npt: r.svm.id,
    mmio: r.mmio.id,
    noncoherent: r.noncoherent.id,
    hasPatQuirk: r.hasPatQuirk,
  }));
  return { ...policy, rules: named ?? null };
}

function machineJson(facts: HostFacts): object {
  const { vms: _, problems: _problems, trace: _trace, kvm, ...machine } = facts;
  return { ...machine, kvm: { ...kvm, parameters: Object.fromEntries(kvm.parameters) } };
}

function regionJson({ region, prospective, answers, undetermined }: RegionDiagnosis): object {
  return { ...region, prospective, answers, undetermined };
}

function vmJson({ vm, coherency, quirk, quirkWhy, regions }: VmDiagnosis): object {
  const { regions: source, options, ...rest } = vm;
  return {
    ...rest,
    options: mapped(options, (o) => optionsJson(o, vm.evidence === 'fd')),
    qemu: mapped(options, (o) => qemuJson(o?.qemu ?? null, vm.evidence === 'fd')),
    noncoherentDma: coherency.noncoherent,
    noncoherentWhy: coherency.why,
    mayNotSnoop: coherency.mayNotSnoop,
    quirkIgnoreGuestPat: quirk,
    quirkWhy,
    regionsFrom: mapped(source, () => undefined),
    regions: regions.map(regionJson),
  };
}

/** Counts and types; of the pages only examples. */
function traceJson({ facts, traces }: Diagnosis): object | null {
  if (facts.trace === null) return null;
  const { pages, ...counts } = facts.trace;
  return { ...counts, pages: pages.length, vms: traces };
}

/** A finding with every member. */
export function findingJson({ commands = [], ...f }: DoctorFinding): object {
  return { ...f, commands };
}

/** A diagnosis as a plain object, field order fixed: every fact with where it came from, or why not. */
export function doctorJson(d: Diagnosis): object {
  return {
    schemaVersion: DOCTOR_SCHEMA_VERSION,
    exitCode: doctorExitCode(d),
    findings: d.findings.map(findingJson),
    undetermined: d.undetermined,
    machine: machineJson(d.facts),
    policy: policyJson(d.policy),
    guestPat: d.guestPat,
    vms: d.vms.map(vmJson),
    guestSide: d.guestSide && {
      ...d.guestSide,
      findings: d.guestSide.findings.map(findingJson),
    },
    trace: traceJson(d),
    unknown: d.unknowns,
    problems: d.facts.problems.map(({ severity, message, place, help }) => ({
      severity,
      message,
      file: place?.file ?? null,
      line: place?.line ?? null,
      help: help ?? null,
    })),
  };
}
