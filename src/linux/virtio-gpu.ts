import { rule } from '../cite/rule.ts';
import type { PatType } from '../x86/types.ts';

/** VIRTIO_GPU_MAP_CACHE_*: none 0, cached 1, uncached 2, wc 3. */
export type VirtioGpuMapInfo = 'none' | 'cached' | 'uncached' | 'wc';

rule({
  id: 'linux/virtio-gpu',
  room: 'guest',
  title: 'map_info becomes the type of a host blob in the guest (virtio_gpu_vram_mmap)',
  text:
    'WC becomes pgprot_writecombine, UNCACHED pgprot_noncached (UC-); CACHED, NONE and every other value ' +
    'stay WB. The specification says nothing of what a driver must do with the value.',
  sources: ['linux/virtgpu_vram', 'virtio/blob'],
});

/** The type that the Linux virtio-gpu driver asks for. Source: `virtio_gpu_vram_mmap`. */
export function requestOfMapInfo(mapInfo: VirtioGpuMapInfo): PatType {
  if (mapInfo === 'wc') return 'WC';
  return mapInfo === 'uncached' ? 'UC-' : 'WB';
}
