// The sweep over the whole finite input space of KVM's rules.
import { SWEEP_POINTS, sweep } from './dist.mjs';
import { median } from './measure.mjs';

const ROUNDS = 9;

function once() {
  const from = process.hrtime.bigint();
  const rows = sweep();
  return { ms: Number(process.hrtime.bigint() - from) / 1e6, rows };
}

/** Prints time and size; false when a tuple has no type. Must run before the compiler has seen it. */
export function space(print) {
  const first = once();
  const later = Array.from({ length: ROUNDS }, () => once().ms);
  const tuples = first.rows.reduce((n, row) => n + row.tuples, 0);
  const typed = first.rows.reduce(
    (n, row) => n + Object.values(row.types).reduce((a, b) => a + b, 0),
    0,
  );
  const points = first.rows.length * SWEEP_POINTS;
  print(`\nSweep of the policy space: ${first.rows.length} behaviours, `);
  print(
    `${tuples.toLocaleString('en')} tuples, standing for ${points.toLocaleString('en')} points\n`,
  );
  print(`${first.ms.toFixed(0)} ms the first time, ${median(later).toFixed(0)} ms later `);
  print(`(median of ${ROUNDS})\n`);
  if (typed !== tuples) print(`FAILED: ${tuples - typed} tuples have no type\n`);
  return typed === tuples;
}
