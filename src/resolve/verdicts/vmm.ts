import { knowsSlotFlag, seemsToKnowFlag, wantsSlotFlag } from '../../platform/vmm.ts';
import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { firstMapInfo } from '../vmm.ts';
import { GUEST_CPU } from './advice.ts';

function refuses(s: Situation): Finding | null {
  if (!s.vmmRefuses || s.vmm === null) return null;
  const why =
    s.paging === 'shadow'
      ? 'shadow paging never offers it'
      : s.rules.hasPatQuirk
        ? 'this CPU has no self-snoop'
        : `${s.subject} does not know the quirk`;
  return {
    agents: ['VMM', 'KVM'],
    text: `${s.vmm.title} was started with honor-guest-pat=on and ends with "KVM does not support disabling ignore-guest-PAT quirk": bit 9 of KVM_CAP_DISABLE_QUIRKS2 is not offered (${why}). The answer above is what a VM without the option gets.`,
    fix:
      s.paging === 'npt'
        ? 'Leave the option out, or say honor-guest-pat=auto: on AMD KVM honours the guest PAT anyway.'
        : 'Say honor-guest-pat=auto to start without it, and upgrade to a host kernel of 6.16 (6.12.78 in 6.12.y) or later on a CPU with self-snoop to have it.',
  };
}

/** crosvm takes KVM for one that knows its memslot flag, sets it, and these rules of KVM do not know it. */
function flagRefused(s: Situation): boolean {
  if (s.vmm === null || s.mapInfo === null || s.inquiry.isGiven('slot-noncoherent')) return false;
  if (knowsSlotFlag(s.rules) || !seemsToKnowFlag(s.rules, s.paging)) return false;
  return wantsSlotFlag(s.vmm, s.mapInfo, firstMapInfo(s.inquiry));
}

const FLAG_FIX =
  'Run crosvm on a ChromeOS kernel that has KVM_MEM_NON_COHERENT_DMA, or use a VMM that can have the ' +
  'guest PAT honoured (QEMU 11.0 or later with honor-guest-pat=on, kernel 6.16 or later, self-snoop).';

/** What is flagged, and by what it was decided. */
function flagged(s: Situation): string {
  const first = firstMapInfo(s.inquiry);
  if (first === null) return `the blob (map_info ${s.mapInfo})`;
  return s.vmm?.window === 'flagged'
    ? 'the fixed window'
    : `the fixed window (map_info ${first} of its first blob)`;
}

const TAKEN = 'KVM reports capability 236 (upstream KVM_CAP_PRE_FAULT_MEMORY)';

function flagFails(s: Situation): Finding | null {
  if (!flagRefused(s) || s.vmm?.slotFlag !== 'or-fail') return null;
  const retry = 'Use crosvm of 2026-08-11 or later, which tries again without the flag';
  return {
    agents: ['VMM', 'KVM'],
    text: `${TAKEN}, so that crosvm flags the memslot of ${flagged(s)} with bit 3, which ${s.subject} refuses with EINVAL: MAP_BLOB fails.`,
    fix: s.result.guestPatHonoured
      ? `${retry}, or one built without noncoherent-dma: here KVM honours the guest PAT without it.`
      : `${retry} (and leaves the blob WB). ${FLAG_FIX}`,
  };
}

function flagDropped(s: Situation): Finding | null {
  if (!flagRefused(s) || s.vmm?.slotFlag !== 'or-retry' || s.result.guestPatHonoured) return null;
  return {
    agents: ['VMM', 'KVM'],
    text: `crosvm asks for KVM_MEM_NON_COHERENT_DMA on the memslot of ${flagged(s)}, ${s.subject} refuses it, and crosvm goes on without (it logs "rejected by host kernel, retrying without flag"): under EPT the blob is WB whatever the guest maps.`,
    fix: FLAG_FIX,
  };
}

function firstMapping(s: Situation): Finding | null {
  if (s.vmm?.window !== 'first-blob' || s.mapInfo === null || s.paging !== 'ept') return null;
  const first = firstMapInfo(s.inquiry);
  if (first === null || !knowsSlotFlag(s.rules)) return null;
  if ((first === 'cached') === (s.mapInfo === 'cached')) return null;
  return {
    agents: [GUEST_CPU, 'VMM'],
    text: `The first blob of the window had map_info ${first}, this one has ${s.mapInfo}: the window keeps the flag of the first.`,
    fix: 'Use crosvm of 2024-09-20 (d93be1b11dfe) or later, or one memslot for each blob.',
  };
}

/** What goes wrong between a VMM and KVM. */
export const VMM_VERDICTS: readonly VerdictDefinition[] = [
  {
    code: 'MT240',
    severity: 'error',
    title: 'The VMM does not start: KVM does not offer the opt-out',
    room: 'vmm',
    cause:
      'QEMU 11.0 and later with honor-guest-pat=on asks KVM_CAP_DISABLE_QUIRKS2 for bit 9. It is missing ' +
      'before 6.16 (6.12.78 in 6.12.y), without EPT or NPT, and on Intel without self-snoop.',
    consequence: 'No VM; with honor-guest-pat=auto it starts, and the guest PAT stays ignored.',
    fix: 'honor-guest-pat=auto, or a kernel and CPU that offer the bit.',
    sources: ['qemu/refuses', 'qemu/honor-guest-pat', 'kvm/x86.c-quirks'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.14 --paging ept --vmm qemu-11 --honor-guest-pat on --backing ttm-wc --guest WC',
    find: refuses,
  },
  {
    code: 'MT241',
    severity: 'error',
    title: 'crosvm cannot map the blob: this KVM does not know its memslot flag',
    room: 'vmm',
    cause:
      'Built with noncoherent-dma, crosvm sets bit 3 of the memslot flags for blobs that are not CACHED, where ' +
      'KVM reports capability 236 or 239. Only ChromeOS kernels mean the flag by that: from 6.11 on 236 is ' +
      'KVM_CAP_PRE_FAULT_MEMORY, with EPT or NPT. Before, and under shadow paging, nothing is flagged.',
    consequence: 'KVM_SET_USER_MEMORY_REGION answers EINVAL and MAP_BLOB fails.',
    fix: 'A newer crosvm, which goes on without the flag; or a ChromeOS kernel.',
    sources: ['crosvm/noncoherent-dma', 'crosvm/retry', 'mail/cros-flag'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.16 --paging ept --vmm crosvm-noncoherent-dma --map-info wc --backing ttm-wc --device nosnoop',
    find: flagFails,
  },
  {
    code: 'MT242',
    severity: 'warning',
    title: "crosvm's memslot flag is refused, and the blob is mapped without it",
    room: 'vmm',
    cause: 'From 2026-08-11 on crosvm tries again without KVM_MEM_NON_COHERENT_DMA after EINVAL.',
    consequence: 'Under EPT the blob is WB+IPAT; a line in the log of crosvm is all that tells.',
    fix: 'A ChromeOS kernel, or a VMM that can disable the quirk.',
    sources: ['crosvm/retry', 'mail/cros-flag'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.16 --paging ept --vmm crosvm-noncoherent-dma-retry --map-info wc --backing ttm-wc --device nosnoop',
    find: flagDropped,
  },
  {
    code: 'MT243',
    severity: 'warning',
    title: 'The first blob of a window decides the memslot flag of all of them',
    room: 'vmm',
    cause:
      'With a fixed window crosvm makes one memslot at the first mapping; up to 2024-09-20 its flag is that ' +
      'of the first blob.',
    consequence: 'A WC blob behind a cached one is WB, and one behind a WC blob honours the guest.',
    fix: 'crosvm d93be1b11dfe (2024-09-20) or later.',
    sources: ['crosvm/first-mapping'],
    example:
      '--cpu intel --self-snoop yes --policy slot-flag --paging ept --vmm crosvm-noncoherent-dma --map-info wc --first-map-info cached --backing ttm-wc --device nosnoop',
    find: firstMapping,
  },
];
