// Medians and tables, for a machine that is noisy.
import { cpus, loadavg } from 'node:os';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Runs every job once per round, in turn, so that a drift of the machine hits all of them alike. */
export function interleaved(rounds, jobs) {
  const samples = jobs.map(() => []);
  for (const job of jobs) job();
  for (let round = 0; round < rounds; round++) {
    for (const [i, job] of jobs.entries()) samples[i].push(job());
  }
  return samples;
}

/** The ratio within each round, which the drift between rounds does not touch. */
export function pairedRatio(numerators, denominators) {
  return median(numerators.map((n, i) => n / denominators[i]));
}

/** Columns of text: the first to the left, the others to the right. */
export function table(head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const lines = all.map((row) =>
    row.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join('  '),
  );
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

export function machine() {
  const list = cpus();
  const load = loadavg()[0].toFixed(1);
  return `${list.length} x ${list[0]?.model.trim() ?? 'unknown CPU'}, Node ${process.version}, load ${load}`;
}
