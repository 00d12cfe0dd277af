import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bytesOf,
  CODECS,
  differences,
  fixture,
  fixtureText,
  rowsOf,
  rowsOfText,
} from '../../../test/binary-traces.ts';
import {
  type Kernel,
  ringPages,
  SPTE_FORMAT,
  type WrittenEvent,
  writeVersion6,
  writeVersion7,
} from '../../../test/trace-dat-writer.ts';
import { KIND } from '../batch.ts';
import { openBinaryTrace } from './open.ts';
import { openRingPages, type RingDescriptions } from './ring-pages.ts';
import { type ByteSource, bytesSource, type Codecs } from './source.ts';
import type { BinaryTrace } from './trace.ts';

const { MEMTYPE_SAMPLES: folder = '' } = process.env;
/** Text has microseconds, rounded or cut. */
const MICROSECOND = 1.01e-6;
/** Of `--ns`, and of what a number of seconds keeps of it. */
const NANOSECOND = 1e-8;

function open(bytes: Uint8Array, codecs: Codecs = CODECS): BinaryTrace {
  const trace = openBinaryTrace(bytesSource(bytes), codecs);
  if (trace === null) throw new Error('not recognised');
  return trace;
}

interface TwoCpus {
  readonly headerPage: string;
  readonly clock: string;
  readonly formats: Readonly<Record<string, string>>;
  readonly cpus: readonly string[];
  readonly text: string;
}

function twoCpus(): { dump: TwoCpus; descriptions: RingDescriptions; sources: Uint8Array[] } {
  const dump = JSON.parse(fixtureText('two-cpus.json')) as TwoCpus;
  const formats = Object.entries(dump.formats).map(([name, text]) => ({
    system: name.split('/')[0] ?? '',
    text,
  }));
  const { headerPage, clock } = dump;
  return {
    dump,
    descriptions: { formats, headerPage, clock },
    sources: dump.cpus.map((text) => new Uint8Array(Buffer.from(text, 'base64'))),
  };
}

/** What the program that made the VM wrote to trace_marker. */
const NESTED_MARKS = [
  'slot 1 gfn 40000..4000f backing anon hva 0x7f8ca1e3b000',
  'slot 2 gfn 40200..4020f backing memfd hva 0x7f8ca1e2b000',
  'slot 3 gfn 40400..4040f backing mmio hva (nil)',
  'slot 4 gfn 40600..4060f backing drm:/dev/dri/card0 hva 0x7f8ca1e1b000',
  'slot 5 gfn 40800..4080f backing drm:/dev/dri/card1 hva 0x7f8ca1e0b000',
];

describe('real recordings equal their text, event by event', () => {
  test.each([
    ['nested61.v6.dat', '6', null],
    ['nested61.v7.dat', '7', null],
    ['nested61.v7-zstd.dat', '7', 'zstd'],
  ] as const)('%s', (name, version, compression) => {
    const trace = open(fixture(name));
    const { rows, lost, marks } = rowsOf(trace);
    expect(marks).toEqual(NESTED_MARKS);
    expect(trace.names.get(184)).toBe('wcvm');
    expect(differences(rows, rowsOfText(fixtureText('nested61.txt')), MICROSECOND)).toEqual({
      count: 0,
      first: [],
    });
    expect(rows).toHaveLength(311);
    expect(lost).toEqual([]);
    expect(trace.counts).toEqual({ events: 316, unreadable: 0, foreign: 0, unknown: 0 });
    expect(trace.problems.list).toEqual([]);
    expect(trace.about).toEqual({
      format: 'trace.dat',
      version,
      recorder: '3.1.6 not-a-git-repo',
      system: 'Linux (none) 6.1.0-56-amd64 x86_64',
      clock: 'local',
      isSeconds: true,
      cpus: 1,
      buffers: [''],
      compression,
    });
  });

  test('pages of two CPUs, merged, with what the kernel lost before them', () => {
    const { dump, descriptions, sources } = twoCpus();
    const dumps = sources.map((bytes, cpu) => ({ source: bytesSource(bytes), cpu }));
    const trace = openRingPages(dumps, descriptions);
    const { rows, lost } = rowsOf(trace);
    expect(differences(rows, rowsOfText(dump.text), MICROSECOND)).toEqual({ count: 0, first: [] });
    expect(rows).toHaveLength(1243);
    // The page of the second CPU had no room for the number.
    expect(lost).toEqual([
      { cpu: 0, count: 7161 },
      { cpu: 1, count: -1 },
    ]);
    expect(trace.problems.list).toEqual([]);
  });

  test.each(['perf-plain', 'perf-pipe', 'perf-z'])('%s', (name) => {
    const trace = open(fixture(`${name}.data`));
    const { rows } = rowsOf(trace);
    const text = rowsOfText(fixtureText(`${name}.txt`));
    expect(differences(rows, text, NANOSECOND)).toEqual({ count: 0, first: [] });
    expect(rows.length).toBeGreaterThan(100);
    expect(trace.problems.list).toEqual([]);
    expect(trace.about).toMatchObject({ system: '6.18.44-kvm-pvm', recorder: 'perf 6.1.187' });
  });
});

describe('compression that cannot be undone here is said', () => {
  const none: Codecs = { inflate: null, zstd: null, zstdStream: null };

  test('trace.dat', () => {
    expect(() => open(fixture('nested61.v7-zstd.dat'), none)).toThrow(/compressed with "zstd"/);
  });

  test('perf.data: what comes before is read, and what does not is lost', () => {
    const trace = open(fixture('perf-z.data'), none);
    const { rows, lost } = rowsOf(trace);
    expect(rows).toEqual([]);
    expect(lost).toEqual([{ cpu: -1, count: -1 }]);
    expect(trace.problems.list.map(({ message }) => message)).toEqual([
      'the records are compressed with zstd, which cannot be decompressed here: what follows is not read',
    ]);
  });
});

const KERNELS: readonly Kernel[] = [
  { little: true, longSize: 8, pageSize: 4096 },
  { little: false, longSize: 8, pageSize: 4096 },
  { little: true, longSize: 4, pageSize: 4096 },
  { little: false, longSize: 4, pageSize: 4096 },
  { little: true, longSize: 8, pageSize: 16384 },
];

function someEvents(count: number, cpu: number): WrittenEvent[] {
  return Array.from({ length: count }, (_, i) => ({
    time: 10_000_000_000n + BigInt(i * (cpu + 3) * 1000) + (i > 50 ? 300_000_000_000n : 0n),
    gfn: 0x40000 + i,
    spte: 0x8600000000000b77n + (BigInt(cpu * 1000 + i) << 12n),
    level: 1 + (i % 3),
  }));
}

function expected(perCpu: readonly (readonly WrittenEvent[])[]): unknown[] {
  return perCpu
    .flatMap((events, cpu) => events.map((event) => ({ ...event, cpu })))
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.cpu - b.cpu))
    .map(({ time, gfn, spte, level, cpu }) => ({
      cpu,
      tid: 177,
      time: Number(time) / 1e9,
      event: `kvm_mmu_set_spte gfn ${gfn.toString(16)} spte ${spte.toString(16)} level ${level}`,
    }));
}

describe('files written from trace-cmd.dat.v6(5) and v7(5)', () => {
  const writers = [
    ['6', writeVersion6, 'none'],
    ['7', writeVersion7, 'none'],
    ['7 with zlib', writeVersion7, 'zlib'],
  ] as const;
  const cases = writers.flatMap((writer) => KERNELS.map((kernel) => [...writer, kernel] as const));

  test.each(cases)('version %s, %#', (_, write, compression, kernel) => {
    const perCpu = [300, 0, 7, 150].map((count, cpu) => someEvents(count, cpu));
    const cpus = perCpu.map((events) => ringPages(events, kernel));
    const trace = open(write({ kernel, compression, buffers: [{ name: '', cpus }] }));
    expect(rowsOf(trace).rows).toEqual(expected(perCpu));
    expect(trace.problems.list).toEqual([]);
  });

  test('three hundred CPUs', () => {
    const [kernel] = KERNELS;
    if (kernel === undefined) throw new Error();
    const perCpu = Array.from({ length: 300 }, (_, cpu) => someEvents(20, cpu));
    const cpus = perCpu.map((events) => ringPages(events, kernel));
    const trace = open(writeVersion7({ kernel, buffers: [{ name: '', cpus }] }));
    expect(rowsOf(trace).rows).toEqual(expected(perCpu));
  });

  test.each([writeVersion6, writeVersion7])('an instance beside the top buffer', (write) => {
    const [kernel] = KERNELS;
    if (kernel === undefined) throw new Error();
    const pages = [0, 1].map((cpu) => ringPages(someEvents(30, cpu), kernel));
    const buffers = [
      { name: '', cpus: [pages[0] ?? Buffer.alloc(0)] },
      { name: 'kvm', cpus: [pages[1] ?? Buffer.alloc(0)] },
    ];
    const trace = open(write({ kernel, buffers }));
    expect(trace.about.buffers).toEqual(['', 'kvm']);
    expect(rowsOf(trace).rows).toHaveLength(60);
    expect(trace.problems.list.map(({ message }) => message)).toEqual([
      'records of 2 buffers: an event that two of them recorded is there twice',
    ]);
  });

  test.each([
    [writeVersion6, 'none'],
    [writeVersion7, 'none'],
    [writeVersion7, 'zlib'],
  ] as const)('the text of a latency tracer', (write, compression) => {
    const latency = '# tracer: irqsoff\n  <idle>-0 0d... 1us : x\n';
    const [kernel] = KERNELS;
    if (kernel === undefined) throw new Error();
    const trace = open(write({ kernel, compression, buffers: [], latency }));
    const [part] = trace.texts;
    expect(Buffer.concat([...(part?.pieces() ?? [])]).toString()).toBe(latency);
    expect(rowsOf(trace).rows).toEqual([]);
  });

  test('clocks: offsets, ticks, and ticks that are turned into nanoseconds', () => {
    const [kernel] = KERNELS;
    if (kernel === undefined) throw new Error();
    const cpus = [ringPages([{ time: 3_000_000_000n, gfn: 1, spte: 1n, level: 1 }], kernel)];
    const timeOf = (clock: string, options: readonly (readonly [number, Buffer])[]) => {
      const trace = open(writeVersion7({ kernel, clock, options, buffers: [{ name: '', cpus }] }));
      return { time: rowsOf(trace).rows[0]?.time, seconds: trace.about.isSeconds };
    };
    const tsc = Buffer.alloc(16);
    tsc.writeUInt32LE(1 << 9, 0);
    tsc.writeUInt32LE(10, 4);
    const shift = Buffer.alloc(12 + 4 + 4 + 24 + 8);
    shift.writeUInt32LE(1, 12);
    shift.writeUInt32LE(1, 16);
    shift.writeBigInt64LE(-1_000_000_000n, 28);
    shift.writeBigInt64LE(1n, 36);
    expect(timeOf('local', [])).toEqual({ time: 3, seconds: true });
    expect(timeOf('local', [[7, Buffer.from('500000000\0')]])).toEqual({
      time: 3.5,
      seconds: true,
    });
    expect(timeOf('mono', [[1, Buffer.from('0x7a120\0')]])).toEqual({ time: 3.5, seconds: true });
    expect(timeOf('counter', [])).toEqual({ time: 3e9, seconds: false });
    expect(timeOf('x86-tsc', [[14, tsc]])).toEqual({ time: 1.5, seconds: true });
    expect(timeOf('local', [[12, shift]])).toEqual({ time: 2, seconds: true });
  });

  test('a file of 20 GB is read in ranges', () => {
    const [kernel] = KERNELS;
    if (kernel === undefined) throw new Error();
    const perCpu = [someEvents(200, 0)];
    const cpus = perCpu.map((events) => ringPages(events, kernel));
    const small = writeVersion6({ kernel, buffers: [{ name: '', cpus }] });
    const far = 20 * 2 ** 30;
    const where = small.indexOf('flyrecord') + 10;
    const from = Number(small.readBigUInt64LE(where));
    small.writeBigUInt64LE(BigInt(far), where);
    const pages = small.subarray(from);
    let read = 0;
    const source: ByteSource = {
      size: far + pages.length,
      read(offset, length) {
        read += length;
        expect(length).toBeLessThanOrEqual(1 << 20);
        if (offset < far) return small.subarray(offset, Math.min(from, offset + length));
        return pages.subarray(offset - far, offset - far + length);
      },
    };
    const trace = openBinaryTrace(source, CODECS);
    if (trace === null) throw new Error();
    const [batch] = [...trace.batches()];
    expect(batch?.count).toBe(200);
    expect(batch?.place[0]).toBe(far + 16 + 4);
    expect(read).toBeLessThan(1 << 20);
  });
});

describe('descriptions drift', () => {
  const [kernel] = KERNELS;
  const events: WrittenEvent[] = [{ time: 1n, gfn: 0x40, spte: 0xb77n, level: 2 }];
  const dumpOf = (text: string) => {
    if (kernel === undefined) throw new Error();
    const source = bytesSource(ringPages(events, kernel));
    return openRingPages([{ source, cpu: 3 }], {
      formats: [{ system: 'kvmmmu', text }],
      headerPage: null,
      clock: null,
    });
  };

  test('fields that are not known are read over, without "signed" too', () => {
    const older = SPTE_FORMAT.replaceAll(/\tsigned:\d;/g, '').replace('sptep', 'other');
    expect(rowsOf(dumpOf(older)).rows).toMatchObject([
      { event: 'kvm_mmu_set_spte gfn 40 spte b77 level 2', cpu: 3, tid: 177 },
    ]);
  });

  test.each(['gfn', 'spte', 'level'])('without %s the events are unreadable', (field) => {
    const trace = dumpOf(SPTE_FORMAT.replace(new RegExp(`(u64|u8) ${field};`), '$1 renamed;'));
    expect(rowsOf(trace).rows).toMatchObject([{ event: '!kvm_mmu_set_spte' }]);
    expect(trace.counts.unreadable).toBe(1);
    expect(trace.problems.list.map(({ message }) => message)).toEqual([
      `the description of kvm_mmu_set_spte has no field ${field}: its events are unreadable`,
    ]);
  });

  test('an event without a description is said once, with its ID', () => {
    const trace = dumpOf(SPTE_FORMAT.replace('ID: 1432', 'ID: 7'));
    expect(rowsOf(trace).rows).toEqual([]);
    expect(trace.counts).toMatchObject({ events: 0, unknown: 1 });
    expect(trace.problems.list[0]?.message).toMatch(/event ID 1432 has no description/);
  });
});

describe('merging', () => {
  test('any streams of any lengths: by time, the order of a CPU kept', () => {
    const [kernel] = KERNELS;
    if (kernel === undefined) throw new Error();
    const stream = fc.array(fc.nat({ max: 2 ** 30 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(stream, { maxLength: 9 }), (deltas) => {
        const perCpu = deltas.map((own) => {
          let time = 0n;
          return own.map((delta, i) => {
            time += BigInt(delta);
            return { time, gfn: i, spte: 1n, level: 1 };
          });
        });
        const cpus = perCpu.map((events) => ringPages(events, kernel));
        const trace = open(writeVersion6({ kernel, buffers: [{ name: '', cpus }] }));
        expect(rowsOf(trace).rows).toEqual(expected(perCpu));
      }),
    );
  });
});

const RAW = join(folder, 'trace-local-pvm');

describe.skipIf(folder === '')('the samples', () => {
  test('trace.dat as trace-cmd wrote it', () => {
    const trace = open(bytesOf(join(folder, 'guests/nested61/trace.dat')));
    const text = rowsOfText(fixtureText('nested61.txt'));
    expect(differences(rowsOf(trace).rows, text, MICROSECOND).count).toBe(0);
    expect(trace.problems.list).toEqual([]);
  });

  test('trace.dat and the text of another run beside it: the same guest, the same pages', () => {
    const trace = open(fixture('nested61.v7.dat'));
    const pages = (rows: ReturnType<typeof rowsOfText>) =>
      new Set(rows.flatMap(({ event }) => /^kvm_mmu_set_spte (gfn \w+)/.exec(event)?.[1] ?? []));
    const text = Buffer.from(bytesOf(join(folder, 'guests/nested61/trace.txt'))).toString('latin1');
    expect(pages(rowsOf(trace).rows)).toEqual(pages(rowsOfText(text)));
  });

  test('perf.data', () => {
    const trace = open(bytesOf(join(folder, 'realkvm/pvm-perf/pvm-shadow.perf.data')));
    const text = Buffer.from(bytesOf(join(folder, 'realkvm/pvm-perf/perf-script.txt')));
    const rows = rowsOfText(text.toString('latin1'));
    expect(rows).toHaveLength(251);
    expect(differences(rowsOf(trace).rows, rows, MICROSECOND)).toEqual({ count: 0, first: [] });
  });

  test('pages of trace_pipe_raw of an emulated host, each in base64', () => {
    const run = join(folder, 'realkvm/qemu-npt-6.1-raw');
    const read = (path: string) => Buffer.from(bytesOf(path)).toString();
    const formats = ['../qemu-npt-6.1/formats', 'formats'].flatMap((directory) =>
      readdirSync(join(run, directory))
        .filter((file) => file.endsWith('_format'))
        .map((file) => ({
          system: file.split('_')[0] ?? '',
          text: read(join(run, directory, file)),
        })),
    );
    const pages = read(join(run, 'raw-raw.txt')).split(/^-$/m);
    const source = bytesSource(
      new Uint8Array(Buffer.concat(pages.map((page) => Buffer.from(page, 'base64')))),
    );
    const trace = openRingPages([{ source, cpu: 0 }], {
      formats,
      headerPage: read(join(run, 'formats/header_page')),
      clock: null,
    });
    const { rows, marks } = rowsOf(trace);
    expect(rows.filter(({ event }) => event.startsWith('!'))).toEqual([]);
    // One record of an event whose description was not kept; `print` is of ftrace itself.
    expect(marks.filter((text) => text.startsWith('MT {'))).toHaveLength(150);
    expect(trace.counts).toEqual({ events: 822, unreadable: 0, foreign: 0, unknown: 1 });
  });

  test('pages of trace_pipe_raw', () => {
    const formats = readdirSync(join(RAW, 'format')).map((file) => ({
      system: file.split('.')[0] ?? '',
      text: Buffer.from(bytesOf(join(RAW, 'format', file))).toString(),
    }));
    const headerPage = Buffer.from(bytesOf(join(RAW, 'header_page.txt'))).toString();
    const source = bytesSource(bytesOf(join(RAW, 'trace_pipe_raw.cpu1.bin')));
    const trace = openRingPages([{ source, cpu: 1 }], { formats, headerPage, clock: null });
    const { rows, lost } = rowsOf(trace);
    expect(trace.counts).toEqual({ events: 85, unreadable: 0, foreign: 0, unknown: 303 });
    expect(rows.filter(({ event }) => event.startsWith('!'))).toEqual([]);
    expect(lost).toEqual([]);
  });

  test('every description of an event is read', () => {
    const directories = readdirSync(join(folder, 'realkvm'))
      .map((run) => join(folder, 'realkvm', run, 'formats'))
      .filter((directory) => existsSync(directory));
    const lacking: unknown[] = [];
    let count = 0;
    for (const directory of directories) {
      for (const file of readdirSync(directory)) {
        const text = Buffer.from(bytesOf(join(directory, file))).toString();
        if (!text.startsWith('name:')) continue;
        count += 1;
        const trace = openRingPages([], {
          formats: [{ system: file.split('_')[0] ?? '', text }],
          headerPage: null,
          clock: null,
        });
        lacking.push(...trace.problems.list);
      }
    }
    expect(count).toBeGreaterThan(200);
    expect(lacking).toEqual([]);
  });
});

test('kinds that the rows are compared by are those of the contract', () => {
  expect(Object.keys(KIND)).toHaveLength(15);
});
