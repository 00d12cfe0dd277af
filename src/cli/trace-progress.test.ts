import { expect, test } from 'vitest';
import { TraceProgress } from './trace-progress.ts';

function shown(
  watched: boolean,
  size: number | null,
  steps: readonly (readonly [number, number])[],
) {
  const written: string[] = [];
  let now = 0;
  const io = { write: () => {}, error: (text: string) => written.push(text), watched };
  const progress = new TraceProgress(io, size, () => now);
  for (const [ms, bytes] of steps) {
    now = ms;
    progress.at(bytes);
  }
  progress.end();
  return written;
}

test('says how far, how fast and how long, twice a second from the first second on', () => {
  const steps = [
    [500, 4e8],
    [1000, 8e8],
    [1200, 9e8],
    [2000, 1e9],
  ] as const;
  expect(shown(true, 1e11, steps)).toEqual([
    '\r800 MB of 100000 MB, 800 MB/s, 2 min 4 s left',
    '\r1000 MB of 100000 MB, 500 MB/s, 3 min 18 s left',
    `\r${' '.repeat(47)}\r`,
  ]);
  expect(shown(true, null, [[1000, 5e6]])[0]).toBe('\r5 MB, 5 MB/s');
  expect(shown(false, 1e11, steps)).toEqual([]);
});
