// Every state of some litmus problems: SPIN (where it is installed), ours on one thread and two, and the same search in C.
// All have to count the same states. Seconds are of user and system time but for two threads, where time passes; building
// a verifier, starting Node and compiling are not in them.
//
//     node bench/check.mjs [ROUNDS]
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { ROOT } from './dist.mjs';
import { machine as host, interleaved, median, table } from './measure.mjs';
import { promela } from './promela.mjs';

const { makeMachine } = await import('../dist/machine/machine.js');
const { cSource } = await import('../dist/machine/language/c.js');
const { search } = await import('../dist/explore/search.js');
const { StateTable } = await import('../dist/explore/table.js');
const { reduced } = await import('../dist/explore/reduce.js');
const { searchThreads } = await import('../dist/host/search-threads.js');
const { parseLitmus } = await import('../dist/litmus/parse.js');
const { runTest, searchHere, settingsOf, Tables } = await import('../dist/explore/check.js');

const BYTES = 2 ** 31;

/** Each thread stores to its own line and loads the next one's. */
function ring(threads) {
  const all = Array.from({ length: threads }, (_, i) => i);
  return {
    lines: threads,
    programs: all.map((i) => [
      { store: i, value: 1 },
      { load: (i + 1) % threads, register: 0 },
    ]),
  };
}

/** Writers of one line each, and readers of all lines, each beginning with another one. */
function iriw(writers, readers) {
  const lines = Array.from({ length: writers }, (_, i) => i);
  return {
    lines: writers,
    programs: [
      ...lines.map((i) => [{ store: i, value: 1 }]),
      ...Array.from({ length: readers }, (_, i) =>
        lines.map((k) => ({ load: (i + k) % writers, register: k })),
      ),
    ],
  };
}

/** Stores and loads of write-back memory, as a machine without caches that anybody can tell. */
function configOf({ lines, programs }) {
  const names = Array.from({ length: lines }, (_, i) => `X${i}`);
  return {
    vendor: 'intel',
    caches: 'visible',
    lines: names.map((name) => ({ name })),
    views: names.map((name) => ({ name, line: name, type: 'WB' })),
    agents: programs.map((program, i) => ({
      core: `P${i}`,
      program: program.map((step) =>
        step.store === undefined
          ? { op: 'load', to: `r${step.register}`, view: names[step.load] }
          : { op: 'store', view: names[step.store], value: step.value },
      ),
    })),
  };
}

const PROBLEMS = [
  { name: 'SB-8', problem: ring(8), known: [1331714, 9093512] },
  { name: 'IRIW-4/4', problem: iriw(4, 4), known: [1958843, 6588836] },
  { name: 'SB-9', problem: ring(9), known: [7761798, 59625981] },
];

function cpuSeconds(from) {
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1e6;
}

function ours(machine) {
  const from = process.cpuUsage();
  const states = new StateTable(machine.words, BYTES);
  const found = search(machine, states);
  return { seconds: cpuSeconds(from), states: found.states, transitions: found.transitions };
}

async function threaded(machine) {
  const from = process.hrtime.bigint();
  const options = { threads: 2, bytes: BYTES, reduce: false, checkpoint: null };
  const { search: found } = await searchThreads(machine, options);
  const seconds = Number(process.hrtime.bigint() - from) / 1e9;
  return { seconds, states: found.states, transitions: found.transitions };
}

const FOLDER = `${ROOT}bench/out`;

function run(program, args) {
  return spawnSync(program, args, { cwd: FOLDER, encoding: 'utf8', maxBuffer: 2 ** 26 });
}

function built(program, args) {
  const { error, status, stderr, stdout } = run(program, args);
  if (error) return false;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}:\n${stderr}${stdout}`);
  return true;
}

/** The search in C over the generated step function; null without a compiler. */
function compileC(machine, name) {
  const step = `${FOLDER}/${name}.step.c`;
  writeFileSync(step, cSource(machine.system, machine.layout));
  const binary = `${FOLDER}/${name}.search`;
  const flags = ['-O3', '-march=native', '-std=gnu11', `-DSTEP="${step}"`, '-o', binary];
  return built('cc', [...flags, `${ROOT}bench/machine-search.c`]) ? binary : null;
}

function runC(binary, states) {
  const bits = Math.ceil(Math.log2(states / 0.7));
  const [ns, found, transitions] = run(binary, [String(bits)])
    .stdout.trim()
    .split(' ')
    .map(Number);
  return { seconds: ns / 1e9, states: found, transitions };
}

/** SPIN's verifier, exact, with its fastest options that lose nothing; null without SPIN. */
function compileSpin(problem, name) {
  writeFileSync(`${FOLDER}/${name}.pml`, promela(problem));
  // -o2: the pass for dead variables drops registers that are only written, and with them states.
  if (!built('spin', ['-a', '-o2', `${name}.pml`])) return null;
  const flags = ['-O3', '-march=native', '-DSAFETY', '-DNOREDUCE', '-DMEMLIM=14000'];
  built('gcc', [...flags, '-o', `${name}.pan`, 'pan.c']);
  return `${FOLDER}/${name}.pan`;
}

function runSpin(binary) {
  const command = `TIMEFORMAT='%U %S'; time ${binary} -m1000000 -w23`;
  const { stdout, stderr } = spawnSync('bash', ['-c', command], { cwd: FOLDER, encoding: 'utf8' });
  const number = (pattern) => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const [user = 0, system = 0] = stderr.trim().split(/\s+/).slice(-2).map(Number);
  return {
    seconds: user + system,
    states: number(/([\d.e+]+) states, stored/),
    transitions: number(/([\d.e+]+) transitions/),
  };
}

async function measure({ name, problem, known }, rounds) {
  const machine = makeMachine(configOf(problem));
  const [states] = known;
  const c = compileC(machine, name.replace('/', '-'));
  const spin = compileSpin(problem, name.replace('/', '-'));
  const jobs = [
    () => ours(machine),
    ...(c === null ? [] : [() => runC(c, states)]),
    ...(spin === null ? [] : [() => runSpin(spin)]),
  ];
  const samples = interleaved(rounds, jobs);
  const one = samples.shift();
  const ofC = c === null ? null : samples.shift();
  const ofSpin = spin === null ? null : samples.shift();
  const two = [];
  for (let round = 0; round < rounds; round++) two.push(await threaded(machine));
  const rate = (runs) => (runs === null ? null : states / median(runs.map((r) => r.seconds)) / 1e6);
  const rates = [ofSpin, one, two, ofC].map(rate);
  const all = [one, two, ofC].filter((runs) => runs !== null).flat();
  const isEqual =
    all.every((r) => r.states === states && r.transitions === known[1]) &&
    // SPIN prints large numbers rounded, and counts a step back for each state.
    (ofSpin ?? []).every((r) => Math.abs(r.states - states) <= states * 1e-6);
  const times = (rate, base) => (base === null ? '-' : `${(rate / base).toFixed(1)}x`);
  const less = search(reduced(machine), new StateTable(machine.words, BYTES));
  const row = [
    name,
    states.toLocaleString('en'),
    ...rates.map((r) => (r === null ? '-' : r.toFixed(2))),
    times(rates[1], rates[0]),
    times(rates[2], rates[0]),
    rates[3] === null ? '-' : `${(rates[3] / rates[1]).toFixed(2)}`,
    less.states.toLocaleString('en'),
  ];
  return { name, row, isEqual };
}

/** Peak of memory of one search by a process of its own, less that of one that searches nothing, bytes a state. */
function bytesPerState(name) {
  const rss = (argument) =>
    Number(
      spawnSync(process.execPath, [`${ROOT}bench/check.mjs`, '--rss', argument], {
        encoding: 'utf8',
      }).stdout,
    );
  const { known } = PROBLEMS.find((p) => p.name === name);
  return (rss(name) - rss('none')) / known[0];
}

/** Every test of litmus/ under each setting, seconds. */
async function catalogue() {
  const files = readdirSync(`${ROOT}litmus`).filter((file) => file.endsWith('.litmus'));
  const tables = new Tables(2 ** 26);
  const from = process.cpuUsage();
  let states = 0;
  for (const file of files) {
    const { value } = parseLitmus(readFileSync(`${ROOT}litmus/${file}`, 'utf8'), file);
    for (const setting of settingsOf(value, null))
      states += (await runTest(value, setting, searchHere(tables))).search.states;
  }
  return { tests: files.length, states, seconds: cpuSeconds(from) };
}

/** Prints the rates; false when two of them count differently, or otherwise than is known. */
export async function checked(print, rounds = 3) {
  mkdirSync(FOLDER, { recursive: true });
  print('\nEvery state of litmus problems, M states/s\n\n');
  const results = [];
  for (const problem of PROBLEMS) results.push(await measure(problem, rounds));
  const head = ['problem', 'states', 'SPIN', 'one thread', 'two', 'C'];
  print(
    table(
      [...head, 'one : SPIN', 'two : SPIN', 'C : one', 'reduced'],
      results.map(({ row }) => row),
    ),
  );
  print(`\nmemory: ${bytesPerState('SB-9').toFixed(1)} bytes a state of SB-9\n`);
  const { tests, states, seconds } = await catalogue();
  print(`litmus/: ${tests} tests, ${states} states in ${seconds.toFixed(2)} s of CPU\n`);
  const wrong = results.filter(({ isEqual }) => !isEqual);
  for (const { name } of wrong) print(`FAILED: states or transitions of ${name} differ\n`);
  return wrong.length === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const print = (text) => process.stdout.write(text);
  const [, , first, second] = process.argv;
  if (first === '--rss') {
    const found = PROBLEMS.find((p) => p.name === second);
    if (found !== undefined) ours(makeMachine(configOf(found.problem)));
    print(String(process.resourceUsage().maxRSS * 1024));
  } else {
    print(`${host()}\n`);
    process.exitCode = (await checked(print, Number(first ?? 3))) ? 0 : 1;
  }
}
