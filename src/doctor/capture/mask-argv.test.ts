import { describe, expect, test } from 'vitest';
import { reduceArguments } from './mask-argv.ts';
import { Masks } from './mask-words.ts';

describe('command lines', () => {
  const qemu = (...argv: string[]) => reduceArguments(argv, 'qemu', new Masks()).join(' ');
  const other = (...argv: string[]) => reduceArguments(argv, 'crosvm', new Masks()).join(' ');

  test.each([
    [['-name', 'guest=payroll', '-m', 'size=4G,slots=2'], '-name x -m size=4G,slots=2'],
    [['-object', 'secret,id=s,data=hunter2'], '-object x'],
    [
      ['-object', '{"qom-type":"memory-backend-memfd","id":"pc.ram","size":4294967296,"x":[1]}'],
      '-object memory-backend-memfd,id=pc.ram,size=4294967296',
    ],
    [
      ['-object', 'memory-backend-file,id=alice,size=1G,mem-path=/home/alice/ram,share=on'],
      '-object memory-backend-file,id=masked-1,size=1G,mem-path=/masked-2/masked-1/ram,share=on',
    ],
    [['-device', 'vfio-pci,host=0000:01:00.0,id=alice'], '-device vfio-pci,host=0000:01:00.0'],
    [['-device', 'virtio-net-pci,mac=52:54:00:ab:cd:ef'], '-device virtio-net-pci'],
    [
      ['-device', '{"driver":"virtio-vga-gl","hostmem":268435456,"blob":true}'],
      '-device virtio-vga-gl,hostmem=268435456,blob=on',
    ],
    [
      ['-device', 'vfio-pci,sysfsdev=/sys/bus/mdev/devices/550e8400-e29b-41d4-a716-446655440000'],
      '-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/masked-1',
    ],
    [['-drive', 'if=pflash,file=/home/alice/OVMF_VARS.fd'], '-drive if=pflash,file=OVMF.fd'],
    [['-drive', 'file=/home/alice/disk.img,password=a'], '-drive x'],
    [['-bios', '/usr/share/edk2/x64/OVMF.fd'], '-bios OVMF.fd'],
    [
      ['-accel', 'kvm,honor-guest-pat=on', '-M', 'pc-q35-9.2,x=y'],
      '-accel kvm,honor-guest-pat=on -M pc-q35-9.2',
    ],
    [['-numa', 'node,memdev=pc.ram,cpus=0-3'], '-numa node,memdev=pc.ram'],
    [['-hunter2', 'a', 'b'], '-x x x'],
    [['-accel', 'kvm,honor-guest-pat=hunter2'], '-accel kvm,honor-guest-pat=x'],
    [['-global', 'kvm-accel.honor-guest-pat=on'], '-global kvm-accel.honor-guest-pat=on'],
    [['-global', 'secret.data=hunter2'], '-global x'],
    [
      ['-mon', 'chardev=alice,mode=control', '-chardev', 'socket,path=/run/alice,id=alice'],
      '-mon chardev=masked-1,mode=control -chardev socket,path=/run/masked-1,id=masked-1',
    ],
    [['-chardev', 'socket,id=alice,path=/run/alice'], '-chardev x'],
    [['-qmp', 'unix:/run/alice,server=on'], '-qmp unix:/run/masked-1'],
    [['-append', 'root=/dev/sda', '-enable-kvm'], '-append x -enable-kvm'],
  ])('QEMU: %j', (argv, expected) => {
    expect(qemu(...argv)).toBe(expected);
    expect(qemu(...expected.split(' '))).toBe(expected);
  });

  test.each([
    [
      ['run', '--mem', '4096', '--gpu=backend=virglrenderer'],
      'run --mem 4096 --gpu=backend=virglrenderer',
    ],
    [
      ['--memory', 'size=4G,shared=on,file=/home/alice'],
      '--memory size=4G,shared=on,file=/masked-1/masked-2',
    ],
    [['--socket', '/run/alice.sock', '--token=hunter2'], '--socket x -x'],
    [
      ['--vfio', '/sys/bus/pci/devices/0000:01:00.0,iommu=on'],
      '--vfio /sys/bus/pci/devices/0000:01:00.0,iommu=on',
    ],
    [['--params=root=/dev/vda', 'kernel'], '--params=x x'],
    [['--gpu', 'width=1280'], '--gpu x=x'],
    [['--gpu=hunter2', '--hypervisor', 'kvm[device=/dev/alice]'], '--gpu=x --hypervisor kvm'],
    [
      ['--device', 'path=/dev/alice', 'path=0000:01:00.0'],
      '--device path=/sys/bus/mdev/devices/masked-1 path=0000:01:00.0',
    ],
    [['--memory-zone', 'id=alice,size=1G'], '--memory-zone id=masked-1,size=1G'],
    [
      ['--vfio-platform', '/sys/bus/platform/devices/alice'],
      '--vfio-platform /sys/bus/platform/devices/masked-1',
    ],
  ])('others: %j', (argv, expected) => {
    expect(other(...argv)).toBe(expected);
    expect(other(...expected.split(' '))).toBe(expected);
  });

  test.each([
    ['--mem=512 -e TOKEN=hunter2 -i alice --mem=9', '--mem=512 -e x --x x x'],
    ['--gpu-mode venus -- alice', '--gpu-mode venus -- x'],
    ['--mem --hunter2 sh', '--mem -x x'],
  ])('muvm: %s', (line, expected) => {
    const of = (text: string) => reduceArguments(text.split(' '), 'libkrun', new Masks(), 'muvm');
    expect(of(line).join(' ')).toBe(expected);
    expect(of(expected).join(' ')).toBe(expected);
  });
});
