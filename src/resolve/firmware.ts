import { u64 } from '../base/u64.ts';
import type { FirmwareId } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { compileGuestMtrrs, type GuestMtrrState } from '../kvm/guest-mtrr.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { MTRR_PLANS, overriddenMtrr } from '../platform/firmware.ts';
import type { MtrrType } from '../x86/types.ts';
import type { Steps } from './step.ts';
import { vmmOf } from './vmm.ts';

/** The MTRR plan that holds: that of the firmware named, else that of a VMM that boots without one. */
function planOf(inquiry: Inquiry): FirmwareId | null {
  if (inquiry.isGiven('firmware')) return inquiry.ask('firmware');
  return vmmOf(inquiry)?.firmware ?? null;
}

const OFF: GuestMtrrState = {
  defType: 0,
  fixed: Array.from({ length: 11 }, () => u64(0, 0)),
  variable: [],
  maxphyaddr: 46,
  cpuidMtrr: true,
};

/** The first page that no fixed range covers. */
const ABOVE_FIXED = 2 ** 20 / 4096;

/** What KVM makes of guest MTRRs that are switched off: UC, but WB up to 4.1. */
function kvmTypeWhenOff({ guestMtrr }: KvmRules): MtrrType {
  if (guestMtrr === null) return 'UC';
  return compileGuestMtrrs(guestMtrr, OFF).lookup(ABOVE_FIXED).type ?? 'UC';
}

/** The guest MTRR type of the page, as these KVM rules take it: as said, else by the plan and the place. */
export function guestMtrrType(inquiry: Inquiry, rules: KvmRules, steps: Steps): MtrrType {
  const id = inquiry.isGiven('guest-mtrr') ? null : planOf(inquiry);
  if (id === null) return inquiry.ask('guest-mtrr');
  const known = inquiry.answers.find((a) => a.key === 'guest-mtrr');
  if (known !== undefined) return known.value as MtrrType;
  const plan = MTRR_PLANS[id];
  const place = inquiry.ask('guest-place');
  const type = id === 'none' ? kvmTypeWhenOff(rules) : plan.over[place];
  steps.add(
    'firmware',
    'platform/firmware',
    { plan: id, place },
    `guest MTRR ${type}`,
    plan.sources[0],
    `${plan.title}: ${plan.text}`,
  );
  return inquiry.imply('guest-mtrr', type, plan.title);
}

/**
 * RAM of the guest, of which its kernel asks no MTRR: the type comes from the flags of the page.
 * Source: reserve_ram_pages_type().
 */
export function isGuestRam(inquiry: Inquiry): boolean {
  const byPlan = !inquiry.isGiven('guest-mtrr') && planOf(inquiry) !== null;
  if (!byPlan && !inquiry.isGiven('guest-place')) return false;
  return inquiry.ask('guest-place') === 'ram';
}

/** The guest MTRR type as the guest's own kernel sees it: a confidential guest has a state of its own. */
export function guestMtrrSeenByGuest(
  inquiry: Inquiry,
  steps: Steps,
  read: () => MtrrType,
): MtrrType {
  const confidential = inquiry.isGiven('confidential') ? inquiry.ask('confidential') : 'no';
  if (inquiry.isGiven('guest-mtrr')) return read();
  // A guest kernel takes MTRRs that are off for no answer, and whatever is not WB for UC-.
  if (confidential === 'no') return planOf(inquiry) === 'none' ? 'UC' : read();
  const place = inquiry.ask('guest-place');
  const why = 'the guest kernel (6.12 or later) replaces the registers by a state of its own';
  const type = inquiry.among('guest-mtrr', overriddenMtrr(place), why);
  steps.add(
    'guest',
    'platform/firmware',
    { guest: confidential, place },
    `guest MTRR ${type}`,
    'linux/guest_force_mtrr_state',
    why,
  );
  return type;
}
