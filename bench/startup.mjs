// What `explain` takes from the shell, against a Node process that does nothing.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { ROOT } from './dist.mjs';
import { interleaved, median, pairedRatio, table } from './measure.mjs';

const ROUNDS = 31;
const QUESTION =
  '--cpu intel --kernel 6.8 --paging ept --backing ttm-wc --guest WC --device nosnoop'.split(' ');

const MAIN = `${ROOT}${JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).bin.memtype}`;

const COMMANDS = [
  { name: 'node -e 0', args: ['-e', '0'] },
  { name: 'memtype --version', args: [MAIN, '--version'] },
  { name: 'memtype explain', args: [MAIN, 'explain', ...QUESTION] },
];

function wall(args) {
  const from = process.hrtime.bigint();
  const { error } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (error) throw error;
  return Number(process.hrtime.bigint() - from) / 1e6;
}

/** The measured question has an answer: the page is WB and stale for a device that does not snoop. */
function answers() {
  const args = [...COMMANDS[2].args, '--format', 'json'];
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return JSON.parse(stdout).effective?.types?.join() === 'WB';
}

/** Prints the times; false when `explain` gives no answer or not the known one. */
export function startup(print) {
  print(`\nStart-up: wall time of a process, medians of ${ROUNDS} in turn\n\n`);
  const ok = answers();
  const samples = interleaved(
    ROUNDS,
    COMMANDS.map(
      ({ args }) =>
        () =>
          wall(args),
    ),
  );
  const rows = COMMANDS.map(({ name }, i) => [
    name,
    median(samples[i]).toFixed(1),
    Math.min(...samples[i]).toFixed(1),
    pairedRatio(samples[i], samples[0]).toFixed(2),
  ]);
  print(table(['command', 'ms', 'least ms', 'ratio'], rows));
  if (!ok) print('FAILED: explain does not give the known answer\n');
  return ok;
}
