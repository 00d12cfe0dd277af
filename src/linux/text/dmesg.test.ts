import { describe, expect, test } from 'vitest';
import { u64FromHex } from '../../base/u64.ts';
import { factsOf, parseDmesg } from './dmesg.ts';
import samples from './samples.json' with { type: 'json' };

const MTRR_STATE = 'mtrr-default 1, mtrr-fixed-ranges 1';
const BOOT = 'kernel 1, command-line 2, e820 7';
const UPDATES = 'dmi 1, e820-update 1, e820-remove 1';

/** How many facts of each kind, in the order of their first appearance. */
const EXPECTED: Readonly<Record<string, string>> = {
  'dmesg/ami-core2-2.6.3x.txt': `e820 2, e820-update 2, e820-remove 1, ${MTRR_STATE}, mtrr-fixed 6, mtrr-variable-ranges 1, mtrr-variable 5, mtrr-unused 3, pat-msr 1`,
  'dmesg/chachani-mtrr.txt': 'mtrr-variable-ranges 1, mtrr-variable 4, mtrr-unused 4, tom2 1',
  'dmesg/conflict-gma500.txt': 'conflicting-types 1, reserve-failed 1, ioremap-reserve-failed 1',
  'dmesg/conflict-old-wording.txt': 'conflicting-types 2, reserve-failed 2',
  'dmesg/conflict-vfio-ioremap.txt':
    'conflicting-types 2, reserve-failed 2, ioremap-reserve-failed 2',
  'dmesg/dmar-rpl-igpu-no-snoop-control.txt': 'dmar-drhd 2, dmar-unit 2, iommu-inconsistent 6',
  'dmesg/hpe-dl325-epyc.txt': `e820 1, ${UPDATES}, ${MTRR_STATE}, mtrr-fixed 2, mtrr-variable-ranges 1, mtrr-variable 4, mtrr-unused 4, tom2 1, pat-layout 1`,
  'dmesg/inconsistent-variable-5.10.txt': 'tom2 1, mtrr-inconsistent 1',
  'dmesg/lenovo-x13-7.x-e820-wording.txt': `${UPDATES}, mtrr-map 1, pat-layout 1`,
  'dmesg/map-pfn-ram-range.txt': 'ram-type-forced 4',
  'dmesg/memtype-warn-decoy.txt': 'reserve-inverted 1',
  'dmesg/mtrr-type-mismatch.txt': 'mtrr-mismatch 4',
  'dmesg/mtrrmap-adl-insyde.txt': 'e820-remove 2, dmi 1, e820-update 1, mtrr-map 1, pat-layout 1',
  'dmesg/mtrrs-disabled-by-bios.txt': 'mtrr-off 1, pat-layout 1',
  'dmesg/no-pat-p3-6.x.txt': 'pat-off 2, pat-layout 2, mtrr-map 1',
  'dmesg/openssd-4.x-mtrr-pat.txt':
    'mtrr-fixed-ranges 1, mtrr-fixed 5, mtrr-variable-ranges 1, mtrr-variable 8, mtrr-unused 2, pat-layout 1, e820-update 1',
  'dmesg/qemu-pc-guest-4.x.txt': `e820 2, dmi 1, hypervisor 1, e820-update 1, e820-remove 1, ${MTRR_STATE}, mtrr-fixed 3, mtrr-variable-ranges 1, mtrr-variable 1, mtrr-unused 7, pat-layout 1`,
  'dmesg/xen-pv-dom0.txt': 'hypervisor 1, mtrr-map 1, mtrr-read-only 1, pat-layout 1',
  'dmesg/zfsonlinux-3.x-patmsr.txt': `${MTRR_STATE}, mtrr-fixed 5, mtrr-variable-ranges 1, mtrr-variable 7, mtrr-unused 3, pat-msr 1`,
  'guests/iommu-amd-612/dmesg.txt': `kernel 1, command-line 2, e820 9, ${UPDATES}, mtrr-map 1, pat-layout 1`,
  'guests/iommu-intel-nosc-61/dmesg.txt': `kernel 1, command-line 2, e820 9, ${UPDATES}, pat-layout 1, dmar-drhd 1, dmar-unit 1`,
  'guests/mt61/dmesg.txt': `${BOOT}, ${UPDATES}, pat-layout 1, mtrr-mismatch 1`,
  'guests/nested61-npt0/dmesg.txt': `${BOOT}, ${UPDATES}, pat-layout 1`,
  'guests/nested61/dmesg.txt': `${BOOT}, ${UPDATES}, pat-layout 1`,
  'guests/nested73/dmesg.txt': `${BOOT}, e820-gap 3, ${UPDATES}, mtrr-map 1, pat-layout 1`,
  'guests/nested73w/dmesg.txt': `${BOOT}, e820-gap 3, ${UPDATES}, mtrr-map 1, pat-layout 1`,
  'guests/pc-256-6.1/dmesg.txt': `${BOOT}, ${UPDATES}, pat-layout 1`,
  'guests/pc-cleanup-612/dmesg.txt': `${BOOT}, ${UPDATES}, mtrr-map 1, pat-layout 1`,
  'guests/pc-hsw-nopat-61/dmesg.txt': `${BOOT}, pat-off 1, ${UPDATES}, pat-layout 1`,
  'guests/pc-mtrrdebug-73/dmesg.txt': `${BOOT}, e820-gap 2, ${UPDATES}, ${MTRR_STATE}, mtrr-fixed 3, mtrr-variable-ranges 1, mtrr-variable 1, mtrr-unused 7, mtrr-map 1, mtrr-map-entry 4, pat-layout 1`,
  'guests/q35-skl-61/dmesg.txt': `kernel 1, command-line 2, e820 9, ${UPDATES}, pat-layout 1`,
  'host-local/dmesg-memtype.txt':
    'e820 5, hypervisor 1, e820-update 1, e820-remove 1, mtrr-map 1, pat-layout 1',
};

const texts = new Map(
  samples.dmesg.flatMap((s) => s.names.map((name) => [name, `${s.lines.join('\n')}\n`] as const)),
);

function parse(name: string) {
  return parseDmesg(texts.get(name) ?? '', name);
}

describe('samples', () => {
  test('all are in the table', () => {
    expect([...texts.keys()].sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  test.each(Object.entries(EXPECTED))('%s', (name, kinds) => {
    const { value, problems } = parse(name);
    const counts = new Map<string, number>();
    for (const { kind } of value.facts) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    expect([...counts].map(([kind, count]) => `${kind} ${count}`).join(', ')).toBe(kinds);
    expect(problems).toEqual([]);
  });

  test.each([
    [
      'dmesg/ami-core2-2.6.3x.txt',
      {
        kind: 'e820',
        map: 'BIOS-e820',
        start: 0x100000000,
        endInclusive: 0x13fffffff,
        type: 'ram',
        name: 'usable',
        line: 2,
      },
    ],
    [
      'dmesg/ami-core2-2.6.3x.txt',
      {
        kind: 'e820-update',
        start: 0xb7e00000,
        endInclusive: 0xffffffff,
        from: 'ram',
        to: 'reserved',
        line: 25,
      },
    ],
    [
      'dmesg/ami-core2-2.6.3x.txt',
      {
        kind: 'pat-msr',
        cpu: 0,
        before: u64FromHex('7040600070406'),
        after: u64FromHex('7010600070106'),
        line: 24,
      },
    ],
    [
      'dmesg/chachani-mtrr.txt',
      {
        kind: 'mtrr-variable',
        reg: 2,
        base: 0xffde0000,
        mask: 0xfffffffe0000,
        type: 'WP',
        line: 4,
      },
    ],
    ['dmesg/chachani-mtrr.txt', { kind: 'tom2', address: 0x280000000, line: 10 }],
    [
      'dmesg/conflict-gma500.txt',
      {
        kind: 'reserve-failed',
        start: 0xbf800000,
        end: 0xfffff000,
        tracked: 'WC',
        requested: 'WC',
        line: 3,
      },
    ],
    [
      'dmesg/conflict-old-wording.txt',
      {
        kind: 'conflicting-types',
        task: { comm: 'radeontool', pid: 2986 },
        start: 0x80000000,
        end: 0x90000000,
        found: 'UC-',
        existing: 'WC',
        line: 3,
      },
    ],
    [
      'dmesg/conflict-vfio-ioremap.txt',
      {
        kind: 'conflicting-types',
        task: { comm: 'CPU 0/KVM', pid: 7808 },
        start: 0xb0000000,
        end: 0xc0000000,
        found: 'WC',
        existing: 'UC-',
        line: 4,
      },
    ],
    ['dmesg/conflict-vfio-ioremap.txt', { kind: 'ioremap-reserve-failed', errno: 16, line: 6 }],
    [
      'dmesg/dmar-rpl-igpu-no-snoop-control.txt',
      {
        kind: 'dmar-unit',
        name: 'dmar0',
        base: 0xfed90000,
        version: '4:0',
        cap: u64FromHex('1c0000c40660462'),
        ecap: u64FromHex('29a00f0505e'),
        line: 3,
      },
    ],
    [
      'dmesg/dmar-rpl-igpu-no-snoop-control.txt',
      { kind: 'dmar-drhd', base: 0xfed91000, flags: 1, line: 4 },
    ],
    [
      'dmesg/dmar-rpl-igpu-no-snoop-control.txt',
      { kind: 'iommu-inconsistent', feature: 'sc_support', line: 14 },
    ],
    ['dmesg/hpe-dl325-epyc.txt', { kind: 'mtrr-default', type: 'UC', line: 7 }],
    [
      'dmesg/hpe-dl325-epyc.txt',
      { kind: 'mtrr-fixed', start: 0xa0000, endInclusive: 0xfffff, type: 'UC', line: 10 },
    ],
    [
      'dmesg/inconsistent-variable-5.10.txt',
      { kind: 'mtrr-inconsistent', what: 'variable', line: 3 },
    ],
    [
      'dmesg/lenovo-x13-7.x-e820-wording.txt',
      { kind: 'e820-update', start: 0, endInclusive: 0xfff, from: 'ram', to: 'reserved', line: 2 },
    ],
    [
      'dmesg/map-pfn-ram-range.txt',
      {
        kind: 'ram-type-forced',
        task: { comm: '.vorbis.decoder', pid: 4088 },
        start: 0x1e7a58000,
        end: 0x1e7a59000,
        requested: 'WC',
        got: 'WB',
        line: 4,
      },
    ],
    [
      'dmesg/memtype-warn-decoy.txt',
      {
        kind: 'reserve-inverted',
        start: 0xffffffffff000,
        endInclusive: 0x8fff,
        requested: 'WB',
        line: 1,
      },
    ],
    [
      'dmesg/mtrr-type-mismatch.txt',
      {
        kind: 'mtrr-mismatch',
        base: 0xe0000000,
        size: 0x10000000,
        old: 'WB',
        wanted: 'WC',
        line: 3,
      },
    ],
    [
      'dmesg/mtrrmap-adl-insyde.txt',
      { kind: 'mtrr-map', entries: 5, fixed: 3, variable: 2, max: 23, registers: 10, line: 7 },
    ],
    ['dmesg/mtrrs-disabled-by-bios.txt', { kind: 'mtrr-off', reason: 'by firmware', line: 1 }],
    ['dmesg/no-pat-p3-6.x.txt', { kind: 'pat-off', reason: 'no PAT in the CPU', line: 2 }],
    [
      'dmesg/xen-pv-dom0.txt',
      { kind: 'pat-layout', layout: ['WB', 'WT', 'UC-', 'UC', 'WC', 'WP', 'UC', 'UC'], line: 5 },
    ],
    ['dmesg/xen-pv-dom0.txt', { kind: 'hypervisor', name: 'Xen PV', line: 1 }],
    [
      'guests/mt61/dmesg.txt',
      expect.objectContaining({
        kind: 'mtrr-mismatch',
        base: 0x440000000,
        size: 4096,
        old: 'WT',
        wanted: 'WP',
      }),
    ],
    [
      'guests/nested73/dmesg.txt',
      expect.objectContaining({ kind: 'kernel', release: '7.3.4+deb13-amd64' }),
    ],
    [
      'guests/nested73/dmesg.txt',
      expect.objectContaining({ kind: 'e820', start: 0x100000, type: 'ram', name: 'System RAM' }),
    ],
    [
      'guests/pc-mtrrdebug-73/dmesg.txt',
      expect.objectContaining({
        kind: 'mtrr-variable',
        reg: 0,
        base: 0xc0000000,
        mask: 0xffc0000000,
        type: 'UC',
      }),
    ],
    [
      'guests/pc-mtrrdebug-73/dmesg.txt',
      expect.objectContaining({
        kind: 'mtrr-map-entry',
        index: 3,
        start: 0xc0000000,
        endInclusive: 0xffffffff,
        type: 'UC',
      }),
    ],
    [
      'guests/pc-hsw-nopat-61/dmesg.txt',
      expect.objectContaining({ kind: 'pat-off', reason: 'boot option' }),
    ],
  ])('%s has %j', (name, fact) => {
    expect(parse(name).value.facts).toContainEqual(fact);
  });
});

test('factsOf: one kind, in the order of the log', () => {
  const log = parse('dmesg/zfsonlinux-3.x-patmsr.txt').value;
  expect(factsOf(log, 'mtrr-variable').map((fact) => fact.reg)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(factsOf(log, 'mtrr-mismatch')).toEqual([]);
});

describe('what is no fact', () => {
  test('other lines are read over', () => {
    const text = [
      '[    1.0] tsc: Fast TSC calibration failed',
      '[    1.1] firmware: failed to load x: No such file or directory',
      '[    1.2] x86/PAT: Overlap at 0xfd000000-0xfd004000',
      '[    1.3] mtrr: no MTRR for fd000000,800000 found',
      '[    1.4] DMI: SMBIOS 2.8 present.',
      '',
    ].join('\n');
    expect(parseDmesg(text, 'f')).toEqual({ value: { facts: [] }, problems: [] });
  });

  test.each([
    ['dmesg: read kernel buffer failed: Operation not permitted', 'dmesg_restrict'],
    ['cat: /var/log/dmesg: No such file or directory', 'does not have the file'],
    ['/bin/sh: /dev/kmsg: Permission denied', 'root'],
  ])('%j', (line, help) => {
    const { value, problems } = parseDmesg(`${line}\n`, 'f');
    expect(value.facts).toEqual([]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 1 }, source: line }]);
    expect(problems[0]?.help).toContain(help);
  });

  test('an empty log', () => {
    expect(parseDmesg('', 'f').problems).toMatchObject([{ severity: 'error' }]);
  });
});
