import { LINUX_PAT } from '../../linux/pat-layout.ts';
import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { GUEST_CPU, isDeviceMemory, readsCached } from './advice.ts';

function changed(s: Situation, by: 'pat-off' | 'guest-mtrr' | 'reservation'): string | null {
  const { guest } = s;
  if (guest === null || guest.changedBy !== by || guest.requested === null) return null;
  return `The guest driver asked ${guest.requested} and its kernel ${
    guest.type === null ? 'refused the mapping' : `granted ${guest.type}`
  }`;
}

const FIRMWARE_FIX =
  'Have the firmware leave the range under a WB default (for OVMF: keep the hostmem BAR out of the UC aperture; for hvmloader of Xen: xen_platform_pci_bar_uc=0), or ask for WC in the driver.';
const OWN_STATE_FIX =
  'Ask for WC in the driver, or have the VMM put the BAR above 4 GiB. The hole is of the guest kernel itself (0dccbc75e18d: 6.18, 6.12.54), so that no firmware can change it.';

function confidentialKind({ inquiry }: Situation): 'tdx' | 'snp' | null {
  if (!inquiry.isGiven('confidential')) return null;
  const kind = inquiry.ask('confidential');
  return kind === 'no' ? null : kind;
}

function mtrrFix(s: Situation): string {
  if (isDeviceMemory(s)) {
    return 'Ask for WC in the driver where the device allows it: KVM or the host MTRR keeps device memory uncached under WB, too.';
  }
  return confidentialKind(s) === null ? FIRMWARE_FIX : OWN_STATE_FIX;
}

function byMtrr(s: Situation): Finding | null {
  const text = changed(s, 'guest-mtrr');
  if (text === null) return null;
  return {
    agents: ['firmware', 'guest kernel'],
    text: `${text}: the guest's MTRRs do not say WB over the range. KVM has no part in it, even where it ignores guest MTRRs.`,
    fix: mtrrFix(s),
  };
}

function byReservation(s: Situation): Finding | null {
  const text = changed(s, 'reservation');
  if (text === null) return null;
  return {
    agents: [GUEST_CPU],
    text: `${text}: an earlier mapping holds the range with that type.`,
    fix: 'Make the first mapping with the wanted type (ioremap_wc instead of ioremap), or drop it first.',
  };
}

function patFix(s: Situation): string {
  if (confidentialKind(s) === 'tdx') {
    return 'Use a guest kernel of 6.9 or later: it programs the PAT without CR0.CD (ffc92cf3db62). From 6.2 on (c11ca45441d5) a TDX guest only keeps the PAT that the firmware left, which after reset has no WC.';
  }
  return 'Show the guest PAT and MTRR in CPUID (old kernels skip PAT without MTRR), and do not boot it with nopat. A kernel of your own: write a PAT that has WC (Linux: slot 1), and use that slot.';
}

function patOff(s: Situation): Finding | null {
  const text = changed(s, 'pat-off');
  if (text === null) return null;
  return {
    agents: ['guest kernel'],
    text: `${text}: the guest kernel did not initialise PAT, and the reset PAT has no slot for it.`,
    fix: patFix(s),
  };
}

/** A driver that computes its page table bits for Linux' PAT. */
function otherSlot(s: Situation): Finding | null {
  if (!s.inquiry.isGiven('pat-index') || s.guest?.type === null || s.guest === null) return null;
  const layout = s.inquiry.ask('pat-layout');
  const index = s.inquiry.ask('pat-index');
  const linux = LINUX_PAT['wt-wp'][Number(index)];
  if (linux === undefined || linux === s.guest.type) return null;
  return {
    agents: ['guest driver', 'guest kernel'],
    text: `Index ${index} is ${s.guest.type} in this PAT (${layout}); in the one Linux programs it is ${linux}.`,
    fix:
      layout === 'zero'
        ? 'A PAT of 0 makes every mapping UC: treat it as no PAT (Linux does so since 9d34cfdf4796), and have the hypervisor show a real one.'
        : 'Take the index from the kernel (cachemode2protval) instead of counting on slot 1, or have the hypervisor offer the PAT of Linux.',
  };
}

/** What becomes of a UC that MTRRs would have given. */
function withoutUc(s: Situation): string {
  const { type } = s.result;
  if (!isDeviceMemory(s)) {
    return `Private memory is WB; shared memory has the type of the guest's page tables, here ${type}: what a device reads past the caches must be mapped WC.`;
  }
  return readsCached(type)
    ? `Here nothing else makes device memory uncached: it is ${type}.`
    : `No UC is lost: the host's side (KVM's leaf, on AMD the host MTRR) keeps a BAR UC under WB page tables, too; here it is ${type}. Shared RAM has no such guard: what a device reads past the caches must be mapped WC.`;
}

function withoutMtrrs(s: Situation): Finding | null {
  const kind = confidentialKind(s);
  if (kind === null) return null;
  const what =
    kind === 'tdx'
      ? 'In a TDX guest setting CR0.CD, and with it every change of an MTRR, ends in a #VE'
      : 'In an SEV-SNP guest the MTRRs that the hypervisor shows are not to be trusted';
  return {
    agents: ['firmware', 'guest kernel'],
    text: `${what}; MTRRs that are off there make nothing UC. ${withoutUc(s)}`,
    fix: 'Leave MTRRs and CR0.CD alone there (edk2 071d2cfab834 does), and map device memory UC or WC in the page tables. Linux from 6.12 on takes WB for its MTRRs (8e690b817e38), from 6.18 and 6.12.54 with a UC hole below 4 GiB.',
  };
}

/** What the guest kernel did to the request before KVM saw anything. */
export const GUEST: readonly VerdictDefinition[] = [
  {
    code: 'MT220',
    severity: 'warning',
    title: 'The guest kernel downgrades WB to UC- because of its MTRRs',
    room: 'firmware',
    cause:
      'pat_x_mtrr_type() in the guest: a WB request over a range whose MTRR is not WB becomes UC-.',
    consequence:
      'Slow wherever the guest PAT is honoured (AMD, non-coherent DMA, quirk off); hidden elsewhere.',
    fix: 'Change the MTRR plan of the firmware, or the type the driver asks for.',
    sources: ['linux/pat_x_mtrr_type', 'mail/mtrr-question'],
    example:
      '--cpu amd --kernel 6.8 --paging npt --backing memfd --guest-request WB --guest-mtrr UC',
    find: byMtrr,
  },
  {
    code: 'MT221',
    severity: 'warning',
    title: 'An earlier reservation in the guest decides the type',
    room: 'guest',
    cause: 'The memtype tracker gives a later request the type of the entry already there.',
    consequence: 'A WC request silently becomes UC-: the bochs frame buffer of 2024.',
    fix: 'Reserve with the wanted type first.',
    sources: ['linux/memtype_check_conflict', 'linux/is_new_memtype_allowed', 'mail/bochs-report'],
    example:
      '--cpu intel --self-snoop yes --policy honor-guest-pat --paging ept --backing ram --guest-request WC --guest-reservation UC-',
    find: byReservation,
  },
  {
    code: 'MT222',
    severity: 'warning',
    title: 'The guest did not initialise its PAT',
    room: 'guest',
    cause: 'CPUID hides PAT or MTRR, or the guest was booted with nopat.',
    consequence: 'WC requests become UC-: slow graphics.',
    fix: 'Fix the CPUID that the VMM shows.',
    sources: ['linux/pat_bp_init', 'linux/c11ca45441d5'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing ram --guest-request WC --guest-pat no',
    find: patOff,
  },
  {
    code: 'MT223',
    severity: 'info',
    title: 'A confidential guest has no MTRRs of its own',
    room: 'firmware',
    cause: 'TDX and SEV-SNP give the guest no MTRRs and no CR0.CD that it could rely on.',
    consequence: 'Firmware that writes them gets a #VE; Linux replaces them by a state of its own.',
    fix: 'Use the PAT.',
    sources: ['edk2/td-mtrr', 'linux/guest_force_mtrr_state', 'kvm/x86.c-quirks'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.18 --paging ept --confidential tdx --backing bar --guest UC-',
    find: withoutMtrrs,
  },
  {
    code: 'MT224',
    severity: 'warning',
    title: 'The PAT index means another type than in the PAT of Linux',
    room: 'guest',
    cause:
      'A driver or hypervisor counts on the slots of another PAT: Xen has WT where Linux has WC.',
    consequence: 'WC mappings that are WT, or a driver that finds no WC and gives up.',
    fix: 'Look the slot up instead of assuming it.',
    sources: ['linux/pat_bp_init', 'xen/XEN_MSR_PAT', 'nvidia/nv-pat', 'pr/qubes-pat'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing bar-wc --pat-index 1 --pat-layout xen',
    find: otherSlot,
  },
];
