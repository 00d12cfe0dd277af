import { u64FromHex, u64ToNumber } from '../../base/u64.ts';
import { type Fact, ifKnown, known, refused, unknown } from '../fact.ts';
import type { Gathering } from '../parse.ts';
import type { BytesReading, Readings } from '../reading.ts';
import { PCI_ADDRESS } from '../vms/vmm.ts';

export const PCI_DEVICES = '/sys/bus/pci/devices';
/** So many devices are looked at; SR-IOV can make thousands. */
export const PCI_MAX = 1024;
/** Conventional configuration space; without CAP_SYS_ADMIN only its first 64 bytes are given. */
export const CONFIG_BYTES = 256;
export const VIRTIO_VENDOR = 0x1af4;

/** A memory BAR that is in use. */
export interface PciBar {
  readonly index: number;
  readonly start: number;
  readonly size: number;
  readonly prefetchable: boolean;
  readonly is64: boolean;
}

/** A shared-memory region of a virtio device, inside one of its BARs. */
export interface ShmWindow {
  /** 1 of a virtio-gpu is the host-visible window. */
  readonly id: number;
  readonly bar: number;
  readonly start: number;
  readonly size: number;
}

export interface PciDevice {
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  /** Base class and subclass, e.g. 0300H for VGA. */
  readonly classCode: number;
  /** Null: no driver bound. */
  readonly driver: string | null;
  readonly bars: readonly PciBar[];
  /** Of a virtio device: its shared-memory windows. */
  readonly windows: Fact<readonly ShmWindow[]>;
}

function hexWord(readings: Readings, path: string): number | null {
  const value = u64FromHex((readings.word(path) ?? '').replace(/^0x/, ''));
  return value === null ? null : u64ToNumber(value);
}

// ---- BARs -------------------------------------------------------------------------------------

const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_MEM_64 = 0x100000;
const IORESOURCE_OFF = 0x10000000 | 0x20000000;

/** A line of `resource`: "0xSTART 0xEND 0xFLAGS", end inclusive. Null: no memory BAR in use. */
function barOf(line: string, index: number): PciBar | null {
  const [start, end, flags] = line.split(/\s+/).map((word) => u64FromHex(word.replace(/^0x/, '')));
  if (!start || !end || !flags) return null;
  const isUsed = (flags.lo & IORESOURCE_MEM) !== 0 && (flags.lo & IORESOURCE_OFF) === 0;
  const first = u64ToNumber(start);
  const size = u64ToNumber(end) - first + 1;
  if (!isUsed || first === 0 || size <= 0 || !Number.isSafeInteger(first + size)) return null;
  return {
    index,
    start: first,
    size,
    prefetchable: (flags.lo & IORESOURCE_PREFETCH) !== 0,
    is64: (flags.lo & IORESOURCE_MEM_64) !== 0,
  };
}

function barsOf(readings: Readings, directory: string): readonly PciBar[] {
  const lines = (readings.word(`${directory}/resource`) ?? '').split('\n').slice(0, 6);
  return lines.flatMap((line, i) => barOf(line.trim(), i) ?? []);
}

// ---- the shared-memory capability of virtio ---------------------------------------------------

const STATUS = 0x06;
const STATUS_CAP_LIST = 0x10;
const CAP_POINTER = 0x34;
const CAP_VENDOR = 0x09;
const VIRTIO_PCI_CAP_SHARED_MEMORY_CFG = 8;
const HEADER = 64;

function le32(config: readonly number[], at: number): number {
  const byte = (i: number): number => config[at + i] ?? 0;
  return byte(0) + byte(1) * 2 ** 8 + byte(2) * 2 ** 16 + byte(3) * 2 ** 24;
}

/**
 * The shared-memory windows in a configuration space. `struct virtio_pci_cap64`: vendor capability 09H,
 * next, length, type, BAR, id, two bytes, offset and length (low), offset and length (high).
 * Source: virtio 1.2, 4.1.4.7.
 */
function windowsIn(config: readonly number[], bars: readonly PciBar[]): readonly ShmWindow[] {
  const found: ShmWindow[] = [];
  if (((config[STATUS] ?? 0) & STATUS_CAP_LIST) === 0) return found;
  const seen = new Set<number>();
  let at = (config[CAP_POINTER] ?? 0) & 0xfc;
  while (at >= HEADER && !seen.has(at)) {
    seen.add(at);
    const isShm = config[at] === CAP_VENDOR && config[at + 3] === VIRTIO_PCI_CAP_SHARED_MEMORY_CFG;
    const bar = bars.find((b) => b.index === config[at + 4]);
    if (isShm && bar !== undefined) {
      const offset = le32(config, at + 8) + le32(config, at + 16) * 2 ** 32;
      const size = le32(config, at + 12) + le32(config, at + 20) * 2 ** 32;
      if (size > 0 && offset + size <= bar.size) {
        const id = config[at + 5] ?? 0;
        found.push({ id, bar: bar.index, start: bar.start + offset, size });
      }
    }
    at = (config[at + 1] ?? 0) & 0xfc;
  }
  return found;
}

const AS_ROOT = 'run doctor as root: the capabilities of a PCI device stand beyond byte 64';

function windowsOf(
  reading: BytesReading,
  path: string,
  bars: readonly PciBar[],
): Fact<readonly ShmWindow[]> {
  if (!reading.ok) return refused(path, reading, { denied: AS_ROOT });
  const config = (reading.hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
  if (config.length <= HEADER)
    return unknown(`${path}: only the first 64 bytes were given`, AS_ROOT);
  return known(windowsIn(config, bars), path);
}

// ---- devices ----------------------------------------------------------------------------------

function deviceOf(readings: Readings, address: string): PciDevice | null {
  const directory = `${PCI_DEVICES}/${address}`;
  const vendor = hexWord(readings, `${directory}/vendor`);
  const device = hexWord(readings, `${directory}/device`);
  if (vendor === null || device === null) return null;
  const bars = barsOf(readings, directory);
  const config = `${directory}/config`;
  const windows: Fact<readonly ShmWindow[]> =
    vendor === VIRTIO_VENDOR
      ? windowsOf(readings.bytes(config, 0, CONFIG_BYTES), config, bars)
      : known([], 'no virtio device');
  const driver = readings.linkName(`${directory}/driver`);
  const classCode = Math.floor((hexWord(readings, `${directory}/class`) ?? 0) / 2 ** 8);
  return { address, vendor, device, classCode, driver, bars, windows };
}

/** The PCI devices of this machine that have a memory BAR, by address. */
export function gatherPci(readings: Readings, gathering: Gathering): Fact<readonly PciDevice[]> {
  const list = readings.list(PCI_DEVICES);
  if (!list.ok) {
    return list.reason === 'absent'
      ? unknown(`no ${PCI_DEVICES}`, 'run doctor where sysfs is mounted on /sys')
      : refused(PCI_DEVICES, list, {});
  }
  const names = list.names.filter((name) => PCI_ADDRESS.test(name)).toSorted();
  if (names.length > PCI_MAX || list.cut) {
    const message = `${PCI_DEVICES}: only ${PCI_MAX} of ${names.length} PCI devices were looked at`;
    gathering.problems.push({ severity: 'warning', message });
  }
  const devices = names.slice(0, PCI_MAX).flatMap((name) => deviceOf(readings, name) ?? []);
  return known(
    devices.filter((d) => d.bars.length > 0),
    PCI_DEVICES,
  );
}

// ---- the host-visible window ------------------------------------------------------------------

/** Where a device's window is, and how that is known. */
export interface Window {
  readonly start: number;
  readonly size: number;
  readonly bar: number;
  /** It is taken for the window, because its size tells it from registers. */
  readonly isInferred: boolean;
}

/** VIRTIO_GPU_SHM_ID_HOST_VISIBLE. */
export const HOST_VISIBLE = 1;
const LARGEST_REGISTERS = 2 ** 20;
const VIRTIO_GPU = [0x1050];

export function isVirtioGpu({ vendor, device }: PciDevice): boolean {
  return vendor === VIRTIO_VENDOR && VIRTIO_GPU.includes(device);
}

/** The host-visible window of a virtio-gpu: by its capability, else its largest 64-bit prefetchable BAR. */
export function hostVisibleWindow(device: PciDevice): Window | null {
  const windows = ifKnown(device.windows);
  if (windows !== null) {
    const window = windows.find((w) => w.id === HOST_VISIBLE);
    return window === undefined ? null : { ...window, isInferred: false };
  }
  const large = device.bars
    .filter((b) => b.prefetchable && b.is64 && b.size > LARGEST_REGISTERS)
    .toSorted((a, b) => b.size - a.size)[0];
  return large === undefined
    ? null
    : { start: large.start, size: large.size, bar: large.index, isInferred: true };
}
