import { Readings } from '../doctor/reading.ts';
import { programOf } from '../doctor/vmms/told.ts';
import { mayHidePages } from '../doctor/vms/regions.ts';
import {
  firstFrame,
  isSampled,
  KPAGEFLAGS,
  PROBE_BYTES,
  pagemapPath,
  probeOffsets,
} from '../doctor/vms/sample.ts';
import { dmabufFds, PCI_ADDRESS, vmFiles } from '../doctor/vms/vmm.ts';
import { evidenceOf, pidsOf, regionMappings, type VmContext } from '../doctor/vms/vms.ts';
import { parseMaps } from '../linux/text/maps.ts';
import { collectSharers } from './collect-sharers.ts';
import { askMonitors, type Monitor } from './monitor.ts';
import type { Recorder } from './recorder.ts';

/** Regions of one VMM of which a page is looked up. */
const SAMPLES_MAX = 32;
const DMABUFS_MAX = 256;

/** Finds the processes that run VMs and reads what doctor wants to know of them. */
export async function collectProcesses(
  recorder: Recorder,
  context: VmContext,
  monitors: readonly Monitor[],
): Promise<void> {
  if (recorder.capture.pid === null) await recorder.list('/proc');
  for (const pid of pidsOf(new Readings(recorder.capture))) {
    const links = await recorder.links(`/proc/${pid}/fd`);
    if (!links.ok && links.reason === 'absent') continue;
    const isOpen = links.ok;
    if (isOpen && evidenceOf(links, '', false) === null) continue;
    await recorder.texts([`/proc/${pid}/comm`, `/proc/${pid}/cmdline`]);
    await recorder.link(`/proc/${pid}/exe`);
    const { capture } = recorder;
    const program = programOf(new Readings(capture), pid);
    if (evidenceOf(links, program, capture.pid === pid) === null) continue;
    await askMonitors(recorder, pid, monitors);
    await collectVm(recorder, pid, context);
  }
  await collectSharers(recorder);
}

async function collectVm(recorder: Recorder, pid: number, context: VmContext): Promise<void> {
  const links = await recorder.links(`/proc/${pid}/fd`);
  if (links.ok) {
    for (const name of vmFiles(links.links).vfio) await collectVfio(recorder, name);
    for (const fd of dmabufFds(links.links).slice(0, DMABUFS_MAX)) {
      await recorder.text(`/proc/${pid}/fdinfo/${fd}`);
    }
  }
  const maps = await recorder.text(`/proc/${pid}/maps`);
  if (!maps.ok) return;
  const { vmas } = parseMaps(maps.text, `/proc/${pid}/maps`).value;
  if (vmas.some(mayHidePages)) await recorder.text(`/proc/${pid}/smaps`);
  const readings = new Readings(recorder.capture);
  const mappings = regionMappings(readings, pid, vmas, context);
  for (const mapping of mappings.filter(isSampled).slice(0, SAMPLES_MAX)) {
    await collectSample(recorder, pid, probeOffsets(mapping));
  }
}

/** One page of a mapping: the first of the places tried that holds a page. */
async function collectSample(
  recorder: Recorder,
  pid: number,
  offsets: readonly number[],
): Promise<void> {
  for (const offset of offsets) {
    const reading = await recorder.bytes(pagemapPath(pid), offset, PROBE_BYTES);
    if (!reading.ok) return;
    const frame = firstFrame(reading);
    if (frame === null) continue;
    if (frame > 0) await recorder.bytes(KPAGEFLAGS, frame * 8, 8);
    return;
  }
}

/** The devices behind a VFIO descriptor, and the IOMMU unit of each. */
async function collectVfio(recorder: Recorder, vfio: string): Promise<void> {
  if (vfio.startsWith('vfio')) {
    const link = await recorder.link(`/sys/class/vfio-dev/${vfio}/device`);
    const name = link.ok ? link.target.split('/').at(-1) : undefined;
    if (name !== undefined) await collectPci(recorder, name);
    return;
  }
  const group = vfio.replace('noiommu-', '');
  for (const name of await recorder.names(`/sys/kernel/iommu_groups/${group}/devices`)) {
    await collectPci(recorder, name);
  }
}

async function collectPci(recorder: Recorder, name: string): Promise<void> {
  if (!PCI_ADDRESS.test(name)) return;
  const device = `/sys/bus/pci/devices/${name}`;
  await recorder.link(`${device}/iommu`);
  await recorder.link(`${device}/driver`);
  await recorder.text(`${device}/resource`);
}
