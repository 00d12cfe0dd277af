import { describe, expect, test } from 'vitest';
import { parseIomem } from './iomem.ts';
import samples from './samples.json' with { type: 'json' };

/** How many resources at depth 0, 1, 2, of them System RAM; start and end of "Kernel code". */
type Expected = readonly [depths: string, ram: number, start: number, end: number];

const EXPECTED: Readonly<Record<string, Expected>> = {
  'guests/iommu-amd-612/proc_iomem.txt': ['18 16 7', 2, 0x13e00000, 0x14dfffff],
  'guests/iommu-intel-nosc-61/proc_iomem.txt': ['19 16 7', 2, 0x0c600000, 0x0d401d31],
  'guests/mt61/proc_iomem.txt': ['17 10 0', 2, 0x18200000, 0x19001d31],
  'guests/nested61-npt0/proc_iomem.txt': ['17 10 3', 2, 0x2f200000, 0x30001d31],
  'guests/nested61/proc_iomem.txt': ['17 10 3', 2, 0x25a00000, 0x26801d31],
  'guests/nested73/proc_iomem.txt': ['16 10 3', 2, 0x33c00000, 0x34dd3f8f],
  'guests/nested73w/proc_iomem.txt': ['16 10 3', 2, 0x24200000, 0x253d3f8f],
  'guests/pc-256-6.1/proc_iomem.txt': ['17 10 0', 2, 0x09c00000, 0x0aa01ef1],
  'guests/pc-cleanup-612/proc_iomem.txt': ['16 10 0', 3, 0x3fa00000, 0x409fffff],
  'guests/pc-hsw-nopat-61/proc_iomem.txt': ['17 10 2', 3, 0x15be00000, 0x15cc01d31],
  'guests/pc-mtrrdebug-73/proc_iomem.txt': ['16 10 2', 3, 0x12ec00000, 0x12fdd3f8f],
  'guests/q35-skl-61/proc_iomem.txt': ['20 14 3', 3, 0x10a600000, 0x10b401d31],
  'host-local/proc_iomem.txt': ['9 12 6', 3, 0x01000000, 0x02209987],
  'realkvm/bochs-ept-6.1-skx/host/proc_iomem': ['15 8 0', 3, 0x01000000, 0x01e01d31],
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/proc_iomem': ['13 8 0', 2, 0x01000000, 0x01ffffff],
  'realkvm/bochs-ept-6.12-skx/host/proc_iomem': ['14 8 0', 3, 0x01000000, 0x01ffffff],
  'realkvm/bochs-ept-6.12-snb/host/proc_iomem': ['14 8 0', 3, 0x01000000, 0x01ffffff],
  'realkvm/bochs-ept-7.3-ivb/host/proc_iomem': ['14 8 0', 3, 0x01000000, 0x021d3f8f],
  'realkvm/bochs-shadow-6.12-skx/host/proc_iomem': ['14 8 0', 3, 0x01000000, 0x01ffffff],
  'realkvm/pvm-shadow-6.18-ring3/host/proc_iomem': ['9 12 6', 3, 0x01000000, 0x02209987],
  'realkvm/qemu-npt-6.1/host/proc_iomem': ['23 16 4', 3, 0x01000000, 0x01e01d31],
  'realkvm/qemu-npt-6.12-bulk/host/proc_iomem': ['20 12 1', 3, 0x01000000, 0x01ffffff],
  'realkvm/qemu-npt-6.12/host/proc_iomem': ['22 16 4', 3, 0x01000000, 0x01ffffff],
  'realkvm/qemu-npt-7.3/host/proc_iomem': ['22 16 4', 3, 0x01000000, 0x021d3f8f],
  'realkvm/qemu-shadow-amd-6.1/host/proc_iomem': ['21 12 1', 3, 0x01000000, 0x01e01d31],
};

describe('samples', () => {
  const texts = new Map(
    samples.iomem.flatMap((s) => s.names.map((name) => [name, s.lines] as const)),
  );

  test('all are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [depths, ram, start, end]) => {
    const { value, problems } = parseIomem(`${texts.get(name)?.join('\n')}\n`, name);
    const at = (depth: number) => value.entries.filter((entry) => entry.depth === depth).length;
    expect(`${at(0)} ${at(1)} ${at(2)}`).toBe(depths);
    expect(value.entries.filter((entry) => entry.name === 'System RAM')).toHaveLength(ram);
    const code = value.entries.find((entry) => entry.name === 'Kernel code');
    expect(code).toMatchObject({ start, endInclusive: end, depth: 1 });
    expect({ hidden: value.hidden, problems }).toEqual({ hidden: false, problems: [] });
  });
});

describe('what can be wrong', () => {
  test('a reader without rights gets names only', () => {
    const text = '00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n';
    const { value, problems } = parseIomem(text, 'f');
    expect(value.hidden).toBe(true);
    expect(value.entries.map((entry) => entry.name)).toEqual(['System RAM', 'Kernel code']);
    expect(problems).toMatchObject([{ severity: 'warning', message: 'every address is hidden' }]);
    expect(problems[0]?.help).toContain('root');
  });

  test.each([
    ['  00100000-001fffff : Kernel code', 1, 'a child without parent'],
    [
      '00100000-001fffff : System RAM\n    00100000-00100fff : Kernel code',
      2,
      'a generation missing',
    ],
    ['00100000-001fffff : System RAM\n  00200000-00200fff : Kernel code', 2, 'outside its parent'],
    ['00100000-001fffff : System RAM\n   00100000-00100fff : Kernel code', 2, 'odd indentation'],
  ])('%j: warning, the entries stay', (text, line) => {
    const { value, problems } = parseIomem(`${text}\n`, 'f');
    expect(value.entries).toHaveLength(line);
    expect(problems).toMatchObject([{ severity: 'warning', place: { line } }]);
  });

  test.each([
    ['00100000-000fffff : System RAM', 10, 8],
    ['00100000-1ffffffffffffffff : System RAM', 10, 17],
    ['00100000:001fffff : System RAM', 1, 30],
    ['cat: /proc/iomem: Permission denied', 1, 35],
  ])('%j: error, the entry is left out', (line, column, length) => {
    const { value, problems } = parseIomem(`${line}\n`, 'f');
    expect(value.entries).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column, length } }]);
  });

  test('an empty file', () => {
    expect(parseIomem('', 'f').problems).toMatchObject([{ severity: 'error' }]);
  });
});
