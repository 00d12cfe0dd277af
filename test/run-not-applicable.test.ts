import { expect, test } from 'vitest';
import { compareRunsText } from '../src/report/run/compare.ts';
import { runOf, scenarioFile, textOf } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');

test('types that a program is not about are not a violation of its data', () => {
  const tdx = runOf(BLOB, 'L10', { kernel: '6.16', confidential: 'tdx' });
  expect(tdx.result).toBe('n/a');
  expect(tdx.holds).toBe(false);
  const text = textOf(BLOB, tdx).replace(/\s+/g, ' ');
  expect(text).toContain('NOT APPLICABLE every schedule holds');
  expect(text).toContain('the guest kernel grants WB, not UC-: the program is about that');
  expect(text).toContain('does not read the MTRRs of a TDX guest: takes WB');
  expect(textOf(BLOB, runOf(BLOB, 'L10'))).not.toContain('does not read the MTRRs');
});

test('the table has a mark of its own for them, and x only for schedules', () => {
  const own = { 'guest-driver': 'own-page-tables-wb' };
  const runs = ['L9', 'L10'].map((name) => [runOf(BLOB, name, own), runOf(BLOB, name)] as const);
  const table = compareRunsText(runs, BLOB);
  expect(table).toMatch(/^L9 reservation +n\/a +ok$/m);
  expect(table).toMatch(/^L10 firmware +n\/a +ok$/m);
  expect(table).toContain('n/a: none does');
});
