import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ROOT } from './console.ts';

// Of the built package: threads need files that Node can run.

const directory = mkdtempSync(join(tmpdir(), 'memtype-threads-'));
const file = join(directory, 'trace.txt');
const node = (...args: readonly string[]): string =>
  execFileSync(process.execPath, args, { encoding: 'utf8' });

beforeAll(() => {
  node(`${ROOT}bench/trace-gen.mjs`, file, '10000000', 'all');
});
afterAll(() => rmSync(directory, { recursive: true }));

test('any number of threads counts the same entries, and all of them', () => {
  const one = node(`${ROOT}bench/audit-count.mjs`, file, '1');
  expect(node(`${ROOT}bench/audit-count.mjs`, file, '2')).toBe(one);
  expect(node(`${ROOT}bench/audit-count.mjs`, file, '3', 'all')).toBe(one);
  const rows = [...one.matchAll(/^\d \d \d (\d+)$/gm)];
  const total = rows.reduce((sum, [, count]) => sum + Number(count), 0);
  const found = execFileSync('grep', ['-c', 'kvm_mmu_set_spte:', file], { encoding: 'utf8' });
  expect(total).toBe(Number(found));
});
