import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MTRR_TYPES, type MtrrType } from '../../x86/types.ts';
import { type MtrrRange, parseMtrr } from './mtrr.ts';
import samples from './samples.json' with { type: 'json' };

const K = 2 ** 10;
const M = 2 ** 20;

/** Types in order; then number, base and size of one row, read off the sample. */
type Expected = readonly [types: string, reg: number, base: number, size: number];

const GUEST_AT_2G: Expected = ['UC', 0, 0x80000000, 2048 * M];
const GUEST_AT_3G: Expected = ['UC', 0, 0xc0000000, 1024 * M];
const EMPTY: Expected = ['', -1, 0, 0];

const EXPECTED: Readonly<Record<string, Expected>> = {
  'mtrr/amdgfx-2021-chachani-badbios.txt': ['WB WP WP WP WP', 3, 0xffde0000, 128 * K],
  'mtrr/dpdk-ntb-guide.txt': ['WB UC WC WC', 2, 0x39bfa0000000, 512 * M],
  'mtrr/eio.txt': EMPTY,
  'mtrr/gateway-4.19-i386.txt': ['WP WB UC UC UC UC', 0, 0xffd00000, 4 * M],
  'mtrr/lkml-2003-supermicro-x5dal-g.txt': ['UC WB WB UC', 3, 0xdff80000, 512 * K],
  'mtrr/lkml-2005-mccloskey-2.6.11.txt': ['WB WC WC', 1, 0xe8000000, 128 * M],
  'mtrr/lkml-2006-punnoor-athlon64.txt': ['WB WB UC', 1, 0x100000000, 2048 * M],
  'mtrr/lkml-2023-bp-6.3.txt': ['WB WB WB UC WB WB WB WB', 3, 0xae000000, 32 * M],
  'mtrr/lkml-2023-bp-guest.txt': ['WB WB WB WP', 3, 0xff000000, 16 * M],
  'mtrr/martins3-13900k.txt': ['WB UC UC', 0, 0, 131072 * M],
  'mtrr/martins3-n100.txt': ['UC UC UC UC UC UC UC UC UC UC', 5, 0x4000000000, 262144 * M],
  'mtrr/memory-notes-10regs.txt': ['WB WB WB UC UC UC UC UC UC UC', 9, 0x32ee00000, 2 * M],
  'mtrr/pfc-sample-records.txt': ['WB WB WB UC', 3, 0xcf800000, 8 * M],
  'mtrr/ubuntuforums-2008-coffeebreath.txt': ['WB UC WP WB WB WC', 0, 0xfeda0000, 128 * K],
  'mtrr/ubuntuforums-2009-jonrite.txt': ['WB WB UC UC WC WC UC', 6, 0xfb000000, 4 * K],
  'mtrr/ubuntuforums-2013-aljosa-64M.txt': ['WB WB WB WB WB WB WB WB WB', 8, 0x428000000, 64 * M],
  'mtrr/ubuntuforums-fixmtrr.txt': ['WB WB WB WC WB UC UC', 5, 0xdde00000, 2 * M],
  'mtrr/ubuntuforums-sgerke-2009.txt': ['WB WB WB WB WC WB WB', 4, 0xe0000000, 256 * M],
  'guests/iommu-amd-612/proc_mtrr.txt': GUEST_AT_3G,
  'guests/iommu-intel-nosc-61/proc_mtrr.txt': GUEST_AT_3G,
  'guests/mt61/proc_mtrr.txt': GUEST_AT_2G,
  'guests/nested61-npt0/proc_mtrr.txt': GUEST_AT_2G,
  'guests/nested61/proc_mtrr.txt': GUEST_AT_2G,
  'guests/nested73/proc_mtrr.txt': GUEST_AT_2G,
  'guests/nested73w/proc_mtrr.txt': GUEST_AT_2G,
  'guests/pc-256-6.1/proc_mtrr.txt': GUEST_AT_2G,
  'guests/pc-cleanup-612/proc_mtrr.txt': GUEST_AT_3G,
  'guests/pc-hsw-nopat-61/proc_mtrr.txt': GUEST_AT_3G,
  'guests/pc-mtrrdebug-73/proc_mtrr.txt': GUEST_AT_3G,
  'guests/q35-skl-61/proc_mtrr.txt': GUEST_AT_3G,
  'host-local/proc_mtrr.txt': EMPTY,
  'realkvm/bochs-ept-6.1-skx/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/bochs-ept-6.12-skx/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/bochs-ept-6.12-snb/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/bochs-ept-7.3-ivb/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/bochs-shadow-6.12-skx/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/pvm-shadow-6.18-ring3/host/proc_mtrr': EMPTY,
  'realkvm/qemu-npt-6.1/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/qemu-npt-6.12-bulk/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/qemu-npt-6.12/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/qemu-npt-7.3/host/proc_mtrr': GUEST_AT_3G,
  'realkvm/qemu-shadow-amd-6.1/host/proc_mtrr': GUEST_AT_3G,
};

/** How many problems of each severity; the others have none. */
const PROBLEMS: Readonly<Record<string, string>> = {
  'mtrr/eio.txt': 'error',
  'mtrr/gateway-4.19-i386.txt': 'warning',
};

describe('samples', () => {
  const texts = new Map(
    samples.mtrr.flatMap((s) => s.names.map((name) => [name, s.lines] as const)),
  );

  test('all are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [types, reg, base, size]) => {
    const parsed = parseMtrr(`${texts.get(name)?.join('\n')}\n`, name);
    expect(parsed.value.ranges.map((range) => range.type).join(' ')).toBe(types);
    expect(parsed.value.ranges.find((range) => range.reg === reg)).toEqual(
      reg < 0 ? undefined : expect.objectContaining({ reg, base, size, line: reg + 1 }),
    );
    expect(parsed.problems.map((p) => p.severity).join(' ')).toBe(PROBLEMS[name] ?? '');
  });

  test('a count other than 1', () => {
    const lines = texts.get('mtrr/lkml-2005-mccloskey-2.6.11.txt') ?? [];
    const { ranges } = parseMtrr(`${lines.join('\n')}\n`, 'f').value;
    expect(ranges.map((range) => range.count)).toEqual([1, 2, 1]);
  });
});

const ROW = 'reg02: base=0x080000000 ( 2048MB), size=  512MB, count=1: write-back';

describe('rows that are odd or wrong', () => {
  test.each([
    ['garbage size', ROW.replace('  512', '983552'), 41, 6, 'the size is no power of two'],
    [
      'misaligned base',
      ROW.replace('( 2048', '( 2049').replace('080', '0801'),
      15,
      10,
      'no multiple',
    ],
    ['other MB', ROW.replace('2048', '2047'), 27, 4, 'the base in MB differs'],
  ])('%s: warning, the row stays', (_, line, column, length, message) => {
    const parsed = parseMtrr(`${line}\n`, 'f');
    expect(parsed.value.ranges).toHaveLength(1);
    const found = parsed.problems.find((p) => p.message.includes(message));
    expect(found).toMatchObject({
      severity: 'warning',
      place: { line: 1, column, length },
      source: line,
    });
    expect(found?.help).toBeTruthy();
  });

  test.each([
    ['unknown type number', ROW.replace('write-back', '?'), 59, 1, 'no such memory type'],
    ['unknown word', ROW.replace('write-back', 'write-bakc'), 59, 10, 'unknown word "write-bakc"'],
    ['base beyond 53 bits', ROW.replace('080000000', `f${'0'.repeat(14)}`), 15, 15, 'below 2^53'],
    ['base beyond 64 bits', ROW.replace('080000000', 'f'.repeat(40)), 15, 40, 'below 2^53'],
    ['size beyond 53 bits', ROW.replace('  512', '9007199254740990'), 41, 16, 'does not fit'],
    ['unit', ROW.replace('512MB', '512GB'), 46, 1, 'unknown word "G"'],
    ['cut', ROW.slice(0, 30), 1, 30, 'not a line of /proc/mtrr'],
  ])('%s: error, the row is left out', (_, line, column, length, message) => {
    const parsed = parseMtrr(`${line}\n`, 'f');
    expect(parsed.value.ranges).toEqual([]);
    expect(parsed.problems).toMatchObject([
      { severity: 'error', place: { file: 'f', line: 1, column, length }, source: line },
    ]);
    expect(parsed.problems[0]?.message).toContain(message);
  });

  test('gaps in the numbers are normal, going back is not', () => {
    const text = [ROW, ROW.replace('02', '07'), ROW.replace('02', '07')].join('\n');
    const parsed = parseMtrr(`${text}\n`, 'f');
    expect(parsed.value.ranges.map((range) => range.reg)).toEqual([2, 7, 7]);
    expect(parsed.problems).toMatchObject([{ severity: 'warning', place: { line: 3 } }]);
  });

  test.each([
    ['cat: /proc/mtrr: Input/output error', 'MTRRs disabled'],
    ["cat: can't open '/proc/mtrr': No such file or directory", 'has no MTRRs'],
    ['cat: /proc/mtrr: Permission denied', 'as root'],
  ])('%s', (line, help) => {
    const [problem] = parseMtrr(`${line}\n`, 'f').problems;
    expect(problem?.message).toMatch(/^\/proc\/mtrr could not be read: /);
    expect(problem?.help).toContain(help);
  });

  test('an empty file is an empty list', () => {
    expect(parseMtrr('', 'f')).toEqual({ value: { ranges: [] }, problems: [] });
  });
});

const WORDS: Readonly<Record<MtrrType, string>> = {
  UC: 'uncachable',
  WC: 'write-combining',
  WT: 'write-through',
  WP: 'write-protect',
  WB: 'write-back',
};

/** As the kernel prints it. */
function print(range: MtrrRange, old: boolean): string {
  const size = range.size < M ? `${range.size / K}K` : `${range.size / M}M`;
  const base = `0x${range.base.toString(16).padStart(old ? 8 : 9, '0')}`;
  const mb = String(Math.floor(range.base / M)).padStart(old ? 4 : 5);
  const head = `reg${String(range.reg).padStart(2, '0')}: base=${base} (${mb}MB)`;
  const [count, type] = [`count=${range.count}`, WORDS[range.type]];
  const padded = size.padStart(old ? 5 : 6);
  return old
    ? `${head}, size=${padded}B: ${type}, ${count}`
    : `${head}, size=${padded}B, ${count}: ${type}`;
}

const rangeArbitrary = fc
  .record({
    shift: fc.integer({ min: 12, max: 45 }),
    multiple: fc.nat(63),
    type: fc.constantFrom(...MTRR_TYPES),
    count: fc.nat(9),
  })
  .map(({ shift, multiple, type, count }) => ({
    base: multiple * 2 ** shift,
    size: 2 ** shift,
    type,
    count,
  }));

test.each([false, true])('parse(print(x)) = x, old wording %s', (old) => {
  fc.assert(
    fc.property(fc.array(rangeArbitrary, { maxLength: 16 }), (rows) => {
      const ranges = rows.map((row, i) => ({ reg: i, ...row, line: i + 1 }));
      const text = ranges.map((range) => `${print(range, old)}\n`).join('');
      expect(parseMtrr(text, 'f')).toEqual({ value: { ranges }, problems: [] });
    }),
  );
});
