import { expect, test } from 'vitest';
import { runPerfetto } from '../src/report/run/perfetto.ts';
import { runSvg } from '../src/report/run/svg.ts';
import { runOf, scenarioFile } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');

test('the picture is red where what must not be is read, and nowhere else', () => {
  for (const { name } of BLOB.programs) {
    for (const kernel of ['6.8', '6.11-rc3']) {
      const one = runOf(BLOB, name, { kernel });
      const red = (runSvg(one, BLOB).match(/class="wrong"/g) ?? []).length;
      expect([name, kernel, red > 0]).toEqual([name, kernel, one.result === 'x']);
    }
  }
  const svg = runSvg(runOf(BLOB, 'L1'), BLOB);
  expect(svg).toMatch(/class="wrong">load x -&gt; seen: 0 from memory/);
  expect(svg.match(/class="wrong"/g)).toHaveLength(1);
});

interface Counter {
  readonly ph: string;
  readonly name: string;
  readonly args: object;
}

function countersOf(name: string, seed: number): readonly Counter[] {
  const text = runPerfetto(runOf(BLOB, name, {}, seed), '0');
  const { traceEvents } = JSON.parse(text) as { traceEvents: Counter[] };
  return traceEvents.filter((e) => e.ph === 'C');
}

test('counters are numbers, a byte each, and end with their copy', () => {
  for (const { name } of BLOB.programs)
    for (const seed of [0, 1, 5])
      for (const { args } of countersOf(name, seed)) {
        expect(Object.keys(args)).toEqual(['value']);
        const [value] = Object.values(args) as number[];
        expect([-1, 0, 1, 2, 3]).toContain(value);
      }
  const clobber = countersOf('L3', 0);
  expect(clobber.map((c) => c.name)).toEqual(
    expect.arrayContaining(['x: memory', 'y: memory', 'x: cpu0 cache', 'y: cpu0 cache']),
  );
  const last = clobber.findLast((c) => c.name === 'x: cpu0 cache');
  expect(last?.args).toEqual({ value: -1 });
});
