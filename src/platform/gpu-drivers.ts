import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { DeviceAccess } from '../facts/facts.ts';
import type { BackingId } from '../linux/backing.ts';

/** Memory that a GPU driver of the host gives to user space, and how the GPU reaches it. */
export interface GpuMemory {
  readonly backing: BackingId;
  /** Null: it may snoop or not. A GPU's own memory is reached past the caches, but is no alias of RAM. */
  readonly access: DeviceAccess | null;
  readonly when: string;
}

export interface GpuDriver {
  readonly memory: readonly GpuMemory[];
  readonly sources: readonly [SourceId, ...SourceId[]];
}

const VRAM: GpuMemory = { backing: 'bar-wc', access: 'none', when: 'VRAM through the BAR' };

/** By the name of the kernel driver. */
export const GPU_DRIVERS: Readonly<Record<string, GpuDriver>> = {
  amdgpu: {
    memory: [
      { backing: 'ttm-cached', access: 'snoop', when: 'GTT: AMDGPU_PTE_SNOOPED' },
      { backing: 'ttm-wc', access: 'nosnoop', when: 'GTT with CPU_GTT_USWC' },
      VRAM,
    ],
    sources: ['linux/amdgpu_ttm'],
  },
  radeon: {
    memory: [
      { backing: 'ttm-cached', access: 'snoop', when: 'GTT' },
      { backing: 'ttm-wc', access: 'nosnoop', when: 'GTT_WC' },
      { backing: 'ttm-uc', access: 'nosnoop', when: 'GTT_UC' },
      VRAM,
    ],
    sources: ['linux/radeon_ttm'],
  },
  nouveau: {
    memory: [
      { backing: 'ttm-cached', access: 'snoop', when: 'as a rule' },
      { backing: 'ttm-wc', access: 'nosnoop', when: 'AGP' },
      { backing: 'ttm-uc', access: null, when: 'force_coherent' },
      VRAM,
    ],
    sources: ['linux/nouveau_sgdma'],
  },
  xe: {
    memory: [
      { backing: 'ttm-cached', access: 'snoop', when: 'discrete; integrated: caching WB' },
      { backing: 'xe-wc', access: null, when: 'integrated, caching WC: by PAT index' },
      VRAM,
    ],
    sources: ['linux/xe_bo'],
  },
  i915: {
    memory: [
      { backing: 'i915-wc', access: null, when: 'mmap_offset WC: by LLC and GPU PAT' },
      {
        backing: 'i915-dmabuf',
        access: null,
        when: 'dma-buf: with LLC snoop; GLK not',
      },
      VRAM,
    ],
    sources: ['linux/i915_mman', 'linux/i915_shmem'],
  },
  nvidia: {
    memory: [
      { backing: 'ram', access: 'snoop', when: 'system memory, asked for cached' },
      {
        backing: 'nvidia-sysmem',
        access: null,
        when: 'system memory, else (uncached)',
      },
      VRAM,
      { backing: 'bar', access: 'none', when: 'registers' },
    ],
    sources: ['nvidia/mem'],
  },
  vgem: {
    memory: [{ backing: 'vgem-wc', access: 'none', when: 'no device is behind it' }],
    sources: ['linux/drm_gem_shmem', 'lab/vgem-wc'],
  },
};

/** What a driver that was not looked into may map. */
export const ANY_GPU: readonly BackingId[] = [
  'ttm-cached',
  'ttm-wc',
  'ttm-uc',
  'vgem-wc',
  'bar-wc',
];

/** The classes of memory that a GPU driver may give to user space; of one not known here, any. */
export function gpuBackings(driver: string | null): readonly BackingId[] {
  const known = driver !== null && Object.hasOwn(GPU_DRIVERS, driver) ? GPU_DRIVERS[driver] : null;
  return known?.memory.map((m) => m.backing) ?? ANY_GPU;
}

const MEMORY = Object.values(GPU_DRIVERS).flatMap((d) => d.memory);

/**
 * How the GPU behind memory of a class reaches it: null where its drivers or its state decide. RAM that is
 * ordinary otherwise has no device behind it.
 */
export function gpuAccess(backing: BackingId): DeviceAccess | null {
  if (backing === 'ram') return 'none';
  const all = new Set(MEMORY.filter((m) => m.backing === backing).map((m) => m.access));
  const [only] = all;
  return all.size === 0 ? 'none' : all.size === 1 ? (only ?? null) : null;
}

rule({
  id: 'platform/gpu-drivers',
  room: 'host',
  title: 'What GPU drivers of the host map into user space, and whether the GPU snoops it',
  text:
    'A host blob is memory that one of these drivers made. Whether the GPU looks into the caches decides ' +
    'whether a guest may map it WB; "snoop or not" depends on the part or on the buffer. i915 snoops with LLC ' +
    '(Sandy Bridge to Alder Lake), Meteor Lake by default, Gemini Lake and Broxton do not.',
  table: Object.entries(GPU_DRIVERS)
    .flatMap(([driver, { memory }]) =>
      memory.map(({ backing, access, when }) =>
        [driver.padEnd(9), backing.padEnd(14), (access ?? 'snoop or not').padEnd(13), when].join(
          '',
        ),
      ),
    )
    .join('\n'),
  sources: [
    'linux/amdgpu_ttm',
    'linux/radeon_ttm',
    'linux/nouveau_sgdma',
    'linux/xe_bo',
    'linux/i915_mman',
    'linux/i915_shmem',
    'nvidia/mem',
    'linux/drm_gem_shmem',
  ],
});
