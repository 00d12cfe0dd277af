import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { countLeaves, LEAF_COUNTS, leafIndex } from '../trace/count-leaves.ts';
import { openTrace, readTraceText } from './trace-source.ts';

const directory = mkdtempSync(join(tmpdir(), 'memtype-source-'));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const LINE = (gfn: number): string =>
  `           kvmmt-179     [000] ...1.    16.399794: kvm_mmu_set_spte: gfn ${gfn.toString(16)} spte 8600000002beeb77 (rwxu) level 1 at 7e62000\n`;
const LINES = Array.from({ length: 60_000 }, (_, i) => LINE(i + 1));
const TEXT = LINES.join('');

interface Read {
  readonly form: string;
  readonly packing: string | null;
  readonly leaves: number;
  readonly lines: number;
  readonly last: number;
  readonly cut: string | null;
  readonly problems: object;
}

async function read(path: string): Promise<Read> {
  const source = await openTrace(path);
  const counts = new Float64Array(LEAF_COUNTS);
  let last = 0;
  try {
    const tally = await readTraceText(source, {
      take: (batch) => {
        countLeaves(batch, counts);
        last = batch.place[batch.count - 1] ?? 0;
      },
    });
    const { form, packing } = source;
    const leaves = counts[leafIndex(6, 1, 1)] ?? 0;
    const problems = tally.problems.counts;
    return { form, packing, leaves, lines: tally.lines, last, cut: source.cut(), problems };
  } finally {
    source.close();
  }
}

const WHOLE = {
  form: 'text',
  leaves: 60_000,
  lines: 60_000,
  last: 60_000,
  cut: null,
  problems: {},
};

describe('a trace', () => {
  test('in a file of several pieces', async () => {
    expect(await read(file('plain', TEXT))).toEqual({ ...WHOLE, packing: null });
  });

  test('packed with gzip', async () => {
    expect(await read(file('gz', gzipSync(TEXT)))).toEqual({ ...WHOLE, packing: 'gzip' });
  });

  test('packed with gzip, in two members', async () => {
    const half = LINES.slice(0, 30_000).join('');
    const both = Buffer.concat([gzipSync(half), gzipSync(TEXT.slice(half.length))]);
    expect(await read(file('two', both))).toEqual({ ...WHOLE, packing: 'gzip' });
  });

  test('whose gzip data end early is read up to there, and that is said', async () => {
    const path = file('cut', gzipSync(TEXT));
    truncateSync(path, 20_000);
    const found = await read(path);
    expect(found.cut).toMatch(/^gzip: /);
    expect(found.leaves).toBeGreaterThan(100);
    expect(found.leaves).toBeLessThan(60_000);
  });

  test('out of a pipe that brings a byte first', async () => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    const script = `printf k; sleep 0.1; printf 'vm_mmu_set_spte: gfn 1 spte 86f77 (rwxu) level 1\\n'`;
    spawn('sh', ['-c', `(${script}) > ${path}`]);
    expect(await read(path)).toMatchObject({ form: 'text', lines: 1, leaves: 1, cut: null });
  });

  test.each([
    ['trace.dat', '\u0017\bDtracing7\0', 'trace.dat', null],
    ['perf.data', 'PERFILE2\0\0\0\0', 'perf.data', null],
  ])('in binary form: %s', async (name, content, form, packing) => {
    for (const path of [
      file(name, Buffer.from(content, 'latin1')),
      file(`${name}.gz`, gzipSync(Buffer.from(content, 'latin1'))),
    ]) {
      const source = await openTrace(path);
      expect(source).toMatchObject({ form, packing: path.endsWith('.gz') ? 'gzip' : packing });
      const chunks: Uint8Array[] = [];
      for await (const chunk of source.chunks) chunks.push(chunk);
      expect(Buffer.concat(chunks).toString('latin1')).toBe(content);
      source.close();
    }
  });

  test('that is empty', async () => {
    expect(await read(file('empty', ''))).toMatchObject({ form: 'text', lines: 0, problems: {} });
  });

  test.each([
    ['/no/such/file', /there is no such file/],
    [directory, /it is a directory/],
  ])('that cannot be read: %s', async (path, message) => {
    await expect(openTrace(path)).rejects.toThrow(message);
  });
});
