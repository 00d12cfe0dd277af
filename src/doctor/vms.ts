import { parseAmount } from '../facts/layout.ts';
import type { AmdgpuGem } from '../linux/text/amdgpu-gem.ts';
import { parseMaps } from '../linux/text/maps.ts';
import { clientBuffers, exportedBuffer } from './buffers.ts';
import { assignedDevices } from './devices.ts';
import { type Fact, ifKnown, known, refused, unknown } from './fact.ts';
import type { Gpu, IommuUnit, KernelFacts, ProcessSurvey } from './host-facts.ts';
import type { Gathering } from './parse.ts';
import { barPage, devmemPage, type PhysicalMaps } from './physical.ts';
import { parseQemu, type QemuOptions } from './qemu.ts';
import type { LinksReading, Readings } from './reading.ts';
import { groupMappings, guestMappings, type Mapping, type RegionContext } from './regions.ts';
import { isSampled, sampleOf } from './sample.ts';
import type { AssignedDevice, VmFacts } from './vm-facts.ts';
import { argvOf, baseName, countVcpus, countVms, dmabufFds, vmFiles, vmmOf } from './vmm.ts';

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

const SAME_USER = { denied: 'run doctor as root, or as the user of the process' } as const;

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

/** The program of a process: the file it runs, else its first argument, else its (short) name. */
export function programOf(readings: Readings, pid: number): string {
  const exe = readings.link(`/proc/${pid}/exe`);
  if (exe.ok) return baseName(exe.target);
  const cmdline = readings.text(`/proc/${pid}/cmdline`);
  const [argument = ''] = cmdline.ok ? argvOf(cmdline.text) : [];
  return argument === '' ? (readings.word(`/proc/${pid}/comm`) ?? '') : baseName(argument);
}

/** A thread of the kernel has no arguments, and no VM. */
function isKernelThread(readings: Readings, pid: number): boolean {
  const cmdline = readings.text(`/proc/${pid}/cmdline`);
  return cmdline.ok && cmdline.text === '';
}

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
  return known({ total: pids.length, closed: closed.length, complete, only }, '/proc');
}

// ---- what it was told -------------------------------------------------------------------------

/** "--memory size=4G", "--mem 2048", "-m 4G": what other VMMs than QEMU take. Units: MiB when bare. */
function otherSizes(argv: readonly string[]): readonly number[] {
  return argv.flatMap((word, i) => {
    if (!/^(?:-m|--mem(?:ory)?)$/.test(word)) return [];
    const text = /(?:^|size=)([^,=]+)/.exec(argv[i + 1] ?? '')?.[1] ?? '';
    const bytes = parseAmount(text);
    if (bytes === null) return [];
    return [/^\d+$/.test(text) ? bytes * 2 ** 20 : bytes];
  });
}

interface Told {
  readonly qemu: Fact<QemuOptions | null>;
  readonly sizes: readonly number[];
  readonly memoryPaths: readonly string[];
  readonly memfds: RegionContext['memfds'];
}

const READCONFIG = /^--?readconfig$/;

function told(readings: Readings, pid: number, isQemu: boolean): Told {
  const path = `/proc/${pid}/cmdline`;
  const reading = readings.text(path);
  if (!reading.ok) {
    const qemu = isQemu ? refused(path, reading, SAME_USER) : known(null, 'no QEMU');
    return { qemu, sizes: [], memoryPaths: [], memfds: [] };
  }
  const argv = argvOf(reading.text);
  if (!isQemu) {
    const qemu = known(null, 'no QEMU');
    return { qemu, sizes: otherSizes(argv), memoryPaths: [], memfds: [] };
  }
  if (argv.length < 2 || reading.cut) {
    const qemu = unknown(`${path} is ${reading.cut ? 'too long' : 'empty'}`, 'ask its monitor');
    return { qemu, sizes: [], memoryPaths: [], memfds: [] };
  }
  const options = parseQemu(argv);
  const elsewhere = argv.some((word) => READCONFIG.test(word));
  const ram = elsewhere && !options.ramGiven ? null : options.ram;
  const sizes = [ram, ...options.backends.map((b) => b.size)].filter((s) => s !== null);
  const paths = [options.memPath, ...options.backends.map((b) => b.path)];
  const memoryPaths = paths.filter((p) => p !== null && p !== '/dev/shm').map(String);
  const memfds = options.backends.filter((b) => b.kind === 'memfd');
  const qemu = elsewhere
    ? unknown('they stand in a file (-readconfig), which doctor does not read', 'ask its monitor')
    : known(options, path);
  return { qemu, sizes, memoryPaths, memfds };
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
  const isQemu = vmmOf(programOf(readings, pid)) === 'qemu';
  const { sizes, memoryPaths, memfds } = told(readings, pid, isQemu);
  const names = exporters(readings, pid, readings.links(`/proc/${pid}/fd`));
  const { amdgpu } = context;
  const [device, second] = devices;
  return {
    sizes,
    memoryPaths,
    memfds,
    isQemu,
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

/** Sizes of guest RAM on the command line of a QEMU, without what it takes by default. */
function explicitRam(readings: Readings, pid: number): readonly number[] {
  const { qemu } = told(readings, pid, vmmOf(programOf(readings, pid)) === 'qemu');
  const options = ifKnown(qemu);
  if (options === null) return [];
  const ram = options.ramGiven && !options.ramFromBackends ? [options.ram] : [];
  const sizes = [...ram, ...options.backends.map((b) => b.size)];
  return [...new Set(sizes.filter((s) => s !== null))];
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
  const mappings = guestMappings(vmas.value.vmas, c);
  const regions = groupMappings(mappings, (m) => sampleOf(readings, pid, m, context.kernel));
  return {
    regions: known(regions, path),
    missingRam: missingRam(mappings, explicitRam(readings, pid)),
  };
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
  const vmm = vmmOf(program);
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
      qemu: told(readings, pid, vmm === 'qemu').qemu,
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
