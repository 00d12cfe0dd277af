import type { Situation } from '../verdict.ts';

const QEMU = 'QEMU 11.0 or later: -accel kvm,honor-guest-pat=on';
const RAW =
  'another VMM: KVM_ENABLE_CAP(KVM_CAP_DISABLE_QUIRKS2, 1 << 9) before guest memory is touched';

/** How to make KVM honour the guest PAT under EPT here, or why it cannot be. */
export function honourGuestPat(s: Situation): string {
  if (!s.rules.hasPatQuirk) {
    return (
      `${s.subject} cannot: the opt-out KVM_X86_QUIRK_IGNORE_GUEST_PAT exists from 6.16 on, and in ` +
      `6.12.y from 6.12.78. Upgrade the host kernel, then disable the quirk (${QEMU}; ${RAW}). On an ` +
      'Intel CPU without self-snoop it cannot be disabled.'
    );
  }
  if (s.selfSnoop === false) {
    return (
      'This CPU has no self-snoop, so KVM refuses to disable the quirk (-EINVAL). Use a CPU with ' +
      'self-snoop (Ivy Bridge, Sandy Bridge-EP, Westmere-EX or later), or have the host driver allocate ' +
      'cached memory that the device snoops, or flush the lines in the guest (CLFLUSH).'
    );
  }
  return `Disable KVM_X86_QUIRK_IGNORE_GUEST_PAT (bit 9): ${QEMU}; ${RAW}.`;
}

/** Why the guest CPU's accesses are cacheable, and the way out that follows from it. */
export function uncacheIt(s: Situation): string {
  const { leaf } = s.result;
  if (leaf.paging === 'shadow') {
    return (
      'Shadow paging ignores the guest PAT in every version, and the quirk is not offered. Use EPT or NPT, ' +
      'or flush the lines in the guest (CLFLUSH).'
    );
  }
  if (leaf.paging === 'ept' && leaf.ept.ipat) return honourGuestPat(s);
  if (leaf.paging === 'npt' && leaf.gPat !== 'guest') {
    return 'Guest PAT writes reach the hardware from 4.15 on (4.14.3 in 4.14.y). Upgrade the host kernel.';
  }
  return (
    "KVM honours the guest's PAT here, and the guest's page tables ask for a cacheable type. Map it WC " +
    'in the guest (Linux: pgprot_writecombine, PAT index 1), or flush the lines (CLFLUSH) around each ' +
    'transfer. Nothing in KVM needs to change.'
  );
}

/** "nosnoop device" and the like, for the agents of a finding. */
export const GUEST_CPU = 'guest CPU';
export const NOSNOOP_DEVICE = 'device that does not snoop';
export const VMM_CPU = 'VMM mapping';

/** Types whose writes stay in the cache. */
export function holdsDirtyLines(type: string): boolean {
  return type === 'WB';
}

/** Types whose reads may come from the cache. */
export function readsCached(type: string): boolean {
  return type === 'WB' || type === 'WT' || type === 'WP';
}

/** Uncached without combining: each access goes out alone. */
export function isUncached(type: string): boolean {
  return type === 'UC' || type === 'CD';
}
