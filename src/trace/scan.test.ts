import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type EventBatch, KIND, type Kind } from './batch.ts';
import { readTraceLine } from './events.ts';
import { scanTraceLine } from './line.ts';
import { LINE_MAX, type ScanOptions, type ScanTally, TextScanner } from './scan.ts';

interface Row {
  readonly kind: number;
  readonly level: number;
  readonly flags: number;
  readonly cpu: number;
  readonly tid: number;
  readonly tgid: number;
  readonly time: number;
  readonly place: number;
  readonly key: number;
  readonly value: string;
  readonly before: string;
}

function hex(hi = 0, lo = 0): string {
  return hi === 0 ? lo.toString(16) : `${hi.toString(16)}${lo.toString(16).padStart(8, '0')}`;
}

function rowsOf(batch: EventBatch): readonly Row[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    kind: batch.kind[i] ?? -1,
    level: batch.level[i] ?? -1,
    flags: batch.flags[i] ?? -1,
    cpu: batch.cpu[i] ?? -2,
    tid: batch.tid[i] ?? -2,
    tgid: batch.tgid[i] ?? -2,
    time: batch.time[i] ?? -2,
    place: batch.place[i] ?? -2,
    key: batch.key[i] ?? -2,
    value: hex(batch.valueHi[i], batch.valueLo[i]),
    before: hex(batch.beforeHi[i], batch.beforeLo[i]),
  }));
}

interface Scanned {
  readonly rows: readonly Row[];
  readonly names: readonly string[];
  readonly tally: ScanTally;
}

/** Scans bytes in pieces of the given lengths, over and over. */
function scan(
  bytes: Uint8Array,
  pieces: readonly number[] = [1 << 20],
  options: Omit<ScanOptions, 'emit'> = {},
): Scanned {
  const rows: Row[] = [];
  let names: readonly string[] = [];
  const scanner = new TextScanner({
    ...options,
    emit: (batch) => {
      rows.push(...rowsOf(batch));
      ({ names } = batch);
    },
  });
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const next = at + (pieces[i % pieces.length] ?? 1);
    scanner.push(bytes.slice(at, next));
    at = next;
  }
  scanner.end();
  return { rows, names, tally: scanner.tally };
}

function scanText(text: string, pieces?: readonly number[]): Scanned {
  return scan(Buffer.from(text, 'latin1'), pieces);
}

const READ = new Set<number>([KIND.set, KIND.changed, KIND.requested, KIND.mmioMarked]);

/** What the reader of string lines makes of a text, in the same words: a line of `joined` with the one behind it. */
function expected(text: string, joined: ReadonlySet<number>): readonly object[] {
  const lines = text.split('\n');
  return lines.flatMap((raw, i) => {
    const [own] = expectedOf(raw, i + 1);
    if (own === undefined || !('kind' in own)) return [];
    const isCut = own.kind === KIND.unreadable && joined.has(i + 1);
    return isCut ? expectedOf(`${raw.replace(/\r$/, '')} ${lines[i + 1]}`, i + 1) : [own];
  });
}

/** A second column of processors before the event: whose it is cannot be told. */
function isMixed(line: string, payload: number): boolean {
  const { tid = null } = scanTraceLine(line) ?? {};
  const [first] = /\[\d{1,5}\]/.exec(line) ?? [];
  const cpu = first === undefined ? -1 : line.indexOf(first);
  return tid !== null && cpu >= 0 && cpu < payload && line.slice(cpu + 1, payload).includes('[');
}

function expectedOf(raw: string, place: number): readonly object[] {
  const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
  const reading = readTraceLine(line, place);
  if (reading.is === 'nothing' || reading.is === 'other') return [];
  const payload = scanTraceLine(line)?.payload ?? 0;
  const isTorn = line.includes(': ', payload) || isMixed(line, payload);
  if (reading.is === 'unreadable' || isTorn) return [{ kind: KIND.unreadable, place }];
  const { event } = reading;
  const common = { place, tid: event.tid ?? -1, tgid: event.tgid ?? -1, key: event.gfn };
  switch (event.kind) {
    case 'mmio':
      return [{ kind: KIND.mmioMarked, ...common }];
    case 'requested':
      return [{ kind: KIND.requested, ...common, level: event.level }];
    case 'set':
      return [
        {
          kind: KIND.set,
          ...common,
          level: event.level,
          value: hex(event.spte.hi, event.spte.lo),
        },
      ];
    case 'changed':
      // Without the old entry it is no line that a kernel prints.
      if (event.before === null) return [{ kind: KIND.unreadable, place }];
      return [
        {
          kind: KIND.changed,
          ...common,
          level: event.level,
          flags: (event.asId ?? 0) & 0xff,
          value: hex(event.spte.hi, event.spte.lo),
          before: hex(event.before.hi, event.before.lo),
        },
      ];
  }
}

const STRING_READER = new Set([
  'kvm_mmu_set_spte',
  'kvm_tdp_mmu_spte_changed',
  'kvm_mmu_spte_requested',
  'mark_mmio_spte',
]);

function compare(text: string, pieces?: readonly number[]): void {
  const { rows, names } = scanText(text, pieces);
  const own = rows.flatMap((row): readonly object[] => {
    const { kind, level, flags, tid, tgid, place, key, value, before } = row;
    const common = { place, tid, tgid, key };
    if (kind === KIND.unreadable) {
      return STRING_READER.has(names[key] ?? '') ? [{ kind, place }] : [];
    }
    if (!READ.has(kind)) return [];
    if (kind === KIND.mmioMarked) return [{ kind, ...common }];
    if (kind === KIND.requested) return [{ kind, ...common, level }];
    if (kind === KIND.set) return [{ kind, ...common, level, value }];
    return [{ kind, ...common, level, flags, value, before }];
  });
  const read = rows.filter(({ kind }) => kind !== KIND.unreadable).map(({ place }) => place);
  expect(own).toEqual(expected(text, new Set(read)));
}

/** Real lines, one or two of every way in which they are printed. */
const LINES: readonly string[] = [
  '# tracer: nop',
  '',
  '            wcvm-30396   [000] ...1.  1611.893735: kvm_mmu_spte_requested: gfn 40000 pfn 2296de level 1',
  '            wcvm-30396   [000] ...1.  1611.893737: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 240fe7000',
  '            wcvm-30396   [000] ...1.  1611.893759: kvm_mmu_set_spte: gfn=0x40000 (262144) spte=0x2296dee67 (9285004903) sptep=0x240fe7000 (9680351232) level=(1) r=(1) x=(1) u=(1)',
  '            wcvm-30381   (  30380) [000] ...1.  1611.395628: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 28d7ff000',
  '    wcvm-30411     0...1. 19834us#: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 1ef1d3000',
  'kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 14e220000',
  '            wcvm-30421   [000] ...1.       161237: kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 104d8b000',
  '            wcvm 30931 [001]  1645.165598:         kvmmmu:kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 1f6deb000',
  '            wcvm 30931 [001]  1645.163764:         kvmmmu:kvm_mmu_get_page: [FAILED TO PARSE] mmu_valid_gen=0 gfn=1 role=14084 root_count=0 unsync=0 created=1',
  '       CPU 0/KVM-995362 [011] 90210.501212: kvm_mmu_set_spte:     gfn 40000 spte 2296dee67 (rwxu) level 1 at 1f6deb000',
  ' qemu-system-x86-8397    [002] .....  1404.389391: kvm_tdp_mmu_spte_changed: as id 0 gfn 99 level 1 old_spte 600000455299b77 new_spte 5a0',
  '           kvmmt-180     [000] ...1.    12.004166: kvm_tdp_mmu_spte_changed: as id 0 gfn 8157b level 1 old_spte 8000000000000000 new_spte 3fd55e67',
  ' qemu-system-x86-8397    [002] .....  1404.389386: kvm_mmu_prepare_zap_page: sp gen 0 gfn 0 l2 8-byte q0 direct wux nxe ad root 0 sync',
  '           kvmmt-150     [000] ...1.     5.242768: mark_mmio_spte: sptep:0000000004b226b8 gfn 5400f access 5 gen 2a',
  '           kvmmt-179     [000] .....     7.930387: handle_mmio_page_fault: addr:0 gfn 5500f access 6',
  '           kvmmt-178     [000] ...1.    16.221003: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 1 used_pages 1',
  '           kvmmt-131     [000] .....    11.522052: kvm_msr: msr_write 201 = 0xfffffff800',
  '           kvmmt-131     [000] .....    11.810110: kvm_cr: cr_write 0 = 0xc0010033',
  '           kvmmt-150     [000] .....     6.042009: kvm_page_fault: vcpu 0 rip 0x10b9 address 0x0000000041004000 error_code 0x2',
  '           kvmmt-122     [000] .....     6.173821: kvm_exit: vcpu 0 reason npf rip 0x1000 info1 0x0000000200000006 info2 0x0000000000010000 intr_info 0x00000000 error_code 0x00000000',
  '           kvmmt-122     [000] d..1.     6.581420: kvm_entry: vcpu 0, rip 0x10b0',
  '            wcvm-29870   [000] ...1.  1546.907416: tracing_mark_write: slot 1 gfn 40000..4000f backing anon hva 0x7fb1e2479000',
  'CPU:0 [LOST 12 EVENTS]',
];

describe('a line', () => {
  const one = (line: string): Row => {
    const { rows } = scanText(`${line}\n`);
    const [row] = rows;
    if (row === undefined || rows.length !== 1) throw new Error(`${rows.length} events`);
    return row;
  };
  const none = { tid: -1, tgid: -1, cpu: -1 };

  test.each([
    [
      2,
      {
        kind: KIND.requested,
        tid: 30396,
        cpu: 0,
        time: 1611.893735,
        key: 0x40000,
        level: 1,
        value: '2296de',
      },
    ],
    [
      3,
      { kind: KIND.set, tid: 30396, cpu: 0, time: 1611.893737, key: 0x40000, value: '2296dee67' },
    ],
    [4, { kind: KIND.set, tid: 30396, key: 0x40000, value: '2296dee67', level: 1 }],
    [5, { kind: KIND.set, tid: 30381, tgid: 30380, cpu: 0, time: 1611.395628 }],
    [6, { kind: KIND.set, tid: 30411, tgid: -1, cpu: 0, time: 0.019834 }],
    [7, { kind: KIND.set, ...none, time: Number.NaN, key: 0x40000 }],
    [8, { kind: KIND.set, tid: 30421, cpu: 0, time: 161237 }],
    [9, { kind: KIND.set, tid: 30931, cpu: 1, time: 1645.165598 }],
    [10, { kind: KIND.other, tid: 30931, cpu: 1, time: 1645.163764 }],
    [11, { kind: KIND.set, tid: 995362, cpu: 11, time: 90210.501212 }],
    [
      12,
      {
        kind: KIND.changed,
        key: 0x99,
        level: 1,
        flags: 0,
        before: '600000455299b77',
        value: '5a0',
      },
    ],
    [14, { kind: KIND.zapPage, key: 0, level: 2, cpu: 2 }],
    [15, { kind: KIND.mmioMarked, key: 0x5400f, value: '2a' }],
    [16, { kind: KIND.mmioFault, key: 0x5500f }],
    [17, { kind: KIND.zapAll, key: 0 }],
    [18, { kind: KIND.msr, key: 0x201, value: 'fffffff800', flags: 1 }],
    [19, { kind: KIND.cr, key: 0, value: 'c0010033', flags: 1 }],
    [20, { kind: KIND.pageFault, key: 0x41004000, value: '2' }],
    [21, { kind: KIND.exit, key: -1 }],
    [24, { kind: KIND.lost, key: 12, cpu: 0, tid: -1 }],
  ])('%i', (index, fields) => {
    expect(one(LINES[index] ?? '')).toMatchObject(fields);
  });

  test.each([
    [
      'kvm_msr: msr_read 277 = 0x7040600070406 (#GP)',
      { kind: KIND.msr, key: 0x277, flags: 2, value: '7040600070406' },
    ],
    [
      'kvm_msr: write=0x1 (1) ecx=0x2ff (767) data=0xc06 (3078) exception=(1)',
      { kind: KIND.msr, key: 0x2ff, flags: 3, value: 'c06' },
    ],
    [
      'kvm_cr: rw=0x1 (1) cr=0x0 (0) val=0x80050033 (2147811379)',
      { kind: KIND.cr, key: 0, flags: 1, value: '80050033' },
    ],
    [
      'kvm_mmu_prepare_zap_page: mmu_valid_gen=(0) gfn=0x800 (2048) role=0x3702 (14082) root_count=0x0 (0) unsync=(0)',
      { kind: KIND.zapPage, key: 0x800, level: 2, value: '0' },
    ],
    [
      'kvmmmu:kvm_mmu_prepare_zap_page: [FAILED TO PARSE] mmu_valid_gen=0 gfn=2048 role=14082 root_count=0 unsync=0',
      { kind: KIND.zapPage, key: 0x800, level: 2 },
    ],
    [
      'kvm_page_fault: address 7fff000 error_code 14',
      { kind: KIND.pageFault, key: 0x7fff000, value: '14' },
    ],
    ['kvm_exit: exit_reason=0x400 (1024) guest_rip=0x1000 (4096)', { kind: KIND.exit, key: 0x400 }],
    [
      'mark_mmio_spte: sptep:(____ptrval____) gfn 40400 access 6',
      { kind: KIND.mmioMarked, key: 0x40400, value: '0' },
    ],
    ['CPU:3 [LOST EVENTS]', { kind: KIND.lost, key: -1, cpu: 3 }],
    ['CPU:3 [7 EVENTS DROPPED]', { kind: KIND.lost, key: 7, cpu: 3 }],
    ['CPU:3 [EVENTS DROPPED]', { kind: KIND.lost, key: -1, cpu: 3 }],
    [
      '   wcvm 30931 [001]  1645.165598: PERF_RECORD_LOST lost 5',
      { kind: KIND.lost, key: 5, cpu: 1 },
    ],
    ['wc: [1] vm-7   (-----) [000] ...1.  1.5: kvm_mmu_zap_all_fast: x', { kind: KIND.other }],
    [
      '    <...>-7       [000] ...1.     1.500000: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 1 used_pages 1',
      { kind: KIND.zapAll, tid: 7, time: 1.5 },
    ],
    [
      '  a[b-1c] -7     (-----) [127] ...1.     1.500000: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 1 used_pages 1',
      { kind: KIND.zapAll, tid: 7, tgid: -1, cpu: 127 },
    ],
    [
      '    wcvm-7       [000]     1.500000: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 1 used_pages 1',
      { kind: KIND.zapAll, tid: 7, time: 1.5 },
    ],
    [
      '    wcvm-7       [000] .....  1500000123: kvm_mmu_zap_all_fast: kvm-mmu-valid-gen 1 used_pages 1',
      { time: 1500000123 },
    ],
  ])('%s', (line, fields) => {
    expect(one(line)).toMatchObject(fields);
  });

  test('a name is handed on by its index', () => {
    const { rows, names } = scanText(`${LINES[10]}\n${LINES[22]}\n`);
    expect(rows.map((row) => names[row.key])).toEqual(['kvm_mmu_get_page', 'kvm_entry']);
  });
});

describe('what is no event', () => {
  test.each([
    ['30386 0 1611593613606 type: 128', 'raw', 1],
    ['30386 0 1611592674244 # ffffffff81498b1a slot 1 gfn 40000..4000f', 'raw', 1],
    ['  a-1 [000] ..... 1.0: kvm_mmu_set_spte: type: 12', 'raw', 42],
    ['  a-1 [000] ..... 1.0: kvm_mmu_set_spte: gfn 40000 spte 2296d', 'unreadable', 42],
    ['84d pfn 100b4a4d level 2', 'noise', 1],
    ['abc\0\0\0', 'garbage', 4],
    ['kvm_mmu_set_spte\xff', 'garbage', 17],
  ])('%s is %s', (line, kind, column) => {
    const { tally } = scanText(`# tracer: nop\n${line}\n`);
    expect(tally.problems.first).toMatchObject([{ kind, line: 2, offset: 14, column }]);
    expect(tally.problems.counts).toEqual({ [kind]: 1 });
    expect(tally.lines).toBe(2);
    expect(tally.bytes).toBe(line.length + 15);
  });

  test.each([
    '##### CPU 1 buffer started ####',
    '  \t ',
    '            wcvm-30396   [000] ...1.  1611.892761: UNKNOWN TYPE 5',
    '            wcvm-30396   [000] ...1.  1611.892761: <stack trace>',
    ' => kvm_mmu_map',
    '\tffffffff81498b1a kvm_mmu_map+0x1a ([kernel.kallsyms])',
    'cpus=2',
    'CPU 1 is empty',
  ])('%s is passed over', (line) => {
    const { tally, rows } = scanText(`${line}\n`);
    expect({ rows, passed: tally.passed, wrong: tally.problems.total }).toEqual({
      rows: [],
      passed: 1,
      wrong: 0,
    });
  });

  test.each([
    [LINES[3] ?? '', LINES[3] ?? '', 1],
    ['            wcvm-30396   [000] ...1.  16', LINES[3] ?? '', 1],
    ['kvm_mmu_set_spte: gfn 4000', LINES[3] ?? '', 1],
  ])('%s, and another writer', (first, second, events) => {
    const { tally, rows } = scanText(`${first}${second}\n`);
    expect(tally.problems.counts).toEqual({ interleaved: 1 });
    expect(rows.length).toBe(events);
  });

  test.each([true, false])('letters that contradict the bits, fast %s', (fast) => {
    const line = LINES.find((l) => /^ +wcvm-30396 .*kvm_mmu_set_spte/.test(l)) ?? '';
    const kinds: number[] = [];
    const scanner = new TextScanner({
      fast,
      emit: ({ kind, count }) => kinds.push(...kind.subarray(0, count)),
    });
    const damaged = line.replace('(rwxu)', '(r-xu)');
    expect(damaged).not.toBe(line);
    scanner.push(new TextEncoder().encode(`${line}\n${line}\n${damaged}\n${line}\n`));
    scanner.end();
    expect(kinds).toEqual([KIND.set, KIND.set, KIND.unreadable, KIND.set]);
    expect(scanner.tally.problems.count('unreadable')).toBe(1);
  });

  test('a line longer than any', () => {
    const { tally } = scanText(`\n${'x'.repeat(LINE_MAX + 1)}\n`);
    expect(tally.problems.first).toMatchObject([{ kind: 'long', line: 2, offset: 1 }]);
    expect(tally.bytes).toBe(LINE_MAX + 3);
  });

  test('a last line without an end: what its last word says may be cut', () => {
    const changed =
      '  a-1 [000] ..... 1.0: kvm_tdp_mmu_spte_changed: as id 0 gfn 10 level 1 old_spte 0';
    const read = (text: string) => {
      const { rows, tally } = scanText(`${LINES[2]}\n${text}`);
      return [rows.map((row) => row.kind).slice(1), tally.problems.counts];
    };
    expect(read(LINES[3] ?? '')).toEqual([[KIND.set], {}]);
    expect(read(`${changed} new_spte 860`)).toEqual([[KIND.unreadable], { unended: 1 }]);
    expect(read(changed)).toEqual([[KIND.unreadable], { unended: 1 }]);
    expect(read('  a-1 [000] ..... 1.0: kvm_mmu_set')).toEqual([[], { unended: 1 }]);
    expect(read('  a-1 [000] ..... 1.0: kvm_msr: msr_write 201 = 0x0')).toEqual([
      [KIND.unreadable],
      { unended: 1 },
    ]);
  });

  test.each([
    ['# entries-in-buffer/entries-written: 453/99999   #P:1', 99_546],
    ['# entries-in-buffer/entries-written: 453/453   #P:1', null],
    ['# latency: 0 us, #152/1520, CPU#0 | (M:server VP:0, KP:0, SP:0 HP:0 #P:2)', 1368],
    ['# latency: 0 us, #152/152, CPU#0 | (M:server VP:0, KP:0, SP:0 HP:0 #P:2)', null],
    ['# entries-in-buffer/entries-written: ', null],
  ])('%s', (head, lost) => {
    const { rows, tally } = scanText(`# tracer: nop\n${head}\n`);
    expect(rows.map(({ kind, key, place }) => [kind, key, place])).toEqual(
      lost === null ? [] : [[KIND.lost, lost, 2]],
    );
    expect(tally.passed).toBe(2);
  });

  test('a mark of the byte order before the first line is passed over', () => {
    const { rows, names } = scanText(`\xef\xbb\xbf# tracer: nop\n${LINES[3]}\n`);
    expect(rows).toMatchObject([{ kind: KIND.set, place: 2 }]);
    expect(names.some((name) => name.includes('tracer'))).toBe(false);
  });

  test('an event that a mail program has wrapped is read with the rest of it', () => {
    const begin = 'VCPU-0-61883   [078] ..... 72276.127090: kvm_mmu_set_spte: gfn 800';
    const { rows, tally } = scanText(`${begin}\nspte 100b4a00ea7 (rwxu) level 2 at 10052fa5020\n`);
    expect(rows).toMatchObject([{ kind: KIND.set, key: 0x800, level: 2, place: 1, tid: 61_883 }]);
    expect([tally.problems.counts, tally.passed]).toEqual([{}, 1]);
    for (const other of ['spte 100b4a00ea7 (rwxu)', ' spte 1 level 2', 'unload'])
      expect(scanText(`${begin}\n${other}\n`).tally.problems.counts).toEqual({
        unreadable: 1,
        noise: 1,
      });
  });

  test.each([
    ['type: one of these', false],
    ['\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;', false],
    ['[    0.000000] x86/PAT: Configuration [0-7]: WB  WC  UC- UC', false],
    [`      "text": "      ${LINES[3]?.trimStart()}",`, false],
    ['kvm_mmu_set_spte: gfn 40000 spte 2296dee67 (rwxu) level 1 at 240fe7000', true],
    ['  a-1 [000] ..... 1.0: sched_switch: x', true],
  ])('%s: a trace has such a line, or not', (line, isTrace) => {
    expect(scanText(`${line}\n`).tally.isTrace).toBe(isTrace);
  });

  test('a line of a gigabyte is not kept', () => {
    const piece = new Uint8Array(1 << 24).fill(120);
    const seen: number[] = [];
    const scanner = new TextScanner({
      emit: (batch) => {
        seen.push(...batch.place.subarray(0, batch.count));
      },
    });
    for (let i = 0; i < 64; i += 1) scanner.push(piece);
    scanner.push(Buffer.from(`\n${LINES[3]}\n`));
    scanner.end();
    expect(seen).toEqual([2]);
    expect(scanner.tally.problems.counts).toEqual({ long: 1 });
    expect(scanner.tally.bytes).toBe(64 * 2 ** 24 + (LINES[3]?.length ?? 0) + 2);
  });

  test('every line is counted, in one way', () => {
    const { tally } = scanText(`${LINES.join('\n')}\nnoise\n`);
    const events = [...tally.events.values()].reduce((a, b) => a + b, 0);
    expect(events + tally.passed + tally.lost + tally.problems.total).toBe(tally.lines);
    expect(tally.events.get('kvm_mmu_set_spte')).toBe(8);
  });
});

describe('the same events as the reader of strings has', () => {
  test('of every variant', () => {
    compare(`${LINES.join('\n')}\n`);
    compare(`${LINES.join('\r\n')}\r\n`);
  });

  const line = fc.oneof(
    fc.constantFrom(...LINES),
    fc
      .tuple(
        fc.constantFrom(...LINES),
        fc.nat(),
        fc.nat(3),
        fc.string({ unit: 'binary-ascii', maxLength: 4 }),
      )
      .map(([text, where, cut, put]) => {
        const index = where % (text.length + 1);
        return text.slice(0, index) + put.replaceAll(/[\r\n]/g, '') + text.slice(index + cut);
      }),
    fc
      .tuple(fc.constantFrom(...LINES), fc.constantFrom(...LINES), fc.nat(), fc.nat())
      .map(([a, b, x, y]) => a.slice(0, x % (a.length + 1)) + b.slice(y % (b.length + 1))),
    fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((s) => s.replaceAll(/[\r\n]/g, '')),
  );

  test('of damaged lines, in pieces of any length', () => {
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 4 }),
        (lines, pieces) => {
          compare(`${lines.join('\n')}\n`, pieces);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('the fast reader makes the same of every line as the slow one', () => {
    // What was seen before is known, and read fast; so are lines that differ behind the columns of the task.
    const known = [...LINES, ...LINES].join('\n');
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 12 }),
        fc.constantFrom('\n', '\r\n'),
        fc.subarray([...READ, KIND.other, KIND.exit, KIND.pageFault, KIND.msr, KIND.zapPage]),
        (lines, end, skip) => {
          const text = `${known}\n${lines.join(end)}${end}`;
          const bytes = Buffer.from(text, 'latin1');
          const fast = scan(bytes, undefined, { skip: skip as Kind[] });
          const slow = scan(bytes, undefined, { skip: skip as Kind[], fast: false });
          expect(fast.rows).toEqual(slow.rows);
          expect(fast.tally).toEqual(slow.tally);
        },
      ),
      { numRuns: 1500 },
    );
  });

  test('pieces change nothing, also not in what is counted', () => {
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (lines, pieces, isEnded) => {
          const text = lines.join('\n') + (isEnded ? '\n' : '');
          const whole = scanText(text);
          const parts = scanText(text, pieces);
          expect(parts.rows).toEqual(whole.rows);
          expect(parts.names).toEqual(whole.names);
          expect(parts.tally.events).toEqual(whole.tally.events);
          expect(parts.tally.problems.first).toEqual(whole.tally.problems.first);
          expect({ ...parts.tally, problems: 0 }).toEqual({ ...whole.tally, problems: 0 });
        },
      ),
    );
  });
});

const { MEMTYPE_SAMPLES: samples = '' } = process.env;

function textsUnder(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return textsUnder(path);
    return /\.txt(?:\.gz)?$/.test(entry.name) ? [path] : [];
  });
}

describe.skipIf(samples === '' || !existsSync(samples))('texts of real kernels', () => {
  const files = samples === '' ? [] : textsUnder(samples);
  test('hold the same events for both readers', () => {
    for (const file of files) {
      const bytes = readFileSync(file);
      const text = file.endsWith('.gz') ? gunzipSync(bytes) : bytes;
      compare(text.toString('latin1'));
      const fast = scan(text);
      const slow = scan(text, undefined, { fast: false });
      expect(fast.tally).toEqual(slow.tally);
      expect(fast.rows).toEqual(slow.rows);
    }
    expect(files.length).toBeGreaterThan(100);
  });
});
