// Events of a trace by name, entries by memory type, IPAT and level: what audit.mjs times.
//
//     node bench/audit-count.mjs FILE THREADS [all]
//
// `all`: exits, entries, faults and unknown events are handed on too, not only counted.
const { openTrace, readTraceText } = await import('../dist/host/trace-source.js');
const { countLeaves, LEAF_COUNTS } = await import('../dist/trace/count-leaves.js');
const { KIND } = await import('../dist/trace/batch.js');

const [, , file, threads, which] = process.argv;
const counts = new Float64Array(LEAF_COUNTS);
const source = await openTrace(file);
const { problems, events } = await readTraceText(source, {
  take: (batch) => countLeaves(batch, counts),
  skip: which === 'all' ? [] : [KIND.exit, KIND.other, KIND.pageFault],
  threads: Number(threads),
});
source.close();
for (const [i, n] of counts.entries()) {
  if (n > 0) process.stdout.write(`${i >> 4} ${(i >> 3) & 1} ${i & 7} ${n}\n`);
}
for (const [name, n] of events) process.stdout.write(`${name}: ${n}\n`);
if (problems.total > 0)
  throw new Error(`lines that were not read: ${JSON.stringify(problems.counts)}`);
