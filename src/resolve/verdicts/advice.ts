import type { Situation } from '../verdict.ts';

const QEMU = 'QEMU 11.0 or later: -accel kvm,honor-guest-pat=on';
const DISABLE =
  'KVM_ENABLE_CAP(KVM_CAP_DISABLE_QUIRKS2, 1 << 9) on the VM before guest memory is touched, by the VMM or ' +
  'by a library preloaded into it (LD_PRELOAD)';
const RAW = `another VMM: ${DISABLE}`;

/** How the VMM at hand disables the quirk, as far as one is named. */
function disableIt(s: Situation): string {
  if (s.vmm === null) return `${QEMU}; ${RAW}`;
  if (s.vmm.quirk === 'honor-guest-pat') return 'QEMU: -accel kvm,honor-guest-pat=on';
  return `${s.vmm.title}: it has no switch for it; use ${QEMU}, or ${DISABLE}`;
}

const NO_SELF_SNOOP =
  'This CPU has no self-snoop, so no kernel lets the guest PAT be honoured here (disabling the quirk is ' +
  'refused with -EINVAL). Use a CPU with self-snoop (Ivy Bridge, Sandy Bridge-EP, Westmere-EX or later), ' +
  'or have the host driver allocate cached memory that the device snoops, or flush the lines in the ' +
  'guest (CLFLUSH).';

/** A proposal goes by a name, a kernel by a number. */
function isProposal(s: Situation): boolean {
  return !/^\d/.test(s.rules.id);
}

/** The memslot flag of ChromeOS kernels. */
function flagIt(s: Situation): string {
  const flag = 'Set KVM_MEM_NON_COHERENT_DMA on the memslot';
  if (s.vmm?.direct?.plan !== 'crosvm') return `${flag}.`;
  return (
    `${flag}: crosvm of 2024-09-20 (d93be1b11dfe) or later, built with noncoherent-dma, does so for each ` +
    'blob that is not CACHED, and for a fixed window when it makes it.'
  );
}

/** How to make KVM honour the guest PAT under EPT here, or why it cannot be. */
export function honourGuestPat(s: Situation): string {
  if (s.rules.id.startsWith('slot-flag')) return flagIt(s);
  if (s.vendor === 'intel' && s.selfSnoopKnown === false) return NO_SELF_SNOOP;
  if (isProposal(s) && !s.rules.hasPatQuirk) {
    return `${s.subject} does not honour the guest PAT for such a page, and has no opt-out.`;
  }
  if (!s.rules.hasPatQuirk) {
    return (
      `${s.subject} cannot: the opt-out KVM_X86_QUIRK_IGNORE_GUEST_PAT exists from 6.16 on, and in ` +
      `6.12.y from 6.12.78. Upgrade the host kernel, then disable the quirk (${disableIt(s)}). On an ` +
      'Intel CPU without self-snoop it cannot be disabled.'
    );
  }
  if (s.quirkOffered === false) return NO_SELF_SNOOP;
  return `Disable KVM_X86_QUIRK_IGNORE_GUEST_PAT (bit 9): ${disableIt(s)}.`;
}

/** How to have the guest's types heard at all; null where KVM honours them already. */
function beHeard(s: Situation): string | null {
  const { leaf } = s.result;
  if (leaf.paging === 'shadow') {
    return (
      'Shadow paging ignores the guest PAT in every version, and the quirk is not offered: use NPT, or EPT ' +
      'on a kernel and CPU that can honour it (6.16 or 6.12.78, self-snoop, quirk disabled), or flush the ' +
      'lines in the guest (CLFLUSH).'
    );
  }
  if (leaf.paging === 'ept') return leaf.ept.ipat ? honourGuestPat(s) : null;
  if (leaf.gPat === 'guest') return null;
  return 'Guest PAT writes reach the hardware from 4.15 on (4.14.3 in 4.14.y): upgrade the host kernel.';
}

const IN_THE_GUEST =
  'Map it WC in the guest (Linux: pgprot_writecombine, PAT index 1), or flush the lines (CLFLUSH) around ' +
  'each transfer.';

const SNOOPED =
  'Or have the host driver allocate memory that is cached and that the device snoops.';

/** Why the guest CPU's accesses are cacheable, and the way out that follows from it. */
export function uncacheIt(s: Situation): string {
  const heard = beHeard(s);
  const asked = s.guest?.type ?? null;
  const asksCached = asked !== null && readsCached(asked);
  if (heard === null) {
    return (
      "KVM honours the guest's PAT here, and the guest's page tables ask for a cacheable type. " +
      `${IN_THE_GUEST} Nothing in KVM needs to change.`
    );
  }
  if (!asksCached) return heard === NO_SELF_SNOOP ? heard : `${heard} ${SNOOPED}`;
  return `The guest itself asks ${asked}. ${IN_THE_GUEST} For a WC mapping to count, KVM must honour it: ${heard}`;
}

export const GUEST_CPU = 'guest CPU';
export const NOSNOOP_DEVICE = 'device that does not snoop';
export const VMM_CPU = 'VMM mapping';

/** The page is a device's own memory, for which no cache of a CPU stands between it and the device. */
export function isDeviceMemory(s: Situation): boolean {
  return s.backing === null ? s.isMmio : s.backing.page.device;
}

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
