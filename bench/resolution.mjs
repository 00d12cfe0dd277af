// The rate of full-path resolution, against a compiled C baseline with the same inputs.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { eptCode, mtrrCode, NATIVE, nativeCode, nptCode, ptePatCode, ROOT } from './dist.mjs';
import { makeInputs, POOL } from './inputs.mjs';
import { interleaved, median, pairedRatio, table } from './measure.mjs';

const PASSES = 5000;
const ROUNDS = 9;

// One loop for each path, so that the compiler sees one kind of call in it.

function passNative(input, types, start) {
  const { fast, hi, lo, pat, entry, large } = input;
  let sum = start;
  for (let i = 0; i < POOL; i++) {
    const code = nativeCode(types, fast, hi[i], lo[i], pat, entry[i], large[i] === 1);
    sum = (Math.imul(sum, 31) + code) | 0;
  }
  return sum;
}

function passWalk(input, types, start) {
  const { mtrrs, hi, lo, pat, entry, large } = input;
  let sum = start;
  for (let i = 0; i < POOL; i++) {
    const mtrr = mtrrCode(mtrrs, hi[i], lo[i]);
    const code = types[((mtrr & 7) << 3) | ptePatCode(pat, entry[i], large[i] === 1)];
    sum = (Math.imul(sum, 31) + code) | 0;
  }
  return sum;
}

function passEpt({ entry }, _types, start) {
  let sum = start;
  for (let i = 0; i < POOL; i++) {
    const e = entry[i];
    sum = (Math.imul(sum, 31) + eptCode(e, (e >>> 12) & 7)) | 0;
  }
  return sum;
}

function passNpt({ entry }, _types, start) {
  let sum = start;
  for (let i = 0; i < POOL; i++) {
    const e = entry[i];
    sum = (Math.imul(sum, 31) + nptCode((e >>> 3) & 7, e & 7, (e >>> 12) & 7)) | 0;
  }
  return sum;
}

/** Each path with the C path that must give the same checksum. */
const PATHS = [
  { name: 'Intel, full path', pass: passNative, types: NATIVE.intel, c: 'intel' },
  { name: 'AMD, full path', pass: passNative, types: NATIVE.amd, c: 'amd' },
  {
    name: 'Intel, C by digit tables too',
    pass: passNative,
    types: NATIVE.intel,
    c: 'intel-digits',
  },
  { name: 'Intel, JS walks the ranges too', pass: passWalk, types: NATIVE.intel, c: 'intel' },
  { name: 'EPT leaf x PAT, table alone', pass: passEpt, types: NATIVE.intel, c: 'ept' },
  { name: 'NPT guest x host x MTRR, table alone', pass: passNpt, types: NATIVE.amd, c: 'npt' },
];

/** Nanoseconds and checksum of one run. */
function runJs(input, { pass, types }) {
  const from = process.hrtime.bigint();
  let sum = 0;
  for (let n = 0; n < PASSES; n++) sum = pass(input, types, sum);
  return { ns: Number(process.hrtime.bigint() - from), sum: sum >>> 0 };
}

function runC(binary, path) {
  const { stdout, status } = spawnSync(binary, [path.c, String(PASSES)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`baseline ${path.c} ended with ${status}`);
  const [ns, sum] = stdout.trim().split(' ').map(Number);
  return { ns, sum };
}

/** The compiled baseline, or why there is none. */
function compile() {
  const cc = process.env.CC ?? 'cc';
  mkdirSync(`${ROOT}bench/out`, { recursive: true });
  const binary = `${ROOT}bench/out/baseline`;
  const args = ['-O2', '-std=c11', '-o', binary, `${ROOT}bench/baseline.c`];
  const { status, error, stderr } = spawnSync(cc, args, { encoding: 'utf8' });
  if (error) return { binary: null, why: `no C compiler: ${error.message}` };
  if (status !== 0) throw new Error(`${cc} cannot compile the baseline:\n${stderr}`);
  const version = spawnSync(cc, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0];
  return { binary, why: `${version}, -O2` };
}

const rate = (ns) => (PASSES * POOL * 1e3) / ns;

/** One path, JavaScript and C in turn. `equal`: all checksums agree. */
function measure(input, path, binary) {
  const runs = { js: [], c: [] };
  const job = (kind, run) => () => {
    const result = run();
    runs[kind].push(result);
    return rate(result.ns);
  };
  const jobs = [job('js', () => runJs(input, path))];
  if (binary !== null) jobs.push(job('c', () => runC(binary, path)));
  const [js, c = null] = interleaved(ROUNDS, jobs);
  const sums = new Set([...runs.js, ...runs.c].map(({ sum }) => sum));
  const row = [
    path.name,
    median(js).toFixed(0),
    c === null ? '-' : median(c).toFixed(0),
    c === null ? '-' : pairedRatio(js, c).toFixed(2),
    [...sums].map((sum) => sum.toString(16).padStart(8, '0')).join(' '),
  ];
  return { row, equal: sums.size === 1 };
}

/** Prints the rates; false when a checksum differs: a fast answer that is wrong is none. */
export function resolution(print) {
  const input = makeInputs();
  const { binary, why } = compile();
  print(`Resolution of memory types. C baseline: ${why}\n`);
  print(`${(PASSES * POOL).toLocaleString('en')} accesses a run, from a pool of ${POOL}; `);
  print(`medians of ${ROUNDS} runs in turn, one core\n\n`);
  const results = PATHS.map((path) => measure(input, path, binary));
  const head = ['path', 'JS M/s', 'C M/s', 'JS : C', 'checksum'];
  print(
    table(
      head,
      results.map(({ row }) => row),
    ),
  );
  const wrong = results.filter(({ equal }) => !equal);
  for (const { row } of wrong) print(`FAILED: JS and C disagree on "${row[0]}"\n`);
  return wrong.length === 0;
}
