import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { GUEST_CPU } from './advice.ts';

function changed(s: Situation, by: 'pat-off' | 'guest-mtrr' | 'reservation'): string | null {
  const { guest } = s;
  if (guest === null || guest.changedBy !== by || guest.requested === null) return null;
  return `The guest driver asked ${guest.requested} and its kernel ${
    guest.type === null ? 'refused the mapping' : `granted ${guest.type}`
  }`;
}

function byMtrr(s: Situation): Finding | null {
  const text = changed(s, 'guest-mtrr');
  if (text === null) return null;
  return {
    agents: ['firmware', 'guest kernel'],
    text: `${text}: the guest's MTRRs do not say WB over the range. KVM has no part in it, even where it ignores guest MTRRs.`,
    fix: 'Have the firmware leave the range under a WB default (for OVMF: keep the hostmem BAR out of the UC aperture), or ask for WC in the driver.',
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

function patOff(s: Situation): Finding | null {
  const text = changed(s, 'pat-off');
  if (text === null) return null;
  return {
    agents: ['guest kernel'],
    text: `${text}: the guest kernel did not initialise PAT, and the reset PAT has no slot for it.`,
    fix: 'Show the guest PAT and MTRR in CPUID (old kernels skip PAT without MTRR), and do not boot it with nopat.',
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
    sources: ['linux/pat_bp_init'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing ram --guest-request WC --guest-pat no',
    find: patOff,
  },
];
