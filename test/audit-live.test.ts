import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AuditFlags } from '../src/cli/commands/audit.ts';
import { type LiveFlags, runAuditLive } from '../src/cli/commands/audit-live.ts';
import type { Io } from '../src/cli/io.ts';
import { guard } from '../src/host/trace-guard.ts';
import { usualBufferKib } from '../src/host/trace-settings.ts';
import { tracefsMounts } from '../src/host/tracefs.ts';
import { batchesOf } from './audit-batches.ts';
import { FakeTracefs } from './fake-tracefs.ts';

/** Printed by Linux 6.18 with record-tgid; the first line before its thread was scheduled in. */
const LINES = [
  '            node-6729    (-------) [001] ...1. 27340.266187: kvm_mmu_set_spte: gfn 1 spte 233c96a25 (r-xu) level 1 at 102ac4008',
  '            node-6729    (   6729) [001] ...1. 27340.266196: kvm_mmu_set_spte: gfn 8 spte 16dce5a25 (r-xu) level 1 at 102ac4040',
  '            node-6729    (   6729) [001] ...1. 27340.266202: kvm_mmu_spte_requested: gfn 40000 pfn 298ce0 level 1',
];
const TEXT = `${LINES.join('\n')}\n`;
const LATER = (LINES[1] ?? '').replace('266196', '266300');

let fake: FakeTracefs;
let work: string;
let written: { out: string; err: string; writes: number };
let abandoned: boolean;

beforeEach(() => {
  fake = new FakeTracefs();
  work = mkdtempSync(join(tmpdir(), 'memtype-live-'));
  written = { out: '', err: '', writes: 0 };
  abandoned = false;
});
afterEach(() => {
  expect(readdirSync(join(fake.path, 'instances'))).toEqual([]);
  expect(fake.removed).toBe(fake.made);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)
    expect(process.listeners(signal).map(String).join()).not.toContain('ending');
  fake.close();
  rmSync(work, { recursive: true });
});

type Flags = Partial<AuditFlags & LiveFlags>;

function live(flags: Flags, io: Partial<Io> = {}, files: readonly string[] = []): Promise<number> {
  const all: Io = {
    write(text) {
      written.out += text;
      written.writes += 1;
    },
    error(text) {
      written.err += text;
    },
    isAbandoned: () => abandoned,
    ...io,
  };
  const given = {
    format: 'json',
    'fail-on': 'warning',
    live: true,
    'print-commands': false,
    tracefs: fake.path,
    ...flags,
  } as const;
  return runAuditLive(files, given, all, fake.directories);
}

/** What `--format json` printed. */
function printed(): {
  readonly events: number;
  readonly sptes: number;
  readonly vms: readonly { readonly vm: number }[];
  readonly findings: readonly object[];
} {
  return JSON.parse(written.out);
}

const soon = (job: () => void, ms = 60) => void setTimeout(job, ms);

describe('a recording', () => {
  test('ends after its time, and is audited', async () => {
    fake.onMake = () => fake.print(TEXT);
    expect(await live({ seconds: '0.2' })).toBe(0);
    const vms = [{ vm: 6729, events: 3, sptes: 2 }];
    expect(printed()).toMatchObject({ events: 3, sptes: 2, vms, findings: [] });
    expect(written.err).toContain(`recording 9 events in ${fake.path}/instances/memtype-`);
    expect(written.err).toMatch(/the time is over: 3 events in \d+\.\d s\n/);
    expect(written.err).toContain('4 events lost, the buffers were full');
  });

  test('sets what it needs and nothing else, and turns it off', async () => {
    const state: Record<string, string> = {};
    fake.onMake = (path) =>
      soon(() => {
        for (const name of ['tracing_on', 'events/kvm/kvm_cr/enable'])
          state[name] = readFileSync(join(path, name), 'utf8').trim();
      });
    await live({ seconds: '0.2', buffer: '512' });
    expect(state).toEqual({ tracing_on: '1', 'events/kvm/kvm_cr/enable': '1' });
    const enables = fake.events.map((event) => [`events/${event}/enable`, '0']);
    expect(Object.fromEntries(fake.last)).toEqual({
      ...Object.fromEntries(enables),
      tracing_on: '0',
      buffer_size_kb: '512',
      set_event_pid: '',
      trace_clock: 'mono',
      'options/raw': '0',
      'options/hex': '0',
      'options/fields': '0',
      'options/context-info': '1',
      'options/overwrite': '1',
      'options/record-tgid': '1',
      'options/event-fork': '0',
      'events/kvm/kvm_msr/filter':
        'write == 1 && (ecx == 0x277 || ecx == 0x2ff || (ecx >= 0x200 && ecx <= 0x26f))',
      'events/kvm/kvm_cr/filter': 'rw == 1 && cr == 0',
      'per_cpu/cpu0/stats': 'entries: 0\noverrun: 3\ndropped events: 1',
    });
    for (const event of fake.events)
      expect(readFileSync(join(fake.path, 'events', event, 'enable'), 'utf8')).toBe('0\n');
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)('ends by %s', async (signal) => {
    fake.onMake = () =>
      soon(() => {
        // What is still in the buffer belongs to it.
        fake.print(TEXT);
        process.emit(signal, signal);
      });
    expect(await live({})).toBe(0);
    expect(written.err).toContain('ended by a signal: 3 events');
  });

  test('a line may come in pieces', async () => {
    const at = [10, 70, 150, TEXT.length];
    fake.onMake = () => {
      for (const [i, end] of at.entries())
        soon(() => fake.print(TEXT.slice(at[i - 1] ?? 0, end)), 40 * (i + 1));
    };
    await live({ seconds: '0.4', follow: '0.001' });
    expect(printed()).toMatchObject({ events: 3, sptes: 2 });
    expect(written.err).not.toContain('could not be read');
  });

  test.each([null, 'trace.txt'])('a finding shows its line (kept in %s)', async (file) => {
    const line =
      '            node-6729    (   6729) [001] ...1. 27340.266187: kvm_mmu_set_spte: gfn 1 spte 600000025c4cb57 (rwx) level 1 at 102ac4008';
    fake.onMake = () => fake.print(`${line.replace('cb57', 'cb77')}\n${line}\n`);
    const record = file === null ? {} : { record: join(work, file) };
    expect(await live({ seconds: '0.1', ...record })).toBe(1);
    const shown = { code: 'MT704', line, column: line.indexOf('600000025c4cb57') + 1 };
    expect(printed().findings).toContainEqual(expect.objectContaining(shown));
  });

  test('is kept in a file that gives the same audit', async () => {
    const record = join(work, 'trace.txt');
    fake.onMake = () => fake.print(TEXT);
    await live({ seconds: '0.1', record });
    const text = readFileSync(record, 'utf8');
    expect(text).toMatch(/^# memtype audit --live: kernel \S+, clock mono\n/);
    expect(text.slice(text.indexOf('\n') + 1)).toBe(TEXT);
    expect(printed()).toMatchObject({ events: 3, sptes: 2 });
    expect([...batchesOf(text)].reduce((sum, batch) => sum + batch.count, 0)).toBe(3);
  });

  test('may be kept in a pipe: the lines of findings are then of what is kept', async () => {
    const record = join(work, 'pipe');
    execFileSync('mkfifo', [record]);
    const reader = spawn('cat', [record]);
    fake.onMake = () => fake.print(TEXT);
    expect(await live({ seconds: '0.1', record })).toBe(0);
    await new Promise((resolve) => reader.on('close', resolve));
    expect(printed()).toMatchObject({ events: 3, sptes: 2 });
  });

  test('of an older kernel says what that does not have', async () => {
    fake.close();
    fake = new FakeTracefs(['kvmmmu/kvm_mmu_set_spte', 'kvm/kvm_msr']);
    await live({ seconds: '0.05' });
    expect(written.err).toContain('recording 2 events');
    expect(written.err).toContain('not on this kernel: kvm_tdp_mmu_spte_changed');
    expect(written.err).toContain('no VM changed its page tables meanwhile');
  });

  test('is told of instances that others left', async () => {
    const old = join(fake.path, 'instances/memtype-4194303');
    mkdirSync(old);
    await live({ seconds: '0.05' });
    rmSync(old, { recursive: true });
    expect(written.err).toContain(`left behind by a killed memtype: rmdir ${old}\n`);
  });
});

describe('--follow', () => {
  test('a pipe gets lines, only of what changed, never faster than asked', async () => {
    const times: number[] = [];
    const lines: string[] = [];
    fake.onMake = () => fake.print(TEXT);
    const write = (text: string) => {
      if (abandoned) return;
      times.push(performance.now());
      lines.push(...text.trim().split('\n'));
      if (times.length === 1) soon(() => fake.print(`${LATER}\n`), 300);
      else abandoned = true;
    };
    await live({ follow: '0.2', format: 'text' }, { write });
    expect(lines.map((line) => line.replace(/^\d+\.\d s {2}/, ''))).toEqual([
      'all  events: 3',
      'all  paging: NPT or shadow paging',
      'VM 6729  PAT index 0, 4 KiB: 2',
      'VM 6729  regions: 2',
      'all  events: 4 (+1)',
      'VM 6729  PAT index 0, 4 KiB: 3 (+1)',
    ]);
    // The summary between them had nothing to say.
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(380);
  });

  test('a terminal gets it in place, cut to its size', async () => {
    const texts: string[] = [];
    fake.onMake = () => fake.print(TEXT);
    const terminal = () => ({ columns: 30, rows: 5 });
    const write = (text: string) => {
      if (abandoned) return;
      texts.push(text.replace(/for \d+ s/, 'for N s'));
      abandoned = texts.length === 3;
    };
    await live({ follow: '0.1', format: 'text' }, { terminal, write });
    const shown =
      'recording for N s; Ctrl-C ends\nevents: 3\npaging: NPT or shadow paging\n... and 3 lines more\n';
    const again = `\x1b[4A\r\x1b[J${shown}`;
    expect(texts).toEqual([shown, again, again]);
  });

  test('ends when nobody reads it', async () => {
    fake.onMake = () =>
      soon(() => {
        abandoned = true;
      });
    expect(await live({ follow: '0.1' })).toBe(0);
    expect(written.err).toContain('nobody reads the output');
  });
});

describe('nothing is left behind', () => {
  test('when a setting is refused', async () => {
    fake.onMake = (path) => {
      rmSync(join(path, 'buffer_size_kb'));
      mkdirSync(join(path, 'buffer_size_kb'));
    };
    expect(await live({})).toBe(3);
    expect(written.err).toContain('buffer_size_kb: EISDIR');
    expect(fake.made).toBe(1);
  });

  test('when the copy cannot be written', async () => {
    fake.onMake = () => fake.print(TEXT);
    expect(await live({ record: '/dev/full' })).toBe(2);
    expect(written.err).toContain('cannot write /dev/full: ENOSPC');
    expect(fake.made).toBe(1);
    expect(await live({ record: join(work, 'no/such') })).toBe(2);
    expect(fake.made).toBe(1);
  });

  test('when the output cannot be written', async () => {
    const write = () => {
      throw new Error('the disk is full');
    };
    await expect(live({ follow: '0.05', format: 'text' }, { write })).rejects.toThrow(
      'the disk is full',
    );
    expect(fake.made).toBe(1);
  });

  test('when the process is killed: the guard sees the pipe end', async () => {
    const instance = join(work, 'instance');
    mkdirSync(instance);
    const end = guard(instance);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(existsSync(instance)).toBe(true);
    end();
    for (let i = 0; i < 50 && existsSync(instance); i += 1)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(existsSync(instance)).toBe(false);
  });
});

describe('what cannot be recorded', () => {
  test.each([
    [{ tracefs: '/no/such' }, 'there is no such directory', 'mount -t tracefs tracefs /sys/kernel'],
    [{ tracefs: '/' }, 'it has no directories "instances" and "events"', 'mktemp -d'],
    [{ pid: String(2 ** 22) }, 'there is no process 4194304', 'VMM that runs'],
    [{ pid: String(process.pid) }, 'runs no VM (no kvm-vm descriptor)', 'leave out --pid'],
  ])('%j: exit 3', async (flags, message, help) => {
    expect(await live(flags)).toBe(3);
    expect(written.err).toContain(message);
    expect(written.err).toContain(help);
    expect(written.out).toBe('');
  });

  test('KVM is not loaded, or too old', async () => {
    fake.close();
    fake = new FakeTracefs(['kvm/kvm_msr']);
    expect(await live({})).toBe(3);
    expect(written.err).toContain('from Linux 5.3 on');
    rmSync(join(fake.path, 'events/kvm'), { recursive: true });
    expect(await live({})).toBe(3);
    expect(written.err).toContain('modprobe kvm_intel');
    expect(fake.made).toBe(0);
  });

  test.each([
    [{ seconds: '0' }, '--seconds 0'],
    [{ seconds: '1e3' }, '--seconds 1e3'],
    [{ follow: '-1' }, '--follow -1'],
    [{ buffer: '63' }, '--buffer 63'],
    [{ buffer: 'x' }, '--buffer x'],
    [{ pid: '0' }, 'not a process number: 0'],
    [{ pid: 'qemu' }, 'not a process number: qemu'],
    [{ live: false }, 'add --live'],
    [{ kernel: 'new' }, 'not a kernel version'],
  ])('%j: exit 2', async (flags, message) => {
    expect(await live(flags)).toBe(2);
    expect(written.err).toContain(message);
    expect(fake.made).toBe(0);
  });

  test('a file beside --live', async () => {
    expect(await live({}, {}, ['trace.txt'])).toBe(2);
    expect(written.err).toContain('--live records, and reads no file');
  });

  test('where tracefs is', () => {
    const mounts =
      'debugfs /sys/kernel/debug debugfs rw 0 0\nnone /tmp/a\\040b tracefs rw 0 0\n' +
      'tracefs /sys/kernel/tracing tracefs rw 0 0\n';
    expect(tracefsMounts(mounts)).toEqual([
      '/sys/kernel/tracing',
      '/tmp/a b',
      '/sys/kernel/debug/tracing',
    ]);
    expect(tracefsMounts('proc /proc proc rw 0 0\n')).toEqual([]);
  });

  test('buffers', () => {
    expect([1, 2, 16, 64, 1024].map(usualBufferKib)).toEqual([8192, 8192, 4096, 1024, 1024]);
  });
});

/** mkdir makes what the kernel would, rmdir takes it away; the rest of the script is as printed. */
function fakeCommands(): string {
  const files = 'tracing_on buffer_size_kb set_event_pid options/record-tgid options/event-fork';
  writeFileSync(join(work, 'text'), TEXT);
  const path = join(work, 'fake.sh');
  const text = `
mkdir() {
  /bin/mkdir -p "$1/options" || return
  for f in ${files}; do echo 0 >"$1/$f"; done
  echo '[local] global mono' >"$1/trace_clock"
  for e in ${fake.events.join(' ')}; do /bin/mkdir -p "$1/events/$e"; echo 0 >"$1/events/$e/enable"; done
  mkfifo "$1/trace_pipe"
  {
    until [ "$(cat "$1/tracing_on")" = 1 ]; do sleep 0.05; done
    cat "${work}/text" >"$1/trace_pipe"
  } &
}
rmdir() {
  for f in trace_clock buffer_size_kb set_event_pid options/record-tgid; do
    echo "$f $(cat "$1/$f")"
  done >"${work}/state"
  cat "$1"/events/*/*/enable "$1/tracing_on" >>"${work}/state"
  /bin/rm -r "$1"
}
`;
  writeFileSync(path, text);
  return path;
}

const SHELLS = [['sh'], ['dash'], ['busybox', 'sh'], ['bash', '--posix']].filter(
  ([name = '', ...rest]) => spawnSync(name, [...rest, '-c', ':']).status === 0,
);

describe.each(SHELLS)('--print-commands under %s %s', (shell, ...words) => {
  const options = words.filter((word) => word !== undefined);

  async function script(flags: Flags): Promise<string> {
    expect(await live({ ...flags, 'print-commands': true })).toBe(0);
    const path = join(work, 'script.sh');
    writeFileSync(path, written.out);
    return path;
  }

  function run(path: string) {
    const both = [...options, '-c', '. "$0"; . "$1"', fakeCommands(), path];
    const child = spawn(shell ?? 'sh', both);
    const got = { out: '', err: '' };
    child.stdout.on('data', (data: Buffer) => {
      got.out += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      got.err += data.toString();
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    return { child, got, ended };
  }

  const CLEAN = [
    'trace_clock mono',
    'buffer_size_kb 256',
    'set_event_pid 0',
    'options/record-tgid 1',
    ...Array<string>(10).fill('0'),
  ].join('\n');

  test('records, and takes its instance away', async () => {
    const { got, ended } = run(await script({ seconds: '1', buffer: '256' }));
    expect(await ended).toBe(0);
    expect(got).toEqual({ out: TEXT, err: '' });
    expect(readFileSync(join(work, 'state'), 'utf8').trim()).toBe(CLEAN);
    expect(readdirSync(join(fake.path, 'instances'))).toEqual([]);
  });

  test('also when it is ended', async () => {
    const { child, got, ended } = run(await script({ buffer: '256', record: join(work, 'a b') }));
    // A reader of a FIFO ends with its writer; that of the kernel does not: hold it open.
    await new Promise((resolve) => setTimeout(resolve, 400));
    child.kill('SIGTERM');
    expect([143, 0]).toContain(await ended);
    expect(got).toEqual({ out: '', err: '' });
    expect(readFileSync(join(work, 'a b'), 'utf8')).toBe(TEXT);
    expect(readFileSync(join(work, 'state'), 'utf8').trim()).toBe(CLEAN);
  });

  test('says when there is no tracefs', async () => {
    const { got, ended } = run(await script({ tracefs: join(work, 'none') }));
    expect(await ended).toBe(3);
    expect(got.err).toContain('no tracefs: mount -t tracefs tracefs');
  });
});
