import { u64FromHex, u64ToNumber } from '../../base/u64.ts';
import { type Fact, ifKnown, known, refused, unknown } from '../fact.ts';
import type { Gpu, GpuPci, IommuUnit, VirtioGpu } from '../host-facts.ts';
import type { Readings } from '../reading.ts';
import type { AssignedDevice } from '../vms/vm-facts.ts';
import { PCI_ADDRESS } from '../vms/vmm.ts';

const IOMMU = '/sys/class/iommu';
const PCI = '/sys/bus/pci/devices';

/** What the absence of something under /sys says: nothing, where /sys is no sysfs. */
function without<T>(readings: Readings, value: T, from: string): Fact<T> {
  const isSysfs = ['/sys/devices', '/sys/bus/pci'].some((path) => readings.list(path).ok);
  if (isSysfs) return known(value, from);
  return unknown('/sys shows no devices at all', 'run doctor where sysfs is mounted on /sys');
}

// ---- IOMMU units ------------------------------------------------------------------------------

/** ECAP bit 7, SC. */
const SNOOP_CONTROL = 1 << 7;

function vendorOf(unit: string): IommuUnit['vendor'] {
  if (/^dmar\d+$/.test(unit)) return 'intel';
  return /^ivhd\d+$/.test(unit) ? 'amd' : null;
}

const DMAR_LINE =
  /\bDMAR: (dmar\d+): reg_base_addr [0-9a-f]+ ver \d+:\d+ cap [0-9a-f]+ ecap ([0-9a-f]+)\b/;

/** The same from the boot log; null: it has no line of the unit. */
function loggedSnoopControl(readings: Readings, unit: string): Fact<boolean> | null {
  const { log } = readings.capture;
  for (const line of log.ok ? log.text.split('\n') : []) {
    const [, name, digits = ''] = DMAR_LINE.exec(line) ?? [];
    const ecap = name === unit ? u64FromHex(digits) : null;
    if (ecap !== null) return known((ecap.lo & SNOOP_CONTROL) !== 0, 'boot log, DMAR: ecap, bit 7');
  }
  return null;
}

function snoopControl(readings: Readings, unit: string): Fact<boolean> {
  const vendor = vendorOf(unit);
  if (vendor === 'amd') {
    const why = 'AMD-Vi: KVM takes all devices as coherent, but nothing is known to enforce it';
    return unknown(why, 'the data sheet and the driver of the device');
  }
  if (vendor === null) return unknown(`${unit} is neither VT-d nor AMD-Vi`, 'ask its driver');
  const path = `${IOMMU}/${unit}/intel-iommu/ecap`;
  const reading = readings.text(path);
  if (!reading.ok) return loggedSnoopControl(readings, unit) ?? refused(path, reading, {});
  const ecap = u64FromHex(reading.text.trim());
  if (ecap === null) return unknown(`${path} holds no number`, 'see the DMAR lines of dmesg');
  return known((ecap.lo & SNOOP_CONTROL) !== 0, `${path}, bit 7`);
}

export function gatherIommu(readings: Readings): Fact<readonly IommuUnit[]> {
  const list = readings.list(IOMMU);
  if (!list.ok) {
    return list.reason === 'absent'
      ? without(readings, [], `no ${IOMMU}: no IOMMU driver`)
      : refused(IOMMU, list, {});
  }
  const units = list.names.map((name) => ({
    name,
    vendor: vendorOf(name),
    snoopControl: snoopControl(readings, name),
  }));
  return known(units, IOMMU);
}

// ---- assigned devices -------------------------------------------------------------------------

/** The start addresses in a PCI device's `resource` file: "0xSTART 0xEND 0xFLAGS" a line. */
function barStarts(readings: Readings, address: string): readonly number[] {
  const text = readings.word(`${PCI}/${address}/resource`) ?? '';
  return text
    .split('\n')
    .slice(0, 6)
    .map((line) => {
      const start = u64FromHex(line.split(' ')[0] ?? '');
      return start === null ? 0 : u64ToNumber(start);
    });
}

/** A link that is absent is an answer: this device is behind no IOMMU. */
function unitOf(readings: Readings, address: string): Fact<string | null> {
  const path = `${PCI}/${address}/iommu`;
  const link = readings.link(path);
  if (link.ok) return known(link.target.split('/').at(-1) ?? null, path);
  if (link.reason === 'absent') return without(readings, null, `no ${path}`);
  return refused(path, link, {});
}

function pciDevice(
  readings: Readings,
  name: string,
  iommu: Fact<readonly IommuUnit[]>,
): AssignedDevice {
  const unit = unitOf(readings, name);
  const bars = barStarts(readings, name);
  const base = { name, kind: 'pci', bars } as const;
  if (!unit.known) return { ...base, unit: null, vendor: null, snoop: unit };
  if (unit.value === null) {
    return { ...base, kind: 'no-iommu', unit: null, vendor: null, snoop: known(null, unit.from) };
  }
  const found = ifKnown(iommu)?.find((u) => u.name === unit.value);
  const snoop =
    found?.snoopControl ?? unknown(`${unit.value} is not under ${IOMMU}`, 'run doctor as root');
  return { ...base, unit: unit.value, vendor: vendorOf(unit.value), snoop };
}

function lost(name: string, why: string): AssignedDevice {
  return {
    name,
    kind: 'unknown',
    unit: null,
    vendor: null,
    snoop: unknown(why, 'look it up under /sys/kernel/iommu_groups'),
    bars: [],
  };
}

/** A member of a group that is no PCI device is a mediated one: it has no IOMMU of its own. */
function member(
  readings: Readings,
  name: string,
  iommu: Fact<readonly IommuUnit[]>,
): AssignedDevice {
  if (PCI_ADDRESS.test(name)) return pciDevice(readings, name, iommu);
  const snoop = known(null, 'a mediated device has no IOMMU of its own');
  return { name, kind: 'mdev', unit: null, vendor: null, snoop, bars: [] };
}

/** Only devices that a VFIO driver holds count; where no driver is known, all of them. */
function held(readings: Readings, names: readonly string[]): readonly string[] {
  const driven = names.filter((name) => {
    const driver = readings.linkName(`${PCI}/${name}/driver`);
    return driver === null || driver.includes('vfio');
  });
  return driven.length > 0 ? driven : names;
}

/** The devices behind a VFIO descriptor: a group number, "noiommu-N", or the name of a cdev. */
export function assignedDevices(
  readings: Readings,
  vfio: string,
  iommu: Fact<readonly IommuUnit[]>,
): readonly AssignedDevice[] {
  if (vfio.startsWith('vfio')) {
    const name = readings.linkName(`/sys/class/vfio-dev/${vfio}/device`);
    return name === null
      ? [lost(vfio, `the device of ${vfio} could not be found`)]
      : [member(readings, name, iommu)];
  }
  const group = vfio.replace('noiommu-', '');
  const list = readings.list(`/sys/kernel/iommu_groups/${group}/devices`);
  if (!list.ok || list.names.length === 0) {
    return [lost(`group ${vfio}`, `the devices of group ${group} could not be listed`)];
  }
  const devices = held(readings, list.names).map((name) => member(readings, name, iommu));
  if (!vfio.startsWith('noiommu-')) return devices;
  const snoop = known(null, `/dev/vfio/${vfio}`);
  return devices.map((d) => ({ ...d, kind: 'no-iommu', unit: null, vendor: null, snoop }));
}

// ---- GPUs -------------------------------------------------------------------------------------

const DRM = '/sys/class/drm';
const INTEL = 0x8086;
const INTEL_GPU_PLACE = '0000:00:02.0';

function hexWord(readings: Readings, path: string): number | null {
  const value = u64FromHex(readings.word(path) ?? '');
  return value === null || value.hi !== 0 ? null : value.lo;
}

function gpuPci(readings: Readings, name: string): GpuPci | null {
  const device = `${DRM}/${name}/device`;
  const address = readings.linkName(device);
  if (address === null || !PCI_ADDRESS.test(address)) return null;
  const vendor = hexWord(readings, `${device}/vendor`);
  const boot = readings.word(`${device}/boot_vga`);
  return {
    address,
    vendor,
    device: hexWord(readings, `${device}/device`),
    class: hexWord(readings, `${device}/class`),
    bootVga: boot === '0' || boot === '1' ? boot === '1' : null,
    integrated: vendor === INTEL ? address === INTEL_GPU_PLACE : null,
  };
}

export function gatherGpus(readings: Readings): Fact<readonly Gpu[]> {
  const list = readings.list(DRM);
  if (!list.ok) {
    return list.reason === 'absent'
      ? without(readings, [], `no ${DRM}: no GPU driver`)
      : refused(DRM, list, {});
  }
  const gpus = list.names.filter(isGpuNode).map((name) => ({
    name,
    driver: readings.linkName(`${DRM}/${name}/device/driver`),
    pci: gpuPci(readings, name),
  }));
  return known(gpus, DRM);
}

/** "card0" and "renderD128", but not the connector "card0-HDMI-A-1". */
export function isGpuNode(name: string): boolean {
  return /^(?:card|renderD)\d+$/.test(name);
}

const VIRTIO = '/sys/bus/virtio/devices';
/** virtio device id 16. */
const VIRTIO_ID_GPU = '0x0010';
const FEATURE_RESOURCE_BLOB = 3;

/** virtio-gpu devices of this machine, as a guest. `features` is a string of bits, bit 0 first. */
export function gatherVirtioGpus(readings: Readings): Fact<readonly VirtioGpu[]> {
  const list = readings.list(VIRTIO);
  if (!list.ok) {
    return list.reason === 'absent'
      ? without(readings, [], `no ${VIRTIO}`)
      : refused(VIRTIO, list, {});
  }
  const gpus = list.names
    .filter((name) => readings.word(`${VIRTIO}/${name}/device`) === VIRTIO_ID_GPU)
    .map((name) => {
      const features = readings.word(`${VIRTIO}/${name}/features`);
      return { name, blob: features === null ? null : features[FEATURE_RESOURCE_BLOB] === '1' };
    });
  return known(gpus, VIRTIO);
}

export function gatherVfioBound(readings: Readings): Fact<readonly string[]> {
  const path = '/sys/bus/pci/drivers/vfio-pci';
  const list = readings.list(path);
  if (list.ok) return known(list.names.filter((name) => PCI_ADDRESS.test(name)).sort(), path);
  return list.reason === 'absent'
    ? without(readings, [], `no ${path}: the driver is not loaded`)
    : refused(path, list, {});
}
