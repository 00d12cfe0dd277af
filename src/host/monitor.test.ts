import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { asQemu, changed, load } from '../../test/hosts.ts';
import { runDoctor } from '../cli/commands/doctor.ts';
import { diagnose } from '../doctor/diagnosis/diagnose.ts';
import { gather } from '../doctor/gather.ts';
import { collect } from './collect.ts';
import { describedHost, type HostDescription } from './described-host.ts';
import { liveHost } from './live.ts';
import { type Monitor, openMonitor } from './monitor.ts';

const directory = mkdtempSync(join(tmpdir(), 'memtype-'));
const servers: Server[] = [];
const sockets: Socket[] = [];
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true });
});

/** A monitor that is not one: `talk` gets each connection. */
async function serve(name: string, talk: (socket: Socket) => void): Promise<string> {
  const path = join(directory, name);
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setEncoding('utf8').on('error', () => {});
    talk(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

const BASE = load('ept-6.12-self-snoop');
const reader = describedHost(BASE);

async function opened(path: string, host = reader): Promise<Monitor> {
  const found = await openMonitor(path, host, 400);
  if (!found.ok) throw new Error(found.detail);
  return found.monitor;
}

// As QEMU 7.2 sends it.
const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';
const EVENT = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n';

function talkQmp(answers: Readonly<Record<string, unknown>>, heard: string[] = []) {
  return (socket: Socket): void => {
    socket.write(GREETING);
    socket.on('data', (line: string) => {
      const { execute, arguments: a } = JSON.parse(line) as {
        execute: string;
        arguments?: Record<string, string>;
      };
      const name = a === undefined ? execute : (a['command-line'] ?? `${execute} ${a['typename']}`);
      heard.push(name);
      const value = execute === 'qmp_capabilities' ? {} : answers[name];
      const error = { error: { class: 'CommandNotFound', desc: `no ${name}` } };
      const answer = JSON.stringify(value === undefined ? error : { return: value });
      // In two pieces, with an event in front.
      socket.write(EVENT + answer.slice(0, 5));
      setTimeout(() => socket.write(`${answer.slice(5)}\r\n`), 5);
    });
  };
}

describe('the two protocols', () => {
  test('QMP: capabilities first, events read over, errors are values', async () => {
    const heard: string[] = [];
    const answers = { 'query-kvm': { enabled: true }, 'info ramblock': 'a\r\nb\r\n' };
    const monitor = await opened(await serve('qmp', talkQmp(answers, heard)));
    expect(monitor.kind).toBe('qmp');
    expect(await monitor.ask('query-kvm')).toEqual({
      ok: true,
      text: '{"enabled":true}\n',
      cut: false,
    });
    expect(await monitor.ask('info ramblock')).toMatchObject({ text: 'a\nb\n' });
    expect(await monitor.ask('query-memdev')).toMatchObject({
      ok: false,
      detail: 'no query-memdev',
    });
    expect(heard).toEqual(['qmp_capabilities', 'query-kvm', 'info ramblock', 'query-memdev']);
    monitor.close();
  });

  test('HMP: echo and terminal sequences are taken off', async () => {
    const path = await serve('hmp', (socket) => {
      socket.write("QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ");
      socket.on('data', (line: string) => {
        const echo = [...line.trim()].map((c) => `${c}\u001b[K\u001b[D${c}`).join('');
        socket.write(`${echo}\r\n7.2.22Debian\r\n(qemu) `);
      });
    });
    const monitor = await opened(path);
    expect(monitor.kind).toBe('hmp');
    expect(await monitor.ask('info version')).toMatchObject({ ok: true, text: '7.2.22Debian\n' });
    monitor.close();
  });

  test('nothing that is not listed is ever sent', async () => {
    const heard: string[] = [];
    const monitor = await opened(await serve('strict', talkQmp({}, heard)));
    for (const command of ['quit', 'system_reset', 'info mtree -f\nquit', 'gpa2hva 0x0; quit']) {
      expect(() => monitor.ask(command)).toThrow('not listed');
    }
    expect(heard).toEqual(['qmp_capabilities']);
    monitor.close();
  });
});

describe('no monitor', () => {
  test.each([
    ['nobody listens', 'none', 'absent'],
    ['silence, as when another client holds it', 'silent', 'timeout', 300],
    ['something else', 'other', 'timeout', 300],
    ['it hangs up', 'gone', 'error'],
    ['it never ends', 'flood', 'error'],
  ])('%s', async (_, name, reason, deadline = 10_000) => {
    const talk: Readonly<Record<string, (s: Socket) => void>> = {
      silent: () => {},
      other: (s) => s.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
      gone: (s) => s.end(),
      flood: (s) => s.write('x'.repeat(5 << 20)),
    };
    const server = talk[name];
    const path = server === undefined ? join(directory, name) : await serve(name, server);
    expect(await openMonitor(path, reader, deadline)).toMatchObject({ ok: false, reason });
  });

  const flood = (s: Socket): void => {
    const more = (): void => {
      while (!s.destroyed && s.write('{"QMP":{}}\n'.repeat(1000)));
    };
    s.on('drain', more);
    more();
  };
  const answering = (answer: string) => (s: Socket) => {
    s.write(GREETING);
    s.on('data', () => s.write(`${answer}\n`));
  };
  test.each<[string, (s: Socket) => void]>([
    ['refuses the session and stays', answering('{"error": {"desc": "no"}}')],
    ['answers null', answering('null')],
    ['gives an error that is none', answering('{"error": null}')],
    ['greets without end', flood],
    ['is silent', () => {}],
  ])('who %s is hung up on', async (name, talk) => {
    let closed: () => void = () => {};
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const path = await serve(name.replaceAll(' ', '-'), (socket) => {
      socket.on('close', () => closed());
      socket.resume();
      talk(socket);
    });
    expect(await openMonitor(path, reader, 300)).toMatchObject({ ok: false });
    await gone;
  });

  test('a path given twice is opened once', async () => {
    const said: string[] = [];
    let connections = 0;
    const path = await serve('twice', (socket) => {
      connections += 1;
      talkQmp({})(socket);
    });
    const io = { write: () => {}, error: (text: string) => void said.push(text) };
    const twice = [path, join(directory, '.', 'twice')];
    expect(await runDoctor({ format: 'text', qmp: twice }, io)).toBe(2);
    expect(connections).toBe(1);
    expect(said.join('')).toContain('no VM was found whose monitor is');
  });

  test('of doctor that is wrong usage', async () => {
    const said: string[] = [];
    const io = { write: () => {}, error: (text: string) => void said.push(text) };
    const qmp = [join(directory, 'none')];
    expect(await runDoctor({ format: 'text', qmp }, io)).toBe(2);
    expect(said.join('')).toMatch(/^error: no monitor at .*none: ENOENT\n {2}help: /);
  });
});

// ---- a described QEMU with a monitor ------------------------------------------------------------

const MAPS = [
  '7f0000000000-7f0020000000 rw-s 00000000 00:01 247                        /memfd:memory-backend-memfd (deleted)',
  '7f0030000000-7f0031000000 rw-p 00000000 00:00 0 ',
  '7f0040000000-7f0041000000 rw-p 00000000 00:00 0 ',
  '7f0041000000-7f0041001000 ---p 00000000 00:00 0 ',
  '7f0050000000-7f0051000000 rw-s 00000000 00:06 104                        /dev/dri/card0',
].join('\n');
const MTREE = [
  'FlatView #0',
  ' AS "memory", root: system',
  ' Root memory region: system',
  '  0000000000000000-000000000009ffff (prio 0, ram): m0 KVM',
  '  0000000000100000-000000001fffffff (prio 0, ram): m0 @0000000000100000 KVM',
  '  00000000c0000000-00000000c0ffffff (prio 1, ram): virtio-gpu-hostmem KVM',
  '  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios KVM',
  '',
].join('\r\n');
const HEAD =
  '              Block Name    PSize              Offset               Used              Total                HVA  RO';
const BLOCKS = [
  HEAD,
  '                      m0    4 KiB  0x0000000000000000 0x0000000020000000 0x0000000020000000 0x00007f0000000000  rw',
  '   0000:00:02.0/virtio-gpu-hostmem    4 KiB  0x0000000020000000 0x0000000001000000 0x0000000001000000 0x00007f0050000000  rw',
  '                 pc.bios    4 KiB  0x0000000021000000 0x0000000000040000 0x0000000000040000 0x00007f0030000000  ro',
  '',
].join('\r\n');
const UNIX = [
  'Num       RefCount Protocol Flags    Type St Inode Path',
  '0000000000000000: 00000002 00000000 00010000 0001 01 7001 SOCKET',
  '',
].join('\n');

function qemuHost(path: string, ...options: readonly string[]): HostDescription {
  const host = asQemu(BASE, ...options);
  return changed(host, {
    files: {
      '/proc/100/maps': `${MAPS}\n`,
      '/proc/100/smaps': { error: 'EIO' },
      '/proc/net/unix': UNIX.replace('SOCKET', path),
    },
    links: { '/proc/100/fd/7': 'socket:[7001]' },
  });
}

async function ask(name: string, answers: Readonly<Record<string, unknown>>) {
  const path = await serve(name, talkQmp(answers));
  const host = describedHost(qemuHost(path, '-m', '512M'));
  const monitor = await opened(path, host);
  const capture = await collect(host, null, { monitors: [monitor] });
  monitor.close();
  return { monitor, capture, d: diagnose(gather(capture)) };
}

const V11 = { qemu: { major: 11, minor: 0, micro: 0 }, package: '' };
const V10 = { qemu: { major: 10, minor: 2, micro: 0 }, package: '' };
const MEMORY = { 'info mtree -f': MTREE, 'info ramblock': BLOCKS };

describe('what a monitor adds', () => {
  test('memslots: which mapping is which part of the guest, and what is none', async () => {
    const { d, monitor, capture } = await ask('slots', { ...MEMORY, 'query-version': V11 });
    expect(monitor.pid).toBe(100);
    const regions = d.vms[0]?.regions.map(({ region: r }) => [
      r.name,
      r.size,
      r.isGuestMemory,
      r.memslots?.map((s) => `${s.gpa.toString(16)}${s.readonly ? ' ro' : ''}`),
    ]);
    expect(regions).toEqual([
      ['memfd memory-backend-memfd (block m0)', 2 ** 29, 'named', ['0', '100000']],
      ['anonymous memory (block pc.bios)', 2 ** 18, 'named', ['fffc0000 ro']],
      [
        'GPU buffers of vgem (/dev/dri/card0) (block virtio-gpu-hostmem)',
        2 ** 24,
        'named',
        ['c0000000'],
      ],
    ]);
    expect([...capture.texts.keys()].filter((key) => key.startsWith('monitor/'))).toContain(
      'monitor/100/info mtree -f',
    );
    expect(capture.texts.has('/proc/net/unix')).toBe(false);
    expect(d.unknowns.map((u) => u.what)).not.toContain('memslots');
  });

  test('the version decides whether there is a switch', async () => {
    const old = await ask('v10', { ...MEMORY, 'query-version': V10 });
    expect(old.d.vms[0]?.vm.options).toMatchObject({ value: { guestPat: 'never' } });
    expect(old.d.findings.map((f) => f.code)).toContain('MT610');
    const fresh = await ask('v11', { ...MEMORY, 'query-version': V11 });
    expect(fresh.d.vms[0]?.vm.options).toMatchObject({ value: { guestPat: 'default' } });
    expect(fresh.d.findings.map((f) => f.code)).not.toContain('MT610');
    const commands = fresh.d.findings.find((f) => f.code === 'MT201')?.commands;
    expect(commands).toEqual(['# in place of -accel kvm:', '-accel kvm,honor-guest-pat=on']);
  });

  test('a property of the accelerator says more than the version', async () => {
    const properties = [{ name: 'type' }, { name: 'honor-guest-pat', type: 'OnOffAuto' }];
    const answers = { 'query-version': V10, 'qom-list-properties kvm-accel': properties };
    const { d } = await ask('backport', answers);
    expect(d.vms[0]?.vm.options).toMatchObject({ value: { guestPat: 'default' } });
  });

  test('an answer that is no list: regions as without, and the place said', async () => {
    const { d } = await ask('odd', { 'info mtree -f': 'FlatView #0\n  00-0a ram\n' });
    expect(d.vms[0]?.regions.map((r) => r.region.memslots)).not.toContainEqual(expect.anything());
    expect(d.facts.problems[0]?.place).toMatchObject({
      file: 'monitor/100/info mtree -f',
      line: 2,
    });
  });
});

// ---- a real one --------------------------------------------------------------------------------

function hasQemu(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    execFileSync('qemu-system-x86_64', ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!hasQemu())('a QEMU of this machine', () => {
  test.each(['qmp', 'hmp'] as const)(
    '%s',
    async (kind) => {
      const path = join(directory, `real-${kind}`);
      const args = [
        ...['-accel', 'kvm', '-machine', 'q35,memory-backend=m0', '-m', '64'],
        ...[
          '-object',
          'memory-backend-memfd,id=m0,size=64M',
          '-display',
          'none',
          '-S',
          '-nodefaults',
        ],
        ...[kind === 'qmp' ? '-qmp' : '-monitor', `unix:${path},server=on,wait=off`],
      ];
      const qemu = spawn('qemu-system-x86_64', args, { stdio: 'ignore' });
      const host = liveHost();
      try {
        let found = await openMonitor(path, host);
        for (let i = 0; i < 50 && !found.ok; i++) {
          await new Promise((resolve) => setTimeout(resolve, 200));
          found = await openMonitor(path, host);
        }
        if (!found.ok) throw new Error(found.detail);
        const capture = await collect(host, qemu.pid ?? 0, { monitors: [found.monitor] });
        found.monitor.close();
        const { vms, facts } = diagnose(gather(capture));
        expect(facts.problems.filter((p) => p.place?.file.startsWith('monitor/'))).toEqual([]);
        expect(vms[0]?.vm.monitor?.version?.major).toBeGreaterThan(4);
        const ram = vms[0]?.regions.find((r) => r.region.name.includes('block m0'))?.region;
        expect([ram?.size, ram?.isGuestMemory, ram?.memslots?.[0]?.gpa]).toEqual([
          2 ** 26,
          'named',
          0,
        ]);
        expect(vms[0]?.vm.monitor?.memslots?.every((s) => s.hva !== null)).toBe(true);
      } finally {
        host.close();
        qemu.kill('SIGKILL');
      }
    },
    30_000,
  );
});
