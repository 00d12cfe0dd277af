import { parseIomem } from '../linux/text/iomem.ts';
import { parseMemtypeList } from '../linux/text/memtype-list.ts';
import { ifKnown, unknown } from './fact.ts';
import type { HostFacts } from './host-facts.ts';
import { gatherAmdgpu } from './machine/buffers.ts';
import { gatherConflicts } from './machine/conflicts.ts';
import { gatherGpus, gatherIommu, gatherVfioBound, gatherVirtioGpus } from './machine/devices.ts';
import { gatherKvm } from './machine/kvm-host.ts';
import {
  gatherConfidential,
  gatherCpu,
  gatherFirmware,
  gatherHypervisor,
  gatherIsGuest,
  gatherKernel,
  gatherLockdown,
  gatherLog,
  gatherPat,
} from './machine/machine.ts';
import { gatherPci } from './machine/pci.ts';
import type { PhysicalMaps } from './machine/physical.ts';
import { Gathering } from './parse.ts';
import { type Capture, Readings } from './reading.ts';
import { type FrameRun, frameRuns, gatherTrace, TRACE } from './trace/trace-facts.ts';
import { gatherVms, mountPoints, surveyOf, type VmContext } from './vms/vms.ts';

const DEBUGFS = '/sys/kernel/debug';

/** Where debugfs is mounted: on its usual place as soon as it is there, else anywhere. */
export function debugfsMount(readings: Readings): string {
  const points = mountPoints(readings, 'debugfs');
  return points.includes(DEBUGFS) ? DEBUGFS : (points[0] ?? DEBUGFS);
}

export function memtypeListPath(readings: Readings): string {
  return `${debugfsMount(readings)}/x86/pat_memtype_list`;
}

const DEBUGFS_REMEDIES = {
  absent: 'mount -t debugfs none /sys/kernel/debug; with nopat the file does not exist',
  denied: 'run doctor as root; kernel lockdown refuses root, too',
} as const;

/** What the search for VMs needs to know of the host. */
function vmContext(
  facts: Pick<HostFacts, 'kernel' | 'iommu' | 'gpus' | 'amdgpu' | 'iomem' | 'firmware' | 'tracked'>,
): VmContext {
  const maps: PhysicalMaps = {
    iomem: ifKnown(facts.iomem),
    memmap: ifKnown(facts.firmware.memmap),
    tracked: ifKnown(facts.tracked),
    mtrrs: facts.firmware.oddMtrrs.length > 0 ? null : ifKnown(facts.firmware.mtrrs),
    mtrrDefault: ifKnown(facts.firmware.mtrrDefault),
  };
  const amdgpu = facts.amdgpu === null ? null : ifKnown(facts.amdgpu);
  return { kernel: ifKnown(facts.kernel), iommu: facts.iommu, gpus: facts.gpus, maps, amdgpu };
}

/** Everything but the VMs. */
function machineFacts(
  readings: Readings,
  gathering: Gathering,
): Omit<HostFacts, 'vms' | 'trace' | 'problems'> {
  const cpu = gatherCpu(readings, gathering);
  const log = gatherLog(readings, gathering);
  const list = memtypeListPath(readings);
  const gpus = gatherGpus(readings);
  const iomem = gathering.fact(readings.text('/proc/iomem'), '/proc/iomem', parseIomem, 'whole');
  return {
    cpu,
    kernel: gatherKernel(readings),
    isGuest: gatherIsGuest(cpu),
    hypervisor: gatherHypervisor(log),
    confidential: gatherConfidential(cpu, log),
    kvm: gatherKvm(readings, cpu),
    firmware: gatherFirmware(readings, gathering, log),
    pat: gatherPat(readings, cpu, log, list),
    tracked: gathering.fact(
      readings.text(list),
      list,
      parseMemtypeList,
      'partial',
      DEBUGFS_REMEDIES,
    ),
    conflicts: gatherConflicts(log),
    iomem:
      iomem.known && iomem.value.hidden
        ? unknown('/proc/iomem shows this user no addresses', 'run doctor as root')
        : iomem,
    iommu: gatherIommu(readings),
    gpus,
    amdgpu: gatherAmdgpu(readings, gathering, gpus, debugfsMount(readings)),
    lockdown: gatherLockdown(readings),
    virtioGpus: gatherVirtioGpus(readings),
    pci: gatherPci(readings, gathering),
    vfioBound: gatherVfioBound(readings),
    processes: surveyOf(readings),
  };
}

/** What the search for VMs needs, while the host is still being read. */
export function machineContext(readings: Readings): VmContext {
  return vmContext(machineFacts(readings, new Gathering()));
}

/** The page frames of the trace in a capture; none without a trace. */
export function tracedFrames(readings: Readings): readonly FrameRun[] {
  const trace = readings.text(TRACE);
  if (!trace.ok) return [];
  return frameRuns(trace.text, ifKnown(machineFacts(readings, new Gathering()).kvm.paging));
}

/** What the readings of a host say, and what they do not. Never throws on any content. */
export function gather(capture: Capture): HostFacts {
  const readings = new Readings(capture);
  const gathering = new Gathering();
  const machine = machineFacts(readings, gathering);
  const vms = gatherVms(readings, gathering, vmContext(machine));
  const pids = vms.map((vm) => vm.pid);
  const paging = ifKnown(machine.kvm.paging);
  const trace = gatherTrace(readings, ifKnown(machine.kernel), paging, pids);
  return { ...machine, vms, trace, problems: gathering.problems };
}
