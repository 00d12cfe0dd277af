import { type U64, u64ToHex, u64ToNumber } from '../../base/u64.ts';
import type { BackingId } from '../../linux/backing.ts';
import type { Vma } from '../../linux/text/maps.ts';
import { ANY_GPU, gpuBackings } from '../../platform/gpu-drivers.ts';
import { type Fact, unknown } from '../fact.ts';
import type { Buffers } from '../machine/buffers.ts';
import type { PhysicalPage } from '../machine/physical.ts';
import type { Memslot } from '../vmms/memslots.ts';
import type { PageOverrides, PageSample, Region, RegionKind } from './vm-facts.ts';
import { DMABUF, GPU_NODE } from './vmm.ts';

/** What is known beside the mappings themselves. */
export interface RegionContext {
  /** Sizes of guest memory that the VMM was told, bytes. */
  readonly sizes: readonly number[];
  /** No other size is possible: RAM of the VMM is in pieces of these. */
  readonly sizesAreAll: boolean;
  /** Paths under which its memory files lie. */
  readonly memoryPaths: readonly string[];
  /** The VMM is a QEMU, which leaves a guard page after each block of RAM. */
  readonly isQemu: boolean;
  readonly hugetlbMounts: readonly string[];
  /** Backends of kind memfd that a QEMU was told. */
  readonly memfds: readonly { readonly size: number | null; readonly hugetlb: boolean }[];
  /** Driver behind a GPU node; null when not known. */
  readonly gpuDriver: (node: string) => string | null;
  /** Drivers of all GPUs of the machine; null for one that is not known. */
  readonly gpuDrivers: readonly (string | null)[];
  /** Buffers that the VMM has as a client of amdgpu; null when not known, or none. */
  readonly amdgpuBuffers: Buffers | null;
  /** The buffer of amdgpu behind the dma-buf with this inode; null when not known. */
  readonly amdgpuExport: (inode: string) => Buffers | null;
  /** Exporter of the dma-buf with this inode; null when not known. */
  readonly exporter: (inode: string) => string | null;
  /** What the host makes of device memory at a physical address; null: it is not known. */
  readonly bar: (address: number | null, size: number) => PhysicalPage;
  /** The same for any physical address. */
  readonly devmem: (address: number, size: number) => PhysicalPage;
  /** Address of BAR `bar` of the only assigned device; null when there are several, or none. */
  readonly vfioBar: (bar: number) => number | null;
}

/** A mapping, before those alike are put together. */
export interface Mapping {
  readonly vma: Vma;
  readonly size: number;
  readonly kind: RegionKind;
  readonly name: string;
  readonly isGuestMemory: Region['isGuestMemory'];
  readonly why: string;
  readonly backings: readonly BackingId[];
  readonly page: PageOverrides;
  /** What of it is a memslot; null: not known. */
  readonly memslots: readonly Memslot[] | null;
}

type Found = Omit<Mapping, 'vma' | 'size' | 'memslots'>;

const MIB = 2 ** 20;
const GUARD = 4096;
/** Below this, memory of the guest is not told from the VMM's own. */
const SMALLEST = 16 * MIB;

export function sizeOf(vma: Vma): number {
  return u64ToNumber(vma.end) - u64ToNumber(vma.start);
}

function sameAddress(a: U64, b: U64): boolean {
  return a.hi === b.hi && a.lo === b.lo;
}

/** Neighbours that the kernel split (madvise, mbind, balloon) and that are one piece of memory. */
export function joined(vmas: readonly Vma[]): readonly Vma[] {
  const runs: Vma[] = [];
  for (const vma of vmas) {
    const last = runs.at(-1);
    const sameFile = last?.path === vma.path && last.inode === vma.inode && last.dev === vma.dev;
    if (last !== undefined && sameFile && last.perms === vma.perms) {
      if (sameAddress(last.end, vma.start) && (isRam(vma) || continues(last, vma))) {
        runs[runs.length - 1] = {
          ...last,
          end: vma.end,
          resident: sum(last.resident, vma.resident),
        };
        continue;
      }
    }
    runs.push(vma);
  }
  return runs;
}

function sum(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

/** The next piece of the same file. */
function continues(last: Vma, vma: Vma): boolean {
  return (
    isPlainFile(vma.path) && u64ToNumber(last.offset) + sizeOf(last) === u64ToNumber(vma.offset)
  );
}

function isPlainFile(path: string | null): boolean {
  return path?.startsWith('/') === true && !/^\/(?:dev|sys|proc)\//.test(path);
}

function isRam(vma: Vma): boolean {
  return vma.path === null || vma.path.startsWith('/memfd:') || vma.path.startsWith('[anon');
}

// ---- device memory ----------------------------------------------------------------------------

export const RESOURCE =
  /^\/sys\/.*\/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/resource(\d+)(_wc)?$/;
export const VFIO_DEVICE = /^(?:anon_inode:\[?vfio-device\]?|\/dev\/vfio\/devices\/vfio\d+)$/;
const DAX = /^\/dev\/dax\d/;
const VFIO_REGION_SIZE = 2 ** 40;
/** VFIO_PCI_ROM_REGION_INDEX: from here on a region is no BAR. */
const VFIO_BARS = 6;

/** By the name that an exporter has in fdinfo (its module, as a rule). */
const EXPORTER_BACKINGS: Readonly<Record<string, readonly BackingId[]>> = {
  udmabuf: ['memfd'],
  i915: ['i915-dmabuf'],
  system: ['ram'],
};

/** Most GPU drivers leave the export to the DRM core, which calls itself "drm". */
function exporterBackings(exporter: string | null, c: RegionContext): readonly BackingId[] {
  const own = EXPORTER_BACKINGS[exporter ?? ''];
  if (own !== undefined) return own;
  if (exporter !== 'drm') return [...ANY_GPU, 'memfd', 'bar'];
  const drivers = c.gpuDrivers.length === 0 ? [null] : c.gpuDrivers;
  return [...new Set(drivers.flatMap(gpuBackings))];
}

function vfioRegion(vma: Vma, c: RegionContext): Found {
  const offset = u64ToNumber(vma.offset);
  const index = Math.floor(offset / VFIO_REGION_SIZE);
  const isBar = index < VFIO_BARS;
  const start = isBar ? c.vfioBar(index) : null;
  const address = start === null || start === 0 ? null : start + (offset % VFIO_REGION_SIZE);
  const { backings, page } = c.bar(address, sizeOf(vma));
  return {
    kind: 'vfio-bar',
    name: `${isBar ? 'BAR' : 'region'} ${index} of a device assigned through VFIO`,
    isGuestMemory: 'named',
    why: 'a VMM maps what VFIO devices have to give it to the guest',
    backings,
    page,
  };
}

export function deviceRegion(vma: Vma, path: string, c: RegionContext): Found | null {
  const resource = RESOURCE.exec(path);
  if (resource !== null) {
    const { backings, page } = c.bar(u64ToNumber(vma.offset), sizeOf(vma));
    const name = `BAR ${resource[2] ?? '?'} of ${resource[1] ?? '?'} through sysfs`;
    const why = 'a VMM has no other use for it, as a rule';
    return { kind: 'pci-resource', name, isGuestMemory: 'size', why, backings, page };
  }
  if (VFIO_DEVICE.test(path)) return vfioRegion(vma, c);
  return path === '/dev/mem' ? devmemRegion(vma, c) : gpuRegion(vma, path, c);
}

/** A mapping that may be VM_PFNMAP, so that a look at smaps is worth its price. */
export function mayHidePages({ path }: Vma): boolean {
  if (path === null) return false;
  return [RESOURCE, VFIO_DEVICE, DMABUF, GPU_NODE].some((p) => p.test(path)) || path === '/dev/mem';
}

const BLOB = 'a host blob of virtio-gpu looks so, and so does what the VMM draws with itself';

function gpuRegion(vma: Vma, path: string, c: RegionContext): Found | null {
  const shared = { isGuestMemory: 'perhaps', why: BLOB, page: {} } as const;
  if (DMABUF.test(path)) {
    const buffer = c.amdgpuExport(vma.inode);
    const exporter = c.exporter(vma.inode);
    const own = buffer === null ? '' : `, ${buffer.words} of amdgpu`;
    const name = `dma-buf of ${exporter ?? 'an unknown exporter'}${own}`;
    const backings = buffer?.backings ?? exporterBackings(exporter, c);
    return { kind: 'dma-buf', name, backings, ...shared };
  }
  const [, dri, nvidia] = GPU_NODE.exec(path) ?? [];
  const node = dri ?? nvidia;
  if (node === undefined) return null;
  const driver = node.startsWith('nvidia') ? 'nvidia' : c.gpuDriver(node);
  const name = `GPU buffers of ${driver ?? 'an unknown driver'} (${path})`;
  const buffers = driver === 'amdgpu' ? c.amdgpuBuffers : null;
  if (buffers === null) return { kind: 'gpu', name, backings: gpuBackings(driver), ...shared };
  const why = `${BLOB}; amdgpu_gem_info has of this process ${buffers.words}, as placed now`;
  return { kind: 'gpu', name, ...shared, backings: buffers.backings, why };
}

function devmemRegion(vma: Vma, c: RegionContext): Found {
  const address = u64ToNumber(vma.offset);
  const isa = address >= 0xa0000 && address < 0xc0000;
  return {
    kind: 'devmem',
    name: `physical memory at ${u64ToHex(vma.offset)} through /dev/mem${isa ? ' (VGA)' : ''}`,
    isGuestMemory: 'size',
    why: 'a VMM has no other use for it, as a rule',
    ...c.devmem(address, sizeOf(vma)),
  };
}

// ---- memory -----------------------------------------------------------------------------------

export const MEMORY_MEMFD =
  /^\/memfd:(?:memory-backend-memfd|crosvm_guest|ch_ram|guest[-_]?(?:mem|ram))/;

/** Whether a memfd is of hugetlbfs: by VmFlags, else by the backends that the VMM was told. */
function memfdBackings(vma: Vma, c: RegionContext): readonly BackingId[] {
  if (vma.vmFlags !== null) return [vma.vmFlags.includes('ht') ? 'hugetlb' : 'memfd'];
  const size = sizeOf(vma);
  const alike = c.memfds.filter((m) => m.size === size);
  const backends = alike.length > 0 ? alike : c.memfds;
  const kinds = backends.map((m): BackingId => (m.hugetlb ? 'hugetlb' : 'memfd'));
  return kinds.length === 0 ? ['memfd'] : [...new Set(kinds)];
}

/** Kind, name and backing of pages that are ordinary RAM; null when the path is not of such memory. */
export function memoryKind(
  path: string | null,
  vma: Vma,
  c: RegionContext,
): Pick<Found, 'kind' | 'name' | 'backings'> | null {
  if (path === null || path.startsWith('[anon')) {
    return { kind: 'anonymous', name: 'anonymous memory', backings: ['ram'] };
  }
  if (path.includes('kvm-gmem')) {
    return { kind: 'guest_memfd', name: 'guest_memfd', backings: ['ram'] };
  }
  if (path.startsWith('/memfd:')) {
    const backings: readonly BackingId[] = path.startsWith('/memfd:memory-backend-memfd')
      ? memfdBackings(vma, c)
      : memfdBackings(vma, { ...c, memfds: [] });
    return { kind: 'memfd', name: `memfd ${path.slice(7, 47)}`, backings };
  }
  const huge = path === '/anon_hugepage' || c.hugetlbMounts.some((m) => path.startsWith(`${m}/`));
  if (huge) return { kind: 'hugetlb', name: 'hugetlbfs pages', backings: ['hugetlb'] };
  if (/^\/(?:dev\/shm\/|SYSV|dev\/zero$)/.test(path)) {
    return { kind: 'shm', name: 'shared memory', backings: ['memfd'] };
  }
  if (DAX.test(path)) return { kind: 'dax', name: 'a DAX device', backings: ['dax'] };
  if (!isPlainFile(path)) return null;
  const name = isPrivate(vma) ? 'a private mapping of a file' : 'a shared file';
  return { kind: 'file', name, backings: ['ram', 'dax'] };
}

/** share=off, the default of QEMU's memory-backend-file. */
function isPrivate(vma: Vma): boolean {
  return vma.perms.endsWith('p');
}

/** A page without access right after the mapping: qemu_ram_mmap() leaves one after each block. */
function hasGuard(vma: Vma, next: Vma | undefined): boolean {
  if (next?.perms !== '---p' || next.path !== null) return false;
  return sameAddress(vma.end, next.start) && sizeOf(next) === GUARD;
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n));
}

function memoryEvidence(
  vma: Vma,
  next: Vma | undefined,
  kind: RegionKind,
  c: RegionContext,
): Pick<Found, 'isGuestMemory' | 'why'> | null {
  const { path } = vma;
  const size = sizeOf(vma);
  if (kind === 'guest_memfd') return { isGuestMemory: 'named', why: 'only guests use guest_memfd' };
  if (path !== null && (MEMORY_MEMFD.test(path) || c.memoryPaths.some((p) => path.startsWith(p)))) {
    return { isGuestMemory: 'named', why: 'named so by the VMM' };
  }
  if (c.sizes.includes(size)) {
    return { isGuestMemory: 'size', why: 'exactly as large as the VMM was told to make it' };
  }
  if (size < SMALLEST || (kind === 'file' && isPrivate(vma))) return null;
  if (kind !== 'anonymous') {
    return { isGuestMemory: 'perhaps', why: 'large, shared or huge, in a VMM' };
  }
  if (c.isQemu) {
    if (!isPowerOfTwo(size) || !hasGuard(vma, next)) return null;
    const why = 'a block of RAM as QEMU lays them out, e.g. video memory';
    return { isGuestMemory: 'size', why };
  }
  if (c.sizes.length > 0 && c.sizesAreAll) return null;
  return { isGuestMemory: 'perhaps', why: 'large, and nothing tells it from the heap of the VMM' };
}

/** Every mapping of a VMM that is or may be guest memory, in the order of the addresses. */
export function guestMappings(vmas: readonly Vma[], c: RegionContext): readonly Mapping[] {
  const runs = joined(vmas);
  return runs.flatMap((vma, i): Mapping[] => {
    if (!vma.perms.startsWith('r')) return [];
    const size = sizeOf(vma);
    const device = vma.path === null ? null : deviceRegion(vma, vma.path, c);
    if (device !== null) return [{ vma, size, ...device, memslots: null }];
    const memory = memoryKind(vma.path, vma, c);
    if (memory === null || !vma.perms.startsWith('rw')) return [];
    const evidence = memoryEvidence(vma, runs[i + 1], memory.kind, c);
    if (evidence === null) return [];
    return [{ vma, size, ...memory, ...evidence, page: {}, memslots: null }];
  });
}

const NOT_SAMPLED = unknown('no page was looked up', 'run doctor as root');

function slotsOf(group: readonly Mapping[]): readonly Memslot[] | null {
  if (group.some((m) => m.memslots === null)) return null;
  return group.flatMap((m) => m.memslots ?? []).sort((a, b) => a.gpa - b.gpa);
}

function residentOf(group: readonly Mapping[]): number | null {
  const sizes = group.map((m) => m.vma.resident);
  return sizes.includes(null) ? null : sizes.reduce<number>((sum, n) => sum + (n ?? 0), 0);
}

const SURENESS = { named: 0, size: 1, perhaps: 2 } as const;

/**
 * Mappings of the same kind, name and backing as one region: a GPU process has hundreds. What surely is
 * guest memory comes first.
 */
export function groupMappings(
  mappings: readonly Mapping[],
  sampleOf: (mapping: Mapping) => Fact<PageSample>,
): readonly Region[] {
  const groups = new Map<string, Mapping[]>();
  for (const mapping of mappings) {
    const { kind, name, isGuestMemory, why, backings, page } = mapping;
    const key = JSON.stringify([kind, name, isGuestMemory, why, backings, page]);
    const group = groups.get(key) ?? [];
    group.push(mapping);
    groups.set(key, group);
  }
  const regions = [...groups.values()].flatMap((group): Region[] => {
    const [first] = group;
    if (first === undefined) return [];
    const { kind, name, isGuestMemory, why, backings, page, vma } = first;
    const samples = group.map(sampleOf);
    return [
      {
        kind,
        name,
        isGuestMemory,
        why,
        size: group.reduce((sum, mapping) => sum + mapping.size, 0),
        mappings: group.length,
        backings,
        page,
        pfnmap: vma.vmFlags === null ? null : vma.vmFlags.includes('pf'),
        sample: samples.find((s) => s.known) ?? samples[0] ?? NOT_SAMPLED,
        start: u64ToHex(vma.start),
        memslots: slotsOf(group),
        resident: residentOf(group),
      },
    ];
  });
  return regions.sort((a, b) => SURENESS[a.isGuestMemory] - SURENESS[b.isGuestMemory]);
}
