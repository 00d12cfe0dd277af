import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { hasZstd } from './binary-traces.ts';
import { memtype, type Ran, ROOT } from './console.ts';

const FIXTURES = `${ROOT}src/trace/fixtures/`;
const scratch = mkdtempSync(join(tmpdir(), 'memtype-inputs-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function audit(args: readonly string[], input?: string): Ran {
  return memtype(['audit', ...args], input);
}

function written(name: string, data: string | Uint8Array): string {
  const path = join(scratch, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
  return path;
}

interface Audited {
  readonly form: string;
  readonly about: readonly string[];
  readonly events: number;
  readonly sptes: number;
  readonly toldBy: string;
  readonly vmsAtLeast: number;
  readonly counts: readonly { readonly installs: number; readonly level: number }[];
  readonly gaps: { readonly count: number; readonly lost: number };
  readonly vms: readonly { readonly vm: number | null; readonly sptes: number }[];
  readonly undetermined: readonly string[];
  readonly otherEvents: Readonly<Record<string, number>>;
  readonly prediction: { readonly predicted: number; readonly mismatched: number } | null;
}

function json(args: readonly string[], input?: string): Audited {
  const { stdout, stderr } = audit([...args, '--format', 'json'], input);
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Audited;
}

const unpacked = (name: string): Buffer => gunzipSync(readFileSync(`${FIXTURES}${name}.gz`));

describe('zstd', () => {
  const shape = ({ events, sptes, counts }: Audited) => [
    events,
    sptes,
    counts.map((c) => c.installs),
  ];

  test('within trace.dat and perf.data', () => {
    const plain = json([written('v7.dat', unpacked('nested61.v7.dat'))]);
    const packed = json([written('v7-zstd.dat', unpacked('nested61.v7-zstd.dat'))]);
    expect(packed.about).toContain('compressed with zstd');
    expect(shape(packed)).toEqual(shape(plain));
    const perf = json([written('perf-z.data', unpacked('perf-z.data'))]);
    expect(perf.about).toContain('compressed with zstd');
    expect(perf.sptes).toBeGreaterThan(100);
    expect(perf.undetermined).toEqual([]);
  });

  test.runIf(hasZstd)('around any of them, out of a file and out of a pipe', () => {
    for (const name of ['nested61.txt', 'nested61.v6.dat', 'perf-plain.data']) {
      const data = unpacked(name);
      const packed = execFileSync('zstd', ['-qc'], { input: data });
      const two = written(`${name}.zst`, packed);
      const found = json([two]);
      expect(found.form).toMatch(/, zstd$/);
      expect(shape(found), name).toEqual(shape(json([written(name, data)])));
      const cut = audit([written('cut.zst', packed.subarray(0, packed.length - 40))]);
      expect([2, 3]).toContain(cut.status);
      expect(cut.stdout + cut.stderr).toMatch(/zstd|cut|damaged/);
    }
  });
});

interface Dump {
  readonly headerPage: string;
  readonly clock: string;
  readonly formats: Readonly<Record<string, string>>;
  readonly cpus: readonly string[];
  readonly text: string;
}

describe('pages of trace_pipe_raw', () => {
  const EXAMPLE = 'docs/examples/tracefs';
  const PAGES = `${EXAMPLE}/per_cpu/cpu0/trace_pipe_raw`;
  const dump = JSON.parse(unpacked('two-cpus.json').toString()) as Dump;
  const tracefs = join(scratch, 'tracefs');
  written('tracefs/events/header_page', dump.headerPage);
  written('tracefs/trace_clock', dump.clock);
  for (const [name, text] of Object.entries(dump.formats))
    written(`tracefs/events/${name}/format`, text);
  const cpus = dump.cpus.map((text, cpu) =>
    written(`tracefs/per_cpu/cpu${cpu}/trace_pipe_raw`, Buffer.from(text, 'base64')),
  );

  test('of two CPUs are one trace, in whatever order they are given', () => {
    const found = json(['--formats', tracefs, ...cpus]);
    const text = json([written('two-cpus.txt', dump.text)]);
    expect(found.about).toEqual(['2 CPUs, clock local']);
    expect(found.otherEvents).toEqual(text.otherEvents);
    expect(found.gaps).toMatchObject({ count: 2, lost: 7161 });
    const back = json(['--formats', tracefs, ...[...cpus].reverse()]);
    expect(back.otherEvents).toEqual(found.otherEvents);
    expect(back.gaps).toMatchObject({ count: 2, lost: 7161 });
  });

  test('packed, in base64 at once, and in base64 page by page', () => {
    const bytes = readFileSync(ROOT + PAGES);
    const same = ({ events, sptes, counts, about }: Audited) => ({ events, sptes, counts, about });
    const plain = same(json(['--formats', EXAMPLE, PAGES]));
    expect(plain).toMatchObject({ events: 152, sptes: 15 });
    const lines = (part: Uint8Array): string =>
      Buffer.from(part).toString('base64').replace(/.{76}/g, '$&\n');
    const pages = [bytes.subarray(0, 4096), bytes.subarray(4096)];
    const forms = {
      'cpu0.gz': gzipSync(bytes),
      'cpu0.b64': `${lines(bytes)}\n`,
      'cpu0.pages': pages.map((page) => `${lines(page)}\n-\n`).join(''),
    };
    for (const [name, data] of Object.entries(forms))
      expect(same(json(['--formats', `${EXAMPLE}/events`, written(name, data)])), name).toEqual(
        plain,
      );
    expect(same(json(['--formats', EXAMPLE, '-'], forms['cpu0.b64']))).toEqual(plain);
  });

  test('descriptions may be files in one directory', () => {
    const flat = join(scratch, 'flat');
    for (const event of ['kvm_mmu_set_spte', 'kvm_tdp_mmu_spte_changed'])
      cpSync(`${ROOT}${EXAMPLE}/events/kvmmmu/${event}/format`, join(flat, `${event}.txt`));
    const found = json(['--formats', flat, PAGES]);
    expect(found.sptes).toBe(15);
    expect(found.undetermined.join()).toMatch(/records whose event is not described/);
  });

  test('what is missing is said', () => {
    const none = audit([PAGES]);
    expect([none.status, none.stdout]).toEqual([2, '']);
    expect(none.stderr).toContain('pages of trace_pipe_raw need --formats');
    const nowhere = audit(['--formats', 'no/such', PAGES]);
    expect([nowhere.status, nowhere.stderr]).toEqual([
      2,
      expect.stringContaining('no/such is no directory'),
    ]);
    const empty = audit(['--formats', `${EXAMPLE}/per_cpu`, PAGES]);
    expect(empty.status).toBe(2);
    expect(empty.stderr).toContain('no description of an event');
    const trace = audit(['--formats', EXAMPLE, `${FIXTURES}nested61.v7.dat.gz`]);
    expect(trace.status).toBe(2);
    expect(trace.stderr).toContain('leave out --formats');
    const file = audit(['--formats', EXAMPLE, 'no/such/file']);
    expect([file.status, file.stderr]).toEqual([2, expect.stringContaining('no such file')]);
    expect(audit(['--formats', EXAMPLE, 'docs/examples/trace.txt']).status).toBe(3);
  });

  test('that are cut are read as far as they go', () => {
    const bytes = readFileSync(ROOT + PAGES);
    const found = json(['--formats', EXAMPLE, written('cut/cpu0', bytes.subarray(0, 6000))]);
    expect(found.sptes).toBeGreaterThan(0);
    expect(found.undetermined.length).toBeGreaterThan(0);
  });

  test('have their processes out of saved_tgids, where the copy has it', () => {
    const copy = join(scratch, 'with-tgids');
    cpSync(ROOT + EXAMPLE, copy, { recursive: true });
    const pages = join(copy, 'per_cpu/cpu0/trace_pipe_raw');
    expect(json(['--formats', copy, pages]).toldBy).toBe('one');
    written('with-tgids/saved_tgids', '1 1\n116 115\n');
    expect(json(['--formats', copy, pages])).toMatchObject({
      toldBy: 'tgid',
      vms: [{ vm: 115, sptes: 15 }],
    });
  });

  const run = join(process.env['MEMTYPE_SAMPLES'] ?? '', 'realkvm/qemu-npt-6.1-raw');
  test.skipIf(process.env['MEMTYPE_SAMPLES'] === undefined)(
    'of a real kernel, with what the program wrote to trace_marker: every entry is predicted',
    () => {
      const formats = join(scratch, 'formats61');
      cpSync(join(run, 'formats'), formats, { recursive: true });
      cpSync(join(run, '../qemu-npt-6.1/formats'), formats, { recursive: true });
      const found = json(['--formats', formats, join(run, 'raw-raw.txt'), '--predict', run]);
      expect(found.prediction).toMatchObject({ predicted: 56, mismatched: 0 });
    },
  );
});

describe('VMs without their processes', () => {
  const line = (task: string, at: number, gfn: number, spte: string): string =>
    `${task.padStart(17)}     [000] ..... ${at.toFixed(6)}: kvm_mmu_set_spte: gfn ${gfn.toString(16)} spte ${spte} (rwxu) level 1 at 1000\n`;
  const trace = (first: readonly number[], second: readonly number[]): string =>
    Array.from({ length: 40 }, (_, i) => {
      const cpu = i & 1;
      const isFirst = (i & 2) === 0;
      const tid = (isFirst ? first : second)[cpu] ?? 0;
      const spte = isFirst ? '6000000029c4b77' : '6000000039c4b37';
      return line(`CPU ${cpu}/KVM-${tid}`, 1 + i / 10, 256 + i, spte);
    }).join('');

  test('are told apart by the names of their threads', () => {
    const path = written('told.txt', trace([101, 102], [201, 202]));
    expect(json([path])).toMatchObject({
      toldBy: 'names',
      vmsAtLeast: 2,
      vms: [
        { vm: 101, sptes: 20 },
        { vm: 201, sptes: 20 },
      ],
    });
    expect(audit([path]).status).toBe(0);
  });

  test('that cannot be told apart are said to be several', () => {
    const mixed = written('mixed.txt', trace([101, 103], [102, 104]));
    for (const ran of [audit([mixed]), audit([], readFileSync(mixed, 'utf8'))]) {
      expect(ran.status).toBe(3);
      expect(ran.stdout.replaceAll(/\s+/g, ' ')).toContain(
        '2 VMs at least, by the names of threads, are taken for one',
      );
    }
    const piped = json([], trace([101, 102], [201, 202]));
    expect(piped).toMatchObject({ toldBy: 'one', vmsAtLeast: 2 });
    expect(piped.undetermined).toHaveLength(1);
  });

  test('with a process on each line need no names', () => {
    const text = trace([101, 103], [102, 104]).replaceAll(/-10([1-4])( +)\[/g, '-10$1 (  100) [');
    expect(json([written('tgid.txt', text)])).toMatchObject({ toldBy: 'tgid', vms: [{ vm: 100 }] });
  });
});
