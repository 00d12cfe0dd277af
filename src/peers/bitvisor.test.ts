import { expect, it } from 'vitest';
import { AMD_MTRR_X_PAT } from '../x86/combine.ts';
import { MTRR_TYPES, PAT_TYPES } from '../x86/types.ts';
import { bitvisorEffective } from './bitvisor.ts';

it('differs from the manual of AMD, names aside, in the three cells that it marks itself', () => {
  const differences = MTRR_TYPES.flatMap((mtrr) =>
    PAT_TYPES.filter((pat) => {
      const amd = AMD_MTRR_X_PAT.at(mtrr, pat);
      return bitvisorEffective(mtrr, pat) !== (amd === 'CD' ? 'UC' : amd);
    }).map((pat) => `${mtrr} x ${pat}`),
  );
  expect(differences).toEqual(['WT x WP', 'WP x UC-', 'WP x WT']);
});
