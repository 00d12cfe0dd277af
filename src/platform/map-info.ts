import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { MapInfo, MapInfoProducer } from '../facts/facts.ts';
import { BACKINGS, type BackingId, type BackingPage } from '../linux/backing.ts';

/** Who makes up map_info on the host, and what it says of each class of memory it hands out. */
export interface Producer {
  readonly id: MapInfoProducer;
  readonly title: string;
  /** What it looks at. */
  readonly by: string;
  /** Several values: it depends on what the class does not settle. */
  readonly says: Partial<Readonly<Record<BackingId, readonly MapInfo[]>>>;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

function always(
  mapInfo: MapInfo,
  backings: readonly BackingId[],
): Partial<Record<BackingId, readonly MapInfo[]>> {
  return Object.fromEntries(backings.map((id) => [id, [mapInfo]]));
}

const AMD_MEMORY = ['ttm-cached', 'ttm-wc', 'bar-wc'] as const satisfies BackingId[];
const INTEL_MEMORY = [
  'i915-dmabuf',
  'ttm-cached',
  'xe-wc',
  'bar-wc',
] as const satisfies BackingId[];

export const PRODUCERS: Readonly<Record<MapInfoProducer, Producer>> = {
  venus: {
    id: 'venus',
    title: 'Venus (vkr_device_memory)',
    by: 'the Vulkan memory type: CACHED when coherent and cached, else WC; guessed, says its source',
    says: {
      'ttm-cached': ['cached'],
      'ttm-wc': ['wc'],
      // ANV advertises a cached type, and backs what is exported with WC pages.
      'xe-wc': ['wc', 'cached'],
      'bar-wc': ['wc'],
      'i915-dmabuf': ['cached', 'wc'],
    },
    sources: ['virgl/vkr', 'pr/brunch-lunar-lake'],
  },
  shmem: {
    id: 'shmem',
    title: 'rings and other shared memory of Venus and of the native contexts',
    by: 'nothing: always CACHED',
    says: always('cached', ['memfd']),
    sources: ['virgl/vkr'],
  },
  'vrend-amd': {
    id: 'vrend-amd',
    title: 'vrend (OpenGL) over Mesa on AMD',
    by: 'the vendor string: always WC',
    says: always('wc', AMD_MEMORY),
    sources: ['virgl/vrend'],
  },
  'vrend-intel': {
    id: 'vrend-intel',
    title: 'vrend (OpenGL) over Mesa on Intel',
    by: 'the vendor string: always CACHED',
    says: always('cached', INTEL_MEMORY),
    sources: ['virgl/vrend'],
  },
  'vrend-other': {
    id: 'vrend-other',
    title: 'vrend (OpenGL) over another Mesa driver',
    by: 'the vendor string: CACHED when it has "Mesa" in it; else nothing is mapped',
    says: always('cached', ['ttm-cached', 'ttm-wc', 'bar-wc']),
    sources: ['virgl/vrend'],
  },
  'gbm-i915': {
    id: 'gbm-i915',
    title: 'vrend with gbm, the i915 backend, without gbm_bo_get_map_info',
    by: 'the backend: i915 is CACHED, also without LLC',
    says: always('cached', ['i915-dmabuf']),
    sources: ['virgl/gbm'],
  },
  'gbm-other': {
    id: 'gbm-other',
    title: 'vrend with gbm, another backend than i915 (xe too), without gbm_bo_get_map_info',
    by: 'the backend: always WC',
    says: always('wc', ['ttm-cached', 'ttm-wc', 'xe-wc', 'bar-wc']),
    sources: ['virgl/gbm'],
  },
  'amdgpu-native': {
    id: 'amdgpu-native',
    title: 'the amdgpu native context',
    by: 'heap and USWC flag of the buffer: CACHED for GTT alone without USWC (from 2024-05-03), else WC',
    // A buffer of VRAM or GTT is WC to it, also while it lies in cached GTT.
    says: { 'ttm-cached': ['cached', 'wc'], 'ttm-wc': ['wc'], 'bar-wc': ['wc'] },
    sources: ['virgl/amdgpu'],
  },
  'amdgpu-native-2023': {
    id: 'amdgpu-native-2023',
    title: 'the amdgpu native context before 2024-05-03',
    by: 'nothing: always WC',
    says: always('wc', AMD_MEMORY),
    sources: ['virgl/amdgpu'],
  },
  'i915-native': {
    id: 'i915-native',
    title: 'the i915 native context (virglrenderer 1.3.0 and later)',
    by: 'pat_index (by the table of Tiger Lake) and the mmap_offset mode of the buffer',
    says: { 'i915-dmabuf': ['cached', 'wc'], 'i915-wc': ['wc'], 'bar-wc': ['wc'] },
    sources: ['virgl/i915'],
  },
  gfxstream: {
    id: 'gfxstream',
    title: 'gfxstream (VkDecoderGlobalState)',
    by: 'the Vulkan memory type: cached alone suffices for CACHED; AMD uncached is UNCACHED. NONE for every exported ColorBuffer or Buffer',
    says: {
      'ttm-cached': ['cached', 'none'],
      'ttm-wc': ['wc', 'none'],
      'xe-wc': ['wc', 'cached', 'none'],
      'bar-wc': ['wc', 'uncached', 'none'],
      'i915-dmabuf': ['cached', 'wc', 'none'],
    },
    sources: ['gfxstream/vk', 'gfxstream/export', 'pr/brunch-lunar-lake'],
  },
};

/**
 * Whether the guest may cache such memory: the host's own mapping says it, and the way in which the device
 * reaches it. Null: it depends on whether the device snoops.
 *
 * @param snoops null: not known
 */
export function mayBeCached(page: BackingPage, snoops: boolean | null): boolean | null {
  if (page.device || page.vmm !== 'WB' || page.memtype !== 'WB') return false;
  return snoops ?? (page.unsnooped ? null : true);
}

export function saysCached(mapInfo: MapInfo): boolean {
  return mapInfo === 'cached' || mapInfo === 'none';
}

/** Classes of which a producer says, or may say, what is not so. */
function wrongOf(producer: Producer): { readonly wrong: BackingId[]; readonly maybe: BackingId[] } {
  const wrong: BackingId[] = [];
  const maybe: BackingId[] = [];
  for (const { id, page } of BACKINGS) {
    const said = producer.says[id];
    if (said === undefined) continue;
    const right = mayBeCached(page, null);
    const off = said.filter((m) => right === null || saysCached(m) !== right).length;
    if (off === 0) continue;
    (off === said.length && right !== null ? wrong : maybe).push(id);
  }
  return { wrong, maybe };
}

function tableRow(producer: Producer): string {
  const { wrong, maybe } = wrongOf(producer);
  const classes = Object.keys(producer.says).length;
  const words = [
    `${wrong.length} of ${classes} wrong${wrong.length > 0 ? ` (${wrong.join(', ')})` : ''}`,
    ...(maybe.length > 0 ? [`perhaps: ${maybe.join(', ')}`] : []),
  ];
  return `${producer.id.padEnd(20)}${words.join('; ')}`;
}

export const MAP_INFO_RULE = rule({
  id: 'platform/map-info',
  room: 'vmm',
  title: 'Who makes up map_info, and how often it is wrong',
  text:
    'No interface tells a renderer how its driver maps memory, so that each guesses. Wrong means: cached ' +
    'for memory that the host maps otherwise, or not cached for memory that it caches. "Perhaps" depends ' +
    'on the buffer, or on whether the GPU snoops.',
  table: Object.values(PRODUCERS).map(tableRow).join('\n'),
  sources: ['virgl/vkr', 'virgl/vrend', 'virgl/gbm', 'virgl/amdgpu', 'virgl/i915', 'gfxstream/vk'],
});
