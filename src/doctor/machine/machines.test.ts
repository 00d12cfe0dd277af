import { describe, expect, test } from 'vitest';
import {
  asQemu,
  changed,
  codesOf,
  examine,
  load,
  mapping,
  regionNamed,
  typesOf,
} from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import { doctorExitCode } from '../diagnosis/diagnose.ts';

const SELF_SNOOP = load('ept-6.12-self-snoop');
const NPT = load('npt-6.12');
const PVM = load('pvm-6.18');

describe('a KVM-PVM host', () => {
  test('is named plainly: software KVM, shadow paging, every type WB', async () => {
    const d = await examine(PVM);
    expect(d.facts.kvm).toMatchObject({
      flavour: { value: 'kvm_pvm' },
      paging: { value: 'shadow', from: 'kvm_pvm: KVM in software, without EPT or NPT' },
      quirks2: { value: 0x5ff },
    });
    expect(d.policy).toMatchObject({ word: 'after' });
    expect(d.vms).toHaveLength(1);
    expect(d.vms[0]?.regions.map((r) => [r.region.name, r.region.size])).toEqual([
      ['memfd memory-backend-memfd', 2 ** 29],
      ['anonymous memory', 2 ** 24],
    ]);
    for (const region of d.vms[0]?.regions ?? []) {
      expect(typesOf(region)).toBe('WB>WB WC>WB UC->WB UC>WB WT>WB WP>WB');
      expect(region.region.sample).toMatchObject({ known: true, value: { memtype: 'WB' } });
    }
    expect([d.findings, d.undetermined, doctorExitCode(d)]).toEqual([[], [], 0]);
  });

  test('is a guest, too', async () => {
    const { guestSide } = await examine(PVM);
    expect(guestSide?.hosts.map((h) => h.name)).toEqual(['NPT', 'shadow']);
    expect(guestSide?.requests).toEqual([
      { asks: 'WC', types: [['WC+'], ['WB']] },
      { asks: 'UC-', types: [['CD'], ['WB']] },
    ]);
  });

  test('--pid of the VMM, and of another process', async () => {
    expect((await examine(PVM, 317)).vms).toHaveLength(1);
    const other = await examine(PVM, 1);
    expect([other.vms, doctorExitCode(other)]).toEqual([[], 0]);
  });

  test('a page of its RAM that is WC on the host is a finding', async () => {
    const bytes = Object.entries(PVM.bytes ?? {}).map(([key, hex]) =>
      key.startsWith('/proc/kpageflags') ? [key, '2840000040000000'] : [key, hex],
    );
    const d = await examine({ ...PVM, bytes: Object.fromEntries(bytes) });
    expect(codesOf(d)).toEqual(['MT607']);
    expect(doctorExitCode(d)).toBe(1);
  });
});

describe('machines without VMs', () => {
  test('no KVM at all', async () => {
    const d = await examine(load('bare-no-kvm'));
    expect(d.facts.kvm.present).toMatchObject({ known: true, value: false });
    expect([d.findings, d.undetermined, d.vms, d.guestSide]).toEqual([[], [], [], null]);
    expect(doctorExitCode(d)).toBe(0);
  });

  test('a guest booted with nopat', async () => {
    const d = await examine(load('guest-nopat'));
    expect(d.facts.pat).toMatchObject({ value: { enabled: false } });
    expect(d.findings).toMatchObject([{ code: 'MT222', certain: true, severity: 'warning' }]);
    expect(d.guestSide?.requests[0]).toEqual({
      asks: 'WC',
      types: [['WB'], ['UC'], ['UC'], ['WB']],
    });
    expect(doctorExitCode(d)).toBe(1);
  });

  test('a guest with a virtio-gpu: only the host can tell', async () => {
    const gpu = '/sys/bus/virtio/devices/virtio0';
    const files = { [`${gpu}/device`]: '0x0010\n', [`${gpu}/features`]: '0001\n' };
    const d = await examine(changed(PVM, { files, directories: { '/proc': ['1', '2'] } }));
    expect(d.facts.virtioGpus).toMatchObject({ value: [{ name: 'virtio0', blob: true }] });
    expect(doctorExitCode(d)).toBe(3);
  });

  test('somebody holds the KVM module, but his process cannot be seen', async () => {
    const closed = changed(SELF_SNOOP, {
      directories: { '/proc/100/fd': null, '/proc/1/fd': null },
      files: {
        '/proc/1/cmdline': 'init\0',
        '/proc/100/cmdline': 'secret\0',
        '/proc/100/maps': null,
      },
    });
    const d = await examine({ ...closed, links: { ...closed.links, '/proc/100/exe': '/bin/x' } });
    expect(d.undetermined).toEqual([
      'whether a VM runs: 2 of 3 processes could not be looked into (PID 1, 100)',
    ]);
    expect(doctorExitCode(d)).toBe(3);
    const idle = changed(closed, { files: { '/proc/modules': 'kvm_intel 417792 0 - Live 0x0\n' } });
    expect(doctorExitCode(await examine(idle))).toBe(0);
  });

  test('a QEMU of another user is known by its name, and said so', async () => {
    const d = await examine(
      changed(asQemu(SELF_SNOOP), {
        directories: { '/proc/100/fd': null },
        files: { '/proc/100/maps': null, '/proc/100/smaps': null },
      }),
    );
    expect(d.vms).toMatchObject([{ vm: { pid: 100, evidence: 'name', vmm: 'qemu' }, regions: [] }]);
    expect(d.undetermined).toContain('VM 100: whether it is one, and its memory');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('everything denied: all of it unknown, and exit 3', async () => {
    const nothing: HostDescription = {
      uname: { sysname: 'Linux', release: '6.12.0', machine: 'x86_64' },
      files: Object.fromEntries(Object.keys(NPT.files).map((path) => [path, null])),
      links: {},
      directories: { '/proc': null, '/sys/module': null, '/sys/class/iommu': null },
      kvm: null,
      log: null,
    };
    const d = await examine(nothing);
    expect(d.facts.cpu.known).toBe(false);
    expect(d.unknowns.map((u) => u.what)).toEqual(
      expect.arrayContaining(['CPU', 'PAT', 'variable MTRRs', 'which VMs run', 'IOMMU units']),
    );
    expect(d.unknowns.every((u) => u.why !== '' && u.remedy !== '')).toBe(true);
    expect(d.undetermined).toEqual(['whether VMs run: the processes could not be listed']);
    expect(doctorExitCode(d)).toBe(3);
  });
});

describe('nopat on a host', () => {
  test('is a finding, and every reserved page is MMIO', async () => {
    const files = { ...SELF_SNOOP.files, '/proc/cmdline': 'root=/dev/sda nopat' };
    delete (files as Record<string, unknown>)['/sys/kernel/debug/x86/pat_memtype_list'];
    const d = await examine({ ...asQemu(SELF_SNOOP), files, log: '' });
    expect(d.findings.find((f) => f.code === 'MT604')).toMatchObject({ certain: true });
    expect(regionNamed(d, '0xf0000').answers[0]).toMatchObject({ isMmio: true, types: ['UC'] });
  });
});

describe('guest RAM', () => {
  const file = '7f0000000000-7f0020000000 rw-p 00000000 08:01 9    /srv/ram.img';
  const backend = 'memory-backend-file,id=m,size=512M,mem-path=/srv/ram.img';

  test('a private mapping of the file counts', async () => {
    const d = await examine(mapping(SELF_SNOOP, file, '-m', '512', '-object', backend));
    expect(regionNamed(d, 'a private mapping of a file').region.isGuestMemory).toBe('named');
    const bySize = await examine(mapping(SELF_SNOOP, file, '-m', '512'));
    expect(regionNamed(bySize, 'private').region.isGuestMemory).toBe('size');
  });

  test('RAM that is in no mapping is said, and left open', async () => {
    const d = await examine(mapping(SELF_SNOOP, file, '-m', '8G'));
    expect(d.vms[0]?.vm.missingRam).toEqual([2 ** 33]);
    expect(d.undetermined.join()).toContain('RAM of 8192 MiB');
    expect(d.unknowns.map((u) => u.what)).toContain('VM 100: its RAM of 8192 MiB');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('-readconfig: unknown, and no default', async () => {
    const d = await examine(mapping(SELF_SNOOP, file, '-readconfig', '/vm.cfg'));
    expect(d.vms[0]?.vm.options.known).toBe(false);
    expect([d.vms[0]?.quirk, d.vms[0]?.vm.missingRam]).toEqual([['on', 'off'], []]);
  });

  test('a TDX guest has the quirk disabled from birth', async () => {
    const options = ['-object', 'tdx-guest,id=t', '-machine', 'q35,confidential-guest-support=t'];
    expect((await examine(mapping(SELF_SNOOP, file, ...options))).vms[0]?.quirk).toEqual(['off']);
  });

  test('a hugetlb memfd', async () => {
    const memfd =
      '7f0000000000-7f0020000000 rw-s 00000000 00:01 9    /memfd:memory-backend-memfd (deleted)';
    const option = 'memory-backend-memfd,id=m,size=512M,hugetlb=on';
    const d = await examine(mapping(SELF_SNOOP, memfd, '-object', option));
    expect(regionNamed(d, 'memfd').region.backings).toEqual(['hugetlb']);
  });
});

describe('host MTRRs', () => {
  const bar = (at: string) =>
    `7f0000000000-7f0000100000 rw-s ${at} 00:0f 5    /sys/devices/pci0000:00/0000:00:02.0/resource0`;

  test.each([
    [
      'in a UC range',
      'fe000000',
      'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n',
      ['UC'],
    ],
    [
      'by the default',
      '4000000000',
      'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n',
      ['WB'],
    ],
    [
      'default not known',
      '4000000000',
      'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back\n',
      ['WB', 'UC', 'WC', 'WT', 'WP'],
    ],
  ])('%s', async (_, at, mtrr, types) => {
    const host = changed(mapping(NPT, bar(at)), { files: { '/proc/mtrr': mtrr } });
    expect(regionNamed(await examine(host), 'BAR 0').region.page.hostMtrr).toEqual(types);
  });
});

describe('what is below, beside and hidden', () => {
  test('NPT on a guest: the hypervisor below decides last', async () => {
    const d = await examine(NPT);
    expect(d.findings.filter((f) => f.certain && f.severity !== 'info')).toEqual([]);
    expect(d.undetermined.join()).toContain('the hypervisor below decides last');
    expect(doctorExitCode(d)).toBe(3);
  });

  test('a guest of Hyper-V gets no table of KVM hosts', async () => {
    const d = await examine({ ...PVM, log: 'Hypervisor detected: Microsoft Hyper-V\n' });
    expect(d.guestSide).toMatchObject({ notKvm: 'Microsoft Hyper-V', hosts: [], requests: [] });
  });

  test('no log: PAT by cpuinfo and command line; neither: both', async () => {
    const files = { ...SELF_SNOOP.files };
    delete (files as Record<string, unknown>)['/sys/kernel/debug/x86/pat_memtype_list'];
    const d = await examine({ ...SELF_SNOOP, files, log: null });
    expect(d.facts.pat).toMatchObject({ known: true, value: { enabled: true } });
    const bare = asQemu({ ...SELF_SNOOP, files, log: null });
    const unsure = await examine(changed(bare, { files: { '/proc/cmdline': null } }));
    expect(unsure.facts.pat.known).toBe(false);
    expect(regionNamed(unsure, '0x20000000').undetermined).toContain('host-pat');
  });

  test('without a sysfs nothing is "none"', async () => {
    const { iommu, gpus, vfioBound } = (await examine(load('bare-no-kvm'))).facts;
    expect([iommu.known, gpus.known, vfioBound.known]).toEqual([false, false, false]);
    const host = changed(load('bare-no-kvm'), { directories: { '/sys/devices': [] } });
    expect((await examine(host)).facts.iommu).toMatchObject({ known: true, value: [] });
  });

  test('--pid without rights asks about that process only', async () => {
    const host = changed(SELF_SNOOP, { directories: { '/proc/100/fd': null } });
    const d = await examine(host, 100);
    expect(d.undetermined.join()).not.toContain('whether more');
    expect(d.unknowns.map((u) => u.what)).not.toContain('which VMs other users run');
  });

  test('an odd MTRR row is no plain fact', async () => {
    const mtrr =
      'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n' +
      'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back\n';
    const d = await examine(changed(NPT, { files: { '/proc/mtrr': mtrr } }));
    expect(d.facts.firmware.mtrrs.known).toBe(true);
    expect(d.facts.firmware.oddMtrrs).toEqual([2]);
  });
});
