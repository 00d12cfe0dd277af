// Reading the text of a trace: our scanner with one thread and several, and the whole audit, against wc, grep, mawk
// and gawk, in turn on the same file; and binary traces, against what made them. Prints tables; false when a count
// differs.
//
//     node bench/audit.mjs [BYTES] [ROUNDS]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { writePerfData, writeTraceDat } from './binary-gen.mjs';
import { machine, median, pairedRatio, table } from './measure.mjs';
import { PROFILES, writeTrace } from './trace-gen.mjs';

/** Events by name, and entries by memory type, IPAT and level: the name is the first word after the time. */
const AWK = `
function digit(c) { return index("0123456789abcdef", c) - 1 }
/^#/ { next }
{
  for (i = 4; i < NF && $i !~ /^[0-9.]+:$/; i++) ;
  name = $(++i)
  events[name]++
}
name == "kvm_mmu_set_spte:" {
  spte = $(i + 4); n = length(spte)
  low = digit(substr(spte, n - 1, 1)) * 16 + digit(substr(spte, n, 1))
  count[int(low / 8) % 8 " " int(low / 64) % 2 " " $(i + 7)]++
}
END {
  for (key in count) print key, count[key]
  for (name in events) print name, events[name]
}`;

const pathOf = (name) => fileURLToPath(new URL(name, import.meta.url));
const COUNT = pathOf('audit-count.mjs');
const FLOOR = pathOf('audit-floor.mjs');
const MAIN = pathOf('../dist/bin/main.js');
const THREADS = String(availableParallelism());

function ours(name, ...options) {
  return {
    name,
    command: process.execPath,
    args: (file) => [COUNT, file, ...options],
    counts: true,
  };
}

/** Findings and open questions have exit codes of their own. */
const DONE = [0, 1, 3];

const AUDIT = {
  name: 'memtype audit',
  command: process.execPath,
  args: (file) => [MAIN, 'audit', file],
  done: DONE,
};

const JOBS = [
  { name: 'wc -l', command: 'wc', args: (file) => ['-l', file] },
  { name: 'grep -c', command: 'grep', args: (file) => ['-c', 'kvm_mmu_set_spte:', file] },
  { name: 'mawk', command: 'mawk', args: (file) => [AWK, file], counts: true },
  { name: 'gawk', command: 'gawk', args: (file) => [AWK, file], counts: true },
  {
    name: 'floor: start and read only',
    command: process.execPath,
    args: (f) => [FLOOR, f, THREADS],
  },
  ours('memtype, 1 thread', '1'),
  ours(`memtype, ${THREADS} threads`, THREADS),
  ours('memtype, 1 thread, all events', '1', 'all'),
  ours(`memtype, ${THREADS} threads, all events`, THREADS, 'all'),
  AUDIT,
];

function exists({ command }) {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
}

function run({ command, args, done = [0], isSilent = false }, file) {
  const from = process.hrtime.bigint();
  const { status, stdout, stderr } = spawnSync(command, args(file), {
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', isSilent ? 'ignore' : 'pipe', 'pipe'],
    maxBuffer: 2 ** 28,
  });
  const seconds = Number(process.hrtime.bigint() - from) / 1e9;
  if (!done.includes(status)) throw new Error(`${command}: ${stderr}`);
  return { seconds, output: (stdout ?? '').toString().trim().split('\n').sort().join('\n') };
}

/** Seconds of each job in each round, and what it printed last; after one round that does not count. */
function inTurn(jobs, file, rounds) {
  for (const job of jobs) run(job, file);
  const samples = jobs.map(() => []);
  const outputs = jobs.map(() => '');
  for (let round = 0; round < rounds; round++) {
    for (const [i, job] of jobs.entries()) {
      const { seconds, output } = run(job, file);
      samples[i].push(seconds);
      outputs[i] = output;
    }
  }
  return { samples, outputs };
}

function compare(file, profile, rounds, print) {
  const bytes = statSync(file).size;
  const jobs = JOBS.filter((job) => exists(job) || print(`${job.command} is not here\n`));
  const { samples, outputs } = inTurn(jobs, file, rounds);
  const of = (name) => samples[jobs.findIndex((job) => job.name === name)];
  const ratio = (name, own) =>
    of(name) === undefined ? '-' : pairedRatio(of(name), own).toFixed(2);
  print(`\nEvents: ${profile}, ${(bytes / 1e6).toFixed(0)} MB, ${rounds} rounds in turn\n\n`);
  const rows = jobs.map((job, i) => [
    ...timesOf(job, samples[i], bytes),
    ratio('mawk', samples[i]),
    ratio('gawk', samples[i]),
    ratio('wc -l', samples[i]),
  ]);
  print(table([...TIMES, 'x mawk', 'x gawk', 'x wc -l'], rows));
  const counts = new Set(outputs.filter((_, i) => jobs[i].counts));
  if (counts.size !== 1) print(`FAILED: the counts differ\n${[...counts].join('\n\n')}\n`);
  return counts.size === 1;
}

const TIMES = ['program', 's', 'least s', 'MB/s'];

function timesOf({ name }, seconds, bytes) {
  const rate = bytes / 1e6 / median(seconds);
  return [name, median(seconds).toFixed(2), Math.min(...seconds).toFixed(2), rate.toFixed(0)];
}

/** Binary traces: what made them prints them as text, ours audits them. */
const PRINTERS = [
  { command: 'trace-cmd', args: (file) => ['report', '-i', file], make: writeTraceDat },
  { command: 'perf', args: (file) => ['script', '-i', file], make: writePerfData },
].map((job) => ({ ...job, name: `${job.command} ${job.args('')[0]}`, isSilent: true }));

function compareBinary(printer, file, bytes, rounds, print) {
  if (!exists(printer)) {
    print(`\n${printer.command} is not here\n`);
    return;
  }
  printer.make(file, bytes);
  const { size } = statSync(file);
  const jobs = [printer, AUDIT];
  const { samples } = inTurn(jobs, file, rounds);
  print(`\n${printer.name}: ${(size / 1e6).toFixed(0)} MB, ${rounds} rounds in turn\n\n`);
  const rows = jobs.map((job, i) => [
    ...timesOf(job, samples[i], size),
    pairedRatio(samples[0], samples[i]).toFixed(2),
  ]);
  print(table([...TIMES, `x ${printer.name}`], rows));
  rmSync(file);
}

/** Makes the files, removes them at the end. */
export function audit(print, bytes = 1e9, rounds = 5) {
  const directory = mkdtempSync(join(tmpdir(), 'memtype-bench-'));
  try {
    for (const printer of PRINTERS)
      compareBinary(printer, join(directory, 'binary'), bytes / 10, rounds, print);
    return PROFILES.map((profile) => {
      const file = join(directory, `${profile}.txt`);
      writeTrace(file, bytes, profile);
      const ok = compare(file, profile, rounds, print);
      rmSync(file);
      return ok;
    }).every(Boolean);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [, , bytes = 1e9, rounds = 5] = process.argv;
  const print = (text) => {
    process.stdout.write(text);
  };
  print(`${machine()}\n`);
  process.exitCode = audit(print, Number(bytes), Number(rounds)) ? 0 : 1;
}
