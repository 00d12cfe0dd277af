import { rule } from '../cite/rule.ts';
import type { PatType } from '../x86/types.ts';
import type { MtrrHint } from './mtrr-lookup.ts';

export const PAT_X_MTRR_RULE = rule({
  id: 'linux/pat-x-mtrr',
  room: 'guest',
  title: 'A WB request where the MTRRs are not WB becomes UC- (pat_x_mtrr_type)',
  text:
    'Only a WB request asks the MTRRs: unless the whole range is WB there (UC, WC, WT, WP, several types ' +
    'and MTRRs switched off all count as not WB) it becomes UC-. Every other request passes unchanged. A ' +
    'guest asks its own MTRRs, so an uncacheable hole in them makes ioremap_cache() uncached although ' +
    'KVM ignores guest MTRRs. One exception: 6.2 and 6.1.8 to 6.1.32 left WB alone with MTRRs off.',
  sources: ['linux/pat_x_mtrr_type', 'linux/90b926e68f50', 'mail/pat-mtrr-revert'],
});

/** The type with which Linux goes on, from the one requested. Source: `pat_x_mtrr_type`. */
export function patXMtrrType(requested: PatType, mtrr: MtrrHint): PatType {
  return requested === 'WB' && mtrr !== 'WB' ? 'UC-' : requested;
}
