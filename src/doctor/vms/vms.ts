import type { AmdgpuGem } from '../../linux/text/amdgpu-gem.ts';
import type { Vma } from '../../linux/text/maps.ts';
import { parseMaps } from '../../linux/text/maps.ts';
import { type Fact, ifKnown, known, refused, unknown } from '../fact.ts';
import type { Gpu, IommuUnit, KernelFacts, ProcessSurvey } from '../host-facts.ts';
import { clientBuffers, exportedBuffer } from '../machine/buffers.ts';
import { assignedDevices } from '../machine/devices.ts';
import { barPage, devmemPage, type PhysicalMaps } from '../machine/physical.ts';
import type { Gathering } from '../parse.ts';
import type { LinksReading, Readings } from '../reading.ts';
import { LIBVIRT_STATUS, type LibvirtDomain, parseLibvirtDomain } from '../vmms/libvirt.ts';
import { memslotsOf } from '../vmms/memslots.ts';
import {
  HMP_COMMANDS,
  monitorFlag,
  monitorKey,
  monitorMemdevs,
  monitorVersion,
  QMP_COMMANDS,
} from '../vmms/qemu-monitor.ts';
import { explicitRam, programOf, SAME_USER, type Told, told, vmmOfProcess } from '../vmms/told.ts';
import { groupMappings, guestMappings, type Mapping, type RegionContext } from './regions.ts';
import { isSampled, sampleOf } from './sample.ts';
import { sharersOf } from './sharers.ts';
import { mappingsBySlots } from './slot-regions.ts';
import type { AssignedDevice, MonitorFacts, VmFacts } from './vm-facts.ts';
import { countVcpus, countVms, dmabufFds, vmFiles, vmmOf } from './vmm.ts';

/** What the search for VMs needs to know of the host. */
export interface VmContext {
  readonly kernel: KernelFacts | null;
  readonly iommu: Fact<readonly IommuUnit[]>;
  readonly gpus: Fact<readonly Gpu[]>;
  readonly maps: PhysicalMaps;
  /** Null: no amdgpu card, or its buffers are not known. */
  readonly amdgpu: AmdgpuGem | null;
}

// ---- which processes --------------------------------------------------------------------------

/** The numbers of the processes that were looked at, ascending. */
export function pidsOf(readings: Readings): readonly number[] {
  const { pid } = readings.capture;
  if (pid !== null) return [pid];
  const list = readings.list('/proc');
  if (!list.ok) return [];
  return list.names
    .filter((name) => /^\d{1,10}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** Why a process counts as a VM; null when it does not. */
export function evidenceOf(
  links: LinksReading,
  program: string,
  asked: boolean,
): VmFacts['evidence'] | null {
  if (links.ok) return countVms(links.links) > 0 ? 'fd' : null;
  if (links.reason === 'absent') return null;
  if (vmmOf(program) !== 'other') return 'name';
  return asked ? 'asked' : null;
}

/** A thread of the kernel has no arguments, and no VM. */
function isKernelThread(readings: Readings, pid: number): boolean {
  const cmdline = readings.text(`/proc/${pid}/cmdline`);
  return cmdline.ok && cmdline.text === '';
}

/** Processes that are named where more are counted. */
const CLOSED_NAMED = 4;

/** How well the processes could be seen. PID 2 of a machine is the kernel thread kthreadd. */
export function surveyOf(readings: Readings): Fact<ProcessSurvey> {
  const only = readings.capture.pid;
  const list = readings.list('/proc');
  if (!list.ok && only === null) return refused('/proc', list, {});
  const pids = pidsOf(readings);
  const closed = pids.filter((pid) => {
    const links = readings.links(`/proc/${pid}/fd`);
    return !links.ok && links.reason !== 'absent' && !isKernelThread(readings, pid);
  });
  const complete = readings.word('/proc/2/comm') === 'kthreadd' && list.ok && !list.cut;
  const closedPids = closed.slice(0, CLOSED_NAMED);
  return known({ total: pids.length, closed: closed.length, closedPids, complete, only }, '/proc');
}

// ---- its memory -------------------------------------------------------------------------------

/** Mount points of a file system type in /proc/self/mounts: "DEVICE POINT TYPE OPTIONS 0 0". */
export function mountPoints(readings: Readings, type: string): readonly string[] {
  const text = readings.word('/proc/self/mounts') ?? '';
  return text.split('\n').flatMap((line) => {
    const [, point, kind] = line.split(' ');
    return kind === type && point?.startsWith('/') ? [point] : [];
  });
}

/** Exporters of dma-bufs by inode, from fdinfo: "ino:\t7", "exp_name:\tudmabuf". */
function exporters(readings: Readings, pid: number, links: LinksReading): Map<string, string> {
  const found = new Map<string, string>();
  for (const fd of links.ok ? dmabufFds(links.links) : []) {
    const text = readings.word(`/proc/${pid}/fdinfo/${fd}`) ?? '';
    const inode = /^ino:\s*(\d+)$/m.exec(text)?.[1];
    const name = /^exp_name:\s*(\w{1,32})$/m.exec(text)?.[1];
    if (inode !== undefined && name !== undefined) found.set(inode, name);
  }
  return found;
}

/** What tells the guest memory of a process from the rest of its mappings. */
export function regionContext(
  readings: Readings,
  pid: number,
  context: VmContext,
  devices: readonly AssignedDevice[],
): RegionContext {
  const vmm = vmmOfProcess(readings, pid);
  const { sizes, memoryPaths, memfds } = told(readings, pid);
  const names = exporters(readings, pid, readings.links(`/proc/${pid}/fd`));
  const { amdgpu } = context;
  const [device, second] = devices;
  return {
    sizes,
    memoryPaths,
    memfds,
    sizesAreAll: vmm !== 'libkrun',
    isQemu: vmm === 'qemu',
    hugetlbMounts: mountPoints(readings, 'hugetlbfs'),
    gpuDriver: (node) => ifKnown(context.gpus)?.find((g) => g.name === node)?.driver ?? null,
    gpuDrivers: (ifKnown(context.gpus) ?? []).map((g) => g.driver),
    amdgpuBuffers: amdgpu === null ? null : clientBuffers(amdgpu, pid),
    amdgpuExport: (inode) => (amdgpu === null ? null : exportedBuffer(amdgpu, inode)),
    exporter: (inode) => names.get(inode) ?? null,
    bar: (address, size) => barPage(address, size, context.maps),
    devmem: (address, size) => devmemPage(address, size, context.maps),
    vfioBar: (bar) => (second === undefined ? (device?.bars[bar] ?? null) : null),
  };
}

/** The devices behind every VFIO descriptor that a process holds. */
export function assignedTo(
  readings: Readings,
  pid: number,
  iommu: Fact<readonly IommuUnit[]>,
): readonly AssignedDevice[] {
  const links = readings.links(`/proc/${pid}/fd`);
  if (!links.ok) return [];
  return vmFiles(links.links).vfio.flatMap((name) => assignedDevices(readings, name, iommu));
}

/** Sizes that no mapping has, nor all that bear a name of guest memory together. */
function missingRam(mappings: readonly Mapping[], sizes: readonly number[]): readonly number[] {
  const named = mappings.filter((m) => m.isGuestMemory === 'named');
  const total = named.reduce((sum, m) => sum + (isSampled(m) || m.kind === 'dax' ? m.size : 0), 0);
  return sizes.filter((size) => total < size && !mappings.some((m) => m.size === size));
}

function regionsOf(
  readings: Readings,
  gathering: Gathering,
  pid: number,
  context: VmContext,
  devices: readonly AssignedDevice[],
): Pick<VmFacts, 'regions' | 'missingRam'> {
  const smaps = `/proc/${pid}/smaps`;
  const detailed = readings.text(smaps);
  const path = detailed.ok && !detailed.cut ? smaps : `/proc/${pid}/maps`;
  const reading = readings.text(path);
  const vmas = gathering.fact(reading, path, parseMaps, 'partial', SAME_USER);
  if (!vmas.known) return { regions: vmas, missingRam: [] };
  const c = regionContext(readings, pid, context, devices);
  const slots = memslotsOf(readings, pid, gathering);
  const mappings =
    slots === null ? guestMappings(vmas.value.vmas, c) : mappingsBySlots(vmas.value.vmas, slots, c);
  const regions = groupMappings(mappings, (m) => sampleOf(readings, pid, m, context.kernel));
  const missing = slots === null ? missingRam(mappings, explicitRam(told(readings, pid))) : [];
  return { regions: known(regions, path), missingRam: missing };
}

/** The mappings of which a page is looked up: those that will be regions. */
export function regionMappings(
  readings: Readings,
  pid: number,
  vmas: readonly Vma[],
  context: VmContext,
): readonly Mapping[] {
  const c = regionContext(readings, pid, context, assignedTo(readings, pid, context.iommu));
  const slots = memslotsOf(readings, pid);
  return slots === null ? guestMappings(vmas, c) : mappingsBySlots(vmas, slots, c);
}

// ---- who else tells ---------------------------------------------------------------------------

function monitorOf(readings: Readings, pid: number): MonitorFacts | null {
  const asked = [...QMP_COMMANDS, ...HMP_COMMANDS].some((c) => {
    const reading = readings.text(monitorKey(pid, c));
    return reading.ok || reading.reason !== 'not read';
  });
  if (!asked) return null;
  return {
    version: monitorVersion(readings, pid),
    kvm: monitorFlag(readings, pid, 'query-kvm'),
    running: monitorFlag(readings, pid, 'query-status'),
    memdevs: monitorMemdevs(readings, pid),
    memslots: memslotsOf(readings, pid),
  };
}

const AS_ROOT = { denied: 'run doctor as root', absent: 'nothing: it does not run here' } as const;

/** The domain that runs as this process, by the status files of the system's libvirt. */
function libvirtOf(
  readings: Readings,
  pid: number,
  { options }: Told,
  gathering: Gathering,
): Fact<LibvirtDomain | null> {
  const list = readings.list(LIBVIRT_STATUS);
  const byLibvirt = ifKnown(options)?.qemu?.byLibvirt === true;
  if (!list.ok) {
    if (!byLibvirt) return known(null, 'no options of libvirt');
    return refused(LIBVIRT_STATUS, list, AS_ROOT);
  }
  for (const name of list.names.filter((n) => n.endsWith('.xml'))) {
    const file = `${LIBVIRT_STATUS}/${name}`;
    const reading = readings.text(file);
    if (!reading.ok) continue;
    const { value, problems } = parseLibvirtDomain(reading.text, file);
    if (value?.pid === pid) return known(value, file);
    if (value === null && byLibvirt) gathering.keep(problems);
  }
  if (!byLibvirt) return known(null, LIBVIRT_STATUS);
  return unknown(`no file of ${LIBVIRT_STATUS} that can be read has its PID`, 'run doctor as root');
}

// ---- the VM -----------------------------------------------------------------------------------

function vmOf(
  readings: Readings,
  gathering: Gathering,
  pid: number,
  context: VmContext,
): readonly VmFacts[] {
  const links = readings.links(`/proc/${pid}/fd`);
  const program = programOf(readings, pid);
  const evidence = evidenceOf(links, program, readings.capture.pid === pid);
  if (evidence === null) return [];
  const vmm = vmmOfProcess(readings, pid);
  const what = told(readings, pid);
  const files = links.ok
    ? known(vmFiles(links.links), `/proc/${pid}/fd`)
    : refused(`/proc/${pid}/fd`, links, SAME_USER);
  if (links.ok && links.cut) gathering.cut(`/proc/${pid}/fd`);
  const devices = assignedTo(readings, pid, context.iommu);
  return [
    {
      pid,
      evidence,
      vmm,
      program,
      vms: links.ok ? countVms(links.links) : 0,
      vcpus: links.ok ? countVcpus(links.links) : 0,
      files,
      options: what.options,
      libvirt: libvirtOf(readings, pid, what, gathering),
      monitor: monitorOf(readings, pid),
      sharers: sharersOf(readings, pid),
      devices,
      ...regionsOf(readings, gathering, pid, context, devices),
    },
  ];
}

/** Every process that runs a VM, or by its name may, by ascending number. */
export function gatherVms(
  readings: Readings,
  gathering: Gathering,
  context: VmContext,
): readonly VmFacts[] {
  return pidsOf(readings).flatMap((pid) => vmOf(readings, gathering, pid, context));
}
