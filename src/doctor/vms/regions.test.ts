import { describe, expect, test } from 'vitest';
import { parseMaps } from '../../linux/text/maps.ts';
import { known } from '../fact.ts';
import { groupMappings, guestMappings, type RegionContext } from './regions.ts';
import type { Region } from './vm-facts.ts';

const NOTHING: RegionContext = {
  sizes: [],
  sizesAreAll: true,
  memoryPaths: [],
  isQemu: false,
  hugetlbMounts: [],
  memfds: [],
  gpuDriver: () => null,
  gpuDrivers: [],
  amdgpuBuffers: null,
  amdgpuExport: () => null,
  exporter: () => null,
  bar: () => ({ backings: ['bar', 'bar-wc'], page: {} }),
  devmem: () => ({ backings: ['bar'], page: {} }),
  vfioBar: () => null,
};
const SAMPLE = known({ memtype: 'WB', possible: ['WB'], reserved: false } as const, 'test');

function regions(text: string, context: Partial<RegionContext> = {}): readonly Region[] {
  const { vmas } = parseMaps(text, 'maps').value;
  return groupMappings(guestMappings(vmas, { ...NOTHING, ...context }), () => SAMPLE);
}

/** "KIND CERTAINTY SIZE/MAPPINGS: backings" of each region. */
function words(text: string, context: Partial<RegionContext> = {}): readonly string[] {
  return regions(text, context).map(
    (r) => `${r.kind} ${r.isGuestMemory} ${r.size / 2 ** 20}M/${r.mappings}: ${r.backings}`,
  );
}

const MEMFD =
  '7f9c2bfff000-7f9cebfff000 rw-s 00000000 00:01 249                        /memfd:memory-backend-memfd (deleted)\n';
const RAM_512M = '7f0000000000-7f0020000000 rw-p 00000000 00:00 0 \n';

describe('what is guest memory', () => {
  test('a memfd of QEMU, by its name', () => {
    expect(words(MEMFD)).toEqual(['memfd named 3072M/1: memfd']);
  });

  test('anonymous memory exactly as large as -m', () => {
    expect(words(RAM_512M, { sizes: [2 ** 29], isQemu: true })).toEqual([
      'anonymous size 512M/1: ram',
    ]);
    expect(words(RAM_512M, { sizes: [2 ** 30], isQemu: true })).toEqual([]);
  });

  test('pieces that the kernel split are joined', () => {
    const split =
      '7f0000000000-7f0010000000 rw-p 00000000 00:00 0 \n7f0010000000-7f0020000000 rw-p 00000000 00:00 0 \n';
    expect(words(split, { sizes: [2 ** 29], isQemu: true })).toEqual([
      'anonymous size 512M/1: ram',
    ]);
  });

  test('a block of QEMU with its guard page, but no thread stack and no heap', () => {
    const video = '7f0000000000-7f0001000000 rw-p 00000000 00:00 0 \n';
    const guard = '7f0001000000-7f0001001000 ---p 00000000 00:00 0 \n';
    expect(words(video + guard, { sizes: [2 ** 29], isQemu: true })).toEqual([
      'anonymous size 16M/1: ram',
    ]);
    expect(words(video, { sizes: [2 ** 29], isQemu: true })).toEqual([]);
  });

  test('of a VMM that says nothing: perhaps', () => {
    expect(words(RAM_512M)).toEqual(['anonymous perhaps 512M/1: ram']);
    expect(words('7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n')).toEqual([]);
  });

  test('hugetlbfs, shared memory, DAX, files', () => {
    const map = (path: string): string =>
      `7f0000000000-7f0040000000 rw-s 00000000 00:0f 5                          ${path}\n`;
    expect(words(map('/dev/hugepages/vm/pc.ram'), { hugetlbMounts: ['/dev/hugepages'] })).toEqual([
      'hugetlb perhaps 1024M/1: hugetlb',
    ]);
    expect(words(map('/dev/shm/ram'))).toEqual(['shm perhaps 1024M/1: memfd']);
    expect(words(map('/dev/dax0.0'))).toEqual(['dax perhaps 1024M/1: dax']);
    expect(words(map('/srv/ram.img'), { memoryPaths: ['/srv/ram.img'] })).toEqual([
      'file named 1024M/1: ram,dax',
    ]);
  });

  test('libraries, the heap, stacks and vCPU pages are not', () => {
    const text =
      '564280c7b000-564281c62000 rw-p 00000000 00:00 0                          [heap]\n' +
      '7f0000000000-7f0004000000 r-xp 00000000 08:01 9                          /usr/lib/libc.so.6\n' +
      '7f924c0000-7f924c3000 rw-s 00000000 00:10 20                         anon_inode:kvm-vcpu:0\n' +
      '7fffd704b000-7fffd706c000 rw-p 00000000 00:00 0                          [stack]\n';
    expect(words(text, { isQemu: true })).toEqual([]);
  });
});

describe('device memory', () => {
  const map = (path: string, offset = '00000000', inode = '5'): string =>
    `7f0000000000-7f0000100000 rw-s ${offset} 00:0f ${inode}                          ${path}\n`;

  test('VFIO BARs: the region index is in bits 40 and up of the offset', () => {
    const asked: (number | null)[] = [];
    const [bar] = regions(map('anon_inode:[vfio-device]', '30000000000'), {
      vfioBar: (n) => {
        asked.push(n);
        return 0xfebd0000;
      },
      bar: (address) => {
        asked.push(address);
        return { backings: ['bar'], page: {} };
      },
    });
    expect(bar?.name).toBe('BAR 3 of a device assigned through VFIO');
    expect(asked).toEqual([3, 0xfebd0000]);
  });

  test('a VFIO region above 5 is no BAR, and has no address', () => {
    const [region] = regions(map('anon_inode:[vfio-device]', '90000000000'), {
      vfioBar: () => 0xfebd0000,
      bar: (address) => ({ backings: address === null ? ['bar', 'bar-wc'] : ['bar'], page: {} }),
    });
    expect(region?.name).toBe('region 9 of a device assigned through VFIO');
    expect(region?.backings).toEqual(['bar', 'bar-wc']);
  });

  test.each([
    ['amdgpu', 'ttm-cached,ttm-wc,bar-wc'],
    ['i915', 'i915-wc,i915-dmabuf,bar-wc'],
    ['vgem', 'vgem-wc'],
    [null, 'ttm-cached,ttm-wc,ttm-uc,vgem-wc,bar-wc'],
  ])('GPU buffers of %s', (driver, backings) => {
    expect(words(map('/dev/dri/renderD128'), { gpuDriver: () => driver })).toEqual([
      `gpu perhaps 1M/1: ${backings}`,
    ]);
  });

  test('a dma-buf, by who exported it', () => {
    const exporter = (inode: string): string | null => ({ 5: 'udmabuf', 6: 'drm' })[inode] ?? null;
    const c = { exporter, gpuDrivers: ['xe'] };
    expect(words(map('/dmabuf:', '0', '5'), c)).toEqual(['dma-buf perhaps 1M/1: memfd']);
    expect(words(map('/dmabuf:', '0', '6'), c)).toEqual([
      'dma-buf perhaps 1M/1: ttm-cached,xe-wc,bar-wc',
    ]);
    expect(words(map('/dmabuf:', '0', '7'), c)[0]).toContain(
      'ttm-wc,ttm-uc,vgem-wc,bar-wc,memfd,bar',
    );
  });

  test('hundreds of mappings alike are one region', () => {
    const many = Array.from({ length: 300 }, (_, i) => {
      const start = (0x7f0000000000 + i * 0x2000).toString(16);
      const end = (0x7f0000001000 + i * 0x2000).toString(16);
      return `${start}-${end} rw-s 00000000 00:0f 5                          /dev/dri/renderD128\n`;
    }).join('');
    const [region, other] = regions(many);
    expect([region?.mappings, region?.size, other]).toEqual([300, 300 * 4096, undefined]);
  });
});
