import { expect, test } from 'vitest';
import { compareRunsText } from '../src/report/run/compare.ts';
import { runJson } from '../src/report/run/json.ts';
import { runOf, scenarioFile, textOf } from './runs.ts';

const BLOB = scenarioFile('virtio-gpu-host-blob.yaml');
const AMD = { cpu: 'amd', paging: 'npt' };

test.each([
  ['AMD', AMD],
  ['device memory', { backing: 'bar-wc', 'map-info': 'wc' }],
])('what nobody measured has no price: %s', (what, said) => {
  const one = runOf(BLOB, 'L1', said);
  const text = textOf(BLOB, one).replace(/\s+/g, ' ');
  expect(text).toContain(`COST of the guest's accesses: not measured on ${what}`);
  expect(text).not.toMatch(/Sapphire Rapids|Coffee Lake|Measured:/);
  const { cost } = runJson(one, BLOB, { resolution: null, hinges: [] }) as {
    cost: { storeNs: object }[];
  };
  expect(cost.map((c) => c.storeNs)).toEqual([{ 'Sapphire Rapids': null, 'Coffee Lake-S': null }]);
  expect(compareRunsText([[one, runOf(BLOB, 'L1')]], BLOB)).toMatch(
    /ns a store +not measured +9\.0/,
  );
});

test('large moves are measurements, with author and date, not multiplications', () => {
  const uc = runOf(BLOB, 'L1', { policy: 'wc-as-mmio', 'guest-driver': 'own-page-tables-wb' });
  expect(uc.types).toEqual(['UC']);
  const text = textOf(BLOB, uc).replace(/\s+/g, ' ');
  expect(text).toContain('1.24 s UC-, 0.01 s WC, on Sapphire Rapids (Yan Zhao, 2024-09-09)');
  expect(text).not.toContain('(computed)');
  const wc = textOf(BLOB, runOf(BLOB, 'L1', { kernel: '6.11-rc3' })).replace(/\s+/g, ' ');
  expect(wc).toContain('reads of WC memory: about 50 MB/s');
});
