import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KIND } from '../src/trace/batch.ts';
import { batchesOf } from './audit-batches.ts';
import { ROOT } from './console.ts';

// The real thing: a tracefs that is mounted in a mount namespace of its own, so that nothing of it is left
// on this machine, and a VM on /dev/kvm.

const work = mkdtempSync(join(tmpdir(), 'memtype-live-kvm-'));
const mountPoint = mkdtempSync(join(tmpdir(), 'memtype-tracefs-'));
const program = join(work, 'dist/bin/live.js');

interface Program {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly code: Promise<number | null>;
}

function start(command: string, ...args: string[]): Program {
  const child = spawn(command, args, { cwd: ROOT });
  const text = { out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => {
    text.out += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    text.err += data.toString();
  });
  const code = new Promise<number | null>((resolve) => {
    child.on('close', (exit) => resolve(exit));
    child.on('error', () => resolve(null));
  });
  return { child, out: () => text.out, err: () => text.err, code };
}

const MS = 25;
async function until(what: () => boolean, program: Program | null = null): Promise<void> {
  for (let i = 0; i < 400; i += 1) {
    if (what()) return;
    await new Promise((resolve) => setTimeout(resolve, MS));
  }
  throw new Error(`it did not come: ${what}\n${program?.out()}\n${program?.err()}`);
}

function why(): string {
  if (process.geteuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/kvm')) return 'no /dev/kvm';
  const script = 'mount -t tracefs none "$0" && test -d "$0/events/kvmmmu" && umount "$0"';
  const tried = spawnSync('unshare', ['-m', 'sh', '-c', script, mountPoint], { encoding: 'utf8' });
  if (tried.status !== 0)
    return `no tracefs with kvmmmu: ${tried.stderr || tried.error?.message || ''}`;
  const vm = spawnSync(process.execPath, ['test/small-vm.mjs'], {
    cwd: ROOT,
    input: '\n',
    encoding: 'utf8',
    timeout: 10_000,
  });
  return vm.stdout === 'ready\nran\n' ? '' : `the VM does not run: ${vm.stderr}`;
}

const reason = why().trim();

describe.skipIf(reason !== '')(`a real KVM${reason === '' ? '' : ` (skipped: ${reason})`}`, () => {
  let namespace: Program;
  let before: ReadonlySet<string> = new Set();
  const recordings: Program[] = [];
  const inside = (...args: string[]) =>
    start('nsenter', '-t', String(namespace.child.pid), '-m', '--', ...args);
  const live = (...flags: string[]) => {
    const recording = inside(
      process.execPath,
      program,
      '--live',
      '--tracefs',
      mountPoint,
      ...flags,
    );
    recordings.push(recording);
    return recording;
  };
  // Others of this machine may have some, too.
  const instances = () =>
    readdirSync(`/proc/${namespace.child.pid}/root${mountPoint}/instances`).filter(
      (name) => name.startsWith('memtype-') && !before.has(name),
    );

  async function vmReady(): Promise<Program> {
    const vm = start(process.execPath, 'test/small-vm.mjs');
    await until(() => vm.out() === 'ready\n', vm);
    return vm;
  }

  async function ran(vm: Program): Promise<void> {
    vm.child.stdin?.write('\n');
    await until(() => vm.out() === 'ready\nran\n', vm);
  }

  beforeAll(async () => {
    const source = join(work, 'live.ts');
    writeFileSync(
      source,
      `import { PROCESS_IO } from '${ROOT}src/cli/io.ts';
import { runApplication } from '${ROOT}src/cli/app.ts';
process.exitCode = await runApplication(['audit', ...process.argv.slice(2)], PROCESS_IO);`,
    );
    const bundle = await rolldown({ input: source, platform: 'node', external: [/^node:/] });
    await bundle.write({ dir: join(work, 'dist/bin'), format: 'esm', entryFileNames: 'live.js' });
    await bundle.close();
    copyFileSync(join(ROOT, 'package.json'), join(work, 'package.json'));
    const script = 'mount -t tracefs none "$0" && echo ready && read -r _; umount "$0"';
    namespace = start('unshare', '-m', 'sh', '-c', script, mountPoint);
    await until(() => namespace.out() === 'ready\n', namespace);
    before = new Set(instances());
  });

  afterAll(async () => {
    // A test that failed leaves one running, which needs this tracefs to take its instance away.
    for (const { child } of recordings) child.kill('SIGINT');
    await Promise.all(recordings.map(({ code }) => code));
    namespace.child.stdin?.end();
    await namespace.code;
  });

  test('records one VM until it ends, every page of it', async () => {
    const vm = await vmReady();
    const other = await vmReady();
    const record = join(work, 'trace.txt');
    const audit = live('--pid', String(vm.child.pid), '--record', record);
    await until(() => audit.err().includes('recording'), audit);
    expect(instances()).toEqual([`memtype-${audit.child.pid}`]);
    await ran(other);
    await ran(vm);
    vm.child.stdin?.end();
    expect(await audit.code).toBe(0);
    other.child.stdin?.end();
    expect(instances()).toEqual([]);
    expect(audit.err()).toContain('the VMM has ended');
    expect(audit.err()).not.toContain('lost');
    // Whether KVM took them away at its end before the recording did is chance.
    expect(audit.out()).toMatch(
      new RegExp(
        `^VM ${vm.child.pid}: .* leaf entries installed[\\s\\S]*^ {2}PAT index 0 +4K +6\\d `,
        'm',
      ),
    );
    expect(audit.out()).not.toContain(`VM ${other.child.pid}`);

    const pages = new Set<number>();
    for (const { count, kind, key, tgid } of batchesOf(readFileSync(record, 'utf8')))
      for (let i = 0; i < count; i += 1) {
        const gfn = key[i] ?? 0;
        if (kind[i] === KIND.set && gfn >= 0x40000) pages.add(gfn);
        expect([vm.child.pid, -1]).toContain(tgid[i]);
      }
    expect(pages.size).toBe(64);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s: nothing is left', async (signal) => {
    const audit = live();
    await until(() => audit.err().includes('recording'), audit);
    const vm = await vmReady();
    await ran(vm);
    audit.child.kill(signal);
    expect(await audit.code).toBe(0);
    expect(instances()).toEqual([]);
    expect(audit.out()).toMatch(
      new RegExp(`^VM ${vm.child.pid}: [\\s\\S]*\n {2}40000-4003f +64 `, 'm'),
    );
    // Its pages were anonymous memory while it ran, and their flags were read then.
    expect(audit.out()).toMatch(
      /frame on the host +installed [\s\S]*\n {2}WB ram +PAT index 0 +\d/,
    );
    vm.child.stdin?.end();
    await vm.code;
  });

  test('killed: nothing is left either', async () => {
    const audit = live();
    await until(() => audit.err().includes('recording'), audit);
    expect(instances().length).toBe(1);
    audit.child.kill('SIGKILL');
    await audit.code;
    await until(() => instances().length === 0);
  });

  test('a reader that goes away: nothing is left', async () => {
    const command = `"$0" "$@" | head -1`;
    const flags = ['--live', '--tracefs', mountPoint, '--follow', '0.1'];
    const audit = inside('sh', '-c', command, process.execPath, program, ...flags);
    await until(() => audit.err().includes('recording'), audit);
    // Each changes the summary; the second line finds no reader.
    for (let i = 0; i < 4; i += 1) {
      const vm = await vmReady();
      await ran(vm);
      vm.child.stdin?.end();
      await vm.code;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await audit.code;
    expect(audit.out().split('\n').length).toBe(2);
    expect(instances()).toEqual([]);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('--print-commands, ended by %s', async (signal) => {
    const printed = live('--print-commands');
    expect(await printed.code).toBe(0);
    const path = join(work, 'live.sh');
    writeFileSync(path, printed.out());
    const script = inside('sh', path);
    await until(() => instances().length === 1, script);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const vm = await vmReady();
    await ran(vm);
    script.child.kill(signal);
    expect(await script.code).toBe(signal === 'SIGINT' ? 130 : 143);
    vm.child.stdin?.end();
    expect(script.err()).toBe('');
    expect(instances()).toEqual([]);
    const gfns = new Set(
      [...script.out().matchAll(/set_spte: gfn (400[0-9a-f]{2}) /g)].map(String),
    );
    expect(gfns.size).toBeGreaterThanOrEqual(64);
  });
});

afterAll(() => {
  rmSync(work, { recursive: true });
  rmdirSync(mountPoint);
});
