import { describe, expect, test } from 'vitest';
import {
  asQemu,
  changed,
  codesOf,
  examine,
  load,
  regionNamed,
  typesOf,
} from '../../../test/hosts.ts';
import { TYPE_CODE } from '../../x86/types.ts';
import { doctorExitCode } from './diagnose.ts';

const SELF_SNOOP = load('ept-6.12-self-snoop');
const NPT = load('npt-6.12');

describe('against what the KVM of the machine did', () => {
  const names = ['npt-6.12', 'ept-6.12-self-snoop', 'ept-6.12-no-self-snoop', 'ept-6.1'];
  test.each(names)('%s: MMIO and leaf of every region', async (name) => {
    const host = load(name);
    const { vms } = await examine(asQemu(host));
    const regions = vms.flatMap((vm) => vm.regions);
    const compared = regions.flatMap(({ region, answers }) => {
      const truth = host.truth?.[region.start];
      if (truth === undefined) return [];
      for (const { leaf, isMmio } of answers) {
        expect({ [truth.region]: isMmio }).toEqual({ [truth.region]: truth.isMmio });
        if (leaf?.paging === 'ept') {
          expect({ [truth.region]: [TYPE_CODE[leaf.ept.memtype], leaf.ept.ipat] }).toEqual({
            [truth.region]: [truth.memtype, truth.ipat],
          });
        } else {
          expect({ [truth.region]: leaf }).toEqual({
            [truth.region]: { paging: 'npt', hostPat: 'WB', gPat: 'guest' },
          });
          expect(truth.patBits).toBe(0);
        }
      }
      return [truth.region];
    });
    expect(compared.length).toBeGreaterThanOrEqual(10);
    expect(compared).toContain('drm_vgem');
    expect(compared).toContain('devmem_rsv_sync');
  });
});

describe('an AMD host with NPT, 6.12', () => {
  test('the guest PAT is honoured, and nothing is wrong with what is mapped', async () => {
    const d = await examine(NPT);
    expect(d.facts.kvm.paging).toMatchObject({ known: true, value: 'npt' });
    expect(d.policy).toMatchObject({ word: 'after', subject: 'Linux 6.12.113+deb12-amd64' });
    expect(d.policy.rules?.map((r) => [r.vmx.id, r.svm.id])).toEqual([['E11', 'S3']]);
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WC+ UC->CD UC>CD WT>WT WP>WP');
    expect(typesOf(regionNamed(d, 'BAR 0 of 0000:00:02.0'))).toBe(
      'WB>UC WC>WC UC->UC UC>UC WT>UC WP>UC',
    );
    expect(codesOf(d).filter((c) => !c.endsWith('?'))).toEqual([]);
  });

  test('VFIO behind VT-d without snoop control makes the VM non-coherent', async () => {
    const [vm] = (await examine(NPT)).vms;
    expect(vm?.vm.devices).toMatchObject([
      { name: '0000:00:03.0', kind: 'pci', unit: 'dmar0', snoop: { known: true, value: false } },
    ]);
    expect(vm?.coherency).toMatchObject({ noncoherent: [true], mayNotSnoop: [true] });
  });

  test('a BAR is typed by what the tracker has for its address', async () => {
    const d = await examine(NPT);
    const bars = d.vms.flatMap((vm) => vm.regions).filter((r) => r.region.name.startsWith('BAR'));
    const classes = bars.map(({ region }) => `${region.name.slice(0, 21)} ${region.backings}`);
    expect(classes).toEqual([
      'BAR 3 of a device ass bar',
      'BAR 1 of a device ass bar',
      'BAR 0 of a device ass bar',
      'BAR 0 of 0000:00:01.0 bar-wc',
      'BAR 0 of 0000:00:01.0 bar',
      'BAR 2 of 0000:00:02.0 bar',
      'BAR 2 of 0000:00:02.0 bar-wc',
      'BAR 2 of 0000:00:01.0 bar',
      'BAR 0 of 0000:00:02.0 bar',
    ]);
  });

  test('resource2_wc over an older UC- reservation is UC-: the list, not the file name', async () => {
    const d = await examine(NPT);
    const conflict = d.vms
      .flatMap((vm) => vm.regions)
      .find((r) => r.region.start === '0x7f70c7d80000');
    expect(conflict?.region.backings).toEqual(['bar']);
  });
});

describe('an Intel host with EPT, 6.12', () => {
  test('with self-snoop and QEMU as it is by default: forced WB, and the way out', async () => {
    const d = await examine(asQemu(SELF_SNOOP));
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WB UC->WB UC>WB WT>WB WP>WB');
    expect(codesOf(d)).toContain('MT201?');
    const forced = d.findings.find((f) => f.code === 'MT201');
    expect(forced?.fix).toContain('honor-guest-pat=on');
    expect(doctorExitCode(d)).toBe(1);
    expect(d.findings.find((f) => f.code === 'MT401')).toMatchObject({
      certain: true,
      places: ['VM 100: physical memory at 0xa0000 through /dev/mem (VGA)'],
    });
  });

  test('with honor-guest-pat=on the guest has its own type', async () => {
    const d = await examine(asQemu(SELF_SNOOP, '-accel', 'kvm,honor-guest-pat=on'));
    const first = await examine(
      changed(asQemu(SELF_SNOOP), {
        files: { '/proc/100/cmdline': 'qemu\0-accel\0kvm,honor-guest-pat=on\0' },
      }),
    );
    expect(typesOf(regionNamed(first, 'vgem'))).toBe('WB>WB WC>WC UC->UC UC>UC WT>WT WP>WP');
    expect(codesOf(first)).not.toContain('MT201?');
    expect(d.vms[0]?.quirk).toEqual(['on']);
  });

  test('another VMM may have disabled the quirk: both answers, never one', async () => {
    const d = await examine(SELF_SNOOP);
    expect(d.vms[0]?.quirk).toEqual(['on', 'off']);
    expect(typesOf(regionNamed(d, 'vgem'))).toBe(
      'WB>WB WC>WC|WB UC->UC|WB UC>UC|WB WT>WT|WB WP>WP|WB',
    );
    expect(doctorExitCode(d)).toBe(3);
  });

  test('without self-snoop: no way out, and aliases', async () => {
    const d = await examine(load('ept-6.12-no-self-snoop'));
    expect(d.facts.cpu).toMatchObject({ value: { family: 6, model: 42, usableSelfSnoop: false } });
    expect(d.policy.word).toBe('after');
    expect(d.vms[0]?.quirk).toEqual(['on']);
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WB UC->WB UC>WB WT>WB WP>WB');
    expect(regionNamed(d, 'vgem').answers[1]?.withVmm).toEqual({ code: 'MT103', certain: true });
    expect(codesOf(d)).toEqual(expect.arrayContaining(['MT103?', 'MT606', 'MT201?']));
    expect(d.findings.find((f) => f.code === 'MT201')?.fix).toContain('no self-snoop');
  });

  test('before the quirk: upgrade', async () => {
    const d = await examine(load('ept-6.1'));
    expect(d.policy.rules?.every((r) => !r.hasPatQuirk)).toBe(true);
    expect(d.policy.how).toContain('/proc/version: made from 6.1.192');
    expect(d.findings.find((f) => f.code === 'MT201')?.fix).toContain('exists from 6.16 on');
  });
});

const GPU_HOST = changed(SELF_SNOOP, {
  links: { '/sys/class/drm/card0/device/driver': '../../../bus/pci/drivers/amdgpu' },
});
const BLOB = ['-device', '{"driver":"virtio-vga-gl","blob":true,"hostmem":4294967296,"id":"v0"}'];

describe('virtio-gpu host blobs', () => {
  test('none mapped yet: the window that the options open is examined', async () => {
    const maps = 'Size: 0 kB\n7f0000000000-7f0020000000 rw-p 00000000 00:00 0\n';
    const files = { '/proc/100/maps': maps.slice(11), '/proc/100/smaps': { error: 'EIO' } };
    const d = await examine(changed(asQemu(GPU_HOST, '-m', '512', ...BLOB), { files }));
    const window = regionNamed(d, 'host blobs of virtio-vga-gl');
    expect(window).toMatchObject({
      prospective: true,
      region: { size: 2 ** 32, backings: ['memfd', 'ttm-cached', 'ttm-wc', 'bar-wc'] },
    });
    const stale = d.findings.find((f) => f.code === 'MT101');
    expect(stale).toMatchObject({
      certain: false,
      when: 'it is guest memory; backed by ttm-wc',
      given: 'the guest asks WC, as is usual for such memory',
    });
    expect(stale?.fix).toContain('honor-guest-pat=on');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('buffers of amdgpu: three classes, each with its own expectation', async () => {
    const d = await examine(asQemu(GPU_HOST));
    const { region } = regionNamed(d, 'amdgpu');
    expect(region.backings).toEqual(['ttm-cached', 'ttm-wc', 'bar-wc']);
    expect(region.isGuestMemory).toBe('perhaps');
    expect(codesOf(d)).toContain('MT101?');
  });

  test('up to 6.12 such pages may be refused', async () => {
    expect(codesOf(await examine(asQemu(GPU_HOST)))).toContain('MT501?');
  });
});

describe('assigned devices', () => {
  const vfio = {
    '/proc/100/fd/8': '/dev/vfio/2',
    '/sys/kernel/iommu_groups/2/devices/0000:00:03.0': 'x',
    '/sys/bus/pci/devices/0000:00:03.0/iommu': '../../virtual/iommu/dmar0',
    '/sys/bus/pci/devices/0000:00:03.0/driver': '../../bus/pci/drivers/vfio-pci',
  };
  const ecap = (value: string) => ({ '/sys/class/iommu/dmar0/intel-iommu/ecap': value });
  const told = { '/proc/100/fd/9': 'anon_inode:kvm-vfio' };

  test('VFIO without kvm-vfio, and nothing that makes it snoop', async () => {
    const d = await examine(changed(asQemu(SELF_SNOOP), { links: vfio, files: ecap('f00f4a\n') }));
    expect(d.findings.find((f) => f.code === 'MT601')).toMatchObject({
      certain: true,
      severity: 'warning',
      places: ['VM 100'],
    });
    expect(d.vms[0]?.coherency.noncoherent).toEqual([false]);
  });

  test('with snoop control it does not matter', async () => {
    const d = await examine(changed(asQemu(SELF_SNOOP), { links: vfio, files: ecap('f00fca\n') }));
    expect(codesOf(d)).not.toContain('MT601');
  });

  test('an ECAP that cannot be read: perhaps', async () => {
    const d = await examine(changed(asQemu(SELF_SNOOP), { links: vfio, files: ecap('junk') }));
    expect(codesOf(d)).toContain('MT601?');
    expect(d.unknowns.map((u) => u.what)).toContain(
      'VM 100: whether 0000:00:03.0 is made to snoop',
    );
  });

  test('KVM told: the whole VM is non-coherent, and honours the guest PAT', async () => {
    const links = { ...vfio, ...told };
    const d = await examine(changed(asQemu(SELF_SNOOP), { links, files: ecap('29a00f0505e\n') }));
    expect(codesOf(d)).toContain('MT602');
    expect(typesOf(regionNamed(d, 'vgem'))).toBe('WB>WB WC>WC UC->UC UC>UC WT>WT WP>WP');
  });

  test('up to 6.10 the guest MTRRs count, which nobody outside knows', async () => {
    const links = { ...vfio, ...told };
    const old = changed(load('ept-6.1'), { links, files: ecap('f00f4a\n') });
    const d = await examine(old);
    expect(regionNamed(d, 'vgem').answers[0]).toMatchObject({
      asks: 'WB',
      types: ['UC', 'WC', 'WT', 'WP', 'WB'],
      unknown: ['guest-mtrr'],
    });
    expect(d.findings.find((f) => f.code === 'MT602')?.text).toContain('guest MTRRs');
  });

  test('a mediated device has no IOMMU: non-coherent from 6.2 on', async () => {
    const links = {
      ...told,
      '/proc/100/fd/8': '/dev/vfio/7',
      '/sys/kernel/iommu_groups/7/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001': 'x',
    };
    const d = await examine(changed(asQemu(SELF_SNOOP), { links }));
    expect(d.vms[0]?.vm.devices[0]).toMatchObject({ kind: 'mdev' });
    expect(codesOf(d)).toEqual(expect.arrayContaining(['MT602', 'MT603']));
    const before = await examine(changed(load('ept-6.1'), { links }));
    expect(codesOf(before)).not.toContain('MT603');
  });

  test('shadow paging: a buffer for a device that does not snoop cannot be WC', async () => {
    const paging = { '/sys/module/kvm_intel/parameters/ept': 'N\n', ...ecap('f00f4a\n') };
    const maps =
      '7f0000000000-7f0020000000 rw-s 00000000 00:01 9    /memfd:memory-backend-memfd (deleted)\n';
    const files = { ...paging, '/proc/100/maps': maps, '/proc/100/smaps': { error: 'EIO' } };
    const links = { ...vfio, ...told };
    const d = await examine(changed(asQemu(SELF_SNOOP), { links, files }));
    expect(d.findings.find((f) => f.code === 'MT101')).toMatchObject({
      certain: false,
      given: 'the guest asks WC for buffers of 0000:00:03.0',
      when: '0000:00:03.0 really reads or writes past the caches',
    });
    expect(doctorExitCode(d)).toBe(3);
  });

  test('6.1, AMD CPU, NPT, VT-d without snoop control: honoured, nothing wrong', async () => {
    const d = await examine(load('vfio-no-snoop-control-6.1'));
    expect(d.policy).toMatchObject({ word: 'before' });
    expect(d.policy.rules?.map((r) => r.noncoherent.id)).toEqual(['enforced-domain']);
    expect(d.vms[0]?.coherency.noncoherent).toEqual([true]);
    expect(d.findings.filter((f) => f.severity !== 'info')).toEqual([]);
    // It is itself a guest: the hypervisor below decides last.
    expect(doctorExitCode(d)).toBe(3);
  });
});

describe('why a VM is coherent or not', () => {
  const links = (unit: string) => ({
    '/proc/100/fd/8': '/dev/vfio/2',
    '/proc/100/fd/9': 'anon_inode:kvm-vfio',
    '/sys/kernel/iommu_groups/2/devices/0000:00:03.0': 'x',
    '/sys/bus/pci/devices/0000:00:03.0/iommu': `../../virtual/iommu/${unit}`,
    '/sys/bus/pci/devices/0000:00:03.0/driver': '../../bus/pci/drivers/vfio-pci',
  });

  test('up to 5.18 by any unit, which is named', async () => {
    const files = {
      '/sys/class/iommu/dmar0/intel-iommu/ecap': 'f00fca\n',
      '/sys/class/iommu/dmar1/intel-iommu/ecap': 'f00f4a\n',
    };
    const change = { links: links('dmar0'), files, release: '5.15.100', kvm: { api: 12, 213: 0 } };
    const host = changed(SELF_SNOOP, { ...change });
    const d = await examine(changed(host, { files: { '/proc/version': '' } }));
    expect(d.vms[0]?.coherency.why).toContain('dmar1 has no snoop control');
  });

  test('AMD: what KVM believes is not what the hardware does', async () => {
    const host = changed(NPT, {
      links: { ...links('ivhd0'), '/sys/class/iommu/ivhd0/device': 'x' },
    });
    const [vm] = (await examine(host)).vms;
    expect(vm?.coherency).toMatchObject({ noncoherent: [false], mayNotSnoop: [true, false] });
    expect(vm?.coherency.why).toContain('AMD-Vi');
  });
});
