// The simulated machine: every state of some problems, breadth first, by the generated JavaScript, by the interpreter,
// and by the generated C in the same search written in C.
//
//     node bench/machine.mjs [ROUNDS]
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { ROOT } from './dist.mjs';
import { machine as host, interleaved, median, pairedRatio, table } from './measure.mjs';

const { makeMachine } = await import('../dist/machine/machine.js');
const { cSource } = await import('../dist/machine/language/c.js');

const MARK = 1 << 31;

/** Each thread stores to its own line and loads the next one's, in so many rounds with other values. */
function ring(threads, rounds) {
  const name = (i) => `X${i % threads}`;
  const all = Array.from({ length: threads }, (_, i) => i);
  return {
    vendor: 'intel',
    lines: all.map((i) => ({ name: name(i) })),
    views: all.map((i) => ({ name: name(i), line: name(i), type: 'WB' })),
    agents: all.map((i) => ({
      core: `P${i}`,
      program: Array.from({ length: rounds }, (_, round) => [
        { op: 'store', view: name(i), value: round + 1 },
        { op: 'load', to: `r${round}`, view: name(i + 1) },
      ]).flat(),
    })),
  };
}

/** Writers of one line each, and readers of all lines, each beginning with another one. */
function iriw(writers, readers) {
  const name = (i) => `X${i % writers}`;
  const lines = Array.from({ length: writers }, (_, i) => i);
  const write = (i) => ({ core: `W${i}`, program: [{ op: 'store', view: name(i), value: 1 }] });
  const read = (i) => ({
    core: `R${i}`,
    program: lines.map((k) => ({ op: 'load', to: `r${k}`, view: name(i + k) })),
  });
  return {
    vendor: 'intel',
    lines: lines.map((i) => ({ name: name(i) })),
    views: lines.map((i) => ({ name: name(i), line: name(i), type: 'WB' })),
    agents: [...lines.map(write), ...Array.from({ length: readers }, (_, i) => read(i))],
  };
}

/** A guest writes a frame of WC memory and rings, another core has it as WB, a device reads without snooping. */
function blob() {
  const lines = ['A', 'B'];
  return {
    vendor: 'intel',
    lines: [...lines, 'D'].map((name) => ({ name, cells: name === 'D' ? 1 : 2 })),
    views: [
      ...lines.flatMap((line) =>
        [0, 1].flatMap((cell) => [
          { name: `${line}${cell}`, line, cell, type: 'WC' },
          { core: 'HOST', name: `${line}${cell}`, line, cell, type: 'WB' },
        ]),
      ),
      { name: 'd', line: 'D', type: 'UC' },
    ],
    agents: [
      {
        core: 'GUEST',
        program: [
          ...['A0', 'A1', 'B0', 'B1'].map((view) => ({ op: 'store', view, value: 1 })),
          { op: 'sfence' },
          { op: 'store', view: 'd', value: 1 },
        ],
      },
      {
        core: 'HOST',
        program: [
          { op: 'load', to: 'r0', view: 'A0' },
          { op: 'store', view: 'B1', value: 2 },
          { op: 'load', to: 'r1', view: 'B0' },
        ],
      },
      {
        device: 'GPU',
        snoop: false,
        program: [
          { op: 'poll', line: 'D', value: 1 },
          { op: 'load', to: 'g0', line: 'A', cell: 1 },
          { op: 'load', to: 'g1', line: 'B' },
          { op: 'store', line: 'B', value: 3 },
        ],
      },
    ],
    switches: { selfSnoop: false },
  };
}

/** With the numbers of states and transitions that SPIN and TLC count, where they were asked. */
const PROBLEMS = [
  { name: 'SB-4, 2 rounds', config: { ...ring(4, 2), caches: 'visible' }, known: [181688, 696324] },
  { name: 'SB-8', config: { ...ring(8, 1), caches: 'visible' }, known: [1331714, 9093512] },
  { name: 'IRIW-4/4', config: { ...iriw(4, 4), caches: 'visible' }, known: [1958843, 6588836] },
  { name: 'SB-5, with caches', config: ring(5, 1), known: null },
  { name: 'host blob', config: blob(), known: null },
];

/** Every state in an open-addressing table of packed states; the queue holds slot numbers. */
function search(machine, bits) {
  const { words, successors } = machine;
  const slots = 2 ** bits;
  const states = new Int32Array(slots * words);
  const queue = new Int32Array(slots);
  const out = new Int32Array(machine.maxSuccessors * words);
  const state = new Int32Array(words);
  let head = 0;
  let tail = 0;
  let transitions = 0;
  const insert = (from, at) => {
    let h = 0;
    for (let w = 0; w < words; w++) {
      h = Math.imul(h ^ from[at + w], 0x9e3779b1);
      h ^= h >>> 15;
    }
    h = Math.imul(h, 0x85ebca6b);
    h ^= h >>> 13;
    for (let i = h & (slots - 1); ; i = (i + 1) & (slots - 1)) {
      const slot = i * words;
      const first = states[slot];
      if (first >= 0) {
        states[slot] = from[at] | MARK;
        for (let w = 1; w < words; w++) states[slot + w] = from[at + w];
        queue[tail++] = i;
        return;
      }
      if (first !== (from[at] | MARK)) continue;
      let w = 1;
      while (w < words && states[slot + w] === from[at + w]) w++;
      if (w === words) return;
    }
  };
  insert(machine.initial, 0);
  while (head < tail) {
    const slot = queue[head++] * words;
    for (let w = 0; w < words; w++) state[w] = states[slot + w];
    state[0] &= ~MARK;
    const n = successors(state, 0, out);
    transitions += n;
    for (let i = 0; i < n; i++) insert(out, i * words);
  }
  return { states: tail, transitions };
}

/** Seconds, and what was counted. */
function run(machine, bits) {
  const from = process.hrtime.bigint();
  const counted = search(machine, bits);
  return { seconds: Number(process.hrtime.bigint() - from) / 1e9, ...counted };
}

/** The search in C over the generated step function; null without a compiler. */
function compile(machine, index) {
  const folder = `${ROOT}bench/out`;
  mkdirSync(folder, { recursive: true });
  const step = `${folder}/step${index}.c`;
  const binary = `${folder}/search${index}`;
  writeFileSync(step, cSource(machine.system, machine.layout));
  const args = ['-O3', '-march=native', '-std=gnu11', `-DSTEP="${step}"`, '-o', binary];
  const { error, status, stderr } = spawnSync(
    process.env.CC ?? 'cc',
    [...args, `${ROOT}bench/machine-search.c`],
    { encoding: 'utf8' },
  );
  if (error) return null;
  if (status !== 0) throw new Error(`the generated C does not compile:\n${stderr}`);
  return binary;
}

function runC(binary, bits) {
  const { stdout, status } = spawnSync(binary, [String(bits)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${binary} ended with ${status}`);
  const [ns, states, transitions] = stdout.trim().split(' ').map(Number);
  return { seconds: ns / 1e9, states, transitions };
}

function measure({ name, config, known }, index, rounds) {
  const machine = makeMachine(config);
  const plain = makeMachine(config, 'interpreted');
  const { states, transitions } = search(machine, 22);
  const bits = Math.ceil(Math.log2(states / 0.7));
  const binary = compile(machine, index);
  const jobs = [() => run(machine, bits), ...(binary === null ? [] : [() => runC(binary, bits)])];
  const [js, c = null] = interleaved(rounds, jobs);
  const interpreted = run(plain, bits);
  const seconds = (runs) => runs.map((r) => r.seconds);
  const rate = (runs) => (states / median(seconds(runs)) / 1e6).toFixed(2);
  const all = [...js, ...(c ?? []), interpreted];
  const equal =
    all.every((r) => r.states === states && r.transitions === transitions) &&
    (known === null || (known[0] === states && known[1] === transitions));
  const row = [
    name,
    states.toLocaleString('en'),
    transitions.toLocaleString('en'),
    rate(js),
    rate([interpreted]),
    c === null ? '-' : rate(c),
    c === null ? '-' : pairedRatio(seconds(c), seconds(js)).toFixed(2),
    String(machine.words * 4),
    ((2 ** bits * (machine.words * 4 + 4)) / states).toFixed(1),
  ];
  return { name, row, equal };
}

/** Prints the rates; false when two of them count differently, or otherwise than is known. */
export function simulated(print, rounds = 3) {
  print('\nThe simulated machine: every state, breadth first, one core, M states/s\n\n');
  const results = PROBLEMS.map((problem, i) => measure(problem, i, rounds));
  const head = ['problem', 'states', 'transitions', 'JS', 'interpreter', 'C', 'JS : C'];
  print(
    table(
      [...head, 'bytes', 'in all'],
      results.map(({ row }) => row),
    ),
  );
  const wrong = results.filter(({ equal }) => !equal);
  for (const { name } of wrong) print(`FAILED: states or transitions of ${name} differ\n`);
  return wrong.length === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const print = (text) => process.stdout.write(text);
  print(`${host()}\n`);
  process.exitCode = simulated(print, Number(process.argv[2] ?? 3)) ? 0 : 1;
}
