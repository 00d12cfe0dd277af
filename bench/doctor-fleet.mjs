// `memtype doctor --files-from`: hosts a second and peak memory over 100, 1,000 and 10,000 captures.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './dist.mjs';
import { table } from './measure.mjs';

const { captureJson } = await import('../dist/doctor/capture/capture-file.js');
const { collect } = await import('../dist/host/collect.js');
const { describedHost } = await import('../dist/host/described-host.js');

const COUNTS = [100, 1000, 10_000];
/** MiB. Without a limit V8 lets garbage grow to some 150 MiB before it looks at old objects. */
const HEAP = 64;
const MAIN = `${ROOT}dist/bin/main.js`;
const FIXTURES = `${ROOT}src/doctor/fixtures/`;

/** Releases of a mixed fleet, each with what its KVM answers to KVM_CAP_DISABLE_QUIRKS2. */
const RELEASES = [
  ['4.4.0', 0],
  ['4.19.0', 0],
  ['5.4.0', 0],
  ['5.10.0', 0],
  ['5.15.0', 0],
  ['6.1.0', 0x7f],
  ['6.6.0', 0x7f],
  ['6.8.0', 0xff],
  ['6.11.0', 0xff],
  ['6.12.60', 0x1ff],
  ['6.14.0', 0x1ff],
  ['6.16.0', 0x3ff],
  ['6.18.44', 0x7ff],
];

/** The same numbers on every run (Numerical Recipes' generator). */
function numbers(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const hosts = readdirSync(FIXTURES)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(FIXTURES + name, 'utf8')));

/** Another release, 1 to 64 processors, another PID for the VM, and other sizes of what it maps. */
function varied(host, i) {
  const next = numbers(i + 1);
  const pid = 1000 + next(4_000_000);
  const processors = 2 ** next(7);
  const [release, quirks2] = next(3) === 0 ? [null, null] : RELEASES[next(RELEASES.length)];
  const renamed = (key) => key.replace(/^\/proc\/100\//, `/proc/${pid}/`);
  const entries = (object) =>
    Object.fromEntries(Object.entries(object ?? {}).map(([k, v]) => [renamed(k), v]));
  const files = entries(host.files);
  const cpuinfo = files['/proc/cpuinfo'];
  if (typeof cpuinfo === 'string') {
    const [first = ''] = cpuinfo.split('\n\n');
    const each = Array.from({ length: processors }, (_, n) =>
      first.replace(/^(processor\s*: )\d+/m, `$1${n}`),
    );
    files['/proc/cpuinfo'] = `${each.join('\n\n')}\n\n`;
  }
  const own = { uname: host.uname, kvm: host.kvm };
  const other = {
    uname: { ...host.uname, release },
    kvm: host.kvm && { ...host.kvm, 213: quirks2 },
  };
  if (release !== null) delete files['/proc/version'];
  return {
    ...host,
    ...(release === null ? own : other),
    files,
    links: entries(host.links),
    directories: Object.fromEntries(
      Object.entries(entries(host.directories)).map(([k, v]) => [
        k,
        k === '/proc' && v !== null ? v.map((name) => (name === '100' ? String(pid) : name)) : v,
      ]),
    ),
  };
}

async function writeCaptures(directory, count) {
  let bytes = 0;
  const names = [];
  for (let i = 0; i < count; i++) {
    const host = varied(hosts[i % hosts.length], i);
    const capture = await collect(describedHost(host), null);
    const text = captureJson(capture, { tool: 'memtype bench', by: 'node', masked: [] });
    const name = join(directory, `host-${String(i).padStart(5, '0')}.json`);
    writeFileSync(name, text);
    names.push(name);
    bytes += text.length;
  }
  return { names, bytes };
}

/** Runs doctor over the files; its last line, the time and the peak memory. */
function run(names) {
  return new Promise((done, failed) => {
    const from = process.hrtime.bigint();
    const node = [`--max-old-space-size=${HEAP}`, '--require', `${ROOT}bench/usage.cjs`];
    const args = [...node, MAIN, 'doctor', '--files-from', '-', '--format', 'json'];
    const child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
    });
    let tail = '';
    let usage = '';
    child.stdout.on('data', (data) => {
      tail = (tail + data).slice(-65_536);
    });
    child.stdio[3].on('data', (data) => {
      usage += data;
    });
    child.on('error', failed);
    child.on('close', () => {
      const ms = Number(process.hrtime.bigint() - from) / 1e6;
      done({ ms, ...JSON.parse(usage), summary: JSON.parse(tail.trimEnd().split('\n').at(-1)) });
    });
    child.stdin.end(names.join('\n'));
  });
}

/** Prints the table; false when a file could not be read, or not every file was counted. */
export async function doctorFleet(print) {
  const directory = mkdtempSync(join(tmpdir(), 'memtype-bench-'));
  try {
    const { names, bytes } = await writeCaptures(directory, COUNTS.at(-1));
    const size = (bytes / names.length / 1024).toFixed(0);
    print(
      `\nDoctor of many: captures of ${size} KiB on average, one process, heap limit ${HEAP} MiB\n\n`,
    );
    const rows = [];
    let ok = true;
    for (const count of COUNTS) {
      const { ms, cpu, rss, summary } = await run(names.slice(0, count));
      ok &&= summary.files === count && summary.verdicts.error === 0;
      rows.push([
        String(count),
        (ms / 1000).toFixed(1),
        (cpu / 1000).toFixed(1),
        ((count / ms) * 1000).toFixed(0),
        (rss / 1024).toFixed(0),
        String(Object.keys(summary.eras).length),
      ]);
    }
    print(table(['hosts', 's', 'CPU s', 'hosts/s', 'peak MiB', 'eras'], rows));
    if (!ok) print('FAILED: not every capture was diagnosed\n');
    return ok;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
