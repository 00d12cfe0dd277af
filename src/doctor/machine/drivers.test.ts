import { describe, expect, test } from 'vitest';
import { changed, examine, load, regionNamed } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import { coherencyOf } from '../diagnosis/coherency.ts';
import { ifKnown } from '../fact.ts';

const HOST = load('ept-6.12-self-snoop');

// ---- amdgpu -----------------------------------------------------------------------------------

const GEM = '/sys/kernel/debug/dri/0/amdgpu_gem_info';

function client(pid: number, ...buffers: readonly string[]): string {
  const lines = buffers.map((words, i) => `\t\t0x0000000${i + 1}:      2097152 byte ${words}\n`);
  return `pid ${String(pid).padStart(8)} command qemu-system-x86:\n${lines.join('')}`;
}

/** The test VMM with one mapping of an AMD GPU; `gem` is the text of amdgpu_gem_info. */
function amd(
  gem: string | null,
  line = '/dev/dri/renderD128',
  extra: object = {},
): HostDescription {
  const maps = `7f8801600000-7f8801800000 rw-s 1003e8000 00:05 31338                       ${line}\n`;
  return changed(HOST, {
    links: {
      '/sys/class/drm/card0/device': '../../../0000:03:00.0',
      '/sys/class/drm/card0/device/driver': '../../../bus/pci/drivers/amdgpu',
      '/sys/class/drm/renderD128/device/driver': '../../../bus/pci/drivers/amdgpu',
      '/proc/100/fd/6': '/dev/dri/renderD128',
      ...extra,
    },
    files: {
      '/sys/class/drm/card0/device/vendor': '0x1002\n',
      '/sys/class/drm/card0/device/device': '0x73bf\n',
      '/sys/class/drm/card0/device/class': '0x030000\n',
      '/sys/class/drm/card0/device/boot_vga': '1\n',
      '/proc/100/maps': maps,
      '/proc/100/smaps': { error: 'EIO' },
      [GEM]: gem,
    },
  });
}

describe('the buffers of amdgpu', () => {
  const backings = async (host: HostDescription, part: string) =>
    regionNamed(await examine(host), part).region.backings;

  test.each([
    ['GTT CPU_GTT_USWC', ['ttm-wc']],
    ['GTT', ['ttm-cached']],
    ['VRAM VISIBLE CPU_ACCESS_REQUIRED', ['bar-wc']],
    ['VRAM CPU_GTT_USWC', ['ttm-wc', 'bar-wc']],
    ['VRAM NO_CPU_ACCESS', ['ttm-cached', 'ttm-wc', 'bar-wc']],
    ['GTT imported from ino:7', ['ttm-cached', 'ttm-wc', 'bar-wc']],
  ])('"%s" is %j', async (words, expected) => {
    expect(await backings(amd(client(100, words)), 'amdgpu')).toEqual(expected);
  });

  test('of another process tell nothing', async () => {
    expect(await backings(amd(client(99, 'GTT')), 'amdgpu')).toEqual([
      'ttm-cached',
      'ttm-wc',
      'bar-wc',
    ]);
  });

  test('that a render server exported are found by the inode of the dma-buf', async () => {
    const host = amd(client(99, 'GTT exported as ino:31338 CPU_GTT_USWC'), '/dmabuf:');
    expect(await backings(host, 'dma-buf')).toEqual(['ttm-wc']);
  });

  test('closed to this user: every class, and it is said', async () => {
    const d = await examine(amd(null));
    expect(regionNamed(d, 'amdgpu').region.backings).toHaveLength(3);
    expect(d.unknowns.map((u) => u.what)).toContain('caching of the buffers of amdgpu');
  });
});

test('a GPU is where PCI says', async () => {
  const { gpus } = (await examine(amd(''))).facts;
  const pci = {
    address: '0000:03:00.0',
    vendor: 0x1002,
    device: 0x73bf,
    class: 0x30000,
    bootVga: true,
  };
  expect(ifKnown(gpus)?.[0]?.pci).toEqual({ ...pci, integrated: null });
});

test('an Intel GPU at 00:02.0 is part of the processor', async () => {
  const host = changed(HOST, {
    links: { '/sys/class/drm/card0/device': '../../../0000:00:02.0' },
    files: { '/sys/class/drm/card0/device/vendor': '0x8086\n' },
  });
  expect(ifKnown((await examine(host)).facts.gpus)?.[0]?.pci?.integrated).toBe(true);
});

test('what i915 caches is exported to nobody', async () => {
  const driver = '../../../bus/pci/drivers/i915';
  const links = { '/sys/class/drm/card0/device/driver': driver };
  const d = await examine(changed(amd(null, '/dev/dri/card0', links), { links }));
  expect(d.unknowns.map((u) => u.what)).toContain('how i915 caches its buffers');
});

// ---- TTM and drm shmem ------------------------------------------------------------------------

test.each([
  ['6.8', true],
  ['6.12.113', true],
  ['6.13', false],
  ['7.3.4', false],
])('%s refuses a TTM buffer that the VMM maps: %s', async (release, refuses) => {
  const host = changed(amd(client(100, 'GTT CPU_GTT_USWC')), { release, kvm: null });
  const found = (await examine(host)).findings.find((f) => f.code === 'MT501');
  expect(found !== undefined).toBe(refuses);
  if (refuses) expect(found).toMatchObject({ severity: 'error', certain: false });
});

test.each([
  ['7.0.9', null],
  ['7.1', 'it is guest memory'],
  ['7.3.4', 'it is guest memory'],
  ['7.4', 'this kernel does not fault such pages in for writing; it is guest memory'],
])('the first write to drm shmem on %s', async (release, when) => {
  const { findings } = await examine(changed(HOST, { release }));
  expect(findings.find((f) => f.code === 'MT605')?.when ?? null).toBe(when);
});

// ---- lockdown ---------------------------------------------------------------------------------

test.each([
  ['[none] integrity confidentiality', []],
  ['none [integrity] confidentiality', ['integrity']],
  ['none integrity [confidentiality]', ['confidentiality', 'tracefs']],
])('lockdown "%s"', async (text, words) => {
  const d = await examine(
    changed(HOST, { files: { '/sys/kernel/security/lockdown': `${text}\n` } }),
  );
  const item = d.unknowns.find((u) => u.what === 'what kernel lockdown hides');
  expect(item !== undefined).toBe(words.length > 0);
  for (const word of words) expect(item?.why).toContain(word);
});

// ---- IOMMU units ------------------------------------------------------------------------------

/** Two real machines in QEMU: what sysfs says, and the answer of VFIO_DMA_CC_IOMMU there. */
const UNITS = [
  {
    name: 'VT-d without snoop control, 6.1',
    release: '6.1.0-56-amd64',
    unit: 'dmar0',
    files: { '/sys/class/iommu/dmar0/intel-iommu/ecap': 'f00f4a\n' },
    snoops: false,
    dmaCc: 0,
  },
  {
    name: 'AMD-Vi, 6.12',
    release: '6.12.113+deb12-amd64',
    unit: 'ivhd0',
    files: { '/sys/class/iommu/ivhd0/amd-iommu/cap': '1f03000f\n' },
    snoops: null,
    dmaCc: 1,
  },
] as const;

/** The test VMM with group 2 and the kvm-vfio device, its device behind `unit`. */
function assigned(unit: string, release: string, files: object, device = '0000:00:03.0') {
  const isPci = device.startsWith('0000');
  return changed(HOST, {
    release,
    kvm: { api: 12, 116: 1, 213: 0x7f },
    links: {
      '/proc/100/fd/7': '/dev/vfio/2',
      '/proc/100/fd/8': 'anon_inode:kvm-vfio',
      ...(isPci ? { [`/sys/bus/pci/devices/${device}/iommu`]: `../iommu/${unit}` } : {}),
    },
    directories: {
      '/sys/class/iommu': [unit],
      '/sys/kernel/iommu_groups/2/devices': [device],
      '/sys/devices': ['pci0000:00'],
      '/sys/bus/pci': ['devices'],
    },
    files: { '/proc/version': 'Linux version', ...files },
  });
}

describe('IOMMU units', () => {
  test.each(UNITS)(
    '$name: as VFIO_DMA_CC_IOMMU says',
    async ({ unit, release, files, snoops, dmaCc }) => {
      const { facts, policy, vms } = await examine(assigned(unit, release, files));
      const [found] = ifKnown(facts.iommu) ?? [];
      expect(found?.name).toBe(unit);
      expect(found === undefined ? null : ifKnown(found.snoopControl)).toBe(snoops);
      const [vm] = vms;
      if (vm === undefined) throw new Error('no VM');
      expect(coherencyOf(vm.vm, facts, policy).noncoherent).toEqual([dmaCc === 0]);
    },
  );

  /** 12th or 13th generation Core: the unit of the integrated GPU alone lacks snoop control. */
  const LOG = `DMAR: dmar0: reg_base_addr fed90000 ver 4:0 cap 1c0000c40660462 ecap 29a00f0505e
DMAR: dmar1: reg_base_addr fed91000 ver 5:0 cap d2008c40660462 ecap f050da
DMAR: IOMMU feature sc_support inconsistent
`;

  test('the boot log tells what sysfs does not', async () => {
    const host = {
      ...changed(HOST, { directories: { '/sys/class/iommu': ['dmar0', 'dmar1'] } }),
      log: LOG,
    };
    const units = ifKnown((await examine(host)).facts.iommu) ?? [];
    expect(units.map((u) => ifKnown(u.snoopControl))).toEqual([false, true]);
  });

  test.each([
    ['5.15.150', [false]],
    ['6.1.100', [false]],
    ['6.2', [true]],
    ['6.8.12', [true]],
  ])('a mediated device on %s: non-coherent %j', async (release, expected) => {
    const uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    const files = { '/sys/class/iommu/dmar0/intel-iommu/ecap': 'f00f4a\n' };
    const d = await examine(assigned('dmar0', release, files, uuid));
    const [vm] = d.vms;
    expect(vm?.coherency.noncoherent).toEqual(expected);
    expect(d.findings.some((f) => f.code === 'MT603' && f.certain)).toBe(expected[0] === true);
  });

  test('without kvm-vfio nothing is non-coherent, and that is a finding', async () => {
    const files = { '/sys/class/iommu/dmar0/intel-iommu/ecap': 'f00f4a\n' };
    const host = assigned('dmar0', '6.8', files);
    const d = await examine(changed(host, { links: { '/proc/100/fd/8': '/dev/null' } }));
    expect(d.vms[0]?.coherency.noncoherent).toEqual([false]);
    expect(d.findings.find((f) => f.code === 'MT601')).toMatchObject({
      severity: 'warning',
      certain: true,
    });
  });
});
