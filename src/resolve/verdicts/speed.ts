import type { Finding, Situation, VerdictDefinition } from '../verdict.ts';
import { GUEST_CPU, isUncached } from './advice.ts';

/** RAM whose accesses go out one by one. */
function slowRam(s: Situation): Finding | null {
  if (s.isMmio && s.paging === 'ept') return null;
  if (s.backing?.page.device === true || !isUncached(s.result.type)) return null;
  const askedUncached = s.guest?.type === 'UC' || s.guest?.type === 'UC-';
  return {
    agents: [GUEST_CPU],
    text: `RAM accessed ${s.result.type}: every load and store goes to memory alone, 4 to 25 times the cost of a cached or WC store.`,
    fix: askedUncached
      ? 'Map it WC (or WB where every device snoops) in the guest.'
      : 'Find which step below made it uncached; guest MTRRs and CR0.CD are the usual ones.',
  };
}

/** The founding patch: pages the host made WC are UC for a guest that wants WB. */
function wcForcedUc(s: Situation): Finding | null {
  if (!s.isMmio || s.paging !== 'ept') return null;
  if (s.backing?.page.device === true || !isUncached(s.result.type)) return null;
  return {
    agents: [GUEST_CPU],
    text:
      `KVM takes this RAM for MMIO and makes the EPT type UC; the guest can reach UC or WC only and gets ` +
      `${s.result.type}: coherent, but every access goes to memory alone.`,
    fix: 'Map it WC in the guest, which EPT UC still allows.',
  };
}

/** Device memory that could be WC. */
function slowBar(s: Situation): Finding | null {
  if (s.backing?.page.device !== true || !isUncached(s.result.type)) return null;
  if (s.guest?.type !== 'WB' && s.guest?.type !== 'WT' && s.guest?.type !== 'WP') return null;
  return {
    agents: [GUEST_CPU],
    text: `The guest asked ${s.guest.type} for device memory and gets ${s.result.type}. Where the BAR is prefetchable, WC would be allowed.`,
    fix: 'Map the BAR WC in the guest (ioremap_wc, pgprot_writecombine).',
  };
}

export const SPEED: readonly VerdictDefinition[] = [
  {
    code: 'MT301',
    severity: 'warning',
    title: 'RAM is accessed uncached',
    room: 'cpu',
    cause: "The guest's type, a guest MTRR or CR0.CD made RAM UC (on AMD: CD).",
    consequence: 'Store: 206 ns instead of 9 (Sapphire Rapids), 35 instead of 10 (Coffee Lake-S).',
    fix: 'Ask for WC, or for WB where every device snoops.',
    sources: ['perf/yan-2024-09-05'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing ram --guest UC-',
    find: slowRam,
  },
  {
    code: 'MT302',
    severity: 'warning',
    title: 'RAM taken for MMIO is uncached for the guest',
    room: 'kvm',
    cause:
      'kvm_is_mmio_pfn() says MMIO for RAM: wc-as-mmio, DAX before 4.16, the zero page up to 3.16 and in 3.18 to 4.1.',
    consequence: 'Correct, and 4 to 25 times slower per store than WC or WB.',
    fix: 'Map it WC in the guest, or use a kernel that does not take it for MMIO.',
    sources: ['mail/seed-patch', 'mail/seed', 'perf/yan-2024-09-05'],
    example:
      '--cpu intel --self-snoop yes --kernel 6.8 --policy wc-as-mmio --paging ept --backing ttm-wc --guest WB --device nosnoop',
    find: wcForcedUc,
  },
  {
    code: 'MT303',
    severity: 'info',
    title: 'Device memory is uncached for the guest',
    room: 'guest',
    cause: 'The guest asks a cacheable type for a BAR; the EPT leaf or the host MTRR is UC.',
    consequence: 'No write combining.',
    fix: 'Map prefetchable BARs WC in the guest.',
    sources: ['sdm/t11-7', 'apm/t15-20'],
    example: '--cpu intel --kernel 6.8 --paging ept --backing bar --guest WB',
    find: slowBar,
  },
];
