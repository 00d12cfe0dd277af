import { describe, expect, test } from 'vitest';
import { parseDmesg } from './dmesg.ts';

const LAYOUT = ['WB', 'WC', 'UC-', 'UC', 'WB', 'WP', 'UC-', 'WT'];
const OLD_LAYOUT = ['WB', 'WC', 'UC-', 'UC', 'WB', 'WC', 'UC-', 'UC'];
const ONE_PAGE = { start: 0x1000, end: 0x2000 };
const TASK = { comm: 'a:b 1/c', pid: 12 };

describe('lines about the PAT', () => {
  test.each([
    [
      'x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT  ',
      { kind: 'pat-layout', layout: LAYOUT },
    ],
    [
      'PAT configuration [0-7]: WB  WC  UC- UC  WB  WC  UC- UC  ',
      { kind: 'pat-layout', layout: OLD_LAYOUT },
    ],
    ['x86/PAT: PAT not supported by the CPU.', { kind: 'pat-off', reason: 'no PAT in the CPU' }],
    ['PAT not supported by CPU.', { kind: 'pat-off', reason: 'no PAT in the CPU' }],
    ['x86/PAT: PAT support disabled via boot option.', { kind: 'pat-off', reason: 'boot option' }],
    ['x86/PAT: PAT support disabled by the firmware.', { kind: 'pat-off', reason: 'by firmware' }],
    ['x86/PAT: PAT MSR is 0, disabled.', { kind: 'pat-off', reason: 'by firmware' }],
    [
      'x86/PAT: PAT support disabled because CONFIG_X86_PAT is disabled in the kernel.',
      { kind: 'pat-off', reason: 'kernel configuration' },
    ],
    [
      'x86/PAT: MTRRs disabled, skipping PAT initialization too.',
      { kind: 'pat-off', reason: 'MTRRs off' },
    ],
    ['PAT support disabled.', { kind: 'pat-off', reason: 'not said' }],
  ])('%j', (line, statement) => {
    expect(parseDmesg(`${line}\n`, 'f')).toEqual({
      value: { facts: [{ ...statement, line: 1 }] },
      problems: [],
    });
  });
});

describe('conflicts', () => {
  test.each([
    [
      'x86/PAT: a:b 1/c:12 conflicting memory types 1000-2000 write-combining<->uncached-minus',
      { kind: 'conflicting-types', task: TASK, ...ONE_PAGE, found: 'WC', existing: 'UC-' },
    ],
    [
      'x86/PAT: memtype_reserve failed [mem 0x00001000-0x00001fff], track write-back, req write-through',
      { kind: 'reserve-failed', ...ONE_PAGE, tracked: 'WB', requested: 'WT' },
    ],
    [
      'x86/PAT: reserve_memtype failed [mem 0x00001000-0x00001fff], track uncached, req write-protected',
      { kind: 'reserve-failed', ...ONE_PAGE, tracked: 'UC', requested: 'WP' },
    ],
    [
      'reserve_memtype failed 0x1000-0x2000, track uncached-minus, req write-combining',
      { kind: 'reserve-failed', ...ONE_PAGE, tracked: 'UC-', requested: 'WC' },
    ],
    [
      'x86/PAT: reserve_ram_pages_type failed [mem 0x00001000-0x00001fff], track 0x1, req 0x2',
      { kind: 'reserve-ram-failed', ...ONE_PAGE, tracked: 'WC', requested: 'UC-' },
    ],
    [
      'reserve_ram_pages_type failed 0x1000-0x2000, track 0x10, req 0x8',
      { kind: 'reserve-ram-failed', ...ONE_PAGE, tracked: 'UC-', requested: 'WC' },
    ],
    ['ioremap reserve_memtype failed -22', { kind: 'ioremap-reserve-failed', errno: 22 }],
    [
      'ioremap error for 0x1000-0x2000, requested 0x2, got 0x0',
      { kind: 'ioremap-refused', ...ONE_PAGE, requested: 'UC-', got: 'WB' },
    ],
    [
      'a:b 1/c:12 map pfn RAM range req uncached-minus for 1000-2000, got write-back',
      { kind: 'ram-type-forced', task: TASK, ...ONE_PAGE, requested: 'UC-', got: 'WB' },
    ],
    [
      'x86/PAT: a:b 1/c:12 map pfn expected mapping type uncached-minus for [mem 0x00001000-0x00001fff], got write-back',
      { kind: 'map-refused', task: TASK, ...ONE_PAGE, requested: 'UC-', got: 'WB' },
    ],
    [
      'a:b 1/c:12 map pfn expected mapping type uncached-minus for 1000-2000, got write-back',
      { kind: 'map-refused', task: TASK, ...ONE_PAGE, requested: 'UC-', got: 'WB' },
    ],
  ])('%j', (line, statement) => {
    expect(parseDmesg(`[  306.547838] ${line}\n`, 'f')).toEqual({
      value: { facts: [{ ...statement, line: 1 }] },
      problems: [],
    });
  });
});

describe('lines that begin like ours and do not parse', () => {
  test.each([
    ['x86/PAT: Configuration [0-7]: WB  WC  UC- UC', 31, 14],
    ['x86/PAT: Configuration [0-3]: WB  WC  UC- UC', 1, 44],
    ['x86 PAT enabled: cpu 0, old 0x7040600070406', 1, 43],
    ['x86/PAT: PAT support disabled by magic', 1, 38],
    ['Xorg:17 conflicting memory types 1000-2000 broken<->write-back', 44, 6],
    ['Xorg:17 conflicting memory types 2000-1000 write-back<->write-combining', 39, 4],
    ['x86/PAT: memtype_reserve failed [mem 0x00001000-0x00', 1, 52],
    ['ioremap error for 0x1000-0x2000, requested 0x9, got 0x0', 46, 1],
    ['ioremap memtype_reserve failed', 1, 30],
    ['x86/PAT: app:1 map pfn RAM range req write-back for', 1, 51],
    ['x86/PAT: app:1 map pfn expected mapping type', 1, 44],
  ])('%j', (line, column, length) => {
    const { value, problems } = parseDmesg(`${line}\n`, 'f');
    expect(value.facts).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1, column, length } }]);
    expect(problems[0]?.help).toBeTruthy();
  });
});
