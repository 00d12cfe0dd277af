import { describe, expect, test } from 'vitest';
import { u64FromHex } from '../../base/u64.ts';
import { parseDmesg } from './dmesg.ts';

function expectFact(line: string, fact: object): void {
  const value = { facts: [{ ...fact, line: 1 }] };
  expect(parseDmesg(`${line}\n`, 'f')).toEqual({ value, problems: [] });
}

const RAM = {
  kind: 'e820',
  map: 'BIOS-e820',
  start: 0x100000,
  endInclusive: 0xbfffffff,
  type: 'ram',
};

describe('e820', () => {
  test.each([
    [' BIOS-e820: 0000000000100000 - 00000000c0000000 (usable)', { ...RAM, name: 'usable' }],
    ['BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usable', { ...RAM, name: 'usable' }],
    [
      'BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff]  System RAM',
      { ...RAM, name: 'System RAM' },
    ],
    [
      ' modified: 0000000000100000 - 00000000c0000000 (usable)',
      { ...RAM, map: 'modified', name: 'usable' },
    ],
    [
      'user: [mem 0x0000000000100000-0x00000000bfffffff] usable',
      { ...RAM, map: 'user', name: 'usable' },
    ],
    [
      'reserve setup_data: [mem 0x0000000000100000-0x00000000bfffffff] usable',
      { ...RAM, map: 'reserve setup_data', name: 'usable' },
    ],
    [
      ' BIOS-e820: 0000000000100000 - 00000000c0000000 type 20',
      { ...RAM, type: 'other', name: 'type 20' },
    ],
    [
      'BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] persistent (type 12)',
      { ...RAM, type: 'persistent', name: 'persistent (type 12)' },
    ],
    [
      'BIOS-e820: [gap 0x00000000000a0000-0x00000000000effff]',
      { kind: 'e820-gap', map: 'BIOS-e820', start: 0xa0000, endInclusive: 0xeffff },
    ],
  ])('%j', (line, fact) => {
    expectFact(line, fact);
  });

  test.each([
    [
      'e820 update range: 0000000000000000 - 0000000000010000 (usable) ==> (reserved)',
      { kind: 'e820-update', start: 0, endInclusive: 0xffff, from: 'ram', to: 'reserved' },
    ],
    [
      'e820: update [mem 0x00000000-0x00000fff] System RAM ==> device reserved',
      { kind: 'e820-update', start: 0, endInclusive: 0xfff, from: 'ram', to: 'reserved' },
    ],
    [
      'e820 remove range: 00000000000a0000 - 0000000000100000 (usable)',
      { kind: 'e820-remove', start: 0xa0000, endInclusive: 0xfffff, type: 'ram' },
    ],
    [
      'e820: remove [mem 0x000a0000-0x000fffff] ',
      { kind: 'e820-remove', start: 0xa0000, endInclusive: 0xfffff, type: null },
    ],
    [
      'e820: remove [mem 0x25800000-0xfffffffffffffffe] usable',
      { kind: 'e820-remove', start: 0x25800000, endInclusive: 2 ** 52 - 1, type: 'ram' },
    ],
  ])('%j', (line, fact) => {
    expectFact(line, fact);
  });
});

describe('places and IOMMUs', () => {
  test.each([
    ['Kernel command line:', { kind: 'command-line', text: '' }],
    ['Command line: mem=600M quiet', { kind: 'command-line', text: 'mem=600M quiet' }],
    [
      'Linux version 6.12.0 (gcc) #1 SMP',
      { kind: 'kernel', release: '6.12.0', text: 'Linux version 6.12.0 (gcc) #1 SMP' },
    ],
    ['Hypervisor detected: Microsoft Hyper-V', { kind: 'hypervisor', name: 'Microsoft Hyper-V' }],
    ['DMI: A B/C, BIOS 1.0 01/02/2003', { kind: 'dmi', text: 'A B/C, BIOS 1.0 01/02/2003' }],
    [
      'dmar: IOMMU 0: reg_base_addr feb00000 ver 1:0 cap c9008020e30272 ecap 1000',
      {
        kind: 'dmar-unit',
        name: 'IOMMU 0',
        base: 0xfeb00000,
        version: '1:0',
        cap: u64FromHex('c9008020e30272'),
        ecap: u64FromHex('1000'),
      },
    ],
  ])('%j', (line, fact) => {
    expectFact(line, fact);
  });
});

describe('lines that begin like ours and do not parse', () => {
  test.each([
    ['[    0.0] BIOS-e820: [mem 0x0000000000100000-0x00000000bf', 11, 47],
    ['[    0.0] BIOS-e820: [mem 0x0000000000100000-0x00000000bfffffff] usabel', 66, 6],
    ['[    0.0] BIOS-e820: [mem 0x0000000000100000-0x00000000000fffff] usable', 48, 16],
    ['[    0.0] e820: update [mem 0x00000000-0x00000fff] usable ==> recycled', 63, 8],
    ['[    0.0] e820: remove [mem 0x00000000-0x1fffffffffffffffff] usable', 42, 18],
    ['[    0.0] DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap 1 ecap 123456789abcdef01', 66, 17],
    ['[    0.0] DMAR: DRHD base: 0x000000fed90000', 11, 33],
    ['[    0.0] Hypervisor detected:', 11, 20],
    ['[    0.0] Linux version unknown', 11, 21],
  ])('%j', (line, column, length) => {
    const { value, problems } = parseDmesg(`${line}\n`, 'f');
    expect(value.facts).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', source: line }]);
    expect(problems[0]?.place).toEqual({ file: 'f', line: 1, column, length });
    expect(problems[0]?.help).toBeTruthy();
  });
});
