import { describe, expect, test } from 'vitest';
import { parseFirmwareMemmap } from './firmware-memmap.ts';
import samples from './samples.json' with { type: 'json' };

/** Types in order; start and end of the last entry. */
type Expected = readonly [types: string, start: number, end: number];

const BOCHS: Expected = ['ram reserved reserved ram acpi reserved', 0xfffc0000, 0xffffffff];
const PVM: Expected = ['ram reserved ram reserved ram', 0x100000000, 0x63fffffff];
const QEMU: Expected = [
  'ram reserved reserved ram reserved reserved reserved reserved reserved',
  0xfd00000000,
  0xffffffffff,
];

const EXPECTED: Readonly<Record<string, Expected>> = {
  'realkvm/bochs-ept-6.1-skx/host/firmware_memmap': BOCHS,
  'realkvm/bochs-ept-6.12-ivb-mem600M/host/firmware_memmap': BOCHS,
  'realkvm/bochs-ept-6.12-skx/host/firmware_memmap': BOCHS,
  'realkvm/bochs-ept-6.12-snb/host/firmware_memmap': BOCHS,
  'realkvm/bochs-ept-7.3-ivb/host/firmware_memmap': BOCHS,
  'realkvm/bochs-shadow-6.12-skx/host/firmware_memmap': BOCHS,
  'realkvm/pvm-shadow-6.18-ring3/host/firmware_memmap': PVM,
  'realkvm/qemu-npt-6.1/host/firmware_memmap': QEMU,
  'realkvm/qemu-npt-6.12-bulk/host/firmware_memmap': QEMU,
  'realkvm/qemu-npt-6.12/host/firmware_memmap': QEMU,
  'realkvm/qemu-npt-7.3/host/firmware_memmap': QEMU,
  'realkvm/qemu-shadow-amd-6.1/host/firmware_memmap': QEMU,
};

describe('samples', () => {
  const texts = new Map(
    samples.firmwareMemmap.flatMap((s) => s.names.map((name) => [name, s.lines] as const)),
  );

  test('all are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, [types, start, end]) => {
    const { value, problems } = parseFirmwareMemmap(`${texts.get(name)?.join('\n')}\n`, name);
    expect(value.entries.map((entry) => entry.type).join(' ')).toBe(types);
    expect(value.entries.at(-1)).toMatchObject({ start, endInclusive: end });
    expect(problems).toEqual([]);
  });
});

test.each([
  ['0x100000-0xfffff System RAM', 12, 5, 'ends before it begins'],
  ['0x100000-0xfffffffffffffffff System RAM', 12, 17, 'below 2^53'],
  ['0x0-0x9efff Systme RAM', 13, 10, 'unknown kind of memory'],
  ['- System RAM', 1, 12, 'not a line of /sys/firmware/memmap'],
  ['(no /sys/firmware/memmap/0/start: No such file or directory)', 1, 60, 'could not be read'],
])('%j: error', (line, column, length, message) => {
  const { value, problems } = parseFirmwareMemmap(`${line}\n`, 'f');
  expect(value.entries).toEqual([]);
  expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column, length } }]);
  expect(problems[0]?.message).toContain(message);
});

test('an empty file', () => {
  expect(parseFirmwareMemmap('', 'f').problems).toMatchObject([{ severity: 'error' }]);
});
