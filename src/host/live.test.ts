import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type DoctorOptions, runDoctor } from '../cli/commands/doctor.ts';
import { isListed } from '../doctor/capture/reads.ts';
import { diagnose, doctorExitCode } from '../doctor/diagnosis/diagnose.ts';
import { gather } from '../doctor/gather.ts';
import { collect } from './collect.ts';
import { liveHost } from './live.ts';
import { PatientReader } from './patient.ts';

const directory = mkdtempSync(join(tmpdir(), 'memtype-'));
afterAll(() => rmSync(directory, { recursive: true }));
const host = liveHost();
afterAll(() => host.close());

describe('reading files', () => {
  test('whole, or cut and said so', async () => {
    const path = join(directory, 'text');
    writeFileSync(path, 'abc\n');
    expect(await host.readText(path)).toEqual({ ok: true, text: 'abc\n', cut: false });
    expect(await host.readText(path, 4)).toEqual({ ok: true, text: 'abc\n', cut: false });
    expect(await host.readText(path, 2)).toEqual({ ok: true, text: 'ab', cut: true });
    expect(await host.readAt(path, 1, 2)).toEqual({ ok: true, hex: '6263' });
    expect(await host.readAt(path, 3, 9)).toEqual({ ok: true, hex: '0a' });
  });

  test('a file without end is cut', async () => {
    const reading = await host.readText('/dev/zero', 100_000);
    expect(reading.ok && [reading.text.length, reading.cut]).toEqual([100_000, true]);
  });

  test('refusals are values', async () => {
    expect(await host.readText(join(directory, 'none'))).toMatchObject({ reason: 'absent' });
    expect(await host.link(join(directory, 'none'))).toMatchObject({ reason: 'absent' });
    expect(await host.list('/proc/self/status')).toMatchObject({ reason: 'absent' });
    expect(await host.readText(directory)).toMatchObject({ reason: 'error', detail: 'EISDIR' });
  });

  test('links of a directory', async () => {
    const links = await host.links('/proc/self');
    expect(links.ok && links.links.map((l) => l.name)).toContain('exe');
  });

  test('a name with odd characters', async () => {
    const path = join(directory, 'a "\n\\ \u00e9');
    writeFileSync(path, '\u00e9\ufffd');
    expect(await host.readText(path)).toMatchObject({ text: '\u00e9\ufffd' });
  });
});

describe('a read that never returns', () => {
  const fifo = join(directory, 'fifo');

  test('is left behind, and the next one works', async () => {
    execFileSync('sh', ['-c', 'mkfifo "$0"', fifo]);
    const hasty = liveHost(1000);
    const stuck = await hasty.readText(fifo);
    expect(stuck).toEqual({ ok: false, reason: 'timeout', detail: '1000 ms' });
    expect(await hasty.readText('/proc/version')).toMatchObject({ ok: true });
    hasty.close();
  });

  test('does not use up all the time there is', async () => {
    const hasty = liveHost(50);
    for (let i = 0; i < 5; i++) await hasty.readText(fifo);
    const start = performance.now();
    expect(await hasty.readText('/proc/version')).toMatchObject({ reason: 'timeout' });
    expect(performance.now() - start).toBeLessThan(40);
    hasty.close();
  });
});

const isLinux = process.platform === 'linux' && existsSync('/proc/self/maps');

describe.skipIf(!isLinux)('this machine', () => {
  test('only what is listed is read, and it makes a diagnosis', async () => {
    const capture = await collect(host, null);
    const paths = [...capture.texts.keys(), ...capture.lists.keys(), ...capture.linkLists.keys()];
    expect(paths.filter((path) => !isListed(path))).toEqual([]);
    const diagnosis = diagnose(gather(capture));
    expect(diagnosis.facts.kernel.known).toBe(true);
    expect(diagnosis.facts.cpu.known).toBe(true);
    expect([0, 1, 3]).toContain(doctorExitCode(diagnosis));
  }, 60_000);
});

describe.skipIf(!isLinux)('the command', () => {
  async function run(options: DoctorOptions): Promise<{ code: number; out: string; err: string }> {
    const written = { out: '', err: '' };
    const code = await runDoctor(options, {
      write: (text) => {
        written.out += text;
      },
      error: (text) => {
        written.err += text;
      },
    });
    return { code, ...written };
  }

  test('prints one JSON text with the exit code in it', async () => {
    const { code, out, err } = await run({ format: 'json' });
    expect(JSON.parse(out)).toMatchObject({ schemaVersion: 1, exitCode: code });
    expect(err).toBe('');
  }, 60_000);

  test.each([
    [process.pid, 'runs no VM (no kvm-vm descriptor)'],
    [2 ** 22, 'there is no process 4194304 to be seen'],
    [-1, 'not a process number: -1'],
    ['0x10', 'not a process number: 0x10'],
  ])('--pid %s: %s', async (pid, message) => {
    const { code, out, err } = await run({ format: 'text', pid: String(pid) });
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
    expect(err).toContain('help: ');
  });
});

const kvm = existsSync('/dev/kvm') ? await host.kvmApiVersion() : null;
const why = kvm === null ? 'no /dev/kvm here' : kvm.ok ? '' : `/dev/kvm: ${kvm.detail}`;

describe.skipIf(why !== '')(`/dev/kvm${why === '' ? '' : ` (skipped: ${why})`}`, () => {
  test('has the one stable API', () => {
    expect(kvm).toEqual({ ok: true, value: 12 });
  });

  test('has the capability of quirks', async () => {
    expect(await host.kvmExtension(116)).toEqual({ ok: true, value: 1 });
    const word = await host.kvmExtension(213);
    expect(word.ok && word.value >= 0 && word.value < 2 ** 20).toBe(true);
  });
});

test('a helper that cannot be started is a refusal', async () => {
  const reader = new PatientReader(1000, () => {
    throw Object.assign(new Error('spawn'), { code: 'EMFILE' });
  });
  const got = await reader.ask({ op: 'text', path: '/proc/version', limit: 10 });
  expect(got).toMatchObject({ ok: false, reason: 'error' });
  expect(await reader.ask({ op: 'list', path: '/proc', limit: 10 })).toMatchObject({ ok: false });
});

test.each(['abc', '0x10', '1e3', '', '-1'])('--pid %s is refused by name', async (pid) => {
  const errors: string[] = [];
  const io = { write: () => {}, error: (text: string) => void errors.push(text) };
  expect(await runDoctor({ format: 'text', pid }, io)).toBe(2);
  expect(errors.join()).toContain(`not a process number: ${pid}`);
});
