import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { runAudit } from '../src/cli/commands/audit.ts';
import type { Io } from '../src/cli/io.ts';
import { ROOT } from './console.ts';

// Real traces, damaged at seeded places, through the command: it ends with a code of the contract, says what is
// wrong, and has read the rest.

const SEED = Number(process.env['FC_SEED'] ?? 20240312);
const RUNS = 60;
const scratch = mkdtempSync(join(tmpdir(), 'memtype-damage-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Numbers below `n`, the same on every run. */
function numbers(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

interface Report {
  readonly events: number;
  readonly sptes: number;
  readonly undetermined: readonly string[];
  readonly damaged: readonly { readonly what: string }[];
  readonly findings: readonly { readonly code: string }[];
}

interface Ran {
  readonly status: number;
  readonly report: Report | null;
  readonly error: string;
}

async function audited(data: Uint8Array | string, formats?: string): Promise<Ran> {
  const path = join(scratch, 'trace');
  writeFileSync(path, data);
  return await auditedFile(path, formats);
}

async function auditedFile(path: string, formats?: string): Promise<Ran> {
  let out = '';
  let error = '';
  const io: Io = {
    write: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
  };
  const flags = { format: 'json', 'fail-on': 'undetermined' } as const;
  const status = await runAudit([path], formats === undefined ? flags : { ...flags, formats }, io);
  return { status, report: out === '' ? null : (JSON.parse(out) as Report), error };
}

/** By the contract: a report and 0, 1 or 3; or 2, no report, and what is wrong. */
function expectContract({ status, report, error }: Ran): void {
  expect([0, 1, 2, 3]).toContain(status);
  expect(report === null).toBe(status === 2);
  expect(error === '').toBe(status !== 2);
}

const unzipped = (path: string): Buffer => gunzipSync(readFileSync(`${ROOT}${path}.gz`));
const NESTED = unzipped('src/trace/fixtures/nested61.txt');
const TEXTS: Readonly<Record<string, Buffer>> = {
  'text of ftrace, EPT': readFileSync(`${ROOT}vectors/audit/bochs-ept-7.3-ivb/trace-remap.txt`),
  'text of ftrace, shadow': readFileSync(
    `${ROOT}vectors/audit/qemu-shadow-amd-6.1/trace-remap.txt`,
  ),
  'text of trace-cmd report': NESTED,
  'text of perf script': unzipped('src/trace/fixtures/perf-plain.txt'),
};

const SET = /: ?kvm_mmu_set_spte: +gfn/;
const linesOf = (text: Buffer): readonly string[] => text.toString('latin1').trimEnd().split('\n');
const joined = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\n')}\n`, 'latin1');

describe.each(Object.entries(TEXTS))('%s', (_, text) => {
  const lines = linesOf(text);
  const below = numbers(SEED);
  const GARBAGE = Buffer.from([0, 1, 2, 255, 254, 0, 7]).toString('latin1');

  test('cut at any byte: all whole lines count', async () => {
    for (let run = 0; run < RUNS; run += 1) {
      const length = below(text.length);
      const ran = await audited(text.subarray(0, length));
      expectContract(ran);
      const whole = text.subarray(0, length).toString('latin1').split('\n').slice(0, -1);
      const sets = whole.filter((line) => SET.test(line)).length;
      if (ran.status === 2) expect(sets).toBe(0);
      else expect(ran.report?.events).toBeGreaterThanOrEqual(sets);
    }
  });

  test('bytes and prose among the lines: said, and nothing else is lost', async () => {
    const { report: own } = await audited(text);
    for (let run = 0; run < RUNS / 3; run += 1) {
      const at = 1 + below(lines.length - 1);
      const noise = [GARBAGE, 'x'.repeat(1 + below(20_000)), `${GARBAGE}kvm_mmu_set_spte: gfn`];
      const added = noise[below(noise.length)] ?? '';
      const ran = await audited(joined([...lines.slice(0, at), added, ...lines.slice(at)]));
      expectContract(ran);
      expect(ran.report?.sptes).toBe(own?.sptes);
      expect(ran.report?.damaged.length).toBeGreaterThan(own?.damaged.length ?? 0);
    }
  });

  test('two writers in one line: one event is lost at most, and that is said', async () => {
    const { report: own } = await audited(text);
    for (let run = 0; run < RUNS / 3; run += 1) {
      const at = 1 + below(lines.length - 2);
      const [one = '', two = ''] = lines.slice(at);
      const cut = 1 + below(Math.max(1, one.length - 1));
      const mixed = [one.slice(0, cut) + two, one.slice(cut)];
      const ran = await audited(joined([...lines.slice(0, at), ...mixed, ...lines.slice(at + 2)]));
      expectContract(ran);
      expect(ran.report?.events).toBeGreaterThanOrEqual((own?.events ?? 0) - 2);
      const isLess = (ran.report?.events ?? 0) < (own?.events ?? 0);
      if (isLess && SET.test(one + two)) {
        const said = [...(ran.report?.damaged ?? []), ...(ran.report?.undetermined ?? [])];
        expect(said.length, mixed.join('\n')).toBeGreaterThan(0);
      }
    }
  });

  test('bytes changed anywhere: most of it is still read', async () => {
    const { report: own } = await audited(text);
    for (let run = 0; run < RUNS; run += 1) {
      const bytes = Buffer.from(text);
      for (let left = 1 + below(5); left > 0; left -= 1) bytes[below(bytes.length)] = below(256);
      const ran = await audited(bytes);
      expectContract(ran);
      // A byte is in one line, and a line feed may join two.
      expect(ran.report?.events).toBeGreaterThanOrEqual((own?.events ?? 0) - 10);
    }
  });

  test('parts of it in another order: the clock is said to go back', async () => {
    const head = lines.filter((line) => line.startsWith('#'));
    const events = lines.filter((line) => !line.startsWith('#'));
    const half = events.length >> 1;
    const ran = await audited(joined([...head, ...events.slice(half), ...events.slice(0, half)]));
    expectContract(ran);
    expect(ran.report?.events).toBe((await audited(text)).report?.events);
    const seconds = (line = ''): number => Number(/ (\d+\.\d+): /.exec(line)?.[1]);
    if (seconds(events.at(-1)) - seconds(events[0]) > 0.02)
      expect(ran.report?.findings.map(({ code }) => code)).toContain('MT714');
  });
});

const PAGES = readFileSync(`${ROOT}docs/examples/tracefs/per_cpu/cpu0/trace_pipe_raw`);
const BINARIES: Readonly<Record<string, readonly [data: Buffer, formats?: string]>> = {
  'trace.dat 6': [unzipped('src/trace/fixtures/nested61.v6.dat')],
  'trace.dat 7': [unzipped('src/trace/fixtures/nested61.v7.dat')],
  'trace.dat 7, zstd': [unzipped('src/trace/fixtures/nested61.v7-zstd.dat')],
  'perf.data': [unzipped('src/trace/fixtures/perf-plain.data')],
  'perf.data, as through a pipe': [unzipped('src/trace/fixtures/perf-pipe.data')],
  'perf.data, zstd': [unzipped('src/trace/fixtures/perf-z.data')],
  'pages of trace_pipe_raw': [PAGES, `${ROOT}docs/examples/tracefs`],
};

describe.each(Object.entries(BINARIES))('%s', (name, [data, formats]) => {
  const below = numbers(SEED + 1);

  test('cut at any byte: what is missing is said', async () => {
    const { report: own } = await audited(data, formats);
    for (let run = 0; run < RUNS; run += 1) {
      const length = 1 + below(data.length - 1);
      const ran = await audited(data.subarray(0, length), formats);
      expectContract(ran);
      if (ran.report === null) continue;
      expect(ran.report.events).toBeLessThanOrEqual((own?.events ?? 0) + 1);
      const isLess = ran.report.events < (own?.events ?? 0);
      const said = ran.report.undetermined.length + ran.report.damaged.length;
      // What is cut between two pages, or two records of a pipe, is whole.
      const isWhole = formats !== undefined || (name.endsWith('a pipe') && length % 8 === 0);
      if (isLess && !isWhole) expect(said, `cut after ${length}`).toBeGreaterThan(0);
    }
  });

  test('bytes changed anywhere', async () => {
    for (let run = 0; run < RUNS; run += 1) {
      const bytes = Buffer.from(data);
      for (let left = 1 + below(8); left > 0; left -= 1) bytes[below(bytes.length)] = below(256);
      expectContract(await audited(bytes, formats));
    }
  });

  test('a stretch of zeros, or of the file itself', async () => {
    for (let run = 0; run < RUNS / 2; run += 1) {
      const bytes = Buffer.from(data);
      const at = below(bytes.length);
      const length = 1 + below(2000);
      if (below(2) === 0) bytes.fill(0, at, Math.min(bytes.length, at + length));
      else bytes.copy(bytes, at, below(bytes.length), bytes.length);
      expectContract(await audited(bytes, formats));
    }
  });
});

describe('a line without an end', () => {
  const TRACE = readFileSync(`${ROOT}docs/examples/trace.txt`);

  test.each([0, 1])('of 256 MiB between the lines of two traces (%i)', async (kind) => {
    const path = join(scratch, 'long');
    if (kind === 0) {
      // A hole reads as zeros.
      writeFileSync(path, TRACE);
      truncateSync(path, 2 ** 28);
      writeFileSync(path, `\n${TRACE.toString()}`, { flag: 'a' });
    } else writeFileSync(path, Buffer.concat([TRACE, Buffer.alloc(2 ** 28, 'x\r'), TRACE]));
    const ran = await auditedFile(path);
    const { report: own } = await audited(TRACE);
    expect(ran.status).toBe(3);
    expect(ran.report?.events).toBe(2 * (own?.events ?? 0));
    expect(ran.report?.damaged.map(({ what }) => what)).toEqual(['lines longer than any event']);
    rmSync(path);
  });
});
