import { own } from '../base/own.ts';
import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { MtrrType, PatType } from '../x86/types.ts';

/**
 * What the host knows of a page that backs guest memory. "Host PAT type" is two facts: the type the
 * tracker has (`memtype`, what KVM asks) and the type in the VMM's own page tables (`vmm`).
 */
export interface BackingPage {
  readonly pfnValid: boolean;
  /** PageReserved(). */
  readonly reserved: boolean;
  readonly zeroPage: boolean;
  /** lookup_memtype(). */
  readonly memtype: PatType;
  /** The type in the VMM's own mapping. */
  readonly vmm: PatType;
  readonly hostMtrr: MtrrType;
  /** The raw e820 has RAM in the page. */
  readonly e820Ram: boolean;
  /** It is a device's memory or registers, not RAM: a cacheable access may end in a machine check. */
  readonly device: boolean;
  /** Pages of a VM_PFNMAP mapping allocated in orders above 0: only the head page has a count. */
  readonly highOrder: boolean;
  /** The device behind it may reach it past the caches, though the host maps it WB. */
  readonly unsnooped: boolean;
}

export interface BackingClass {
  readonly id: string;
  readonly title: string;
  readonly page: BackingPage;
  readonly note: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

rule({
  id: 'linux/backing',
  room: 'host',
  title: 'What backs guest memory on the host',
  text:
    'A page is known to KVM by its struct page (if any), PageReserved, the raw e820 and the memory type ' +
    "the kernel's tracker has for it. The type in the VMM's page tables is a second fact, which KVM " +
    'never looks at; i915 maps WC without telling the tracker, so the two can differ.',
  sources: ['linux/lookup_memtype', 'linux/ttm_pool', 'linux/i915_mman', 'lab/ept-traces'],
});

const RAM: BackingPage = {
  pfnValid: true,
  reserved: false,
  zeroPage: false,
  memtype: 'WB',
  vmm: 'WB',
  hostMtrr: 'WB',
  e820Ram: true,
  device: false,
  highOrder: false,
  unsnooped: false,
};

const BAR: BackingPage = {
  pfnValid: false,
  reserved: false,
  zeroPage: false,
  memtype: 'UC-',
  vmm: 'UC-',
  hostMtrr: 'UC',
  e820Ram: false,
  device: true,
  highOrder: false,
  unsnooped: false,
};

const WC_RAM: BackingPage = { ...RAM, memtype: 'WC', vmm: 'WC' };

/** The classes of backing, in the order in which they are listed and tried. */
export const BACKINGS = [
  {
    id: 'ram',
    title: 'ordinary RAM (anonymous, shmem)',
    page: RAM,
    note: 'WB everywhere.',
    sources: ['linux/lookup_memtype', 'lab/ept-traces'],
  },
  {
    id: 'memfd',
    title: 'memfd or shared memory',
    page: RAM,
    note: 'Like anonymous memory; also udmabuf and the system dma-heap.',
    sources: ['linux/lookup_memtype', 'lab/ept-traces'],
  },
  {
    id: 'hugetlb',
    title: 'hugetlbfs or transparent huge pages',
    page: RAM,
    note: 'Like anonymous memory, mapped at 2M or 1G where KVM allows it.',
    sources: ['linux/lookup_memtype', 'lab/ept-traces'],
  },
  {
    id: 'ttm-cached',
    title: 'TTM pages, cached (amdgpu GTT without USWC, xe on discrete GPUs)',
    page: { ...RAM, highOrder: true },
    note: 'The GPU snoops such pages.',
    sources: ['linux/ttm_pool', 'linux/amdgpu_ttm', 'linux/xe_bo'],
  },
  {
    id: 'ttm-wc',
    title: 'TTM pages, write-combined (amdgpu USWC: host-coherent Vulkan memory)',
    page: { ...WC_RAM, highOrder: true },
    note: 'RAM with a struct page that set_pages_array_wc() made WC. The GPU does not snoop it.',
    sources: ['linux/ttm_pool', 'linux/amdgpu_ttm', 'mail/seed'],
  },
  {
    id: 'ttm-uc',
    title: 'TTM pages, uncached',
    page: { ...RAM, memtype: 'UC-', vmm: 'UC-', highOrder: true },
    note: 'set_pages_array_uc() requests UC-.',
    sources: ['linux/ttm_pool', 'linux/set_memory'],
  },
  {
    id: 'vgem-wc',
    title: 'vgem or another drm-shmem buffer, write-combined',
    page: WC_RAM,
    note: 'The GPU-less reproducer of the founding bug: RAM pages that the kernel really made WC.',
    sources: ['linux/drm_gem_shmem', 'lab/vgem-wc'],
  },
  {
    id: 'xe-wc',
    title: 'xe on an integrated GPU, cpu_caching=WC',
    page: { ...WC_RAM, highOrder: true },
    note: 'TTM with set_pages_array_wc(); a non-coherent PAT index requires WC.',
    sources: ['linux/xe_bo'],
  },
  {
    id: 'i915-wc',
    title: 'i915 buffer mapped WC through mmap_offset',
    page: { ...RAM, vmm: 'WC' },
    note: 'The tracker says WB, the VMM maps WC: i915 writes its PTEs without telling the tracker.',
    sources: ['linux/i915_mman'],
  },
  {
    id: 'i915-dmabuf',
    title: 'i915 buffer through a dma-buf (shmem mmap)',
    page: { ...RAM, unsnooped: true },
    note: 'WB in the tracker and in the VMM, though the GPU may not snoop on parts without LLC.',
    sources: ['linux/i915_mman'],
  },
  {
    id: 'nvidia-sysmem',
    title: 'system memory of the NVIDIA driver that is not cached (its default)',
    page: { ...RAM, memtype: 'UC-', vmm: 'UC-' },
    note: 'Every allocation that is not CACHED, WC too, is made UC- for the tracker; only the VMM may map it WC.',
    sources: ['nvidia/mem', 'linux/set_memory'],
  },
  {
    id: 'bar',
    title: 'PCI BAR, uncached (vfio-pci, sysfs resourceN)',
    page: BAR,
    note: 'No struct page, not RAM. Firmware leaves MMIO under a UC host MTRR.',
    sources: ['linux/vfio_pci', 'linux/lookup_memtype', 'lab/ept-traces'],
  },
  {
    id: 'bar-wc',
    title: 'PCI BAR reserved write-combining (GPU VRAM, resourceN_wc)',
    page: { ...BAR, memtype: 'WC', vmm: 'WC' },
    note: 'A WC reservation over a UC host MTRR.',
    sources: ['linux/lookup_memtype', 'linux/vmf_insert_pfn', 'lab/ept-traces'],
  },
  {
    id: 'dax',
    title: 'persistent memory or DAX',
    page: { ...RAM, reserved: true, e820Ram: false },
    note: 'PageReserved, but WB for the host: RAM for KVM only since 4.16.',
    sources: ['kvm/b8d7044bcff7', 'kvm/kvm_is_mmio_pfn'],
  },
  {
    id: 'vga-hole',
    title: 'the VGA hole A0000H to BFFFFH through /dev/mem',
    page: { ...BAR, pfnValid: true, reserved: true, memtype: 'WB', vmm: 'UC-' },
    note: 'Has a struct page, PageReserved, and the tracker answers WB: the ISA range is untracked.',
    sources: ['linux/is_untracked_pat_range', 'pr/dosemu2-2813', 'lab/ept-traces'],
  },
  {
    id: 'zero',
    title: 'the shared zero page',
    page: { ...RAM, reserved: true, zeroPage: true },
    note: 'PageReserved; taken for MMIO up to 4.1.',
    sources: ['kvm/kvm_is_mmio_pfn', 'kvm/bf4bea8e9a90'],
  },
  {
    id: 'carveout-uc',
    title: 'reserved RAM mapped uncached (memmap= carve-out, /dev/mem with O_SYNC)',
    page: { ...RAM, reserved: true, memtype: 'UC-', vmm: 'UC-', e820Ram: false },
    note: 'PageReserved and tracked UC-: MMIO for KVM.',
    sources: ['kvm/kvm_is_mmio_pfn', 'lab/ept-traces'],
  },
  {
    id: 'hidden-ram',
    title: 'RAM hidden from the kernel with mem=',
    page: { ...RAM, pfnValid: false },
    note:
      'No struct page, but RAM in the raw e820: RAM for KVM only since 5.2. Mapped through /dev/mem without ' +
      'O_SYNC, which enters WB into the tracker; a driver that inserts single pages without a reservation ' +
      'gets UC- in the tracker and in the VMM alike.',
    sources: ['kvm/0c55671f84ff', 'lab/ept-traces'],
  },
] as const satisfies readonly BackingClass[];

export type BackingId = (typeof BACKINGS)[number]['id'];

const BY_ID: ReadonlyMap<string, BackingClass> = new Map(BACKINGS.map((b) => [b.id, b]));

/** Other names under which a class is asked for. */
export const BACKING_ALIASES: Readonly<Record<string, BackingId>> = {
  anon: 'ram',
  'vfio-bar': 'bar',
  'vram-bar': 'bar-wc',
  thp: 'hugetlb',
  udmabuf: 'memfd',
  'amdgpu-gtt': 'ttm-cached',
  'amdgpu-uswc': 'ttm-wc',
  pmem: 'dax',
};

/** The class of a name or alias; null when there is none. */
export function backingClass(name: string): BackingClass | null {
  return BY_ID.get(own(BACKING_ALIASES, name) ?? name) ?? null;
}
