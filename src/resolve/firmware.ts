import { u64 } from '../base/u64.ts';
import type { FirmwareId } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { compileGuestMtrrs, type GuestMtrrState } from '../kvm/guest-mtrr.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { MTRR_PLANS, overriddenMtrr } from '../platform/firmware.ts';
import { directPlans } from '../platform/vmm.ts';
import type { MtrrType } from '../x86/types.ts';
import type { Steps } from './step.ts';
import { vmmOf } from './vmm.ts';

/**
 * The MTRR plan that holds: that of the firmware named, else one of those of a VMM that is taken to boot
 * without one.
 */
function planOf(inquiry: Inquiry): FirmwareId | null {
  if (inquiry.isGiven('firmware')) return inquiry.ask('firmware');
  const vmm = vmmOf(inquiry);
  if (vmm === null || vmm.direct === null) return null;
  const { from } = vmm.direct;
  const since = from === null ? 'it writes the MTRRs' : `MTRRs are written by ${from} and later`;
  const why = `${vmm.title} is taken to boot the kernel itself, without a firmware; ${since}`;
  const [plan, other] = directPlans(vmm.direct);
  if (plan !== undefined && other === undefined) return inquiry.assume('firmware', plan, why);
  return inquiry.among('firmware', directPlans(vmm.direct), why);
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
function kvmTypeWhenOff({ guestMtrr }: KvmRules, cpuidMtrr = true): MtrrType {
  if (guestMtrr === null) return 'UC';
  return compileGuestMtrrs(guestMtrr, { ...OFF, cpuidMtrr }).lookup(ABOVE_FIXED).type ?? 'UC';
}

/** Enters the type of the page under a plan. */
function settle(inquiry: Inquiry, rules: KvmRules, type: MtrrType, id: FirmwareId): MtrrType {
  const { title } = MTRR_PLANS[id];
  const hidden = kvmTypeWhenOff(rules, false);
  if (id !== 'none' || hidden === type) return inquiry.imply('guest-mtrr', type, title);
  const why = `${title}; KVM takes it so where the CPUID of the guest shows MTRRs (else ${hidden})`;
  return inquiry.assume('guest-mtrr', type, why);
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
  return settle(inquiry, rules, type, id);
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
