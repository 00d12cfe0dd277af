import { expect, it } from 'vitest';
import { combineMtrrPat } from '../x86/combine.ts';
import { PAT_RST_DEVIATION } from './pat-rst.ts';

it.each(['intel', 'amd'] as const)('D12: contradicts the manual of %s', (vendor) => {
  const { mtrr, pat, claims } = PAT_RST_DEVIATION;
  expect(combineMtrrPat(vendor, mtrr, pat).type).toBe('WC');
  expect(claims).toBe('UC');
});
