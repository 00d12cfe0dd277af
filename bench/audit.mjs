// Reading the text of a trace: our scanner with one thread and several, against wc, grep, mawk and gawk, in turn on
// the same file. Prints tables; false when a count differs.
//
//     node bench/audit.mjs [BYTES] [ROUNDS]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
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

const OURS = fileURLToPath(new URL('audit-count.mjs', import.meta.url));

function ours(name, ...options) {
  return {
    name,
    command: process.execPath,
    args: (file) => [OURS, file, ...options],
    counts: true,
  };
}

const JOBS = [
  { name: 'wc -l', command: 'wc', args: (file) => ['-l', file] },
  { name: 'grep -c', command: 'grep', args: (file) => ['-c', 'kvm_mmu_set_spte:', file] },
  { name: 'mawk', command: 'mawk', args: (file) => [AWK, file], counts: true },
  { name: 'gawk', command: 'gawk', args: (file) => [AWK, file], counts: true },
  ours('memtype, 1 thread', '1'),
  ours(`memtype, ${availableParallelism()} threads`, String(availableParallelism())),
  ours('memtype, 1 thread, all events', '1', 'all'),
  ours(
    `memtype, ${availableParallelism()} threads, all events`,
    String(availableParallelism()),
    'all',
  ),
];

function exists({ command }) {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
}

function run({ command, args }, file) {
  const from = process.hrtime.bigint();
  const { status, stdout, stderr } = spawnSync(command, args(file), {
    env: { ...process.env, LC_ALL: 'C' },
  });
  const seconds = Number(process.hrtime.bigint() - from) / 1e9;
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return { seconds, output: stdout.toString().trim().split('\n').sort().join('\n') };
}

function compare(file, profile, rounds, print) {
  const bytes = statSync(file).size;
  const jobs = JOBS.filter((job) => exists(job) || print(`${job.command} is not here\n`));
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
  const of = (name) => samples[jobs.findIndex((job) => job.name === name)];
  const ratio = (name, own) =>
    of(name) === undefined ? '-' : pairedRatio(of(name), own).toFixed(2);
  print(`\nEvents: ${profile}, ${(bytes / 1e6).toFixed(0)} MB, ${rounds} rounds in turn\n\n`);
  const rows = jobs.map((job, i) => [
    job.name,
    median(samples[i]).toFixed(2),
    Math.min(...samples[i]).toFixed(2),
    (bytes / 1e6 / median(samples[i])).toFixed(0),
    ratio('mawk', samples[i]),
    ratio('gawk', samples[i]),
    ratio('wc -l', samples[i]),
  ]);
  print(table(['program', 's', 'least s', 'MB/s', 'x mawk', 'x gawk', 'x wc -l'], rows));
  const counts = new Set(outputs.filter((_, i) => jobs[i].counts));
  if (counts.size !== 1) print(`FAILED: the counts differ\n${[...counts].join('\n\n')}\n`);
  return counts.size === 1;
}

/** Makes the files, removes them at the end. */
export function audit(print, bytes = 1e9, rounds = 5) {
  const directory = mkdtempSync(join(tmpdir(), 'memtype-bench-'));
  try {
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
