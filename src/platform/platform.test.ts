import { describe, expect, test } from 'vitest';
import { BACKINGS } from '../linux/backing.ts';
import { GUEST_DRIVERS } from '../linux/guest-drivers.ts';
import { requestOfMapInfo } from '../linux/virtio-gpu.ts';
import { MTRR_PLANS, overriddenMtrr } from './firmware.ts';
import { gpuAccess, gpuBackings } from './gpu-drivers.ts';
import { MAP_INFO_RULE, mayBeCached, PRODUCERS, saysCached } from './map-info.ts';
import { quirkRequest, VMMS, wantsSlotFlag } from './vmm.ts';

describe('MTRR plans', () => {
  test('RAM is WB wherever somebody programs the MTRRs', () => {
    for (const plan of Object.values(MTRR_PLANS)) {
      expect([plan.id, plan.over.ram]).toEqual([plan.id, plan.id === 'none' ? 'UC' : 'WB']);
    }
  });

  test('only the OVMF of before makes the hostmem BAR UC', () => {
    const uc = Object.values(MTRR_PLANS).filter((p) => p.over['hostmem-bar'] !== 'WB');
    expect(uc.map((p) => p.id)).toEqual(['ovmf', 'none']);
  });

  test('a confidential guest has WB RAM and a UC hole', () => {
    expect(overriddenMtrr('ram')).toEqual(['WB']);
    expect(overriddenMtrr('low-bar')).toEqual(['UC', 'WB']);
    expect(overriddenMtrr('hostmem-bar')).toEqual(['WB']);
  });
});

describe('VMMs', () => {
  test('only QEMU 11 can disable the quirk; "on" refuses where "auto" goes on', () => {
    const able = Object.values(VMMS).filter((v) => v.quirk !== 'never');
    expect(able.map((v) => v.id)).toEqual(['qemu-11']);
    const request = (honour: 'on' | 'off' | 'auto', offered: boolean) =>
      quirkRequest(VMMS['qemu-11'], honour, () => offered);
    expect([request('on', true), request('on', false)]).toEqual(['disables', 'refuses']);
    expect([request('auto', true), request('auto', false)]).toEqual(['disables', 'leaves']);
    expect([request('off', true), request('off', false)]).toEqual(['leaves', 'leaves']);
  });

  test('crosvm flags what is not CACHED, NONE too', () => {
    const flags = (['none', 'cached', 'uncached', 'wc'] as const).filter((m) =>
      wantsSlotFlag(VMMS['crosvm-noncoherent-dma'], m, null),
    );
    expect(flags).toEqual(['none', 'uncached', 'wc']);
    expect(wantsSlotFlag(VMMS.crosvm, 'wc', null)).toBe(false);
  });

  test('the flag of a fixed window: of its first blob, later always', () => {
    const pairs = [
      ['wc', 'cached'],
      ['cached', 'wc'],
      ['cached', 'cached'],
    ] as const;
    const wants = (id: keyof typeof VMMS): boolean[] =>
      pairs.map(([own, first]) => wantsSlotFlag(VMMS[id], own, first));
    expect(wants('crosvm-noncoherent-dma')).toEqual([false, true, false]);
    expect(wants('crosvm-noncoherent-dma-retry')).toEqual([true, true, true]);
    expect(wants('crosvm')).toEqual([false, false, false]);
  });
});

describe('map_info', () => {
  test('becomes the request of the virtio-gpu driver', () => {
    const asks = (['none', 'cached', 'uncached', 'wc'] as const).map(requestOfMapInfo);
    expect(asks).toEqual(['WB', 'WB', 'UC-', 'WC']);
  });

  test('cached memory may be cached, WC and device memory may not, i915 depends on the GPU', () => {
    const answers = Object.fromEntries(BACKINGS.map((b) => [b.id, mayBeCached(b.page, null)]));
    expect(answers).toMatchObject({
      memfd: true,
      'ttm-cached': true,
      'ttm-wc': false,
      'xe-wc': false,
      'i915-wc': false,
      'i915-dmabuf': null,
      'bar-wc': false,
    });
    const i915 = BACKINGS.find((b) => b.id === 'i915-dmabuf')?.page ?? BACKINGS[0].page;
    expect([mayBeCached(i915, true), mayBeCached(i915, false)]).toEqual([true, false]);
  });

  test('those who look at the buffer are never surely wrong; those who look at a name are', () => {
    const wrong = (id: keyof typeof PRODUCERS): string[] =>
      BACKINGS.flatMap(({ id: backing, page }) => {
        const said = PRODUCERS[id].says[backing];
        const right = mayBeCached(page, null);
        const off = said?.every((m) => right !== null && saysCached(m) !== right) === true;
        return off ? [backing] : [];
      });
    expect(wrong('venus')).toEqual([]);
    expect(wrong('amdgpu-native')).toEqual([]);
    expect(wrong('amdgpu-native-2023')).toEqual(['ttm-cached']);
    expect(wrong('vrend-amd')).toEqual(['ttm-cached']);
    expect(wrong('vrend-intel')).toEqual(['xe-wc', 'bar-wc']);
    expect(MAP_INFO_RULE.table).toContain('vrend-amd           1 of 3 wrong (ttm-cached)');
  });

  test('gfxstream may answer NONE for all it exports; the amdgpu native context WC for cached GTT', () => {
    const says = Object.entries(PRODUCERS.gfxstream.says);
    expect(says.filter(([, said]) => !said.includes('none'))).toEqual([]);
    expect(PRODUCERS['amdgpu-native'].says['ttm-cached']).toEqual(['cached', 'wc']);
  });

  test('every driver but virtio-gpu asks for a type of its own', () => {
    const deaf = Object.entries(GUEST_DRIVERS).filter(([, d]) => d.asks !== null);
    expect(deaf.map(([id]) => id)).not.toContain('virtgpu');
    expect(deaf).toHaveLength(Object.keys(GUEST_DRIVERS).length - 1);
  });
});

describe('GPU drivers', () => {
  test('what several drivers make counts only where they agree', () => {
    expect(gpuAccess('ttm-cached')).toBe('snoop');
    expect(gpuAccess('ttm-wc')).toBe('nosnoop');
    expect(gpuAccess('ttm-uc')).toBeNull();
    expect(gpuAccess('i915-dmabuf')).toBeNull();
    expect(['ram', 'memfd', 'bar', 'dax'].map((id) => gpuAccess(id as 'ram'))).toEqual(
      Array.from({ length: 4 }, () => 'none'),
    );
  });

  test('a driver that was not looked into may map any of the usual classes', () => {
    expect(gpuBackings('amdgpu')).toEqual(['ttm-cached', 'ttm-wc', 'bar-wc']);
    expect(gpuBackings('panthor')).toEqual(gpuBackings(null));
    expect(gpuBackings('constructor')).toEqual(gpuBackings(null));
  });
});
