import { describe, expect, test } from 'vitest';
import { parseDmesg } from './dmesg.ts';

describe('lines about MTRRs', () => {
  test.each([
    ['MTRR default type: write-back', { kind: 'mtrr-default', type: 'WB' }],
    ['MTRR fixed ranges disabled:', { kind: 'mtrr-fixed-ranges', enabled: false }],
    ['MTRR variable ranges disabled:', { kind: 'mtrr-variable-ranges', enabled: false }],
    [
      '  00000-9FFFF write-back',
      { kind: 'mtrr-fixed', start: 0, endInclusive: 0x9ffff, type: 'WB' },
    ],
    [
      '  10 base 0E0000000 mask FE0000000 uncachable',
      { kind: 'mtrr-variable', reg: 10, base: 0xe0000000, mask: 0xfe0000000, type: 'UC' },
    ],
    ['  9 disabled', { kind: 'mtrr-unused', reg: 9 }],
    ['TOM2: 0000001080000000 aka 67584M', { kind: 'tom2', address: 0x1080000000 }],
    ['MTRRs disabled (not available)', { kind: 'mtrr-off', reason: 'not available' }],
    ['MTRRs disabled by BIOS', { kind: 'mtrr-off', reason: 'by firmware' }],
    [
      'MTRRs disabled due to allocation failure for lookup map.',
      { kind: 'mtrr-off', reason: 'out of memory' },
    ],
    ['MTRR: Disabled', { kind: 'mtrr-off', reason: 'not said' }],
    ['MTRRs set to read-only', { kind: 'mtrr-read-only' }],
    [
      'mtrr: your CPUs had inconsistent MTRRdefType settings',
      { kind: 'mtrr-inconsistent', what: 'default' },
    ],
    [
      'type mismatch for 440000000,1000 old: write-through new: write-protect',
      { kind: 'mtrr-mismatch', base: 0x440000000, size: 0x1000, old: 'WT', wanted: 'WP' },
    ],
  ])('%j', (line, statement) => {
    expect(parseDmesg(`[    0.0] ${line}\n`, 'f')).toEqual({
      value: { facts: [{ ...statement, line: 1 }] },
      problems: [],
    });
  });
});

describe('lines that begin like ours and do not parse', () => {
  test.each([
    ['MTRR default type: ?', 20, 1],
    ['MTRR default type: write-', 20, 6],
    ['MTRR fixed ranges', 1, 17],
    ['MTRR variable ranges dis:', 22, 3],
    ['A0000-BFFFF', 1, 11],
    ['B0000-A0000 uncachable', 7, 5],
    ['0 base 0E0000000 mask FE0000000', 1, 31],
    ['0 base 0E0000000 mask FE000X000 uncachable', 23, 9],
    ['3: 00000000c0000000-ffffffffffffffff uncachable', 21, 16],
    ['MTRR map: 4 entries (3 fixed', 1, 28],
    ['MTRRs disabled for fun', 1, 22],
    ['TOM2: 0000001080000000', 1, 22],
    ['mtrr: type mismatch for e0000000', 1, 32],
  ])('%j', (line, column, length) => {
    const { value, problems } = parseDmesg(`${line}\n`, 'f');
    expect(value.facts).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column, length } }]);
    expect(problems[0]?.help).toBeTruthy();
  });
});
