import type { BackingId } from '../../linux/backing.ts';
import { isNewMemtypeAllowed } from '../../linux/memtype-tracker.ts';
import type { MtrrHint } from '../../linux/mtrr-lookup.ts';
import { LINUX_PAT, mappedType, NO_PAT } from '../../linux/pat-layout.ts';
import { patXMtrrType } from '../../linux/pat-x-mtrr.ts';
import type { MemtypeEntry } from '../../linux/text/memtype-list.ts';
import { compareVersions, parseKernelVersion } from '../../linux/version.ts';
import { requestOfMapInfo } from '../../linux/virtio-gpu.ts';
import type { PatLayout } from '../../x86/pat.ts';
import { MTRR_TYPES, type MtrrType, PAT_TYPES, type PatType } from '../../x86/types.ts';
import { ifKnown } from '../fact.ts';
import type { HostFacts } from '../host-facts.ts';
import { ramOf } from '../machine/own-memory.ts';
import {
  hintsFor,
  keepsFirmwarePat,
  leavesWbAlone,
  type OwnMtrrs,
  ownMtrrs,
  typesFor,
} from '../machine/own-mtrrs.ts';
import {
  HOST_VISIBLE,
  hostVisibleWindow,
  isVirtioGpu,
  type PciBar,
  type PciDevice,
  VIRTIO_VENDOR,
} from '../machine/pci.ts';

/**
 * - `host-blobs`: the host-visible window of a virtio-gpu
 * - `shm`: another shared-memory window of a virtio device, e.g. the DAX window of virtio-fs
 * - `bochs`: the frame buffer of QEMU's standard VGA
 * - `ivshmem`: inter-VM shared memory
 * - `vfio`: a BAR of a device that user space drives through vfio-pci
 * - `bar`: any other BAR that is too large for registers, prefetchable or of a display
 */
export type MemoryKind = 'host-blobs' | 'shm' | 'bochs' | 'ivshmem' | 'vfio' | 'bar';

/** What the guest's kernel makes of one request; a type of null: it refuses the mapping. */
export interface Grant {
  readonly type: PatType | null;
  readonly by: 'pat' | 'mtrr' | 'reservation' | null;
}

export interface MemoryRequest {
  /** Who asks, in a word or two; of host blobs the map_info. */
  readonly who: string;
  readonly asks: PatType;
  /** All that are possible. */
  readonly grants: readonly Grant[];
}

/** Memory of a device of this guest that its drivers map. */
export interface GuestMemory {
  readonly kind: MemoryKind;
  readonly device: string;
  readonly driver: string | null;
  readonly bar: number;
  readonly start: number;
  readonly size: number;
  readonly isPrefetchable: boolean;
  /** It is taken for what `kind` says, because its size tells it from registers. */
  readonly isInferred: boolean;
  /** What the kernel's own MTRRs say of it; null: not known. */
  readonly hints: readonly MtrrHint[] | null;
  /** The same, as types that a KVM which counts guest MTRRs may see. */
  readonly mtrrTypes: readonly MtrrType[];
  /** Reservations over it, in the order of the list; null: the list is not known. */
  readonly reserved: readonly PatType[] | null;
  readonly requests: readonly MemoryRequest[];
  /** What may stand behind it on the host. */
  readonly backings: readonly BackingId[];
}

// ---- what the kernel grants -------------------------------------------------------------------

/** Slots that the PAT of this guest may have; where only "on" is known, those that Linux writes. */
function layouts(facts: HostFacts): readonly { readonly on: boolean; readonly pat: PatLayout }[] {
  const full = { on: true, pat: LINUX_PAT['wt-wp'] };
  const none = { on: false, pat: NO_PAT };
  const pat = ifKnown(facts.pat);
  if (pat === null) return [full, none];
  if (pat.layout !== null) return [{ on: pat.enabled, pat: pat.layout }];
  if (!pat.enabled) return [none];
  return keepsFirmwarePat(facts) ? [full, { on: true, pat: NO_PAT }] : [full];
}

const ANY_HINT: readonly MtrrHint[] = ['WB', 'UC'];

function grantOf(
  facts: HostFacts,
  request: PatType,
  hint: MtrrHint,
  earlier: PatType | null,
  { on, pat }: { readonly on: boolean; readonly pat: PatLayout },
): Grant {
  const mapped = (type: PatType, by: Grant['by']): Grant => {
    const slot = mappedType(pat, type);
    return { type: slot, by: slot === type ? by : 'pat' };
  };
  if (!on) return mapped(request, null);
  const isLeft = hint === 'disabled' && leavesWbAlone(facts);
  const track = isLeft ? request : patXMtrrType(request, hint);
  if (earlier === null || earlier === track)
    return mapped(track, track === request ? null : 'mtrr');
  if (!isNewMemtypeAllowed(track, earlier)) return { type: null, by: 'reservation' };
  return mapped(earlier, 'reservation');
}

/** Every grant that is possible for a request over memory with these hints. */
function grantsFor(
  facts: HostFacts,
  asks: PatType,
  hints: readonly MtrrHint[] | null,
  earlier: PatType | null,
): readonly Grant[] {
  const found = layouts(facts).flatMap((layout) =>
    (hints ?? ANY_HINT).map((hint) => grantOf(facts, asks, hint, earlier, layout)),
  );
  const distinct = new Map(found.map((grant) => [`${grant.type} ${grant.by}`, grant]));
  return [...distinct.values()];
}

/** What a KVM that counts guest MTRRs may see of this guest's RAM above 1 MiB. */
export function ramMtrrTypes(facts: HostFacts): readonly MtrrType[] {
  const own = ownMtrrs(facts);
  if (own?.maps.every((map) => !map.enabled) === true) return own.whenOff;
  const found = ramOf(facts).ranges.flatMap(({ start, end }) => typesFor(own, start, end));
  const types = MTRR_TYPES.filter((type) => found.includes(type));
  return types.length === 0 ? MTRR_TYPES : types;
}

/** The grants of a request for RAM, of which the MTRRs are not asked. */
export function ramGrants(facts: HostFacts, asks: PatType): readonly Grant[] {
  return grantsFor(facts, asks, ['WB'], null);
}

// ---- who asks ---------------------------------------------------------------------------------

type Asked = Pick<MemoryRequest, 'who' | 'asks'> & {
  /** An earlier mapping of the same driver stands in its way. */
  readonly after?: PatType;
};

const MAP_INFO: readonly Asked[] = [
  { who: 'CACHED, NONE', asks: requestOfMapInfo('cached') },
  { who: 'WC', asks: requestOfMapInfo('wc') },
  { who: 'UNCACHED', asks: requestOfMapInfo('uncached') },
];

const ANY_DRIVER: readonly Asked[] = [
  { who: 'some driver', asks: 'WB' },
  { who: 'another', asks: 'WC' },
  { who: 'another', asks: 'UC-' },
];

/** Linux has no driver for it; sysfs maps it uncached, or WC by another name. */
const SYSFS: readonly Asked[] = [
  { who: 'some driver', asks: 'WB' },
  { who: 'resource2_wc', asks: 'WC' },
  { who: 'resource2', asks: 'UC-' },
];

const VFIO: readonly Asked[] = [{ who: 'user space', asks: 'UC-' }];

/** First kernel whose bochs driver uses devm_ioremap_wc(). */
const BOCHS_WC = '6.13-rc1';

/** Whether the bochs driver of this kernel maps its frame buffer WC; null: kernel not known. */
function isBochsWc(facts: HostFacts): boolean | null {
  const kernel = ifKnown(facts.kernel);
  return kernel === null
    ? null
    : compareVersions(parseKernelVersion(BOCHS_WC), kernel.version) <= 0;
}

/** Up to 6.12 bochs calls ioremap(), and TTM asks WC for what applications and the console draw on. */
function bochsRequests(facts: HostFacts, reserved: readonly PatType[] | null): readonly Asked[] {
  const first = reserved?.[0];
  const wc = first === undefined ? isBochsWc(facts) : first === 'WC';
  if (wc === null) return ANY_DRIVER;
  if (wc) return [{ who: 'ioremap_wc', asks: 'WC' }];
  return [
    { who: 'ioremap', asks: 'UC-' },
    { who: 'then TTM', asks: 'WC', after: 'UC-' },
  ];
}

function askedOf(
  kind: MemoryKind,
  facts: HostFacts,
  reserved: readonly PatType[] | null,
): readonly Asked[] {
  switch (kind) {
    case 'host-blobs':
      return MAP_INFO;
    case 'bochs':
      return bochsRequests(facts, reserved);
    case 'ivshmem':
      return SYSFS;
    case 'vfio':
      return VFIO;
    case 'shm':
    case 'bar':
      return ANY_DRIVER;
  }
}

const BACKINGS: Readonly<Record<MemoryKind, readonly BackingId[]>> = {
  'host-blobs': ['ttm-cached', 'ttm-wc', 'bar-wc'],
  shm: ['memfd'],
  bochs: ['ram'],
  ivshmem: ['memfd'],
  vfio: ['bar'],
  bar: ['ram', 'bar'],
};

// ---- which memories there are -----------------------------------------------------------------

const LARGEST_REGISTERS = 64 * 2 ** 10;
/** Base class of display controllers. */
const DISPLAY = 0x03;
const IVSHMEM = { vendor: VIRTIO_VENDOR, device: 0x1110, bar: 2 };
const STANDARD_VGA = { vendor: 0x1234, device: 0x1111, bar: 0 };

interface Place {
  readonly kind: MemoryKind;
  readonly bar: PciBar;
  readonly start: number;
  readonly size: number;
  readonly isInferred: boolean;
}

function isDevice(d: PciDevice, which: { readonly vendor: number; readonly device: number }) {
  return d.vendor === which.vendor && d.device === which.device;
}

/** 1000H-107FH: transitional and modern virtio. Beside its windows it has registers only. */
function isVirtio({ vendor, device }: PciDevice): boolean {
  return vendor === VIRTIO_VENDOR && device >= 0x1000 && device <= 0x107f;
}

function kindOf(device: PciDevice, bar: PciBar): MemoryKind | null {
  if (device.driver === 'vfio-pci') return bar.prefetchable ? 'vfio' : null;
  if (isDevice(device, IVSHMEM) && bar.index === IVSHMEM.bar) return 'ivshmem';
  const isBochs = isDevice(device, STANDARD_VGA) && device.driver === 'bochs-drm';
  if (isBochs && bar.index === STANDARD_VGA.bar) return 'bochs';
  if (isVirtio(device) && device.classCode >> 8 !== DISPLAY) return null;
  const isMemory = bar.prefetchable || device.classCode >> 8 === DISPLAY;
  return isMemory && bar.size > LARGEST_REGISTERS ? 'bar' : null;
}

/** The windows of a virtio device. A virtio-gpu that did not negotiate blobs has no use for its own. */
function virtioPlaces(device: PciDevice, blob: boolean | null): readonly Place[] {
  const barOf = (index: number) => device.bars.filter((b) => b.index === index);
  const isGpu = isVirtioGpu(device);
  const window = isGpu && blob !== false ? hostVisibleWindow(device) : null;
  const blobs =
    window === null
      ? []
      : barOf(window.bar).map((bar): Place => ({ ...window, kind: 'host-blobs', bar }));
  const others = (ifKnown(device.windows) ?? [])
    .filter((w) => !(isGpu && w.id === HOST_VISIBLE))
    .flatMap((w) =>
      barOf(w.bar).map((bar): Place => ({ ...w, kind: 'shm', bar, isInferred: false })),
    );
  return [...blobs, ...others];
}

/** Whether this guest's virtio-gpus negotiated blobs; null: not known, or they differ. */
function blobsOf(facts: HostFacts): boolean | null {
  const [first, ...more] = ifKnown(facts.virtioGpus) ?? [];
  if (first === undefined || more.some((g) => g.blob !== first.blob)) return null;
  return first.blob;
}

function placesOf(device: PciDevice, facts: HostFacts): readonly Place[] {
  const windows = isVirtio(device) ? virtioPlaces(device, blobsOf(facts)) : [];
  const taken = new Set(windows.map((w) => w.bar.index));
  const bars = device.bars.flatMap((bar): readonly Place[] => {
    const kind = taken.has(bar.index) ? null : kindOf(device, bar);
    return kind === null
      ? []
      : [{ kind, bar, start: bar.start, size: bar.size, isInferred: false }];
  });
  return [...windows, ...bars];
}

/** Types over [start, end) in the list, by start: the first one decides for a later request. */
function reservations(
  entries: readonly MemtypeEntry[],
  start: number,
  end: number,
): readonly PatType[] {
  return entries.filter((e) => e.start < end && start < e.end).map((e) => e.type);
}

function memoryAt(
  device: PciDevice,
  place: Place,
  facts: HostFacts,
  own: OwnMtrrs | null,
): GuestMemory {
  const { start, size, bar, kind, isInferred } = place;
  const hints = hintsFor(own, start, start + size);
  const tracked = ifKnown(facts.tracked);
  const reserved =
    tracked?.complete === true ? reservations(tracked.entries, start, start + size) : null;
  const requests = askedOf(kind, facts, reserved).map(({ after, ...asked }) => ({
    ...asked,
    grants: grantsFor(facts, asked.asks, hints, after ?? null),
  }));
  return {
    kind,
    device: device.address,
    driver: device.driver,
    bar: bar.index,
    start,
    size,
    isPrefetchable: bar.prefetchable,
    isInferred,
    hints,
    mtrrTypes: typesFor(own, start, start + size),
    reserved,
    requests,
    backings: BACKINGS[kind],
  };
}

/** The memories of devices that this machine's drivers map, by address of the device. */
export function guestMemories(facts: HostFacts): readonly GuestMemory[] {
  const own = ownMtrrs(facts);
  return (ifKnown(facts.pci) ?? []).flatMap((device) =>
    placesOf(device, facts).map((place) => memoryAt(device, place, facts, own)),
  );
}

/** Types that a request may be granted, in a fixed order; a refusal is left out. */
export function grantedTypes({ grants }: MemoryRequest): readonly PatType[] {
  return PAT_TYPES.filter((type) => grants.some((g) => g.type === type));
}
