import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changed, HOSTS, load } from '../../test/hosts.ts';
import { collectUnmasked } from '../host/collect.ts';
import { describedHost, type HostDescription } from '../host/described-host.ts';
import { doctorJson } from '../report/doctor-json.ts';
import { doctorText } from '../report/doctor-text.ts';
import { captureJson, parseCapture } from './capture-file.ts';
import { diagnose } from './diagnose.ts';
import { gather } from './gather.ts';
import { RULED, reduce } from './mask.ts';
import { reduceArguments } from './mask-argv.ts';
import { Masks } from './mask-words.ts';
import type { Capture } from './reading.ts';
import { READS } from './reads.ts';

const ORIGIN = { tool: 'memtype 0.0.0', by: 'node', masked: [] } as const;

async function unmasked(host: HostDescription): Promise<Capture> {
  return await collectUnmasked(describedHost(host), null);
}

/** The report, and its JSON without the names in /proc/iomem and the numbers of lines. */
function answer(capture: Capture): string {
  const d = diagnose(gather(capture));
  const json = JSON.stringify(doctorJson(d), (key, value: unknown) =>
    key === 'iomem' || key === 'line' ? undefined : value,
  );
  return doctorText(d) + json;
}

describe('what is left gives the same answer', () => {
  test.each(HOSTS)('%s', async (name) => {
    const capture = await unmasked(load(name));
    expect(answer(reduce(capture))).toBe(answer(capture));
  });

  test.each(HOSTS)('%s: from a file, too', async (name) => {
    const reduced = reduce(await unmasked(load(name)));
    const file = captureJson(reduced, ORIGIN);
    const again = reduce(parseCapture(file, 'c.json'));
    expect(captureJson(again, ORIGIN)).toBe(file);
    expect(answer(again)).toBe(answer(reduced));
  });
});

/** One of every kind of word that tells people apart. */
const SECRETS = [
  'hunter2',
  'alice',
  'alices-laptop',
  'db7.corp.example.org',
  '52:54:00:ab:cd:ef',
  '192.168.77.13',
  'fe80::5054:ff:feab:cdef',
  '550e8400-e29b-41d4-a716-446655440000',
  'PF3XK9Q7',
  '/home/alice/vms/payroll.qcow2',
  'password=hunter2',
  'guest=payroll,debug-threads=on',
  'alice@alices-laptop',
];
/** What is looked for: a secret and its parts. */
const TRACES =
  /hunter2|alice|laptop|corp|example|52:54|ab:cd|168\.77|fe80|5054|550e8400|e29b|PF3X|payroll|qcow/i;

/** Words of a text, with one of them replaced, or one more. */
const planted = (text: string, at: number, secret: string, insert: boolean): string => {
  const words = text.split(/([\s\0]+)/);
  const i = Math.floor(at * words.length);
  words.splice(i, insert ? 0 : 1, insert ? ` ${secret} ` : secret);
  return words.join('');
};

const plant = fc.record({
  file: fc.double({ min: 0, max: 0.999999, noNaN: true }),
  at: fc.double({ min: 0, max: 0.999999, noNaN: true }),
  secret: fc.constantFrom(...SECRETS),
  insert: fc.boolean(),
});

describe('no secret is left', () => {
  test.each(HOSTS)('%s: wherever it stood', async (name) => {
    const host = load(name);
    // The model of the CPU is shown as it stands.
    const paths = Object.keys(host.files).filter((path) => path !== '/proc/cpuinfo');
    await fc.assert(
      fc.asyncProperty(fc.array(plant, { minLength: 1, maxLength: 8 }), async (plants) => {
        const files: Record<string, HostDescription['files'][string]> = { ...host.files };
        let log = host.log;
        for (const { file, at, secret, insert } of plants) {
          const path = paths[Math.floor(file * (paths.length + 1))];
          const text = path === undefined ? log : files[path];
          if (typeof text !== 'string') continue;
          const made = planted(text, at, secret, insert);
          if (path === undefined) log = made;
          else files[path] = made;
        }
        const reduced = reduce(await unmasked({ ...host, files, log }));
        const file = captureJson(reduced, ORIGIN);
        expect(TRACES.exec(file)).toBe(null);
        expect(captureJson(reduce(reduced), ORIGIN)).toBe(file);
      }),
      { numRuns: 60 },
    );
  });

  test('in names of files, directories, mounts, descriptors and processes', async () => {
    const host = changed(load('pvm-6.18'), {
      files: {
        '/proc/self/mounts':
          'debugfs /home/alice/debug debugfs rw 0 0\nhugetlbfs /home/alice/huge hugetlbfs rw 0 0\n' +
          '//db7.corp.example.org/x /mnt cifs username=alice,password=hunter2 0 0\n',
        '/home/alice/debug/x86/pat_memtype_list': 'PAT memtype list:\n',
        '/proc/317/comm': 'payroll\n',
        '/proc/317/maps':
          '7f0000000000-7f0020000000 rw-s 00000000 00:0f 1 /home/alice/huge/payroll\n' +
          '7f0020000000-7f0020001000 ---p 00000000 00:00 0 [anon:hunter2]\n' +
          '7f0030000000-7f0040000000 rw-s 00000000 00:01 2 /memfd:payroll (deleted)\n' +
          '7f0050000000-7f0060000000 rw-s 00000000 00:01 3 /memfd:crosvm_guest-alice (deleted)\n' +
          '7f0070000000-7f0080000000 rw-s 00000000 00:01 4 /home/alice/a\\012b\n',
        '/proc/400/comm': 'alice\n',
        '/proc/400/cmdline': 'ssh\0alice@db7.corp.example.org\0',
      },
      links: {
        '/proc/317/exe': '/home/alice/bin/qemu-system-x86_64 (deleted)',
        '/proc/317/fd/90': '/home/alice/vms/payroll.qcow2',
        '/proc/317/fd/91': '/dmabuf:hunter2',
        '/proc/317/fd/92': '/home/alice/vfio/7',
        '/proc/400/exe': '/home/alice/ssh',
        '/proc/400/fd/3': '/home/alice/.ssh/id',
      },
    });
    const reduced = reduce(await unmasked(host));
    const file = captureJson(reduced, ORIGIN);
    expect(TRACES.exec(file)).toBe(null);
    const maps = reduced.texts.get('/proc/317/maps');
    const lines = maps?.ok === true ? maps.text.split('\n') : [];
    expect(lines.map((line) => line.split(' ').slice(5).join(' '))).toEqual([
      '/masked-1/masked-2/huge/masked-3',
      '[anon:masked-4]',
      '/memfd:masked-3 (deleted)',
      '/memfd:crosvm_guest-masked-2 (deleted)',
      '/masked-1/masked-2/masked-5',
      '',
    ]);
    expect(reduced.texts.has('/masked-1/masked-2/debug/x86/pat_memtype_list')).toBe(true);
  });
});

describe('any content', () => {
  test('every path that is read has a rule', () => {
    expect(READS.map((read) => read.path).filter((path) => !RULED.has(path))).toEqual([]);
  });

  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.constantFrom(
      '\n',
      '\0',
      ' ',
      '/',
      ':',
      '=',
      ',',
      '{',
      '[anon:',
      '/memfd:',
      ' (deleted)',
      'masked-1',
    ),
    fc.constantFrom('-m', '4G', '-object', 'memory-backend-file,id=a,mem-path=/a/b', '--vfio', 'x'),
    fc.constantFrom(
      '7f00-7f01 rw-s 0 0:0 1 /a',
      'VmFlags: rd wr',
      'processor\t: 0',
      'kvm_intel 1 1 -',
    ),
    fc.constantFrom(
      'x86/PAT: a:1 map pfn RAM range req write-back for [mem 0x1-0x2], got x',
      'MTRR',
    ),
  );
  const content = fc.array(piece, { maxLength: 12 }).map((parts) => parts.join(''));
  const paths = READS.map(({ path }) =>
    path
      .replace('MOUNT', '/d')
      .replace(/\b(?:PID|N|FD)\b/g, '7')
      .replace(/[A-Z]{4,}/g, 'kvm'),
  );
  const some = <T>(value: fc.Arbitrary<T>) =>
    fc
      .array(fc.tuple(fc.constantFrom(...paths, 'trace', 'monitor/7/info mtree -f'), value))
      .map((entries) => new Map(entries));
  const ok = fc.constant(true as const);
  const cut = fc.boolean();
  const link = fc.record({
    name: fc.oneof(content, fc.constant('3')),
    target: fc.oneof(content, fc.constant('anon_inode:kvm-vm')),
  });
  const arbitrary: fc.Arbitrary<Capture> = fc.record({
    uname: fc.record({ sysname: content, release: content, machine: content }),
    pid: fc.constantFrom(null, 7),
    texts: some(fc.record({ ok, text: content, cut })),
    lists: some(fc.record({ ok, names: fc.array(fc.oneof(content, fc.constant('7'))), cut })),
    links: some(fc.record({ ok, target: content })),
    linkLists: some(fc.record({ ok, links: fc.array(link), cut })),
    bytes: fc.constant(new Map()),
    kvm: fc.constant(new Map()),
    log: fc.record({ ok, text: content, cut }),
  });

  test('is reduced, and once is enough', () => {
    fc.assert(
      fc.property(arbitrary, (capture) => {
        const once = reduce(capture);
        const file = captureJson(once, ORIGIN);
        expect(captureJson(reduce(parseCapture(file, 'c')), ORIGIN)).toBe(file);
        expect(answer(reduce(once))).toBe(answer(once));
      }),
      { numRuns: Number(process.env['FC_RUNS'] ?? 300) },
    );
  });
});

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
  ])('others: %j', (argv, expected) => {
    expect(other(...argv)).toBe(expected);
    expect(other(...expected.split(' '))).toBe(expected);
  });
});
