import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PAT_TYPES, type PatType } from '../../x86/types.ts';
import { type MemtypeEntry, parseMemtypeList } from './memtype-list.ts';
import samples from './samples.json' with { type: 'json' };

/** How many of each type; then line, start and end (exclusive) of one entry, read off the sample. */
type Expected = readonly [counts: string, line: number, start: number, end: number];

const HPET = [0xfed00000, 0xfed01000] as const;
const NONE: Expected = ['', 0, 0, 0];
const BOCHS: Expected = ['WB 2, WC 1, UC- 5', 9, ...HPET];
const QEMU: Expected = ['WB 3, WC 2, UC- 14', 20, 0xfed90000, 0xfed91000];
const QEMU_SMALL: Expected = ['WB 3, WC 2, UC- 10', 11, 0xfe100000, 0xfe200000];

const EXPECTED: Readonly<Record<string, Expected>> = {
  'pat_memtype_list/ena-dpdk-grep.txt': ['WC 2', 1, 0xfe800000, 0xfe900000],
  'pat_memtype_list/ivtv-alias-grep.txt': ['UC- 2', 2, 0xd5510000, 0xd56b1000],
  'pat_memtype_list/kernel-doc-pat.txt': ['UC- 15', 16, 0x80000000, 0x90000000],
  'pat_memtype_list/lkml-2019-ceier-degraded.txt': [
    'WB 14, UC- 21',
    31,
    0x2000000000,
    0x2100000000,
  ],
  'pat_memtype_list/lkml-2019-ceier-good.txt': [
    'WB 14, WC 2, UC- 19',
    31,
    0x2000000000,
    0x2100000000,
  ],
  'pat_memtype_list/martins3-2403nix-kvmguest.txt': [
    'WB 2, UC- 55',
    58,
    0x38000002b000,
    0x38000002c000,
  ],
  'pat_memtype_list/martins3-n100.txt': ['WB 38, WC 1, UC- 51', 83, 0x4000000000, 0x4010000000],
  'pat_memtype_list/pat-notes-elided-new.txt': [
    'WB 3, WC 1, UC 3, UC- 5',
    11,
    0x4017000000,
    0x4017001000,
  ],
  'pat_memtype_list/yobbo-3.3.1-pentium-m.txt': ['WB 2, UC- 13', 2, 0x7ff70000, 0x7ff77000],
  'guests/iommu-amd-612/pat_memtype_list.txt': ['WB 2, UC- 8', 11, 0xfed80000, 0xfed84000],
  'guests/iommu-intel-nosc-61/pat_memtype_list.txt': ['WB 2, UC- 8', 11, 0xfed90000, 0xfed91000],
  'guests/mt61/pat_memtype_list.txt': ['WB 2, UC- 2', 2, 0x1ffe0000, 0x1ffe2000],
  'guests/nested61-npt0/pat_memtype_list.txt': ['WB 2, UC- 6', 9, ...HPET],
  'guests/nested61/pat_memtype_list.txt': ['WB 2, UC- 6', 9, ...HPET],
  'guests/nested73/pat_memtype_list.txt': ['WB 2, WC 1, UC- 4', 8, ...HPET],
  'guests/nested73w/pat_memtype_list.txt': ['WB 2, WC 1, UC- 4', 8, ...HPET],
  'guests/pc-256-6.1/pat_memtype_list.txt': ['WB 2, UC- 2', 5, ...HPET],
  'guests/pc-cleanup-612/pat_memtype_list.txt': ['WB 2, UC- 2', 5, ...HPET],
  'guests/pc-hsw-nopat-61/pat_memtype_list.txt': NONE,
  'guests/pc-mtrrdebug-73/pat_memtype_list.txt': ['WB 2, WC 1, UC- 3', 7, ...HPET],
  'guests/q35-skl-61/pat_memtype_list.txt': ['WB 2, UC- 6', 9, ...HPET],
  'host-local/pat_memtype_list.txt': ['WB 1, UC- 26', 2, 0x9f000, 0xa1000],
  'realkvm/bochs-ept-6.1-skx/host/sys_kernel_debug_x86_pat_memtype_list': BOCHS,
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/sys_kernel_debug_x86_pat_memtype_list': [
    'WB 2, WC 1, UC- 4',
    8,
    ...HPET,
  ],
  'realkvm/bochs-ept-6.12-skx/host/sys_kernel_debug_x86_pat_memtype_list': BOCHS,
  'realkvm/bochs-ept-6.12-snb/host/sys_kernel_debug_x86_pat_memtype_list': BOCHS,
  'realkvm/bochs-ept-7.3-ivb/host/sys_kernel_debug_x86_pat_memtype_list': BOCHS,
  'realkvm/bochs-shadow-6.12-skx/host/sys_kernel_debug_x86_pat_memtype_list': BOCHS,
  'realkvm/pvm-shadow-6.18-ring3/host/sys_kernel_debug_x86_pat_memtype_list': NONE,
  'realkvm/qemu-npt-6.1/host/sys_kernel_debug_x86_pat_memtype_list': [
    'WB 3, WC 2, UC- 15',
    21,
    0xfed90000,
    0xfed91000,
  ],
  'realkvm/qemu-npt-6.12-bulk/host/sys_kernel_debug_x86_pat_memtype_list': QEMU_SMALL,
  'realkvm/qemu-npt-6.12/host/sys_kernel_debug_x86_pat_memtype_list': QEMU,
  'realkvm/qemu-npt-7.3/host/sys_kernel_debug_x86_pat_memtype_list': QEMU,
  'realkvm/qemu-shadow-amd-6.1/host/sys_kernel_debug_x86_pat_memtype_list': QEMU_SMALL,
};

/** The others have none. */
const PROBLEMS: Readonly<Record<string, string>> = {
  'pat_memtype_list/pat-notes-elided-new.txt': 'warning warning warning',
  'guests/pc-hsw-nopat-61/pat_memtype_list.txt': 'error',
  'realkvm/pvm-shadow-6.18-ring3/host/sys_kernel_debug_x86_pat_memtype_list': 'error',
};

const FRAGMENTS = [
  'pat_memtype_list/ena-dpdk-grep.txt',
  'pat_memtype_list/ivtv-alias-grep.txt',
  ...Object.keys(PROBLEMS),
];

function countTypes(entries: readonly MemtypeEntry[]): string {
  return ['WB', 'WC', 'UC', 'UC-', 'WT', 'WP']
    .map((type) => [type, entries.filter((entry) => entry.type === type).length] as const)
    .filter(([, count]) => count > 0)
    .map(([type, count]) => `${type} ${count}`)
    .join(', ');
}

describe('samples', () => {
  const texts = new Map(
    samples.memtypeList.flatMap((s) => s.names.map((name) => [name, s.lines] as const)),
  );

  test('all are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [counts, line, start, end]) => {
    const { value, problems } = parseMemtypeList(`${texts.get(name)?.join('\n')}\n`, name);
    expect(countTypes(value.entries)).toBe(counts);
    expect(value.entries.find((entry) => entry.line === line)).toEqual(
      line === 0 ? undefined : expect.objectContaining({ start, end }),
    );
    expect(value.complete).toBe(!FRAGMENTS.includes(name));
    expect(problems.map((p) => p.severity).join(' ')).toBe(PROBLEMS[name] ?? '');
  });
});

const ROW = 'PAT: [mem 0x00000000fed00000-0x00000000fed01000] uncached-minus';

describe('lines that are odd or wrong', () => {
  test.each([
    [
      'broken',
      ROW.replace('uncached-minus', 'broken'),
      50,
      6,
      'the kernel calls this entry "broken"',
    ],
    ['unknown word', ROW.replace('minus', 'plus'), 50, 13, 'unknown word "uncached-plus"'],
    ['inverted', ROW.replace('fed01000', 'fed00000'), 32, 16, 'the range ends before it begins'],
    ['beyond 53 bits', ROW.replace('00000000fed00000', 'f'.repeat(16)), 13, 16, 'below 2^53'],
    ['beyond 64 bits', ROW.replace('fed00000', 'f'.repeat(99)), 13, 107, 'below 2^53'],
    ['cut', ROW.slice(0, 30), 1, 30, 'not a line of pat_memtype_list'],
  ])('%s: error, the entry is left out', (_, line, column, length, message) => {
    const { value, problems } = parseMemtypeList(`PAT memtype list:\n${line}\n`, 'f');
    expect(value).toEqual({ entries: [], complete: false });
    expect(problems).toMatchObject([
      { severity: 'error', place: { file: 'f', line: 2, column, length }, source: line },
    ]);
    expect(problems[0]?.message).toContain(message);
  });

  test.each(['...', '... ...', ' .. ', '[...]', '--', '\u2026'])('elision %j: warning', (line) => {
    const { value, problems } = parseMemtypeList(
      `PAT memtype list:\n${ROW}\n${line}\n${ROW}\n`,
      'f',
    );
    expect(value.complete).toBe(false);
    expect(value.entries).toHaveLength(2);
    expect(problems).toMatchObject([{ severity: 'warning', place: { line: 3 } }]);
  });

  test('even an empty list has a first line', () => {
    const empty = { value: { entries: [], complete: true }, problems: [] };
    expect(parseMemtypeList('PAT memtype list:\n', 'f')).toEqual(empty);
    expect(parseMemtypeList('', 'f').problems).toMatchObject([{ severity: 'error' }]);
  });
});

const WORDS: Readonly<Record<PatType, string>> = {
  UC: 'uncached',
  'UC-': 'uncached-minus',
  WC: 'write-combining',
  WT: 'write-through',
  WP: 'write-protected',
  WB: 'write-back',
};

/** As the kernel prints it. */
function print({ start, end, type }: MemtypeEntry, old: boolean): string {
  const [a, b] = [start.toString(16), end.toString(16)];
  if (old) return `${WORDS[type]} @ 0x${a}-0x${b}`;
  return `PAT: [mem 0x${a.padStart(16, '0')}-0x${b.padStart(16, '0')}] ${WORDS[type]}`;
}

const entryArbitrary = fc
  .record({
    page: fc.nat(2 ** 40 - 2),
    pages: fc.integer({ min: 1, max: 2 ** 20 }),
    type: fc.constantFrom(...PAT_TYPES),
  })
  .map(({ page, pages, type }) => ({ start: page * 4096, end: (page + pages) * 4096, type }));

test.each([false, true])('parse(print(x)) = x, old wording %s', (old) => {
  fc.assert(
    fc.property(fc.array(entryArbitrary), (rows) => {
      const entries = rows.map((row, i) => ({ ...row, line: i + 2 }));
      const text = ['PAT memtype list:', ...entries.map((entry) => print(entry, old)), ''].join(
        '\n',
      );
      expect(parseMemtypeList(text, 'f')).toEqual({
        value: { entries, complete: true },
        problems: [],
      });
    }),
  );
});
