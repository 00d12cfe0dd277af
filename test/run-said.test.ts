import { beforeAll, expect, test } from 'vitest';
import { memtype } from './console.ts';
import { runOf, scenarioFile, textOf } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');
const FILE = 'scenarios/virtio-gpu-host-blob.yaml';
let told: string;
beforeAll(() => {
  told = textOf(BLOB, runOf(BLOB, 'L1')).replace(/\s+/g, ' ');
});

test('every verdict is in the text, information too', () => {
  expect(told).toContain('info MT501: KVM refuses TTM pages of higher order (EFAULT)');
});

test('what was assumed is in the text', () => {
  expect(told).toMatch(/ASSUMED, because nothing was said .* noncoherent-dma no, .* cr0-cd no/);
});

test('a kernel newer than the newest read has a note', () => {
  const text = textOf(BLOB, runOf(BLOB, 'L1', { kernel: '9.99' }));
  expect(text.replace(/\s+/g, ' ')).toContain('note: 9.99 is newer than the newest kernel read');
});

test('a policy that drops the kernel of the file says so', () => {
  const alone = memtype(['run', FILE, '--policy', 'mmio-by-mtrr']).stdout.replace(/\s+/g, ' ');
  expect(alone).toMatch(
    /note: mmio-by-mtrr stands in place of the kernel 6\.8 of the file, on \S+/,
  );
  const both = memtype(['run', FILE, '--policy', 'mmio-by-mtrr', '--kernel', '6.1']).stdout;
  expect(both).not.toContain('stands in place');
  const table = memtype(['run', FILE, '--policy', 'mmio-by-mtrr', '--program', 'all']).stdout;
  expect(table).toContain('note: mmio-by-mtrr stands in place');
});
