import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { memtype, ROOT } from './console.ts';

const MAIN = `${ROOT}dist/bin/main.js`;
const scratch = mkdtempSync(join(tmpdir(), 'memtype-io-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A shell line; "memtype" is the program. */
function shell(line: string): { stdout: string; stderr: string; status: number | null } {
  const program = `memtype() { "${process.execPath}" "${MAIN}" "$@"; }\n`;
  return spawnSync('bash', ['-c', program + line], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 20_000,
  });
}

describe('output', () => {
  test('a reader that has gone away does not change the exit code', () => {
    const { stdout } = shell(
      'memtype explain cases/founding-mail.yaml | true; echo $PIPESTATUS\n' +
        'memtype explain --kernel 6.8 | true; echo $PIPESTATUS\n' +
        'memtype rule --format json | head -c 1 >/dev/null; echo $PIPESTATUS\n' +
        'memtype explain --kernel banana 2>&1 | true; echo $PIPESTATUS\n',
    );
    expect(stdout).toBe('1\n3\n0\n2\n');
  });

  test.runIf(existsSync('/dev/full'))('a full disk is told, and is no internal error', () => {
    const r = shell('memtype explain --kernel 6.8 >/dev/full');
    expect(r.status).toBe(2);
    expect(r.stderr).toContain('cannot write the output');
    expect(r.stderr).not.toContain('internal error');
    expect(shell('memtype explain --kernel 6.8 >/dev/full 2>/dev/full').status).toBe(2);
  });
});

describe('input', () => {
  test.each(['/dev/zero', '/dev/urandom'])('%s never ends, and is refused', (device) => {
    if (!existsSync(device)) return;
    for (const r of [memtype(['explain', device]), shell(`memtype explain - <${device}`)]) {
      expect(r.status).toBe(2);
      expect(r.stderr).toContain('larger than 256 KiB');
    }
  });

  test('a directory and a large file are refused', () => {
    expect(memtype(['explain', scratch]).stderr).toContain('it is a directory');
    const path = join(scratch, 'large.yaml');
    writeFileSync(path, '#'.repeat(256 * 1024 + 1));
    expect(memtype(['explain', path])).toMatchObject({ status: 2 });
    expect(memtype(['explain', path]).stderr).toContain('larger than 256 KiB');
  });

  test('a slow pipe is read to its end', () => {
    const r = shell('(sleep 0.3; cat cases/founding-mail.yaml) | memtype explain -');
    expect(r.status).toBe(1);
  });

  test('a pipe that another process made non-blocking is waited for', () => {
    // A socket that Node opened is non-blocking for whoever shares it.
    const r = spawnSync(
      process.execPath,
      [
        '-e',
        `const { spawn } = require('node:child_process');
         const net = require('node:net');
         const server = net.createServer((peer) => {
           setTimeout(() => peer.end('guest: WC\\nkernel: 6.8\\n'), 300);
         }).listen(0, () => {
           const socket = net.connect(server.address().port, () => {
             const child = spawn(process.execPath, ['${MAIN}', 'explain', '-'], {
               stdio: [socket, 'inherit', 'inherit'],
             });
             child.on('exit', (code) => process.exit(code));
           });
         });`,
      ],
      { encoding: 'utf8', timeout: 20_000 },
    );
    expect(r.stderr).toBe('');
    expect(r.status).toBe(3);
  });
});

describe('Ctrl-C', () => {
  test('ends the program while it reads', async () => {
    const child = spawn(process.execPath, [MAIN, 'explain', '-'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const ended = new Promise<NodeJS.Signals | null>((done) => {
      child.on('exit', (_code, signal) => done(signal));
    });
    setTimeout(() => child.kill('SIGINT'), 600);
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
    expect(await ended).toBe('SIGINT');
    clearTimeout(late);
  });
});
