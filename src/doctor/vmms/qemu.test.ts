import { describe, expect, test } from 'vitest';
import { parseQemu, type QemuOptions } from './qemu.ts';

function qemu(line: string): QemuOptions {
  return parseQemu(['qemu-system-x86_64', ...line.split(' ').filter((word) => word !== '')]);
}

const MIB = 2 ** 20;

describe('guest memory', () => {
  test.each([
    ['', 128 * MIB],
    ['-m 512', 512 * MIB],
    ['-m 4G', 4096 * MIB],
    ['-m 4096M', 4096 * MIB],
    ['-m size=8388608k,slots=16,maxmem=1T', 8192 * MIB],
    ['-m 2048,maxmem=16G,slots=4', 2048 * MIB],
    ['--m 1G', 1024 * MIB],
  ])('%s', (line, bytes) => {
    expect(qemu(line).ram).toBe(bytes);
  });

  test('nonsense is not a size', () => {
    expect(qemu('-m lots').ram).toBeNull();
  });

  test('backends, in both spellings', () => {
    const line =
      '-object memory-backend-memfd,id=m,size=512M,share=on ' +
      '-object {"qom-type":"memory-backend-file","id":"pc.ram","mem-path":"/dev/hugepages/1-vm","size":1073741824} ' +
      '-object memory-backend-memfd,id=h,hugetlb=on,size=1G -object rng-random,id=r';
    expect(qemu(line).backends).toEqual([
      { kind: 'memfd', id: 'm', size: 512 * MIB, path: null, hugetlb: false },
      { kind: 'file', id: 'pc.ram', size: 1024 * MIB, path: '/dev/hugepages/1-vm', hugetlb: false },
      { kind: 'memfd', id: 'h', size: 1024 * MIB, path: null, hugetlb: true },
    ]);
  });
});

describe('accelerator', () => {
  test.each([
    ['-accel kvm,honor-guest-pat=on', 'kvm', 'on'],
    ['-accel kvm,honor-guest-pat=auto', 'kvm', 'auto'],
    ['-accel kvm,honor-guest-pat=off', 'kvm', 'off'],
    ['-accel kvm', 'kvm', null],
    ['-enable-kvm', 'kvm', null],
    ['-machine q35,accel=kvm:tcg', 'kvm', null],
    ['-accel tcg', 'tcg', null],
    ['', null, null],
  ])('%s', (line, accel, honour) => {
    expect([qemu(line).accel, qemu(line).honorGuestPat]).toEqual([accel, honour]);
  });
});

describe('devices', () => {
  test('virtio GPUs with and without blobs', () => {
    const line =
      '-device virtio-gpu-gl-pci,blob=on,hostmem=4G,venus=on -device virtio-vga ' +
      '-device {"driver":"virtio-vga-gl","blob":true,"hostmem":268435456} -device e1000';
    expect(qemu(line).gpus).toEqual([
      { driver: 'virtio-gpu-gl-pci', blob: true, hostmem: 4096 * MIB },
      { driver: 'virtio-vga', blob: false, hostmem: null },
      { driver: 'virtio-vga-gl', blob: true, hostmem: 256 * MIB },
    ]);
  });

  test('assigned devices', () => {
    const line =
      '-device vfio-pci,host=0000:01:00.0 -device vfio-pci,sysfsdev=/sys/x -device vfio-pci,fd=20';
    expect(qemu(line).vfio).toEqual(['0000:01:00.0', '/sys/x', 'by descriptor']);
  });
});

describe('firmware', () => {
  test.each([
    ['', 'SeaBIOS'],
    ['-machine q35', 'SeaBIOS'],
    ['-bios /usr/share/ovmf/OVMF.fd', 'OVMF'],
    ['-bios my.bin', 'another'],
    ['-drive if=pflash,format=raw,file=/usr/share/OVMF/OVMF_CODE.fd', 'OVMF'],
    ['-blockdev {"driver":"file","filename":"/usr/share/edk2/x64/OVMF_CODE.4m.fd"}', 'OVMF'],
    ['-machine microvm', 'another'],
  ])('%s', (line, firmware) => {
    expect(qemu(line).firmware).toBe(firmware);
  });
});

test('a doubled comma is a comma, and what bears on nothing goes no further', () => {
  const line =
    '-object memory-backend-file,id=m,mem-path=/a,,b,size=1G -object secret,id=s,data=hunter2';
  const options = qemu(line);
  expect(options.backends[0]?.path).toBe('/a,b');
  expect(JSON.stringify(options)).not.toContain('hunter2');
});

test('broken JSON is no device', () => {
  expect(qemu('-device {"driver": -object {}').gpus).toEqual([]);
});
