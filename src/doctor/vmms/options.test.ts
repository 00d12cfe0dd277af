import { describe, expect, test } from 'vitest';
import { parseCloudHypervisor } from './cloud-hypervisor.ts';
import { parseCrosvm } from './crosvm.ts';
import { parseFirecracker } from './firecracker.ts';
import { libkrunVariant, parseLibkrun } from './libkrun.ts';
import { keyValues, type VmmOptions } from './options.ts';
import { parseQemu, qemuAsVmm } from './qemu.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

function words(line: string): readonly string[] {
  return line.split(' ').filter((word) => word !== '');
}

describe('key=value lists', () => {
  test.each([
    ['size=4096', [['size', '4096']]],
    ['4096', [['', '4096']]],
    [
      '/sys/x,iommu=off',
      [
        ['', '/sys/x'],
        ['iommu', 'off'],
      ],
    ],
    [
      'backend=gfxstream,displays=[[mode=windowed[1,2]],[hidden]],vulkan',
      [
        ['backend', 'gfxstream'],
        ['displays', '[[mode=windowed[1,2]],[hidden]]'],
        ['vulkan', 'true'],
      ],
    ],
    [
      'path="/a,b",ro',
      [
        ['path', '/a,b'],
        ['ro', 'true'],
      ],
    ],
    ['', []],
    [',,', []],
    [
      'a]]=1,b',
      [
        ['a]]', '1'],
        ['b', 'true'],
      ],
    ],
  ])('%s', (text, expected) => {
    expect([...keyValues(text)]).toEqual(expected);
  });
});

describe('crosvm', () => {
  const crosvm = (line: string): VmmOptions => parseCrosvm(['crosvm', 'run', ...words(line)]);

  test.each([
    ['', 256 * MIB, false],
    ['--mem 4096', 4 * GIB, true],
    ['--mem=size=2048', 2 * GIB, true],
    ['-m 512 vmlinux', 512 * MIB, true],
    ['--mem lots', null, true],
  ])('%s', (line, ram, given) => {
    expect([crosvm(line).ram, crosvm(line).ramGiven]).toEqual([ram, given]);
  });

  test.each([
    ['', 'none', null],
    ['--gpu', 'none', null],
    ['--gpu --mem 1', 'none', null],
    ['--gpu 2d', 'none', null],
    ['--gpu backend=virglrenderer,context-types=virgl:venus', 'slot-per-blob', 8 * GIB],
    ['--gpu=backend=gfxstream,fixed-blob-mapping,pci-bar-size=4294967296', 'one-slot', 4 * GIB],
    ['--gpu virglrenderer,fixed-blob-mapping=false', 'slot-per-blob', 8 * GIB],
  ])('%s: host blobs %s', (line, blobs, window) => {
    const options = crosvm(line);
    expect([options.blobs, options.gpus[0]?.hostmem ?? null]).toEqual([blobs, window]);
  });

  test('assigned devices, firmware, and no switch', () => {
    const line = '--vfio /sys/bus/pci/devices/0000:00:02.0,iommu=viommu --vfio=/sys/x --bios /b.fd';
    expect(crosvm(line)).toMatchObject({
      vfio: ['/sys/bus/pci/devices/0000:00:02.0', '/sys/x'],
      firmware: 'another',
      guestPat: 'never',
    });
    expect(crosvm('vmlinux').firmware).toBe('direct');
  });
});

describe('cloud-hypervisor', () => {
  const ch = (line: string): VmmOptions =>
    parseCloudHypervisor(['cloud-hypervisor', ...words(line)]);

  test.each([
    ['--kernel k', 512 * MIB, ['ram']],
    ['--memory size=4G --kernel k', 4 * GIB, ['ram']],
    ['--memory size=4G,shared=on --firmware f', 4 * GIB, ['memfd']],
    ['--memory size=1G,hugepages=on --kernel k', GIB, ['memfd']],
    [
      '--memory size=0 --memory-zone id=a,size=1G,file=/dev/shm id=b,size=2G,shared=on --kernel k',
      3 * GIB,
      ['file', 'memfd'],
    ],
  ])('%s', (line, ram, kinds) => {
    const options = ch(line);
    expect([options.ram, options.backends.map((b) => b.kind)]).toEqual([ram, kinds]);
  });

  test('devices, one option with several values', () => {
    const line =
      '--kernel k --device path=/sys/bus/pci/devices/0000:01:00.0/ path=/sys/y,iommu=on --device fd=3,id=z';
    expect(ch(line).vfio).toEqual([
      '/sys/bus/pci/devices/0000:01:00.0/',
      '/sys/y',
      'by descriptor',
    ]);
  });

  test.each([
    ['--platform tdx=on --firmware f', 'tdx'],
    ['--platform num_pci_segments=2,sev_snp=on --kernel k', 'snp'],
    ['--kernel k', null],
  ])('%s', (line, confidential) => {
    expect(ch(line).confidential).toBe(confidential);
  });

  test('told by its API: nothing is known, and no default is stated', () => {
    expect(ch('--api-socket /s')).toMatchObject({
      ram: null,
      backends: [],
      unread: ['what came through its API socket'],
    });
  });
});

describe('Firecracker and libkrun: what their arguments do not say', () => {
  test('Firecracker', () => {
    expect(parseFirecracker(words('firecracker --api-sock /s')).unread).toEqual([
      'what came through its API socket',
    ]);
    expect(parseFirecracker(words('firecracker --no-api --config-file /c')).unread).toEqual([
      'the file of --config-file',
    ]);
  });

  test('muvm: its own options end where the command of the guest begins', () => {
    const muvm = (line: string): VmmOptions => parseLibkrun('muvm', words(`muvm ${line}`), '');
    expect(muvm('--mem=4096 -- glxgears --mem=1')).toMatchObject({
      ram: 4 * GIB,
      blobs: 'one-slot',
    });
    expect(muvm('-e A=b --mem 2048 qemu --mem 9').ram).toBe(2 * GIB);
    expect(muvm('sh -c x --mem=9').ram).toBeNull();
    expect(muvm('--gpu-mode software sh').blobs).toBe('none');
    expect(muvm('--gpu-mode=venus sh').gpus[0]?.driver).toContain('venus');
  });

  test('krunvm has no GPU, of others nothing is known', () => {
    expect(parseLibkrun('krunvm', words('krunvm start vm --mem 9'), '')).toMatchObject({
      ram: null,
      blobs: 'none',
    });
    expect(parseLibkrun('crun', ['crun'], 'tdx')).toMatchObject({
      blobs: null,
      confidential: 'tdx',
    });
  });

  test.each([
    ['/usr/lib64/libkrun.so.1.9.8', ''],
    ['/usr/lib64/libkrun-tdx.so.1', 'tdx'],
    ['/usr/lib64/libkrunfw.so.4', null],
    ['/usr/lib64/libkrun.source', null],
  ])('%s', (path, variant) => {
    expect(libkrunVariant(path)).toBe(variant);
  });
});

describe('QEMU in the common shape', () => {
  const qemu = (line: string, hasSwitch: boolean | null): VmmOptions =>
    qemuAsVmm(parseQemu(['qemu-system-x86_64', ...words(line)]), hasSwitch);

  test.each([
    ['-accel kvm', null, 'default'],
    ['-accel kvm', false, 'never'],
    ['-accel kvm,honor-guest-pat=on', null, 'on'],
    ['-accel kvm,honor-guest-pat=auto', true, 'auto'],
    ['-accel kvm,honor-guest-pat=off', true, 'off'],
  ] as const)('%s, switch %s', (line, hasSwitch, expected) => {
    expect(qemu(line, hasSwitch).guestPat).toBe(expected);
  });

  test.each([
    ['-object sev-snp-guest,id=s', 'snp'],
    ['-object {"qom-type":"tdx-guest","id":"t"}', 'tdx'],
    ['-object sev-guest,id=s', 'sev'],
    ['-object rng-random,id=r', null],
  ])('%s', (line, kind) => {
    expect(qemu(line, null).confidential).toBe(kind);
  });

  test('monitors, and who started it', () => {
    const line =
      '-chardev socket,id=charmonitor,path=/v/monitor.sock,server=on -mon chardev=charmonitor,id=monitor,mode=control ' +
      '-qmp unix:/tmp/q.sock,server=on -chardev socket,id=serial0,path=/tmp/serial';
    const { qemu: own } = qemu(line, null);
    expect([own?.monitors, own?.byLibvirt]).toEqual([['/tmp/q.sock', '/v/monitor.sock'], true]);
  });
});
