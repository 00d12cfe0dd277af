import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { hasZstd } from '../../test/binary-traces.ts';
import { openTrace } from './trace-source.ts';
import { loadZstd } from './zstd.ts';

const zstd = await loadZstd();
const directory = mkdtempSync(join(tmpdir(), 'memtype-zstd-'));
afterAll(() => rmSync(directory, { recursive: true }));

const LINE = (gfn: number): string =>
  `  kvmmt-179 [000] ...1. 16.399794: kvm_mmu_set_spte: gfn ${gfn.toString(16)} spte 860000${(gfn * 7919).toString(16)}b77 (rwxu) level 1 at 7e62000\n`;
const ONE_BYTE = Buffer.from('k');
const TEXT = Buffer.from(Array.from({ length: 20_000 }, (_, i) => LINE(i + 1)).join(''));

/** A frame of blocks that are stored as they are (RFC 8878, 3.1.1), with a window of 1 MiB. */
function storedFrame(data: Uint8Array, blockSize: number): Buffer {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 80])];
  for (let at = 0; ; at += blockSize) {
    const block = data.subarray(at, at + blockSize);
    const isLast = at + blockSize >= data.length;
    const head = Buffer.alloc(3);
    head.writeUIntLE((block.length << 3) | (isLast ? 1 : 0), 0, 3);
    parts.push(head, Buffer.from(block));
    if (isLast) return Buffer.concat(parts);
  }
}

function skippableFrame(size: number): Buffer {
  const frame = Buffer.alloc(8 + size, 0x28);
  frame.writeUInt32LE(0x184d2a53, 0);
  frame.writeUInt32LE(size, 4);
  return frame;
}

/** Through a stream, in pieces of the lengths given, one after the other and again. */
function streamed(packed: Uint8Array, lengths: readonly number[]): Buffer {
  const stream = zstd.stream();
  const out: Uint8Array[] = [];
  for (let at = 0, i = 0; at < packed.length; i += 1) {
    const length = lengths[i % lengths.length] ?? 1;
    out.push(...stream.push(packed.subarray(at, at + length)));
    at += length;
  }
  out.push(...stream.end());
  return Buffer.concat(out);
}

async function unpacked(packed: Uint8Array): Promise<{ text: string; cut: string | null }> {
  const path = join(directory, 'trace.zst');
  writeFileSync(path, packed);
  const source = await openTrace(path);
  expect(source).toMatchObject({ form: 'text', packing: 'zstd' });
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.chunks) chunks.push(chunk);
  source.close();
  return { text: Buffer.concat(chunks).toString('latin1'), cut: source.cut() };
}

describe('frames', () => {
  const third = Math.floor(TEXT.length / 3);
  const frames = Buffer.concat([
    storedFrame(TEXT.subarray(0, third), 100_000),
    skippableFrame(70_000),
    storedFrame(Buffer.alloc(0), 1),
    storedFrame(TEXT.subarray(third), 5000),
    skippableFrame(0),
  ]);

  test('several, empty ones and those to be skipped, cut into pieces anywhere', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1 }), (lengths) => {
        expect(streamed(frames, lengths).equals(TEXT)).toBe(true);
      }),
      { numRuns: 30 },
    );
    expect(streamed(frames, [1]).equals(TEXT)).toBe(true);
  });

  test('two thousand short ones in one piece', () => {
    const many = Buffer.concat(Array.from({ length: 2000 }, () => storedFrame(ONE_BYTE, 1)));
    expect(streamed(many, [many.length]).equals(Buffer.alloc(2000, 'k'))).toBe(true);
  });

  test('of a file, and where it is cut that is said', async () => {
    const { text, cut } = await unpacked(frames);
    expect(cut).toBeNull();
    expect(text === TEXT.toString('latin1')).toBe(true);
    const short = await unpacked(frames.subarray(0, third));
    expect(short.cut).toMatch(/^zstd: /);
    expect(short.text.length).toBeGreaterThanOrEqual(100_000);
    expect(TEXT.toString('latin1').startsWith(short.text)).toBe(true);
  });

  test('whole ones give no more than is asked for', () => {
    expect(Buffer.from(zstd.whole(frames, TEXT.length)).equals(TEXT)).toBe(true);
    expect(() => zstd.whole(frames, TEXT.length - 1)).toThrow();
    expect(() => zstd.whole(frames.subarray(0, -70_000), TEXT.length)).toThrow();
  });

  test('damage is an error of the data, wherever it is', async () => {
    for (let at = 0; at < 60; at += 1) {
      const bad = Buffer.from(frames);
      bad[at * 647] = (bad[at * 647] ?? 0) ^ 0xff;
      if (bad.readUInt32LE(0) === frames.readUInt32LE(0)) await unpacked(bad);
    }
  });
});

describe.skipIf(!hasZstd)('what the program zstd makes', () => {
  test.each([
    ['-1'],
    ['-3', '--no-check'],
    ['-19'],
    ['--ultra', '-20'],
    ['--long=27', '-5'],
    ['--fast=3', '-T2', '-B256KiB'],
  ])('%s %s', async (...options) => {
    const data = Buffer.concat([TEXT, TEXT.subarray(0, 7), Buffer.alloc(300_000, 0x20), TEXT]);
    const { stdout } = spawnSync('zstd', ['-qc', ...options], { input: data, maxBuffer: 2 ** 28 });
    for (const lengths of [[65_536], [1000, 3], [stdout.length]])
      expect(streamed(stdout, lengths).equals(data)).toBe(true);
    const twice = Buffer.concat([stdout, stdout]);
    const { text, cut } = await unpacked(twice);
    expect(cut).toBeNull();
    expect(text === data.toString('latin1').repeat(2)).toBe(true);
  });
});
