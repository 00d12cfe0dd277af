import { describe, expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { type U64, u64FromHex } from '../../base/u64.ts';
import { decodePageFlags, type KernelVersion, parsePageFlagRanges } from './kpageflags.ts';
import samples from './samples.json' with { type: 'json' };

function flags(hex: string): U64 {
  return must(u64FromHex(hex), hex);
}

function version(text: string): KernelVersion {
  const [major = 0, minor = 0] = text.split('.').map(Number);
  return { major, minor };
}

describe('the memory type', () => {
  const PLAIN = '0';
  const ARCH = '4000000000';
  const UNCACHED = '8000000000';
  const BOTH_OLD = 'c000000000';
  const ARCH_2 = '20000000000';
  const BOTH_NEW = '24000000000';

  test.each([
    ['6.1', PLAIN, 'WB'],
    ['6.1', ARCH, 'WC'],
    ['6.1', UNCACHED, 'UC-'],
    ['6.1', BOTH_OLD, 'WT'],
    ['6.1', ARCH_2, 'WB'],
    ['6.8', UNCACHED, 'UC-'],
    ['6.8', BOTH_NEW, 'WC'],
    ['6.12', PLAIN, 'WB'],
    ['6.12', ARCH, 'WC'],
    ['6.12', ARCH_2, 'UC-'],
    ['6.12', BOTH_NEW, 'WT'],
    ['6.12', UNCACHED, 'WB'],
    ['7.3', ARCH_2, 'UC-'],
    ['6.10', PLAIN, 'WB'],
    ['6.10', ARCH, 'WC'],
    ['6.10', UNCACHED, 'UC- or WB'],
    ['6.10', ARCH_2, 'WB or UC-'],
    ['6.10', BOTH_OLD, 'WT or WC'],
    ['6.11', BOTH_NEW, 'WC or WT'],
    ['3.10', ARCH, 'WC'],
    ['4.1', BOTH_OLD, 'WB or WT'],
    ['4.2', BOTH_OLD, 'WT'],
  ])('Linux %s, 0x%s: %s', (kernel, hex, types) => {
    const decoded = decodePageFlags(flags(hex), version(kernel));
    expect(decoded.possible.join(' or ')).toBe(types);
    expect(decoded.memtype).toBe(types.includes('or') ? null : types);
  });

  test('a frame without page has none', () => {
    const hole = decodePageFlags(flags('100000'), version('6.1'));
    expect(hole).toMatchObject({ memtype: null, possible: [], noPage: true });
  });
});

/** Values that the wcvm runs of samples/guests/nested* printed. */
describe('entries seen on real kernels', () => {
  test.each([
    ['000000400004402c', '6.1', ['WC'], []],
    ['0000004000044028', '7.3', ['WC'], []],
    ['0000000000004878', '6.1', ['WB'], ['mapped']],
    ['0000000000004838', '6.1', ['WB'], ['mapped']],
    ['000000000000483c', '7.3', ['WB'], ['mapped']],
    ['0000000000000004', '6.1', ['WB'], []],
  ])('0x%s', (hex, kernel, possible, names) => {
    const decoded = decodePageFlags(flags(hex), version(kernel));
    const set = Object.entries(decoded).filter(([, value]) => value === true);
    expect(decoded.possible).toEqual(possible);
    expect(set.map(([name]) => name)).toEqual(names);
  });

  test('every named bit', () => {
    const { memtype, possible, ...bits } = decodePageFlags(flags('1ffffffff'), version('6.12'));
    expect({ memtype, possible }).toEqual({ memtype: null, possible: [] });
    expect(Object.values(bits)).toEqual(Object.values(bits).map(() => true));
  });
});

/** How many runs; the first of them; all runs of a sample together are the 1 MiB of the vgem buffer. */
const EXPECTED: Readonly<Record<string, readonly [count: number, start: number, end: number]>> = {
  'realkvm/bochs-ept-6.1-skx/host/kpageflags_with_memtype_bits': [14, 0x64bc, 0x64bd],
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/kpageflags_with_memtype_bits': [26, 0x5821, 0x5823],
  'realkvm/bochs-ept-6.12-skx/host/kpageflags_with_memtype_bits': [21, 0x591d, 0x591e],
  'realkvm/bochs-ept-6.12-snb/host/kpageflags_with_memtype_bits': [28, 0x5538, 0x555c],
  'realkvm/bochs-ept-7.3-ivb/host/kpageflags_with_memtype_bits': [6, 0x6208, 0x6209],
  'realkvm/bochs-shadow-6.12-skx/host/kpageflags_with_memtype_bits': [15, 0x5400, 0x5401],
  'realkvm/pvm-shadow-6.18-ring3/host/kpageflags_with_memtype_bits': [0, 0, 0],
  'realkvm/qemu-npt-6.1/host/kpageflags_with_memtype_bits': [34, 0x6170, 0x6171],
  'realkvm/qemu-npt-6.12-bulk/host/kpageflags_with_memtype_bits': [22, 0x5d6b, 0x5d6c],
  'realkvm/qemu-npt-6.12/host/kpageflags_with_memtype_bits': [46, 0x528a, 0x528b],
  'realkvm/qemu-npt-7.3/host/kpageflags_with_memtype_bits': [16, 0x5e4d, 0x5e4e],
  'realkvm/qemu-shadow-amd-6.1/host/kpageflags_with_memtype_bits': [43, 0x60d6, 0x60d7],
};
const VGEM_PAGES = 256;

describe('lists of runs', () => {
  const texts = new Map(
    samples.pageFlags.flatMap((s) => s.names.map((name) => [name, s.lines] as const)),
  );

  test('all samples are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [count, start, end]) => {
    const { value, problems } = parsePageFlagRanges(`${texts.get(name)?.join('\n')}\n`, name);
    expect(problems).toEqual([]);
    expect(value.ranges).toHaveLength(count);
    expect(
      value.ranges.every((r) => decodePageFlags(r.flags, version('6.12')).memtype === 'WC'),
    ).toBe(true);
    if (count === 0) return;
    expect(value.ranges[0]).toMatchObject({ startPfn: start, endPfn: end });
    expect(value.ranges.reduce((sum, r) => sum + r.endPfn - r.startPfn, 0)).toBe(VGEM_PAGES);
  });

  test('several bits', () => {
    const { value } = parsePageFlagRanges('pfn 0x1-0x3 flags arch uncached arch_2 \n', 'f');
    expect(value.ranges[0]?.flags).toEqual(flags('2c000000000'));
  });

  test.each([
    ['pfn 0x3-0x3 flags arch', 11, 1, 'ends before it begins'],
    ['pfn 0x3-0x4 flags arch wc', 19, 7, 'unknown page flag'],
    ['pfn 0x3-0x20000000000000 flags arch', 11, 14, 'below 2^53'],
    ['pfn 0x3-0x4', 1, 11, 'not a line of'],
    ['cat: /proc/kpageflags: Permission denied', 1, 40, 'could not be read'],
  ])('%j: error', (line, column, length, message) => {
    const { value, problems } = parsePageFlagRanges(`${line}\n`, 'f');
    expect(value.ranges).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column, length } }]);
    expect(problems[0]?.message).toContain(message);
  });
});
