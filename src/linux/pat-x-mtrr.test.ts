import { expect, it } from 'vitest';
import { MTRR_TYPES, PAT_TYPES } from '../x86/types.ts';
import { patXMtrrType } from './pat-x-mtrr.ts';

const HINTS = [...MTRR_TYPES, 'mixed', 'disabled'] as const;

it.each(HINTS)('MTRR %s: only a WB request is touched', (mtrr) => {
  const granted = PAT_TYPES.map((requested) => patXMtrrType(requested, mtrr));
  const wb = mtrr === 'WB' ? 'WB' : 'UC-';
  expect(granted).toEqual(['UC', 'UC-', 'WC', 'WT', 'WP', wb]);
});
