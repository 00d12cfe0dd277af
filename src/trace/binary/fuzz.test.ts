import { describe, expect, test } from 'vitest';
import { CODECS, fixture, fixtureText } from '../../../test/binary-traces.ts';
import { ringPages, writeVersion7 } from '../../../test/trace-dat-writer.ts';
import { InputError } from '../../base/diagnostic.ts';
import { BATCH_EVENTS } from '../batch.ts';
import { openBinaryTrace } from './open.ts';
import { openRingPages } from './ring-pages.ts';
import { type ByteSource, bytesSource } from './source.ts';
import type { BinaryTrace } from './trace.ts';

const RUNS = 800;
const SEED = Number(process.env['FC_SEED'] ?? 20240312);

/** Numbers below `n`, the same on every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const EVIL = [0, 1, 0x7f, 0x80, 0xff];

/** A few bytes changed, most of them near the front; a stretch overwritten, cut out or doubled; an end missing. */
function mutated(bytes: Uint8Array, below: (n: number) => number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const way = below(6);
  const at = below(2) === 0 ? below(Math.min(4096, copy.length)) : below(copy.length);
  if (way === 0) return copy.subarray(0, at);
  if (way === 1) {
    const end = Math.min(copy.length, at + 1 + below(64));
    return new Uint8Array([...copy.subarray(0, at), ...copy.subarray(end)]);
  }
  if (way === 2) copy.fill(EVIL[below(EVIL.length)] ?? 0, at, at + 1 + below(32));
  for (let left = 1 + below(6); left > 0; left -= 1) {
    const where = below(3) === 0 ? below(copy.length) : at + below(64);
    if (where < copy.length) copy[where] = below(2) === 0 ? below(256) : (EVIL[below(5)] ?? 0);
  }
  return copy;
}

/** Reads must stay in the file, and must not be asked for again and again. */
function watched(bytes: Uint8Array): { source: ByteSource; read: () => number } {
  let read = 0;
  const inner = bytesSource(bytes);
  return {
    source: {
      size: bytes.length,
      read(offset, length) {
        if (!(offset >= 0 && length > 0 && Number.isSafeInteger(offset + length))) {
          throw new Error(`read of ${length} at ${offset}`);
        }
        read += Math.min(length, bytes.length);
        return inner.read(offset, length);
      },
    },
    read: () => read,
  };
}

type Outcome = 'refused' | 'damaged' | 'read';

function outcome(bytes: Uint8Array, open: (source: ByteSource) => BinaryTrace | null): Outcome {
  const { source, read } = watched(bytes);
  try {
    const trace = open(source);
    if (trace === null) return 'refused';
    let rows = 0;
    for (const batch of trace.batches()) {
      expect(batch.count).toBeGreaterThan(0);
      expect(batch.count).toBeLessThanOrEqual(BATCH_EVENTS);
      rows += batch.count;
    }
    expect(rows).toBe(trace.counts.events);
    for (const part of trace.texts) for (const piece of part.pieces()) rows += piece.length;
    // A chunk of compressed zeros may hold many bytes; a record has four at least.
    expect(rows).toBeLessThan(4_000_000);
    expect(read()).toBeLessThan(2000 * Math.max(1 << 16, bytes.length));
    expect(trace.problems.list.length).toBeLessThanOrEqual(100);
    return trace.problems.list.length > 0 ? 'damaged' : 'read';
  } catch (error) {
    if (error instanceof InputError) return 'refused';
    throw error;
  }
}

const kernel = { little: true, longSize: 8, pageSize: 4096 } as const;
const events = Array.from({ length: 500 }, (_, i) => ({
  time: BigInt(i * 1000),
  gfn: i,
  spte: 0xb77n,
  level: 1,
}));
const cpus = [ringPages(events, kernel), ringPages(events, kernel)];
const dump = JSON.parse(fixtureText('two-cpus.json')) as {
  headerPage: string;
  formats: Record<string, string>;
  cpus: string[];
};
const formats = Object.values(dump.formats).map((text) => ({ system: 'kvm', text }));

const binary = (source: ByteSource): BinaryTrace | null => openBinaryTrace(source, CODECS);
const pages = (source: ByteSource): BinaryTrace =>
  openRingPages([{ source, cpu: 0 }], { formats, headerPage: dump.headerPage, clock: null });

const SUBJECTS: readonly (readonly [
  string,
  Uint8Array,
  (source: ByteSource) => BinaryTrace | null,
])[] = [
  ['trace.dat 6', fixture('nested61.v6.dat'), binary],
  ['trace.dat 7', fixture('nested61.v7.dat'), binary],
  [
    'trace.dat 7, zlib',
    new Uint8Array(
      writeVersion7({ kernel, compression: 'zlib', buffers: [{ name: '', cpus }], latency: 'x' }),
    ),
    binary,
  ],
  ['ring-buffer pages', new Uint8Array(Buffer.from(dump.cpus[0] ?? '', 'base64')), pages],
  ['trace.dat 7, zstd', fixture('nested61.v7-zstd.dat'), binary],
  ['perf.data', fixture('perf-plain.data'), binary],
  ['perf.data, zstd', fixture('perf-z.data'), binary],
  ['perf.data of a pipe', fixture('perf-pipe.data'), binary],
];

describe('damaged files are read as far as they go', () => {
  test.each(SUBJECTS)(`%s: ${RUNS} of them`, (name, bytes, open) => {
    expect(outcome(bytes, open), name).toBe('read');
    const below = numbers(SEED);
    const counts = { refused: 0, damaged: 0, read: 0 };
    for (let run = 0; run < RUNS; run += 1) counts[outcome(mutated(bytes, below), open)] += 1;
    expect(counts.refused + counts.damaged + counts.read).toBe(RUNS);
    expect(counts.damaged).toBeGreaterThan(0);
  });

  test.each(SUBJECTS)('%s: cut anywhere', (_, bytes, open) => {
    const step = Math.ceil(bytes.length / 400);
    for (let length = 0; length < bytes.length; length += step) {
      outcome(bytes.subarray(0, length), open);
    }
  });
});
