import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { memtype, ROOT } from './console.ts';
import { type TraceEvent, traceEventFaults } from './trace-events.ts';

const TRACE = 'docs/examples/trace.txt';
const scratch = mkdtempSync(join(tmpdir(), 'memtype-perfetto-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function written(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

function perfetto(args: readonly string[]): string {
  const { stdout, stderr } = memtype(['audit', ...args, '--format', 'perfetto']);
  expect(stderr).toBe('');
  return stdout;
}

function eventsOf(text: string): readonly TraceEvent[] {
  return (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents;
}

function installed(events: readonly TraceEvent[]): readonly TraceEvent[] {
  return events.filter((e) => e.cat === 'installed' && e.ph !== 'e');
}

function sptesOf(args: readonly string[]): number {
  const { stdout } = memtype(['audit', ...args, '--format', 'json']);
  return (JSON.parse(stdout) as { sptes: number }).sptes;
}

/** A line of ftrace, with or without a time. */
function line(vm: number, time: number | null, gfn: number, memtype = 'b77'): string {
  const when = time === null ? '' : `${time.toFixed(6).padStart(12)}: `;
  return `  CPU 0/KVM-${vm} [000] ..... ${when}kvm_mmu_set_spte: gfn ${gfn.toString(16)} spte 86000000${(gfn + 4096).toString(16)}${memtype} (rwxu) level 1 at 1000`;
}

const EXAMPLES = readdirSync(`${ROOT}docs/examples`).filter((name) =>
  /^(?:MT7\d\d|trace)\.txt$/.test(name),
);
const steady = Array.from({ length: 400 }, (_, i) => line(101 + (i % 2), 5 + i / 5000, i));
const paused = Array.from({ length: 60 }, (_, i) => line(101, 5 + i / 5000 + (i % 20 ? 0 : i), i));
/** Two CPUs that print at the same time, and a buffer put behind another. */
const jumping = Array.from({ length: 200 }, (_, i) =>
  line(
    101,
    9 + i / 9000 + (i % 3 === 1 ? -0.0002 : 0) - (i > 120 ? 0.01 : 0),
    i,
    i % 5 ? 'b77' : 'b07',
  ),
);
const MADE: Readonly<Record<string, readonly string[]>> = {
  'two VMs': steady,
  pauses: paused,
  'a clock that goes back': jumping,
  'no times': steady.map((_, i) => line(101, null, i)),
  'no event': ['# tracer: nop'],
};

describe('the events are as the format has them', () => {
  test.each(EXAMPLES)('%s', (example) => {
    expect(traceEventFaults(perfetto([`docs/examples/${example}`]))).toEqual([]);
  });

  test.each(Object.entries(MADE))('of %s, each entry once', (name, lines) => {
    const path = written(name, `${lines.join('\n')}\n`);
    const text = perfetto([path]);
    expect(traceEventFaults(text)).toEqual([]);
    const sum = installed(eventsOf(text)).reduce((n, e) => n + Number(e.args['installs']), 0);
    expect(sum).toBe(sptesOf([path]));
  });

  test('several traces, text and binary', () => {
    const binary = 'src/trace/fixtures/nested61.v7-zstd.dat.gz';
    const text = perfetto([TRACE, binary, 'docs/examples/MT708.txt']);
    expect(traceEventFaults(text)).toEqual([]);
    const names = eventsOf(text).filter((e) => e.name === 'process_name');
    expect(new Set(names.map((e) => e.args['name'])).size).toBe(names.length);
    expect(names.length).toBeGreaterThanOrEqual(3);
  });

  test('the checker finds what is wrong', () => {
    const base = { name: 'x', pid: 1, tid: 1, args: {} };
    const named = [
      { ...base, ph: 'M', name: 'process_name', args: { name: 'p' } },
      { ...base, ph: 'M', name: 'thread_name', args: { name: 't' } },
    ];
    const faults = (...events: readonly object[]): number =>
      traceEventFaults(
        JSON.stringify({ displayTimeUnit: 'ns', traceEvents: [...named, ...events] }),
      ).length;
    expect(faults({ ...base, ph: 'X', ts: 1, dur: 2 }, { ...base, ph: 'X', ts: 3, dur: 2 })).toBe(
      0,
    );
    expect(faults({ ...base, ph: 'X', ts: 1, dur: 4 }, { ...base, ph: 'X', ts: 2, dur: 1 })).toBe(
      0,
    );
    expect(faults({ ...base, ph: 'X', ts: 1, dur: 2 }, { ...base, ph: 'X', ts: 2, dur: 2 })).toBe(
      1,
    );
    expect(faults({ ...base, ph: 'X', ts: 1 })).toBe(1);
    expect(faults({ ...base, ph: 'i', ts: 1 })).toBe(1);
    expect(faults({ ...base, ph: 'C', ts: 1, args: { a: '1' } })).toBe(1);
    expect(faults({ ...base, ph: 'b', ts: 1, id: 1, cat: 'c' })).toBe(1);
    expect(faults({ ...base, ph: 'i', s: 't', ts: 1, tid: 2 })).toBe(1);
  });
});

describe('what they say', () => {
  test('times are microseconds of the clock of the trace', () => {
    const events = eventsOf(perfetto([written('steady', `${steady.join('\n')}\n`)]));
    const first = Math.min(...installed(events).map((e) => e.ts ?? 0));
    const last = Math.max(...installed(events).map((e) => (e.ts ?? 0) + (e.dur ?? 0)));
    expect(first).toBe(5_000_000);
    expect(last).toBe(5_079_800);
  });

  test('counters end at the number of entries of their type', () => {
    const events = eventsOf(perfetto([TRACE]));
    const last = new Map(
      events.filter((e) => e.ph === 'C').map((e) => [e.name, Number(e.args['entries'])]),
    );
    expect([...last.values()].reduce((sum, n) => sum + n, 0)).toBe(sptesOf([TRACE]));
    expect([...last.keys()].sort()).toEqual([
      'installed UC 4K',
      'installed WB+IPAT 2M',
      'installed WB+IPAT 4K',
    ]);
  });

  test('a trace without an event has its findings', () => {
    const events = eventsOf(perfetto([written('empty', '# tracer: nop\n')]));
    expect(events).toEqual(expect.arrayContaining([expect.objectContaining({ cat: 'findings' })]));
  });
});
