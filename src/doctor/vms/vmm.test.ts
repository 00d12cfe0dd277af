import { describe, expect, test } from 'vitest';
import { changed, codesOf, examine, load, mapping } from '../../../test/hosts.ts';
import type { HostDescription } from '../../host/described-host.ts';
import { doctorText } from '../../report/doctor-text.ts';

const HOST = load('ept-6.12-self-snoop');
const GUEST =
  '7f0000000000-7f0020000000 rw-s 00000000 00:01 247                        /memfd:crosvm_guest (deleted)';

/** The test VMM as another program. */
function as(
  program: string,
  argv: readonly string[],
  maps: readonly string[] = [GUEST],
  host = HOST,
) {
  return changed(host, {
    links: { '/proc/100/exe': `/usr/bin/${program}` },
    files: {
      '/proc/100/cmdline': `${[program, ...argv].join('\0')}\0`,
      '/proc/100/maps': `${maps.join('\n')}\n`,
      '/proc/100/smaps': { error: 'EIO' },
    },
  });
}

const CROSVM = as('crosvm', ['run', '--mem', '512', '--gpu', 'backend=virglrenderer', 'vmlinux']);

describe('the quirk of VMMs that never disable it', () => {
  test.each([
    ['crosvm', ['run', 'vmlinux']],
    ['cloud-hypervisor', ['--kernel', 'k']],
    ['firecracker', ['--api-sock', '/s']],
    ['muvm', ['sh']],
  ])('%s', async (program, argv) => {
    const [vm] = (await examine(as(program, argv))).vms;
    expect([vm?.quirk, vm?.quirkWhy]).toEqual([
      ['on'],
      expect.stringContaining('disables no quirk'),
    ]);
  });

  test.each(['.qemu-system-x86_64-wrapped', '.qemu-system-x8', '.qemu-kvm-wrapped'])(
    'as NixOS starts it: %s',
    async (program) => {
      const [vm] = (await examine(as(program, ['-accel', 'kvm']))).vms;
      expect(vm?.vm.vmm).toBe('qemu');
    },
  );

  test('a program not known here: both', async () => {
    const [vm] = (await examine(HOST)).vms;
    expect([vm?.quirk, vm?.quirkWhy]).toEqual([['on', 'off'], 'kvmmt is not known here']);
  });

  test.each([
    ['--memory', 'size=512M'],
    ['--mem', '512'],
    ['-m', 'slots=2,size=512M'],
  ])('the RAM of a program not known here: %s %s', async (option, size) => {
    const memory = '7f0000000000-7f0020000000 rw-p 00000000 00:00 0 ';
    const [vm] = (await examine(as('myvmm', [option, size], [memory]))).vms;
    expect(vm?.regions.map(({ region }) => region.isGuestMemory)).toEqual(['size']);
  });

  test('libkrun by its library, whatever the program is called', async () => {
    const library =
      '7f0100000000-7f0100100000 r-xp 00000000 fe:00 99      /usr/lib64/libkrun.so.1.9.8';
    const [vm] = (await examine(as('crun', ['crun'], [GUEST, library]))).vms;
    expect([vm?.vm.vmm, vm?.quirk]).toEqual(['libkrun', ['on']]);
    const tdx = library.replace('libkrun', 'libkrun-tdx');
    expect((await examine(as('crun', ['crun'], [GUEST, tdx]))).vms[0]?.quirk).toEqual(['off']);
  });

  test('QEMU told auto or on, where bit 9 is clear: in force', async () => {
    const line = '7f0000000000-7f0020000000 rw-p 00000000 00:00 0 ';
    const clear = { ...HOST, kvm: { api: 12, '213': 0x5ff } };
    for (const word of ['auto', 'on']) {
      const argv = `qemu-system-x86_64\0-accel\0kvm,honor-guest-pat=${word}\0`;
      const host = changed(mapping(clear, line), { files: { '/proc/100/cmdline': argv } });
      expect((await examine(host)).vms[0]?.quirk).toEqual(['on']);
      const offered = changed(mapping(HOST, line), { files: { '/proc/100/cmdline': argv } });
      expect((await examine(offered)).vms[0]?.quirk).toEqual(['off']);
    }
    const closed = changed(mapping(clear, line, '-m', '1G'), {
      directories: { '/proc/100/fd': null },
      files: { '/proc/100/cmdline': 'qemu-system-x86_64\0-accel\0kvm,honor-guest-pat=on\0' },
    });
    expect((await examine(closed)).vms[0]?.quirkWhy).toContain('refuses to start here');
  });
});

describe('findings of the kind of VMM', () => {
  test('crosvm with a GPU: no switch; the memslot flag, until KVM says it has no such number', async () => {
    expect(codesOf(await examine(CROSVM))).toEqual(expect.arrayContaining(['MT610?', 'MT611?']));
    const zero = changed(CROSVM, { kvm: { ...HOST.kvm, '236': 0, '239': 0 } });
    expect(codesOf(await examine(zero))).not.toContain('MT611?');
    const one = await examine(changed(CROSVM, { kvm: { ...HOST.kvm, '236': 1, '239': 0 } }));
    const found = one.findings.find((f) => f.code === 'MT611');
    expect(found?.text).toContain('236: 1, 239: 0');
    expect(found?.when).toContain('cannot be seen from outside');
  });

  test('muvm: blobs are possible before any is mapped, whatever its window', async () => {
    const d = await examine(as('muvm', ['--mem=512', 'sh']));
    expect(codesOf(d)).toContain('MT610?');
    expect(doctorText(d)).toContain('none mapped now, a window of');
    const software = await examine(as('muvm', ['--gpu-mode=software', 'sh']));
    expect(codesOf(software)).not.toContain('MT610?');
  });

  test('not without a GPU, and not with NPT', async () => {
    const plain = as('crosvm', ['run', 'vmlinux']);
    expect(codesOf(await examine(plain)).filter((c) => c.startsWith('MT61'))).toEqual([]);
    const argv = ['run', '--gpu', 'backend=virglrenderer', 'vmlinux'];
    const npt = as('crosvm', argv, [GUEST], load('npt-6.12'));
    expect(codesOf(await examine(npt)).filter((c) => c.startsWith('MT61'))).toEqual([]);
  });

  test.each([
    [['-accel', 'kvm,honor-guest-pat=on'], '-accel behind the first'],
    [['-global', 'kvm-accel.honor-guest-pat=on'], '-global'],
  ])('%j behind -accel kvm does nothing', async (options, text) => {
    const line = '7f0000000000-7f0020000000 rw-p 00000000 00:00 0 ';
    const d = await examine(mapping(HOST, line, ...options));
    const found = d.findings.find((f) => f.code === 'MT612');
    expect(found?.text).toContain(text);
    expect(found?.commands).toEqual(['# in place of -accel kvm:', '-accel kvm,honor-guest-pat=on']);
    expect(d.vms[0]?.quirk).toEqual(['on']);
  });

  test('its options in the text', async () => {
    const text = doctorText(await examine(CROSVM)).replace(/\s+/g, ' ');
    expect(text).toContain('no firmware: the VMM sets the MTRRs, RAM 512 MiB, no switch');
    expect(text).toContain('virtio-gpu of crosvm (virglrenderer) blob=on hostmem=8 GiB');
  });
});

describe('who shares the memory', () => {
  const other = (pid: number, program: string, fd: string, ino: string, maps: string | null) => ({
    links: { [`/proc/${pid}/exe`]: `/usr/bin/${program}`, [`/proc/${pid}/fd/3`]: fd },
    files: {
      [`/proc/${pid}/fdinfo/3`]: `pos:\t0\nino:\t${ino}\n`,
      [`/proc/${pid}/maps`]: maps,
    },
  });
  const MEMFD = '/memfd:crosvm_guest (deleted)';
  const others = [
    other(200, 'crosvm', MEMFD, '247', `${GUEST}\n`),
    other(201, 'virtiofsd', 'socket:[1]', '1', `${GUEST}\n`),
    other(202, 'crosvm', MEMFD, '999', '00400000-00401000 r--p 00000000 fe:00 21   /bin/x\n'),
    other(203, 'backup', MEMFD, '247', null),
    other(204, 'editor', '/tmp/x', '5', `${GUEST}\n`),
  ];
  const host: HostDescription = others.reduce<HostDescription>(
    (h, { links, files }) => changed(h, { links, files }),
    changed(CROSVM, {
      directories: { '/proc': ['1', '2', '100', '200', '201', '202', '203', '204'] },
    }),
  );

  test('by the inode: mapped, or held; not by the name alone', async () => {
    const d = await examine(host);
    expect(d.vms.map(({ vm }) => vm.sharers)).toEqual([
      [
        { pid: 200, program: 'crosvm', by: 'mapping' },
        { pid: 201, program: 'virtiofsd', by: 'mapping' },
        { pid: 203, program: 'backup', by: 'descriptor' },
      ],
    ]);
    const text = doctorText(d).replace(/\s+/g, ' ');
    expect(text).toContain(
      'shared guest memory is open in crosvm (200), virtiofsd (201), backup (203)',
    );
  });
});

describe('a domain of libvirt', () => {
  const argv =
    '-accel kvm -mon chardev=charmonitor,id=monitor,mode=control -object memory-backend-memfd,id=m,size=512M';
  const line =
    '7f0000000000-7f0020000000 rw-s 00000000 00:01 247                        /memfd:memory-backend-memfd (deleted)';
  const qemu = mapping(HOST, line, ...argv.split(' '));
  const withGpu = changed(qemu, {
    files: {
      '/proc/100/maps': `${line}\n7f0030000000-7f0031000000 rw-s 100000000 00:06 104                       /dev/dri/card0\n`,
    },
  });
  const status = (pid: number) =>
    `<domstatus pid='${pid}'><domain type='kvm'><name>work</name>` +
    '<devices><emulator>/usr/libexec/qemu-kvm</emulator></devices></domain></domstatus>\n';

  test('the fix is its way, with its name', async () => {
    const files = {
      '/run/libvirt/qemu/a.xml': status(99),
      '/run/libvirt/qemu/work.xml': status(100),
      '/run/libvirt/qemu/driver.pid': '1\n',
    };
    const d = await examine(changed(withGpu, { files }));
    expect(d.vms[0]?.vm.libvirt).toMatchObject({ known: true, value: { name: 'work' } });
    const commands = d.findings.find((f) => f.code === 'MT201')?.commands ?? [];
    expect(commands).toContain('virsh start work');
    expect(commands?.[0]).toContain('exec /usr/libexec/qemu-kvm "$@"');
    expect(doctorText(d)).toContain('    virsh start work\n');
  });

  test('status files that cannot be read: said, and DOMAIN stands for the name', async () => {
    const d = await examine(changed(withGpu, { files: { '/run/libvirt/qemu/work.xml': null } }));
    expect(d.vms[0]?.vm.libvirt.known).toBe(false);
    expect(d.findings.find((f) => f.code === 'MT201')?.commands).toContain('virsh start DOMAIN');
    expect(d.unknowns.map((u) => u.what)).toContain('VM 100: its domain of libvirt');
  });

  test('a damaged status file: the place', async () => {
    const files = { '/run/libvirt/qemu/work.xml': "<domstatus pid='100'>\n<domain>" };
    const d = await examine(changed(withGpu, { files }));
    expect(d.facts.problems[0]?.place).toMatchObject({
      file: '/run/libvirt/qemu/work.xml',
      line: 2,
    });
  });
});

describe('who writes the MTRRs of a guest without a firmware', () => {
  const VFIO = changed(load('ept-6.1'), {
    links: {
      '/proc/100/fd/8': '/dev/vfio/7',
      '/proc/100/fd/9': 'anon_inode:kvm-vfio',
      '/sys/kernel/iommu_groups/7/devices/0000:00:02.0': 'x',
      '/sys/bus/pci/devices/0000:00:02.0/iommu': '../../virtual/iommu/dmar0',
      '/sys/class/iommu/dmar0': 'x',
    },
    files: { '/sys/class/iommu/dmar0/intel-iommu/ecap': 'f00f4a\n' },
  });
  const ram = (name: string): string =>
    `7f0000000000-7f0020000000 rw-s 00000000 00:01 247                        /memfd:${name} (deleted)`;

  test.each([
    ['crosvm', ['run', '--mem', '512', 'k'], 'crosvm_guest', 'Take crosvm of 2019-11-27'],
    ['cloud-hypervisor', ['--kernel', 'k'], 'ch_ram', 'Take cloud-hypervisor of 2019-08-01'],
  ])('%s: the first finding says since when', async (program, argv, memfd, fix) => {
    const { findings } = await examine(as(program, argv, [ram(memfd)], VFIO));
    expect(findings[0]).toMatchObject({ code: 'MT210', certain: false });
    expect(findings[0]?.fix).toContain(fix);
    expect(findings[0]?.when).toContain('nothing has written the MTRRs of the guest');
    const grave = findings.filter((f) => f.severity === 'warning').map((f) => f.code);
    expect(grave.indexOf('MT104')).toBeGreaterThan(grave.indexOf('MT301'));
  });

  test('libkrun always has: none', async () => {
    const d = await examine(as('muvm', ['--mem=512', 'sh'], [ram('guest_mem')], VFIO));
    expect(codesOf(d)).not.toContain('MT210?');
  });
});

describe('crosvm on a kernel with the memslot flag', () => {
  const BUFFER = '7f0100000000-7f0100800000 rw-s 100000000 00:05 31338        /dev/dri/renderD128';
  const WINDOW = 'backend=virglrenderer,fixed-blob-mapping=true';
  const cros = (gpu: string): HostDescription =>
    changed(as('crosvm', ['run', '--mem', '512', '--gpu', gpu, 'k'], [GUEST, BUFFER]), {
      release: '6.6.46-05020-g8d2f8ad2f2c0',
      files: { '/proc/version': null },
      links: { '/sys/class/drm/renderD128/device/driver': '../../bus/pci/drivers/vgem' },
      kvm: { api: 12, '213': 0x7f, '236': 1, '239': 0 },
    });

  test('in a fixed window the first blob may decide', async () => {
    const d = await examine(cros(WINDOW));
    expect(codesOf(d)).toContain('MT243?');
    expect(codesOf(d)).not.toContain('MT611?');
    const unheard = d.findings.find((f) => f.code === 'MT201');
    expect(unheard?.fix).toContain(
      'Set KVM_MEM_NON_COHERENT_DMA on the memslot: crosvm of 2024-09-20',
    );
    expect(unheard?.when).toContain('first-map-info is cached');
  });

  test('with a memslot for each blob it depends on how crosvm was built alone', async () => {
    const d = await examine(cros('backend=virglrenderer'));
    expect(codesOf(d)).not.toContain('MT243?');
    expect(d.findings.find((f) => f.code === 'MT201')?.when).toContain('vmm is crosvm');
  });
});

test('memory of the NVIDIA driver: stale only where it is not cached and the GPU does not snoop', async () => {
  const line = '7f0100000000-7f0100800000 rw-s 00000000 00:05 911        /dev/nvidiactl';
  const { findings } = await examine(as('crosvm', ['run', '--mem', '512', 'k'], [GUEST, line]));
  const stale = findings.find((f) => f.code === 'MT101');
  expect(stale?.when).toContain('backed by nvidia-sysmem; device is nosnoop');
  expect(stale?.fix).toContain('cached and that the device snoops');
});
