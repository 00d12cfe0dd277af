import { describe, expect, test } from 'vitest';
import { u64FromHex, u64ToHex } from '../../base/u64.ts';
import { parseMaps, type Vma } from './maps.ts';
import samples from './samples.json' with { type: 'json' };

/** Mappings; deleted ones; those without path; devices, PCI resources and other file names. */
type Expected = readonly [count: number, deleted: number, anonymous: number, files: number];

const EXPECTED: Readonly<Record<string, Expected>> = {
  'qemu/proc-maps-memfd.txt': [1, 1, 0, 1],
  'realkvm/bochs-ept-6.1-skx/host/proc_self_maps': [29, 2, 8, 17],
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/proc_self_maps': [27, 2, 7, 16],
  'realkvm/bochs-ept-6.12-skx/host/proc_self_maps': [28, 2, 7, 17],
  'realkvm/bochs-ept-6.12-snb/host/proc_self_maps': [28, 2, 7, 17],
  'realkvm/bochs-ept-7.3-ivb/host/proc_self_maps': [29, 2, 7, 17],
  'realkvm/bochs-shadow-6.12-skx/host/proc_self_maps': [28, 2, 7, 17],
  'realkvm/pvm-shadow-6.18-ring3/host/proc_self_maps': [20, 2, 7, 7],
  'realkvm/qemu-npt-6.1/host/proc_self_maps': [36, 2, 8, 21],
  'realkvm/qemu-npt-6.12-bulk/host/proc_self_maps': [32, 2, 7, 21],
  'realkvm/qemu-npt-6.12/host/proc_self_maps': [35, 2, 7, 21],
  'realkvm/qemu-npt-7.3/host/proc_self_maps': [36, 2, 7, 21],
  'realkvm/qemu-shadow-amd-6.1/host/proc_self_maps': [33, 2, 8, 21],
};

/** Mappings, and how many of them have the flags pf, io, ar, mm. */
const EXPECTED_FLAGS: Readonly<Record<string, readonly [count: number, pf: string]>> = {
  'realkvm/bochs-ept-6.1-skx/host/proc_self_smaps': [29, '11 10 9 0'],
  'realkvm/pvm-shadow-6.18-ring3/host/proc_self_smaps': [20, '2 2 0 0'],
  'realkvm/qemu-npt-7.3/host/proc_self_smaps': [36, '18 17 0 1'],
};

function textOf(kind: 'maps' | 'smaps', name: string): string {
  const lines = samples[kind].find((sample) => sample.names.includes(name))?.lines ?? [];
  return lines.map((line) => `${line}\n`).join('');
}

function vmaAt(vmas: readonly Vma[], start: string): Vma | undefined {
  return vmas.find((vma) => u64ToHex(vma.start) === start);
}

describe('samples', () => {
  test('all are in the tables', () => {
    const names = [...samples.maps, ...samples.smaps].flatMap((sample) => sample.names);
    const tables = [...Object.keys(EXPECTED), ...Object.keys(EXPECTED_FLAGS)];
    expect(names.sort()).toEqual(tables.sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [count, deleted, anonymous, files]) => {
    const { value, problems } = parseMaps(textOf('maps', name), name);
    expect(problems).toEqual([]);
    expect(value.vmas).toHaveLength(count);
    expect(value.vmas.filter((vma) => vma.deleted)).toHaveLength(deleted);
    expect(value.vmas.filter((vma) => vma.path === null)).toHaveLength(anonymous);
    expect(value.vmas.filter((vma) => vma.path?.startsWith('/'))).toHaveLength(files);
    expect(value.vmas.every((vma) => vma.vmFlags === null)).toBe(true);
  });

  test.each(Object.entries(EXPECTED_FLAGS))('%s', (name, [count, counts]) => {
    const { value, problems } = parseMaps(textOf('smaps', name), name);
    const having = (flag: string) => value.vmas.filter((vma) => vma.vmFlags?.includes(flag)).length;
    expect(problems).toEqual([]);
    expect(value.vmas).toHaveLength(count);
    expect(['pf', 'io', 'ar', 'mm'].map(having).join(' ')).toBe(counts);
    expect(value.vmas.every((vma) => vma.vmFlags !== null)).toBe(true);
  });

  test('single mappings', () => {
    const name = 'realkvm/qemu-npt-7.3/host/proc_self_maps';
    const { vmas } = parseMaps(textOf('maps', name), name).value;
    expect(vmaAt(vmas, '0x7f13e0200000')).toEqual({
      start: u64FromHex('7f13e0200000'),
      end: u64FromHex('7f13e0300000'),
      perms: 'rw-s',
      offset: u64FromHex('100000000'),
      dev: '00:09',
      inode: '104',
      path: '/dev/dri/card0',
      deleted: false,
      vmFlags: null,
      resident: null,
      line: 10,
    });
    expect(vmaAt(vmas, '0x7f13e1200000')).toMatchObject({ path: '/anon_hugepage', deleted: true });
    expect(vmaAt(vmas, '0x7f13e2303000')).toMatchObject({
      path: 'anon_inode:[vfio-device]',
      offset: u64FromHex('10000000000'),
    });
    expect(vmaAt(vmas, '0x4af000')).toMatchObject({ path: null, inode: '0' });
  });

  test('vsyscall lies beyond 53 bits', () => {
    const name = 'realkvm/pvm-shadow-6.18-ring3/host/proc_self_maps';
    const last = parseMaps(textOf('maps', name), name).value.vmas.at(-1);
    expect(last).toMatchObject({ path: '[vsyscall]', perms: '--xp' });
    expect(last?.end).toEqual(u64FromHex('ffffffffff601000'));
  });
});

const ROW =
  '7f0000000000-7f0000001000 rw-s 00001000 00:1a 1811                       /sys/resource0';

describe('paths', () => {
  test.each([
    ['/tmp/two words', '/tmp/two words', false],
    ['/tmp/trailing ', '/tmp/trailing ', false],
    ['/tmp/line\\012feed', '/tmp/line\nfeed', false],
    ['/tmp/back\\slash\\040', '/tmp/back\\slash\\040', false],
    ['/tmp/gone file (deleted)', '/tmp/gone file', true],
    ['[anon:name with blanks]', '[anon:name with blanks]', false],
  ])('%j', (printed, path, deleted) => {
    const { value, problems } = parseMaps(`${ROW.replace('/sys/resource0', printed)}\n`, 'f');
    expect(problems).toEqual([]);
    expect(value.vmas).toMatchObject([{ path, deleted }]);
  });
});

describe('lines that are wrong', () => {
  test.each([
    ['7f0000001000-7f0000001000 rw-s 00001000 00:1a 1811 ', 14, 12, 'ends before it begins'],
    [ROW.replace('7f0000001000', '1ffffffffffffffff'), 14, 17, 'no 64-bit hexadecimal number'],
    [ROW.replace('rw-s', 'rwxy'), 27, 4, 'no permissions'],
    [ROW.replace('00:1a', '00:xx'), 41, 5, 'no device number'],
    [ROW.replace('1811', '18f1'), 47, 4, 'no inode number'],
    [ROW.slice(0, 40), 1, 39, 'not a line of /proc/PID/maps'],
    ['Rss:   4 kB', 1, 11, 'belongs to no mapping'],
    ['VmFlags: rd wr', 1, 14, 'not known to which mapping'],
    ['cat: /proc/1/maps: Permission denied', 1, 36, 'could not be read'],
  ])('%j', (line, column, length, message) => {
    const { value, problems } = parseMaps(`${line}\n`, 'f');
    expect(value.vmas).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column, length } }]);
    expect(problems[0]?.message).toContain(message);
  });

  test.each([
    ['a damaged mapping', ['VmFlags: rd', 'damaged', 'VmFlags: wr']],
    ['a missing mapping', ['VmFlags: rd', 'VmFlags: wr']],
  ])('flags never go to the mapping above %s', (_, details) => {
    const { value, problems } = parseMaps([ROW, ...details, ''].join('\n'), 'f');
    expect(value.vmas.map((vma) => vma.vmFlags)).toEqual([['rd']]);
    expect(problems.at(-1)).toMatchObject({ severity: 'error', source: 'VmFlags: wr' });
  });

  test('an empty file is a kernel thread', () => {
    expect(parseMaps('', 'f')).toEqual({ value: { vmas: [] }, problems: [] });
  });
});
