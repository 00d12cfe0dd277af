import type { SourceId } from '../cite/sources.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { isNewMemtypeAllowed } from '../linux/memtype-tracker.ts';
import { patXMtrrType } from '../linux/pat-x-mtrr.ts';
import type { MtrrType, PatType } from '../x86/types.ts';
import type { Steps } from './step.ts';

/** What the guest kernel made of a driver's request. */
export interface GuestGrant {
  /** The type in the guest's page tables; null when the kernel refuses the mapping. */
  readonly type: PatType | null;
  readonly requested: PatType | null;
  /** What made the difference between the two. */
  readonly changedBy: 'pat-off' | 'guest-mtrr' | 'reservation' | null;
}

/** The manual of the CPU at hand, as far as the paging mode tells. */
function patSource(inquiry: Inquiry): SourceId {
  return inquiry.ask('paging') === 'npt' ? 'apm/pat' : 'sdm/pat';
}

/** Types that have a slot in the PAT after reset, with which a kernel without PAT must do. */
const RESET_TYPES: readonly PatType[] = ['WB', 'WT', 'UC-', 'UC'];

/**
 * The guest's PAT type: as given, or worked out from what its driver requested the way a Linux guest
 * does: PAT, then guest MTRRs, then earlier reservations.
 */
export function guestType(inquiry: Inquiry, guestMtrr: () => MtrrType, steps: Steps): GuestGrant {
  if (inquiry.isGiven('guest') || !inquiry.isGiven('guest-request')) {
    const type = inquiry.ask('guest');
    steps.add(
      'guest',
      'x86/pat',
      {},
      `maps it ${type}`,
      patSource(inquiry),
      "the type in the guest's page tables",
    );
    return { type, requested: null, changedBy: null };
  }
  const requested = inquiry.ask('guest-request');
  if (!inquiry.ask('guest-pat')) return withoutPat(requested, steps);
  const granted = requested === 'WB' ? underMtrr(guestMtrr(), steps) : requested;
  return reserved(inquiry, requested, granted, steps);
}

/** Without PAT nothing is tracked and no MTRR asked; a type without a slot becomes UC-. */
function withoutPat(requested: PatType, steps: Steps): GuestGrant {
  const type = RESET_TYPES.includes(requested) ? requested : 'UC-';
  steps.add(
    'guest',
    'linux/pat-redirect',
    { requested, PAT: 'not initialised' },
    type,
    'linux/pat_bp_init',
    type === requested
      ? 'the PAT after reset has a slot for it'
      : 'the PAT after reset has no slot for it',
  );
  return { type, requested, changedBy: type === requested ? null : 'pat-off' };
}

function underMtrr(mtrr: MtrrType, steps: Steps): PatType {
  const granted = patXMtrrType('WB', mtrr);
  steps.add(
    'guest',
    'linux/pat-x-mtrr',
    { requested: 'WB', 'guest MTRR': mtrr },
    granted,
    'linux/pat_x_mtrr_type',
  );
  return granted;
}

function reserved(inquiry: Inquiry, requested: PatType, wanted: PatType, steps: Steps): GuestGrant {
  const byMtrr = wanted === requested ? null : 'guest-mtrr';
  const earlier = inquiry.ask('guest-reservation');
  if (earlier === 'none' || earlier === wanted)
    return { type: wanted, requested, changedBy: byMtrr };
  const type = isNewMemtypeAllowed(wanted, earlier) ? earlier : null;
  steps.add(
    'guest',
    'linux/memtype-conflict',
    { requested: wanted, 'earlier reservation': earlier },
    type ?? 'refused (-EBUSY)',
    'linux/is_new_memtype_allowed',
  );
  return { type, requested, changedBy: 'reservation' };
}
