import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changed, HOSTS, load } from '../../../test/hosts.ts';
import { richHost } from '../../../test/rich-host.ts';
import { collectUnmasked } from '../../host/collect.ts';
import { describedHost, type HostDescription } from '../../host/described-host.ts';
import { doctorJson } from '../../report/doctor-json.ts';
import { doctorText } from '../../report/doctor-text.ts';
import { diagnose } from '../diagnosis/diagnose.ts';
import { gather } from '../gather.ts';
import type { Capture } from '../reading.ts';
import { captureJson, parseCapture } from './capture-file.ts';
import { RULED, reduce } from './mask.ts';
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

const RICH = 'VMMs of every kind';
const hostOf = (name: string): HostDescription => (name === RICH ? richHost() : load(name));

describe('what is left gives the same answer', () => {
  test.each(HOSTS)('%s', async (name) => {
    const capture = await unmasked(load(name));
    expect(answer(reduce(capture))).toBe(answer(capture));
  });

  test.each([RICH, ...HOSTS])('%s: from a file, too', async (name) => {
    const reduced = reduce(await unmasked(hostOf(name)));
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
  test.each([RICH, ...HOSTS])('%s: wherever it stood', async (name) => {
    const host = hostOf(name);
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

/** What doctor was told of a VM: all but names that were masked. */
function toldOf(capture: Capture) {
  return diagnose(gather(capture)).vms.map(({ vm, quirk, coherency, regions }) => ({
    options: JSON.parse(
      JSON.stringify(vm.options, (key, value: unknown) =>
        /^(?:path|id|monitors|memPath)$/.test(key) ? value !== null : value,
      ),
    ) as unknown,
    files: vm.files,
    sharers: vm.sharers,
    domain: vm.libvirt,
    quirk,
    coherency: coherency.noncoherent,
    regions: regions.map(({ region }) => [region.backings, region.size, region.isGuestMemory]),
  }));
}

describe('every kind of VMM', () => {
  test('what doctor makes of it is the same, masked or not', async () => {
    const capture = await unmasked(richHost());
    const live = reduce(capture, 'kept');
    expect(toldOf(live)).toEqual(toldOf(capture));
    const [qemu] = toldOf(live);
    expect(qemu?.domain).toMatchObject({ known: true, value: { name: 'payroll' } });
    expect(qemu?.options).toMatchObject({ value: { qemu: { misplacedSwitch: '-global' } } });
    expect(qemu?.sharers.map(({ pid, program }) => `${pid} ${program}`)).toEqual([
      '200 virtiofsd',
      '201 backup',
    ]);
  });

  test('a file differs from the machine in the name of the domain alone', async () => {
    const capture = await unmasked(richHost());
    const [live, file] = [reduce(capture, 'kept'), reduce(capture)];
    const name = /masked-\d+/.exec(doctorText(diagnose(gather(file))).match(/virsh.*/)?.[0] ?? '');
    const names = (text: string): string => text.replace(/masked-\d+/g, 'masked');
    const text = doctorText(diagnose(gather(live))).replaceAll('payroll', String(name));
    expect(names(text)).toBe(names(doctorText(diagnose(gather(file)))));
    expect(names(answer(reduce(live)))).toBe(names(answer(file)));
  });

  test('the domain has one name in the file: of the file and in it', async () => {
    const { texts, lists } = reduce(await unmasked(richHost()));
    const files = [...texts.keys()].filter((key) => key.startsWith('/run/libvirt'));
    expect(lists.get('/run/libvirt/qemu')).toMatchObject({
      names: files.map((file) => file.split('/').at(-1)),
    });
    for (const file of files) {
      const text = texts.get(file);
      const name = /<name>(.*)<\/name>/.exec(text?.ok === true ? text.text : '')?.[1];
      expect(file).toBe(`/run/libvirt/qemu/${name}.xml`);
    }
  });
});

const MONITOR: Readonly<Record<string, string>> = {
  'query-version': '{"qemu":{"micro":0,"minor":1,"major":11},"package":"alice"}\n',
  'query-kvm': '{"enabled":true,"present":true}\n',
  'query-status': '{"running":true,"status":"running"}\n',
  'query-memdev': '[{"id":"alice","size":536870912,"share":true,"host-nodes":[]}]\n',
  'qom-list-properties kvm-accel':
    '[{"name":"type"},{"name":"honor-guest-pat"},{"name":"alice"}]\n',
  'info version': '11.1.0 (payroll)\n',
  'info kvm': 'kvm support: enabled\n',
  'info mtree -f':
    'FlatView #0\n AS "alice", root: bus master container\n AS "memory", root: system\n Root memory region: system\n' +
    '  0000000000000000-000000000009ffff (prio 0, ram): /objects/alice KVM\n' +
    '  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\n' +
    '  0000000000100000-000000001fffffff (prio 0, ram): /objects/alice @0000000000100000 owner:{obj path=/objects/alice} KVM\n' +
    '  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram KVM\n',
  'info ramblock':
    '    Block Name    PSize              Offset               Used              Total                HVA  RO\n' +
    '/objects/alice    4 KiB  0x0000000000000000 0x0000000020000000 0x0000000020000000 0x00007f0000000000  rw\n' +
    '0000:00:02.0/vga.vram    4 KiB  0x0000000020000000 0x0000000001000000 0x0000000001000000 0x00007f0030000000  rw\n',
  'gpa2hva 0xfd000000': 'Host virtual address for 0xfd000000 (alice) is 0x7f9c28c00000\n',
  'screendump alice': 'alice\n',
};
const TRACE_TEXT =
  ' CPU 0/KVM alice-317 [003] 12.5: kvm_mmu_set_spte: gfn 100 spte 600000012345bf7 (rwxu) level 1 at 1\n' +
  'alice was here\n';

/** The rich host with a monitor and a trace. */
async function asked(): Promise<Capture> {
  const capture = await unmasked(richHost());
  const texts = new Map(capture.texts);
  for (const [command, text] of Object.entries(MONITOR)) {
    texts.set(`monitor/100/${command}`, { ok: true, text, cut: false });
  }
  texts.set('trace', { ok: true, text: TRACE_TEXT, cut: false });
  texts.set('monitor/100/info alice', { ok: true, text: 'alice', cut: false });
  return { ...capture, texts };
}

describe('a monitor and a trace', () => {
  test('memslots and version are the same, masked or not', async () => {
    const capture = await asked();
    const of = (c: Capture) => diagnose(gather(c)).vms[0]?.vm.monitor;
    const [before, after] = [of(capture), of(reduce(capture))];
    expect(after?.version).toEqual(before?.version);
    expect([after?.kvm, after?.running]).toEqual([true, true]);
    const places = (slots: typeof before) =>
      slots?.memslots?.map(({ gpa, size, readonly, hva }) => [gpa, size, readonly, hva]);
    expect(places(after)).toHaveLength(3);
    expect(places(after)).toEqual(places(before));
    expect(before?.memslots?.map((s) => s.block)).toContain('/objects/alice');
    expect(after?.memslots?.map((s) => s.block)).toContain('vga.vram');
    expect(after?.memdevs).toMatchObject([{ size: 2 ** 29, share: true }]);
    expect(diagnose(gather(reduce(capture))).facts.trace?.pages).toMatchObject([{ gfn: 0x100 }]);
  });

  test('no secret is left, wherever it stood', async () => {
    const capture = await asked();
    const keys = [...capture.texts.keys()].filter((k) => k === 'trace' || k.startsWith('monitor/'));
    fc.assert(
      fc.property(fc.array(plant, { maxLength: 8 }), fc.boolean(), (plants, isRefused) => {
        const texts = new Map(capture.texts);
        for (const { file, at, secret, insert } of plants) {
          const key = keys[Math.floor(file * keys.length)] ?? '';
          const reading = texts.get(key);
          const text = planted(reading?.ok === true ? reading.text : '', at, secret, insert);
          const refusal = { ok: false, reason: 'error', detail: secret } as const;
          texts.set(key, isRefused ? refusal : { ok: true, text, cut: false });
        }
        const reduced = reduce({ ...capture, texts });
        const file = captureJson(reduced, ORIGIN);
        expect(TRACES.exec(file)).toBe(null);
        expect(captureJson(reduce(reduced), ORIGIN)).toBe(file);
      }),
      { numRuns: 150 },
    );
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
