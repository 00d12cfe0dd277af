import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { u64ToHex } from '../base/u64.ts';
import { KVMMMU_EVENTS, readTraceLine } from './events.ts';
import { scanTraceLine } from './line.ts';
import { reduceTrace } from './reduce.ts';

/** The same two events of one kernel, as tools and trace options print them. All lines are real. */
const VARIANTS: readonly (readonly [string, string, string, number | null, number | null])[] = [
  [
    'ftrace',
    '            wcvm-30396   [000] ...1.  1611.893735: kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    '            wcvm-30396   [000] ...1.  1611.893737: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 240fe7000',
    30396,
    null,
  ],
  [
    'trace option fields',
    '            wcvm-30396   [000] ...1.  1611.893758: kvm_mmu_spte_requested: gfn=0x40000 (262144) pfn=0x2296de (2266846) level=(1)',
    '            wcvm-30396   [000] ...1.  1611.893759: kvm_mmu_set_spte: gfn=0x40000 (262144) spte=0x2296dee67 (9285004903) sptep=0x240fe7000 (9680351232) level=(1) r=(1) x=(1) u=(1)',
    30396,
    null,
  ],
  [
    'record-tgid',
    '            wcvm-30381   (  30380) [000] ...1.  1611.395627: kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    '            wcvm-30381   (  30380) [000] ...1.  1611.395628: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 28d7ff000',
    30381,
    30380,
  ],
  [
    'latency format',
    '    wcvm-30411     0...1. 19833us : kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    '    wcvm-30411     0...1. 19834us#: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 1ef1d3000',
    30411,
    null,
  ],
  [
    'nocontext-info',
    'kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    'kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 14e220000',
    null,
    null,
  ],
  [
    'clock uptime',
    '            wcvm-30421   [000] ...1.       161237: kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    '            wcvm-30421   [000] ...1.       161237: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 104d8b000',
    30421,
    null,
  ],
  [
    'perf script',
    '            wcvm 30931 [001]  1645.165596:   kvmmmu:kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    '            wcvm 30931 [001]  1645.165598:         kvmmmu:kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 1f6deb000',
    30931,
    null,
  ],
  [
    'trace-cmd report, a name with blanks',
    '       CPU 0/KVM-995362 [011] 90210.501211: kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
    '       CPU 0/KVM-995362 [011] 90210.501212: kvm_mmu_set_spte:     gfn 40000 spte 2296dee67 (rwxu) level 1 at 1f6deb000',
    995362,
    null,
  ],
  [
    '7.2 and later, with access',
    '           kvmmt-179     [000] ...1.    16.399780: kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1 access 7',
    '           kvmmt-179     [000] ...1.    16.399782: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 7e64080',
    179,
    null,
  ],
];

describe('one event, printed by many', () => {
  test.each(VARIANTS)('%s', (_name, requested, set, tid, tgid) => {
    expect(readTraceLine(requested, 7)).toEqual({
      is: 'event',
      event: { kind: 'requested', line: 7, tid, tgid, gfn: 0x40000, pfn: 0x2296de, level: 1 },
    });
    const written = readTraceLine(set, 8);
    if (written.is !== 'event' || written.event.kind !== 'set') throw new Error(written.is);
    expect(u64ToHex(written.event.spte)).toBe('0x2296dee67');
    expect(written.event).toMatchObject({ line: 8, tid, tgid, gfn: 0x40000, level: 1 });
  });
});

test('an entry of the TDP MMU, with what it was before', () => {
  const line =
    ' qemu-system-x86-8397    [002] .....  1404.389391: kvm_tdp_mmu_spte_changed: as id 1 gfn 99 level 1 old_spte 600000455299b77 new_spte 5a0';
  const read = readTraceLine(line, 1);
  if (read.is !== 'event' || read.event.kind !== 'changed') throw new Error(read.is);
  const { spte, before, ...rest } = read.event;
  expect(u64ToHex(spte)).toBe('0x5a0');
  expect(before === null ? null : u64ToHex(before)).toBe('0x600000455299b77');
  expect(rest).toEqual({
    kind: 'changed',
    line: 1,
    tid: 8397,
    tgid: null,
    gfn: 0x99,
    level: 1,
    asId: 1,
  });
});

test('no memslot: the frame is an error value', () => {
  const read = readTraceLine('kvm_mmu_spte_requested: gfn fee00 pfn 8000000000000000 level 1', 1);
  expect(read.is === 'event' && read.event.kind === 'requested' && read.event.pfn).toBe(null);
});

test('a cached MMIO page', () => {
  const line =
    'x-1 [000] ..... 1.0: mark_mmio_spte: sptep:00000000f6d9e5d7 gfn 40400 access 6 gen a';
  expect(readTraceLine(line, 3)).toEqual({
    is: 'event',
    event: { kind: 'mmio', line: 3, tid: 1, tgid: null, gfn: 0x40400 },
  });
});

test.each([
  ['# tracer: nop', 'nothing'],
  ['', 'nothing'],
  ['CPU:0 [LOST 12 EVENTS]', 'nothing'],
  ['84d pfn 100b4a4d level 2', 'nothing'],
  ['  a-1 [000] ..... 1.0: kvm_mmu_set_spte: type: 12', 'unreadable'],
  ['  a-1 [000] ..... 1.0: kvm_mmu_set_spte: gfn zz spte 1 (rwxu) level 1', 'unreadable'],
  [
    '  a-1 [000] ..... 1.0: kvm_mmu_set_spte: gfn 1 spte 12345678123456781 (r) level 1',
    'unreadable',
  ],
  ['  a-1 [000] ..... 1.0: kvm_mmu_set_spte: gfn 1 spte 1 (r) level 9', 'unreadable'],
  [
    '  a-1 [000] ..... 1.0: tracing_mark_write: kvm_mmu_set_spte: gfn 1 spte 1 (r) level 1',
    'other',
  ],
  ['tracing_mark_write: [1] kvm_mmu_set_spte: gfn 1 spte 1 (r) level 1', 'other'],
  ['  kvm_mmu_set_spte-9 [000] ..... 1.0: kvm_exit: vcpu 0 reason X', 'other'],
])('%s is %s', (line, is) => {
  expect(readTraceLine(line, 1).is).toBe(is);
});

test('every event that is read has a name of its own', () => {
  expect(KVMMMU_EVENTS.every((name) => scanTraceLine(`${name}: gfn 1`)?.event === name)).toBe(true);
});

test('any line is read without an error, and what is kept of a text is kept again', () => {
  const line = fc.oneof(
    fc.string({ maxLength: 80 }),
    fc
      .tuple(fc.constantFrom(...VARIANTS), fc.nat(), fc.string({ maxLength: 4 }))
      .map(([[, requested, set], where, put]) => {
        const text = where % 2 === 0 ? requested : set;
        const index = where % text.length;
        return text.slice(0, index) + put + text.slice(index + 1);
      }),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
      const once = reduceTrace(lines.join('\n')).text;
      expect(reduceTrace(once).text).toBe(once);
    }),
  );
});

test('lines of any characters are read in a time that grows with their length only', () => {
  const lines = ['[', '[0', ': ', 'a: ', '(', '1-[', 'gfn ', ':'].map((part) =>
    part.repeat(20_000),
  );
  for (const line of lines) expect(['nothing', 'other']).toContain(readTraceLine(line, 1).is);
});
