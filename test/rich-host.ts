import type { HostDescription } from '../src/host/described-host.ts';
import { asQemu, changed, load } from './hosts.ts';

const MEMFD = '/memfd:memory-backend-memfd (deleted)';
const RAM = `7f0000000000-7f0020000000 rw-s 00000000 00:01 247 ${MEMFD}\n`;

const DOMAIN = (name: string, pid: number): string =>
  `<!-- auto-generated -->\n<domstatus state='running' pid='${pid}'>\n` +
  `  <monitor path='/var/lib/libvirt/${name}.sock' type='unix'/>\n` +
  `  <domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n` +
  `    <name>${name}</name>\n    <uuid>550e8400-e29b-41d4-a716-446655440000</uuid>\n` +
  `    <title>${name} of alice</title>\n    <memory unit='KiB'>524288</memory>\n` +
  `    <memoryBacking><hugepages/><source type='memfd'/><access mode='shared'/></memoryBacking>\n` +
  `    <devices>\n      <emulator>/usr/bin/qemu-system-x86_64</emulator>\n` +
  `      <interface><mac address='52:54:00:ab:cd:ef'/></interface>\n` +
  `      <graphics type='vnc' passwd='hunter2'/>\n` +
  `      <video><model type='virtio' heads='1' blob='on'/></video>\n` +
  `      <hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source></hostdev>\n` +
  `    </devices>\n    <qemu:commandline>\n      <qemu:arg value='-accel'/>\n` +
  `      <qemu:arg value='kvm,honor-guest-pat=off'/>\n      <qemu:arg value='-append'/>\n` +
  `      <qemu:arg value='password=hunter2'/>\n    </qemu:commandline>\n  </domain>\n</domstatus>\n`;

const GEM =
  'pid      100 command qemu-system-x86:\n' +
  '\t\t0x00000001:      2097152 byte GTT exported as ino:31338 CPU_GTT_USWC\n' +
  '\t\t0x00000002:         4096 byte VRAM VISIBLE pin count 1 CPU_ACCESS_REQUIRED\tkernel fence: gfx alice seq 7\n' +
  '\twrite fence: drm_sched alice seq 3 signalled\n' +
  'pid      400 command alices browser:\n' +
  '\t\t0x00000001:      1048576 byte CPU hunter2\n';

function process(pid: number, program: string, links: object, files: object) {
  const at = `/proc/${pid}`;
  const under = (all: object): Record<string, unknown> =>
    Object.fromEntries(Object.entries(all).map(([name, what]) => [`${at}/${name}`, what]));
  return { links: under({ exe: `/home/alice/${program}`, ...links }), files: under(files) };
}

const PROCESSES = [
  process(
    200,
    'virtiofsd',
    { 'fd/3': 'socket:[1]' },
    { maps: `00400000-00500000 r-xp 00000000 fe:00 9 /home/alice/virtiofsd\n${RAM}` },
  ),
  process(
    201,
    'backup',
    { 'fd/3': MEMFD, 'fd/4': '/home/alice/keys' },
    {
      'fdinfo/3': 'pos:\t0\nino:\t247\n',
      maps: '00400000-00500000 rw-p 00000000 00:00 0 [heap]\n',
    },
  ),
  process(
    202,
    'payroll',
    { 'fd/3': MEMFD },
    { 'fdinfo/3': 'ino:\t999\n', maps: '00400000-00500000 rw-p 00000000 fe:00 7 /home/alice/x\n' },
  ),
  process(203, 'swtpm', { 'fd/3': '/home/alice/tpm' }, { maps: '' }),
  process(
    300,
    'muvm',
    { 'fd/3': 'anon_inode:kvm-vm' },
    {
      comm: 'muvm\n',
      cmdline: 'muvm\0--mem=512\0-e\0TOKEN=hunter2\0-i\0--gpu-mode\0venus\0alice\0--mem=9\0',
      maps: '7f0100000000-7f0120000000 rw-p 00000000 00:00 0 \n7f0200000000-7f0200100000 r-xp 00000000 fe:00 99 /home/alice/lib/libkrun.so.1.9.8\n',
    },
  ),
  process(
    301,
    'cloud-hypervisor',
    { 'fd/3': 'anon_inode:kvm-vm' },
    {
      comm: 'vmm\n',
      cmdline:
        'cloud-hypervisor\0--memory\0size=1G,file=/home/alice/ram,shared=on\0--device\0path=/sys/bus/pci/devices/0000:01:00.0\0path=/sys/bus/pci/devices/0000:02:00.0\0--platform\0tdx=on,uuid=hunter2\0',
      maps: '7f0100000000-7f0140000000 rw-s 00000000 00:01 12 /home/alice/ram\n',
    },
  ),
  process(
    302,
    'crosvm',
    { 'fd/3': 'anon_inode:kvm-vm' },
    {
      comm: 'crosvm\n',
      cmdline:
        'crosvm\0run\0--mem\x00512\0--gpu\0displays=[[mode=windowed[1,2]]],backend=virglrenderer,pci-bar-size=4294967296\0--bios\0/home/alice/fw\0vmlinux\0',
      maps: '7f0100000000-7f0120000000 rw-s 00000000 00:01 13 /memfd:crosvm_guest (deleted)\n',
    },
  ),
];

const QEMU =
  '-mon chardev=charmonitor,id=monitor -chardev socket,id=charmonitor,path=/run/alice.sock,server=on ' +
  '-chardev socket,id=hunter2,path=/run/hunter2 -qmp unix:/home/alice/qmp,server=on -monitor stdio ' +
  '-global kvm-accel.honor-guest-pat=on -object memory-backend-memfd,id=alice,size=512M ' +
  '-machine q35,memory-backend=alice -device vfio-pci,host=06:12.5';

/** A host with one of everything that tells people apart, and VMMs of every kind. */
export function richHost(): HostDescription {
  const host = asQemu(load('ept-6.12-self-snoop'), ...QEMU.split(' '));
  const base = changed(host, {
    directories: {
      '/proc': ['1', '2', '100', '200', '201', '202', '203', '300', '301', '302'],
      '/run/libvirt/qemu': ['driver.pid', 'payroll.xml', 'alice.xml'],
    },
    links: {
      '/sys/class/drm/card0/device': '../../../0000:03:00.0',
      '/sys/class/drm/card0/device/driver': '../../../bus/pci/drivers/amdgpu',
      '/proc/100/fd/20': MEMFD,
      '/proc/100/fd/21': '/memfd:hunter2',
      '/proc/100/fd/22': '/dev/vfio/vfio',
      '/proc/100/fd/23': '/dev/iommu',
    },
    files: {
      '/sys/kernel/security/lockdown': 'none [integrity] confidentiality\n',
      '/sys/kernel/debug/dri/0/amdgpu_gem_info': GEM,
      '/run/libvirt/qemu/payroll.xml': DOMAIN('payroll', 100),
      '/run/libvirt/qemu/alice.xml': DOMAIN('alice', 101),
      '/run/libvirt/qemu/driver.pid': '1\n',
      '/proc/100/maps': RAM,
      '/proc/100/smaps': null,
    },
  });
  return PROCESSES.reduce<HostDescription>(
    (h, { links, files }) => changed(h, { links, files }),
    base,
  );
}
