import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { InputError, renderDiagnostic } from '../base/diagnostic.ts';
import { parseCaptureFile } from '../doctor/capture/capture-file.ts';
import { type CaptureOptions, runCapture } from './commands/capture.ts';
import { runDoctor } from './commands/doctor.ts';
import { readCaptureFile } from './read-capture.ts';
import { packageVersion } from './version.ts';

const directory = mkdtempSync(join(tmpdir(), 'memtype-capture-'));
afterAll(() => rmSync(directory, { recursive: true }));
const EXAMPLE = fileURLToPath(new URL('../../docs/examples/host.json', import.meta.url));

function recorder() {
  const written = { out: '', err: '' };
  const io = {
    write: (text: string) => {
      written.out += text;
    },
    error: (text: string) => {
      written.err += text;
    },
  };
  return { io, written };
}

async function capture(options: Partial<CaptureOptions>) {
  const { io, written } = recorder();
  const code = await runCapture({ script: false, ...options }, io);
  return { code, ...written };
}

async function doctor(file: string, pid?: string) {
  const { io, written } = recorder();
  const code = await runDoctor({ format: 'text', pid }, io, [file]);
  return { code, ...written };
}

function place(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function refusalOf(path: string): Promise<string> {
  try {
    await readCaptureFile(path);
  } catch (error) {
    if (error instanceof InputError) return error.diagnostics.map(renderDiagnostic).join('\n');
    throw error;
  }
  return 'it was read';
}

const isLinux = process.platform === 'linux';

describe.skipIf(!isLinux)('memtype capture', () => {
  test('writes a capture, and says what was read and masked', async () => {
    const { code, out, err } = await capture({});
    expect([0, 3]).toContain(code);
    const { origin, notes, capture: read } = parseCaptureFile(out, 'c.json');
    expect(notes).toEqual([]);
    expect(origin.tool).toBe(`memtype ${packageVersion()}`);
    expect(read.texts.get('/proc/cpuinfo')).toMatchObject({ ok: true });
    expect(err).toMatch(/^read: \d+ files.*\nrefused/);
    expect(err).toContain('\nmasked:\n  host name');
  }, 60_000);

  test('into a file that only its owner reads', async () => {
    const output = join(directory, 'c.json');
    const { code, out, err } = await capture({ output });
    expect([0, 3]).toContain(code);
    expect([out, statSync(output).mode & 0o777]).toEqual(['', 0o600]);
    expect(err).toContain(`written: ${output}`);
    expect((await doctor(output)).code).not.toBe(2);
  }, 60_000);

  test('a file that cannot be written', async () => {
    const { code, err } = await capture({ output: join(directory, 'none', 'c.json') });
    expect(code).toBe(2);
    expect(err).toContain('error: cannot write');
  }, 60_000);

  test.each(['0', 'x', String(process.pid)])('--pid %s', async (pid) => {
    const { code, out, err } = await capture({ pid });
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('help: ');
  });

  test('--print-script', async () => {
    const { code, out } = await capture({ script: true });
    expect(code).toBe(0);
    expect(out.startsWith('#!/bin/sh\n')).toBe(true);
    expect(out).toContain(`TOOL='memtype ${packageVersion()}'`);
  });
});

describe('memtype doctor FILE', () => {
  test('of a capture', async () => {
    const { code, out, err } = await doctor(EXAMPLE);
    expect([code, err]).toEqual([1, '']);
    expect(out).toContain('VM 100: qemu-system-x86_64');
    expect((await doctor(EXAMPLE, '100')).err).toContain('capture with --pid instead');
  });

  test('what is not understood is noted', async () => {
    const text = readFileSync(EXAMPLE, 'utf8').replace('"pid": null', '"pid": null, "new": 1');
    const { code, out } = await doctor(place('new.json', text));
    expect(code).toBe(1);
    expect(out.replace(/\s+/g, ' ')).toContain('key "new" is not known to this version: read over');
  });

  test('of a case file', async () => {
    const path = place(
      'case.yaml',
      'title: a host\ncapture:\n  uname: {release: "6.12.1"}\n  texts:\n    /proc/mtrr: |\n' +
        '      reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n  log: [a, b]\n',
    );
    const { capture: read, notes } = await readCaptureFile(path);
    expect(notes).toEqual([]);
    expect(read.uname.release).toBe('6.12.1');
    expect(read.log).toEqual({ ok: true, text: 'a\nb\n', cut: false });
    expect(read.texts.get('/proc/mtrr')).toMatchObject({
      text: 'reg00: base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable\n',
    });
  });

  test.each([
    ['capture:\n  log: 5\n', 'a text', 'b.yaml:2:8'],
    ['capture:\n  lists: {/proc: [1]}\n', 'a directory', 'b.yaml:2:19'],
    ['capture: {memtypeCapture: 7}\n', 'capture format 7', 'b.yaml:1:27'],
    ['capture: [\n', 'Flow sequence', 'b.yaml:'],
    ['guest: WC\n', 'neither a capture (JSON) nor a case file', 'memtype capture writes one'],
    ['just words\n', 'neither a capture', ''],
    ['capture: &a [*a]\n', 'aliases are not read', 'b.yaml:1:14'],
    [`capture: ${'['.repeat(100_000)}\n`, '', ''],
    ['', 'neither a capture', ''],
  ])('%j is refused', async (text, message, where) => {
    const refused = await refusalOf(place('b.yaml', text));
    expect(refused).toContain(message);
    expect(refused).toContain(where);
  });

  test('a missing file', async () => {
    const { code, err } = await doctor(join(directory, 'none.json'));
    expect(code).toBe(2);
    expect(err).toContain('there is no such file');
  });

  test('a case file of any size is not taken for YAML', async () => {
    const path = place('big.yaml', `a: ${'x'.repeat(300 * 1024)}\n`);
    expect(await refusalOf(path)).toContain('no case file is larger than 256 KiB');
  });
});
