import { rule } from '../cite/rule.ts';
import type { EffectiveType, MtrrType, PatType } from '../x86/types.ts';

export const PAT_RST_RULE = rule({
  id: 'linux/pat-rst',
  room: 'guest',
  title: 'The MTRR x PAT table in the documentation of Linux',
  text:
    'D12: Documentation/arch/x86/pat.rst says that PAT UC- under MTRR WC is UC. Both manuals say WC and ' +
    'are right; Linux itself counts on it, as ioremap() asks for UC- so that an MTRR can make it WC.',
  sources: ['linux/pat-rst', 'sdm/t11-7', 'apm/t7-11'],
});

/** The cell in which pat.rst contradicts both manuals. */
export const PAT_RST_DEVIATION: {
  readonly mtrr: MtrrType;
  readonly pat: PatType;
  readonly claims: EffectiveType;
} = { mtrr: 'WC', pat: 'UC-', claims: 'UC' };
