import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseCapture, parseCaptureFile } from '../src/doctor/capture/capture-file.ts';
import { reduce } from '../src/doctor/capture/mask.ts';
import { READS } from '../src/doctor/capture/reads.ts';
import { diagnose } from '../src/doctor/diagnosis/diagnose.ts';
import { gather } from '../src/doctor/gather.ts';
import type { Capture } from '../src/doctor/reading.ts';
import { collect, collectUnmasked } from '../src/host/collect.ts';
import type { HostDescription } from '../src/host/described-host.ts';
import { liveHost } from '../src/host/live.ts';
import type { HostReader } from '../src/host/reader.ts';
import { doctorText } from '../src/report/doctor-text.ts';
import { ROOT } from './console.ts';
import { changed, HOSTS, load } from './hosts.ts';
import { richHost } from './rich-host.ts';

const SCRIPT = `${ROOT}scripts/memtype-capture.sh`;
const scratch = mkdtempSync(join(tmpdir(), 'memtype-sh-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function pathOf(program: string): string | null {
  const ran = spawnSync('sh', ['-c', 'command -v "$0"', program], { encoding: 'utf8' });
  return ran.status === 0 ? ran.stdout.trim() : null;
}

interface Shell {
  readonly name: string;
  readonly argv: readonly string[];
  readonly path: string;
}

const APPLETS = 'sh awk sed od dd ls readlink cat sleep uname'.split(' ');

/** A directory in which every tool that the script uses is busybox, and nothing else is. */
function busyboxPath(busybox: string): string {
  const directory = join(scratch, 'busybox');
  mkdirSync(directory);
  for (const name of APPLETS) symlinkSync(busybox, join(directory, name));
  return directory;
}

const PATH = process.env['PATH'] ?? '';
const dash = pathOf('dash');
const busybox = pathOf('busybox');
const SHELLS: readonly Shell[] = [
  ...(dash === null ? [] : [{ name: 'dash', argv: [dash], path: PATH }]),
  ...(busybox === null
    ? []
    : [{ name: 'busybox', argv: [busybox, 'sh'], path: busyboxPath(busybox) }]),
];
const isLinux = process.platform === 'linux';

function run(shell: Shell, root: string | null, ...args: string[]) {
  const [program = '', ...before] = shell.argv;
  return spawnSync(program, [...before, SCRIPT, ...args], {
    encoding: 'latin1',
    maxBuffer: 2 ** 26,
    env: { PATH: shell.path, ...(root === null ? {} : { MEMTYPE_ROOT: root }) },
  });
}

describe('the script', () => {
  test('reads the paths that doctor reads', () => {
    const listed = execFileSync('sh', [SCRIPT, '--list'], { encoding: 'utf8' });
    // For a monitor, and for a trace: neither can be given to it.
    const others = ['/proc/net/unix', '/proc/PID/task'];
    const paths = READS.map((read) => read.path).filter((path) => !others.includes(path));
    expect(listed.trim().split('\n')).toEqual(paths);
  });

  test.skipIf(dash === null)('is POSIX sh for dash', () => {
    expect(spawnSync(dash ?? '', ['-n', SCRIPT]).status).toBe(0);
  });

  test.skipIf(busybox === null)('is POSIX sh for busybox', () => {
    expect(spawnSync(busybox ?? '', ['sh', '-n', SCRIPT]).status).toBe(0);
  });

  test.skipIf(SHELLS.length === 0)('refuses what it does not know', () => {
    const [shell] = SHELLS;
    if (shell === undefined) return;
    expect(run(shell, null, '--pid', 'x').status).toBe(2);
    expect(run(shell, null, '--help').status).toBe(2);
  });
});

// ---- hosts as directories ---------------------------------------------------------------------

/** Writes a described host into a directory. What it refuses is left out: root is refused nothing. */
function materialize(host: HostDescription, name: string): string {
  const root = join(scratch, name.replaceAll(/\W/g, '-'));
  const place = (path: string): string => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    return join(root, path);
  };
  for (const [path, names] of Object.entries(host.directories ?? {})) {
    mkdirSync(join(root, path), { recursive: true });
    for (const inner of names ?? []) {
      const whole = `${path}/${inner}`;
      const isFile = host.files[whole] !== undefined || host.links[whole] !== undefined;
      if (!isFile) mkdirSync(join(root, whole), { recursive: true });
    }
  }
  for (const [path, text] of Object.entries(host.files)) {
    if (typeof text === 'string') writeFileSync(place(path), text);
  }
  for (const [path, target] of Object.entries(host.links)) symlinkSync(target, place(path));
  for (const [key, hex] of Object.entries(host.bytes ?? {})) {
    const [path = '', offset = '0'] = key.split(' ');
    const fd = openSync(place(path), existsSync(place(path)) ? 'r+' : 'w');
    writeSync(fd, Buffer.from(hex, 'hex'), 0, hex.length / 2, Number(offset));
  }
  if (host.log !== null) writeFileSync(place('/dev/kmsg'), host.log);
  return root;
}

const live = liveHost();
afterAll(() => live.close());

/** That directory as Node reads it. */
function rooted(root: string): HostReader {
  const denied = { ok: false, reason: 'absent', detail: 'ENOENT' } as const;
  return {
    ...live,
    readText: (path, limit) => live.readText(root + path, limit),
    readAt: (path, offset, length) => live.readAt(root + path, offset, length),
    list: (path) => live.list(root + path),
    link: (path) => live.link(root + path),
    links: (path) => live.links(root + path),
    kernelLog: () => live.readText(`${root}/dev/kmsg`),
    kvmApiVersion: async () => denied,
    kvmExtension: async () => denied,
  };
}

function answer(capture: Capture): string {
  return doctorText(diagnose(gather(capture)));
}

/** Without what only a program with ioctl and pread can ask. */
function keysOf(capture: Capture): readonly string[] {
  const { texts, lists, links, linkLists } = capture;
  return [texts, lists, links, linkLists].flatMap((map) => [...map.keys()]).sort();
}

/** Without MSRs: their device is read by another program. */
function withoutMsrs(host: HostDescription): HostDescription {
  const bytes = Object.entries(host.bytes ?? {}).filter(([key]) => !key.startsWith('/dev/cpu'));
  return { ...host, bytes: Object.fromEntries(bytes) };
}

/** A link into sysfs leads nowhere in a directory of its own. */
function withoutDevice(host: HostDescription): HostDescription {
  const { '/sys/class/drm/card0/device': _, ...links } = host.links;
  return withoutMsrs({ ...host, links });
}

describe.each(SHELLS)('run by $name', (shell) => {
  test.skipIf(!isLinux)('VMMs of every kind, domains, sharers, amdgpu', async () => {
    const root = materialize(withoutDevice(richHost()), `${shell.name}-rich`);
    const { stdout, stderr, status } = run(shell, root);
    expect([status, stderr]).toEqual([0, '']);
    expect(/hunter2|alice|payroll|52:54|550e/.exec(stdout)).toBe(null);
    const mine = reduce(parseCapture(stdout, 'sh.json'));
    const node = reduce(await collectUnmasked(rooted(root), null));
    expect(mine.texts).toEqual(node.texts);
    expect(keysOf(mine)).toEqual(keysOf(node));
    expect([mine.lists, mine.links, mine.linkLists]).toEqual([
      node.lists,
      node.links,
      node.linkLists,
    ]);
    expect(answer(mine)).toBe(answer(node));
  });

  test.skipIf(!isLinux).each(HOSTS)('%s: says what memtype capture says', async (name) => {
    const root = materialize(withoutMsrs(load(name)), `${shell.name}-${name}`);
    const { stdout, stderr, status } = run(shell, root);
    expect([status, stderr]).toEqual([0, '']);
    const { capture, notes, origin } = parseCaptureFile(stdout, 'sh.json');
    expect([notes, origin.by]).toEqual([[], 'sh']);
    const mine = reduce(capture);
    const node = await collect(rooted(root), null);
    expect(keysOf(mine)).toEqual(keysOf(node));
    expect(answer(mine)).toBe(answer(node));
    expect(mine.texts).toEqual(node.texts);
    expect([mine.lists, mine.links, mine.linkLists]).toEqual([
      node.lists,
      node.links,
      node.linkLists,
    ]);
    expect(mine.log).toEqual(node.log);
  });

  test.skipIf(!isLinux)('odd content makes no odd file', async () => {
    const host = changed(load('pvm-6.18'), {
      files: {
        '/proc/317/cmdline':
          'qemu-system-x86_64\0-name\0a"b\\c\n\u0001\u001b[2J\0-m\x00512M\0\u00ff\ufffd',
        '/proc/317/comm': 'a"b\\c\n',
        '/proc/317/maps':
          '7f0000000000-7f0020000000 rw-s 00000000 00:01 1 /memfd:memory-backend-memfd (deleted)\n' +
          '7f0030000000-7f0040000000 rw-s 00000000 00:01 2 /a"b\\c\\012\u0001\u001b\u00fc $(id) `id`\n' +
          '.\nT\t/etc/passwd\tplain\nZ\n',
        '/proc/mtrr': 'reg00: "\\ \u0007\n',
        '/proc/version': '\\n"Debian 6.18.44-1"',
      },
      links: {
        '/proc/317/fd/90': '/x\nlrwx 1 a a 64 x 91 -> anon_inode:kvm-vm',
        '/proc/317/fd/91': '/dev/dri/card0\n',
        '/proc/318/fd/3': '/x\n.\nZ\n',
      },
    });
    const root = materialize(host, `${shell.name}-odd`);
    const { stdout, stderr, status } = run(shell, root);
    expect([status, stderr]).toEqual([0, '']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be in the file
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\uffff]/);
    const mine = reduce(parseCapture(stdout, 'sh.json'));
    expect(answer(mine)).toBe(answer(await collect(rooted(root), null)));
  });

  test.skipIf(!isLinux)('no secret is in the file', () => {
    const argv =
      'qemu-system-x86_64 -name guest=hunter2 -object secret,id=hunter2,data=hunter2 -device ' +
      'virtio-net-pci,mac=52:54:00:hunter2 -drive file=/home/hunter2/a.qcow2 -append password=hunter2 ' +
      '-object {"qom-type":"memory-backend-file","id":"hunter2","size":1073741824,"mem-path":"/home/hunter2"} ' +
      '-spice password=hunter2 -hunter2 hunter2 -machine hunter2 -m hunter2';
    const host = changed(load('pvm-6.18'), {
      files: {
        '/proc/317/cmdline': `${argv.split(' ').join('\0')}\0`,
        '/proc/317/maps': '7f0000000000-7f0020000000 rw-s 00000000 00:01 1 /home/hunter2/ram\n',
        '/proc/317/comm': 'hunter2\n',
        '/proc/cmdline': 'root=/dev/hunter2 hunter2 intel_iommu=hunter2\n',
        '/proc/version': 'Linux version 6.18.44 (hunter2@hunter2) #1\n',
        '/proc/self/mounts':
          '//hunter2/x /mnt cifs password=hunter2 0 0\nhugetlbfs /hunter2 hugetlbfs rw 0 0\n',
        '/proc/400/cmdline': 'hunter2\0',
      },
      links: { '/proc/400/fd/3': '/home/hunter2', '/proc/317/fd/99': '/dmabuf:hunter2' },
    });
    const log =
      'Linux version 6.18.44 (hunter2@x)\nCommand line: root=hunter2\nhunter2 is here\n' +
      'x86/PAT: hunter2:12 map pfn RAM range req uncached-minus for [mem 0x1-0x2], got write-back\n';
    const root = materialize({ ...host, log }, `${shell.name}-secrets`);
    const { stdout } = run(shell, root);
    expect(stdout).not.toContain('hunter2');
    const c = parseCapture(stdout, 'sh.json');
    const words = c.texts.get('/proc/317/cmdline');
    expect(words?.ok === true && words.text.split('\0')).toContain(
      'qom-type=memory-backend-file,id=masked-1,size=1073741824,mem-path=/masked-2/masked-1',
    );
  });

  test.skipIf(!isLinux)(
    'a read that does not return is left behind',
    async () => {
      const host = load('pvm-6.18');
      const { '/proc/317/maps': _, ...files } = host.files;
      const root = materialize({ ...host, files }, `${shell.name}-stuck`);
      execFileSync('sh', ['-c', 'mkfifo "$0"', join(root, 'proc/317/maps')]);
      const start = performance.now();
      const { stdout, stderr, status } = run(shell, root);
      expect(status).toBe(0);
      expect(stderr).toBe(
        'memtype-capture: 1 thing that is there was not read; the file says so:\n' +
          '  /proc/PID/maps: timeout, 4 s\n',
      );
      expect(performance.now() - start).toBeLessThan(15_000);
      const { texts } = parseCapture(stdout, 'sh.json');
      expect(texts.get('/proc/317/maps')).toMatchObject({ ok: false, reason: 'timeout' });
      expect(texts.get('/proc/317/cmdline')).toMatchObject({ ok: true });
    },
    30_000,
  );

  test.skipIf(!isLinux)(
    'on this machine',
    async () => {
      const { stdout, status } = run(shell, null, '--pid', String(process.pid));
      expect(status).toBe(0);
      const mine = reduce(parseCapture(stdout, 'sh.json'));
      const node = await collect(live, process.pid);
      expect(keysOf(mine)).toEqual(keysOf(node));
      expect(mine.texts).toEqual(node.texts);
      expect([mine.lists, mine.links]).toEqual([node.lists, node.links]);
    },
    60_000,
  );
});
