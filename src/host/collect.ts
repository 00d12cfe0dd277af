import { reduce } from '../doctor/capture/mask.ts';
import {
  GPU_FILES,
  MODULE_PARAMETERS,
  MSR_MTRR_DEF_TYPE,
  MSR_PAT,
} from '../doctor/capture/reads.ts';
import { NONCOHERENT_DMA_CAPS } from '../doctor/diagnosis/vmm-findings.ts';
import { debugfsMount, machineContext, memtypeListPath, tracedFrames } from '../doctor/gather.ts';
import { gemInfoPath, isAmdgpuCard } from '../doctor/machine/buffers.ts';
import { isGpuNode } from '../doctor/machine/devices.ts';
import { isVendorModule } from '../doctor/machine/kvm-host.ts';
import { CONFIG_BYTES, PCI_DEVICES, PCI_MAX, VIRTIO_VENDOR } from '../doctor/machine/pci.ts';
import { type Capture, Readings } from '../doctor/reading.ts';
import { runBytes, TRACE, tasksPath } from '../doctor/trace/trace-facts.ts';
import { LIBVIRT_STATUS } from '../doctor/vmms/libvirt.ts';
import { KPAGEFLAGS } from '../doctor/vms/sample.ts';
import { PCI_ADDRESS } from '../doctor/vms/vmm.ts';
import { pidsOf } from '../doctor/vms/vms.ts';
import { KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2 } from '../kvm/quirks.ts';
import { collectProcesses } from './collect-processes.ts';
import type { Monitor } from './monitor.ts';
import type { HostReader } from './reader.ts';
import { Recorder } from './recorder.ts';

const MACHINE_TEXTS = [
  '/proc/cpuinfo',
  '/proc/version',
  '/proc/version_signature',
  '/proc/cmdline',
  '/proc/modules',
  '/proc/self/mounts',
  '/proc/mtrr',
  '/proc/iomem',
  '/proc/2/comm',
  '/sys/kernel/security/lockdown',
];

async function collectModules(recorder: Recorder): Promise<void> {
  const modules = (await recorder.names('/sys/module')).filter(isVendorModule);
  for (const module of ['kvm', ...modules]) {
    for (const name of MODULE_PARAMETERS) {
      await recorder.text(`/sys/module/${module}/parameters/${name}`);
    }
  }
}

/** More ranges than any firmware lists. */
const MEMMAP_MAX = 1024;

/** The firmware's list of memory, and the registers that go with it. */
export async function collectFirmware(recorder: Recorder): Promise<void> {
  const directory = '/sys/firmware/memmap';
  for (const name of (await recorder.names(directory)).slice(0, MEMMAP_MAX)) {
    await recorder.texts(['start', 'end', 'type'].map((file) => `${directory}/${name}/${file}`));
  }
  for (const index of [MSR_PAT, MSR_MTRR_DEF_TYPE])
    await recorder.bytes('/dev/cpu/0/msr', index, 8);
}

async function collectGpu(recorder: Recorder, node: string): Promise<void> {
  const device = `/sys/class/drm/${node}/device`;
  const driver = await recorder.link(`${device}/driver`);
  await recorder.link(device);
  await recorder.texts(GPU_FILES.map((name) => `${device}/${name}`));
  const card = { name: node, driver: driver.ok ? (driver.target.split('/').at(-1) ?? null) : null };
  if (!isAmdgpuCard(card)) return;
  await recorder.text(gemInfoPath(debugfsMount(new Readings(recorder.capture)), node));
}

async function collectDevices(recorder: Recorder): Promise<void> {
  await recorder.list('/sys/devices');
  await recorder.list('/sys/bus/pci');
  for (const unit of await recorder.names('/sys/class/iommu')) {
    if (unit.startsWith('dmar')) await recorder.text(`/sys/class/iommu/${unit}/intel-iommu/ecap`);
  }
  for (const card of await recorder.names('/sys/class/drm')) {
    if (isGpuNode(card)) await collectGpu(recorder, card);
  }
  const virtio = '/sys/bus/virtio/devices';
  for (const name of await recorder.names(virtio)) {
    await recorder.texts([`${virtio}/${name}/device`, `${virtio}/${name}/features`]);
  }
  await recorder.list('/sys/bus/pci/drivers/vfio-pci');
}

async function collectPci(recorder: Recorder): Promise<void> {
  const names = (await recorder.names(PCI_DEVICES)).filter((name) => PCI_ADDRESS.test(name));
  for (const name of names.toSorted().slice(0, PCI_MAX)) {
    const device = `${PCI_DEVICES}/${name}`;
    const vendor = await recorder.text(`${device}/vendor`);
    await recorder.texts(['device', 'class', 'resource'].map((file) => `${device}/${file}`));
    await recorder.link(`${device}/driver`);
    const isVirtio = vendor.ok && Number(vendor.text) === VIRTIO_VENDOR;
    if (isVirtio) await recorder.bytes(`${device}/config`, 0, CONFIG_BYTES);
  }
}

/** The page flags of the frames in a trace, and whose threads are in it. */
async function collectTrace(recorder: Recorder, trace: string): Promise<void> {
  recorder.keep(TRACE, { ok: true, text: trace, cut: false });
  const readings = new Readings(recorder.capture);
  for (const run of tracedFrames(readings)) {
    const { offset, length } = runBytes(run);
    await recorder.bytes(KPAGEFLAGS, offset, length);
  }
  for (const pid of pidsOf(readings)) {
    if (recorder.capture.texts.has(`/proc/${pid}/maps`)) await recorder.list(tasksPath(pid));
  }
}

/** More domains than a machine runs. */
const DOMAINS_MAX = 1024;

async function collectLibvirt(recorder: Recorder): Promise<void> {
  const names = await recorder.names(LIBVIRT_STATUS);
  const files = names.filter((name) => name.endsWith('.xml')).slice(0, DOMAINS_MAX);
  await recorder.texts(files.map((name) => `${LIBVIRT_STATUS}/${name}`));
}

/** What a user gives doctor beside the machine itself. */
export interface Asked {
  /** A reduced trace (see `TraceReducer`) whose page frames are looked up. */
  readonly trace?: string | null;
  /** Monitors of QEMUs, to be asked as soon as their process is found. */
  readonly monitors?: readonly Monitor[];
}

const NOTHING: Asked = {};

/**
 * Reads everything that doctor looks at, and nothing else (see `READS`). What comes back is masked: a
 * capture gives the same answer as the machine because both are of what is left. Names of domains of libvirt are
 * kept: `reduce` of what is returned masks them, too.
 *
 * @param pid the only process to look at; null: every process
 * @param asked what the user gave beside the machine itself
 */
export async function collect(
  reader: HostReader,
  pid: number | null,
  asked: Asked = NOTHING,
): Promise<Capture> {
  return reduce(await collectUnmasked(reader, pid, asked), 'kept');
}

/** The same, as it was read: not to be shown or written. */
export async function collectUnmasked(
  reader: HostReader,
  pid: number | null,
  { trace = null, monitors = [] }: Asked = NOTHING,
): Promise<Capture> {
  const recorder = new Recorder(reader, pid);
  await recorder.texts(MACHINE_TEXTS);
  await recorder.log();
  await recorder.kvm([KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2, ...NONCOHERENT_DMA_CAPS]);
  await collectModules(recorder);
  await collectFirmware(recorder);
  await collectDevices(recorder);
  await collectPci(recorder);
  await recorder.text(memtypeListPath(new Readings(recorder.capture)));
  await collectLibvirt(recorder);
  await collectProcesses(recorder, machineContext(new Readings(recorder.capture)), monitors);
  if (trace !== null) await collectTrace(recorder, trace);
  return recorder.capture;
}
