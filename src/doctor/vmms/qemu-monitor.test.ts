import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { slotSections } from './memslots.ts';
import {
  parseGpa2hva,
  parseInfoVersion,
  parseMtree,
  parseProperties,
  parseQueryMemdev,
  parseQueryVersion,
  parseRamblock,
} from './qemu-monitor.ts';

// Cut from the answers of QEMU 7.2.22, q35 with -accel kvm and a memfd backend.
const MTREE = `FlatView #0
 AS "mch", root: bus master container
 AS "VGA", root: bus master container
 Root memory region: (none)
  No rendered FlatView

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): m0 KVM
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom KVM
  00000000000e0000-00000000000fffff (prio 0, rom): pc.bios @0000000000020000 KVM
  0000000000100000-000000001fffffff (prio 0, ram): m0 @0000000000100000 KVM
  00000000febd8400-00000000febd841f (prio 0, i/o): vga ioports remapped
  00000000fee00000-00000000feefffff (prio 4096, i/o): kvm-apic-msi
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios KVM

FlatView #2
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan
`;
const OWNERS = `FlatView #1
 AS "memory", root: system
  00000000000c0000-00000000000cbfff (prio 0, rom): ram0 @00000000000c0000 owner:{obj path=/objects/ram0}
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram owner:{dev path=/machine/peripheral-anon/device[0]} KVM
`;
const RAMBLOCK = `              Block Name    PSize              Offset               Used              Total
                      m0    4 KiB  0x0000000000000000 0x0000000020000000 0x0000000020000000
   0000:00:01.0/vga.vram    4 KiB  0x0000000020080000 0x0000000001000000 0x0000000001000000
    /rom@etc/acpi/tables    4 KiB  0x0000000021100000 0x0000000000020000 0x0000000000200000
`;
const RAMBLOCK_8 = `              Block Name    PSize              Offset               Used              Total                HVA  RO
                  pc.ram    2 MiB  0x0000000000000000 0x0000000400000000 0x0000000400000000 0x00007f12ebe00000  rw
                 pc.bios    4 KiB  0x0000000400000000 0x0000000000040000 0x0000000000040000 0x00007f12eba00000  ro
`;

describe('info mtree -f', () => {
  test('memslots are what QEMU marks', () => {
    const { value, problems } = parseMtree(MTREE, 'm');
    expect(problems).toEqual([]);
    expect(value.map((v) => [v.spaces.length, v.sections.length, v.devices])).toEqual([
      [2, 0, 0],
      [2, 5, 3],
      [1, 0, 1],
    ]);
    expect(slotSections(value).map((s) => [s.start, s.kind, s.name, s.offset])).toEqual([
      [0, 'ram', 'm0', 0],
      [0xc0000, 'rom', 'pc.rom', 0],
      [0xe0000, 'rom', 'pc.bios', 0x20000],
      [0x100000, 'ram', 'm0', 0x100000],
      [0xfffc0000, 'rom', 'pc.bios', 0],
    ]);
  });

  test('owners stand between the offset and the mark', () => {
    const [view] = parseMtree(OWNERS, 'm').value;
    expect(view?.sections.map((s) => [s.name, s.offset, s.kvm])).toEqual([
      ['ram0', 0xc0000, false],
      ['vga.vram', 0, true],
    ]);
  });

  test.each([
    ['FlatView #0\n  000000000000000-1 (prio 0, ram): m\n', 2, 'not a line of info mtree -f'],
    ['  0000000000000000-000000000009ffff (prio 0, ram): m0\n', 1, 'before the first'],
    [
      'FlatView #0\n  0000000000100000-000000000009ffff (prio 0, ram): m0\n',
      2,
      'ends before it begins',
    ],
    ["unknown command: 'info mtree'\n", 1, 'not a line'],
    ['', 1, 'nothing in'],
  ])('%j: the place and the reason', (text, line, message) => {
    const [problem] = parseMtree(text, 'file').problems;
    expect(problem?.place).toMatchObject({ file: 'file', line });
    expect(problem?.message).toContain(message);
  });

  test('a QEMU that marks nothing: all memory of the address space', () => {
    const { value } = parseMtree(MTREE.replaceAll(' KVM', ''), 'm');
    expect(slotSections(value)).toHaveLength(5);
  });
});

describe('info ramblock', () => {
  test('7.2 has no addresses, 8.0 has', () => {
    const old = parseRamblock(RAMBLOCK, 'r');
    expect(old.problems).toEqual([]);
    expect(old.value.map((b) => [b.name, b.used, b.hva])).toEqual([
      ['m0', 2 ** 29, null],
      ['0000:00:01.0/vga.vram', 2 ** 24, null],
      ['/rom@etc/acpi/tables', 0x20000, null],
    ]);
    const { value } = parseRamblock(RAMBLOCK_8, 'r');
    expect(value.map((b) => [b.name, b.hva, b.readonly])).toEqual([
      ['pc.ram', 0x7f12ebe00000, false],
      ['pc.bios', 0x7f12eba00000, true],
    ]);
  });

  test('a cut line', () => {
    const [problem] = parseRamblock(`${RAMBLOCK.slice(0, 150)}\n`, 'r').problems;
    expect(problem?.place?.line).toBe(2);
  });
});

test('gpa2hva', () => {
  const text = 'Host virtual address for 0xfd000000 (vga.vram) is 0x7f9c28c00000\n';
  expect(parseGpa2hva(text, 'g')).toEqual({ value: 0x7f9c28c00000, problems: [] });
  const none = parseGpa2hva('No memory is mapped at address 0x1\n', 'g');
  expect(none).toEqual({ value: null, problems: [] });
  expect(parseGpa2hva('hello\n', 'g').problems).toHaveLength(1);
});

describe('QMP', () => {
  const VERSION = '{"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}';

  test('versions', () => {
    expect(parseQueryVersion(VERSION, 'v').value).toEqual({ major: 7, minor: 2, micro: 22 });
    expect(parseInfoVersion('7.2.22Debian 1:7.2+dfsg-7\n', 'v').value?.minor).toBe(2);
    expect(parseQueryVersion('{"qemu": 7}', 'v').problems[0]?.help).toContain('"major"');
    expect(parseQueryVersion(VERSION.slice(0, 30), 'v').problems[0]?.message).toContain('no JSON');
    expect(parseInfoVersion('?', 'v').value).toBeNull();
  });

  test('backends', () => {
    const text = '[{"share": true, "size": 536870912, "id": "m0"}, {"size": "x"}]';
    expect(parseQueryMemdev(text, 'm').value).toEqual([{ id: 'm0', size: 2 ** 29, share: true }]);
    expect(parseQueryMemdev('{}', 'm').problems).toHaveLength(1);
  });

  test('properties', () => {
    const text = '[{"name": "type"}, {"name": "honor-guest-pat", "type": "OnOffAuto"}]';
    expect(parseProperties(text, 'p').value).toEqual(['type', 'honor-guest-pat']);
    expect(parseProperties('null', 'p').value).toBeNull();
  });
});

const { MEMTYPE_SAMPLES: folder } = process.env;

/** Answers by command: "### info mtree -f" and ">>> query-kvm {}" head them. */
function answersIn(file: string): readonly (readonly [string, string])[] {
  const parts = file.split(/^(?:### |>>> )/m).slice(1);
  return parts.map((part) => {
    const [head = ''] = part.split('\n', 1);
    return [head, part.slice(head.length + 1)] as const;
  });
}

describe.skipIf(folder === undefined)('every answer below MEMTYPE_SAMPLES/qemu', () => {
  const directory = join(folder ?? '', 'qemu');
  const files = folder === undefined ? [] : readdirSync(directory);
  const answers = files
    .filter((name) => /^(?:hmp|qmp)/.test(name))
    .flatMap((name) => answersIn(readFileSync(join(directory, name), 'utf8')));
  const of = (pattern: RegExp): readonly (readonly [string, string])[] =>
    answers.filter(([head]) => pattern.test(head));

  test('info mtree: the same memory with and without owners', () => {
    const views = of(/^info mtree/).map(([, text]) => parseMtree(text, 's'));
    expect(views.map((v) => v.problems)).toEqual([[], []]);
    expect(views[0]?.value).toEqual(views[1]?.value);
    expect(slotSections(views[0]?.value ?? [])).toHaveLength(11);
  });

  test('info ramblock, gpa2hva, query-memdev', () => {
    const blocks = of(/^info ramblock/).map(([, text]) => parseRamblock(text, 's'));
    expect(blocks.map((b) => [b.value.length, b.problems.length])).toEqual([[10, 0]]);
    const hvas = of(/^gpa2hva/).map(([, text]) => parseGpa2hva(text, 's').value);
    expect(hvas).toEqual([0x7f9c2c0ff000, 0x7f9c28c00000]);
    const [memdev] = of(/^query-memdev/).map(([, text]) => JSON.parse(text) as { return: unknown });
    expect(parseQueryMemdev(JSON.stringify(memdev?.return), 's').value).toHaveLength(1);
  });
});
