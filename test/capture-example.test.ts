import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { captureJson } from '../src/doctor/capture/capture-file.ts';
import { MASKED } from '../src/doctor/capture/mask.ts';
import { collect } from '../src/host/collect.ts';
import { describedHost } from '../src/host/described-host.ts';
import { ROOT } from './console.ts';
import { asQemu, load } from './hosts.ts';

test('docs/examples/host.json is what memtype capture writes of such a host', async () => {
  const host = asQemu(load('ept-6.12-self-snoop'), '-m', '64');
  const origin = { tool: 'memtype 0.1.0', by: 'node', masked: MASKED } as const;
  const text = captureJson(await collect(describedHost(host), null), origin);
  expect(readFileSync(`${ROOT}docs/examples/host.json`, 'utf8')).toBe(text);
});
