// `memtype diff`: the fold of two policies over the whole space, and what the command takes from the shell.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fold, PLATFORMS, pairsOf, ROOT } from './dist.mjs';
import { interleaved, median, pairedRatio, table } from './measure.mjs';

const ROUNDS = 9;
const PAIRS = [
  ['6.10', '6.11'],
  ['6.16', 'wc-as-mmio'],
  ['6.16', 'host-pat'],
  ['2.6.30', '6.16'],
];
const MAIN = `${ROOT}${JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).bin.memtype}`;

function ms(job) {
  const from = process.hrtime.bigint();
  const result = job();
  return { ms: Number(process.hrtime.bigint() - from) / 1e6, result };
}

/** Both sides on every platform: all points, in the cubes in which neither side tells them apart. */
function folded([a, b]) {
  const [pair] = pairsOf({ text: a }, { text: b }).pairs;
  let [points, paths, counted] = [0, 0, 0];
  for (const platform of PLATFORMS) {
    const whole = fold({ rules: pair.a.rules, platform }, { rules: pair.b.rules, platform }, [{}]);
    points += whole.points;
    paths += whole.paths.length;
    for (const path of whole.paths) counted += path.points;
  }
  return { points, paths, complete: counted === points };
}

function wall(args) {
  return ms(() => spawnSync(process.execPath, args, { stdio: 'ignore' })).ms;
}

/** Prints the times; false when a point was counted twice or not at all. */
export function diff(print) {
  print(
    '\nDiff: all platforms, all points; the command from spawn to exit, in turn with an empty Node\n\n',
  );
  const first = PAIRS.map((pair) => ms(() => folded(pair)));
  const warm = PAIRS.map((pair) =>
    median(Array.from({ length: ROUNDS }, () => ms(() => folded(pair)).ms)),
  );
  const commands = [['-e', '0'], ...PAIRS.map((pair) => [MAIN, 'diff', ...pair])];
  const samples = interleaved(
    ROUNDS,
    commands.map((args) => () => wall(args)),
  );
  const rows = PAIRS.map((pair, i) => [
    pair.join(' '),
    first[i].result.points.toLocaleString('en'),
    first[i].result.paths.toLocaleString('en'),
    first[i].ms.toFixed(0),
    warm[i].toFixed(1),
    median(samples[i + 1]).toFixed(0),
    pairedRatio(samples[i + 1], samples[0]).toFixed(1),
  ]);
  const head = ['sides', 'points', 'cubes', 'fold, first ms', 'later', 'command ms', 'ratio'];
  print(table(head, rows));
  const ok = first.every(({ result }) => result.complete);
  if (!ok) print('FAILED: a fold does not count every point once\n');
  return ok;
}
