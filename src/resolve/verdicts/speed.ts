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
    text: `The guest asked ${s.guest.type} for device memory and gets ${s.result.type}: each load and store goes over the bus alone. Where the BAR is prefetchable, WC would be allowed, which combines stores.`,
    fix: 'Map the BAR WC in the guest (ioremap_wc, pgprot_writecombine; in page tables of your own, a PAT slot that holds WC).',
  };
}

/** Write combining combines writes: a load goes out alone, as every access to an uncached BAR does. */
function slowReads(s: Situation): Finding | null {
  if (!s.inquiry.isGiven('workload') || s.inquiry.ask('workload') !== 'reads') return null;
  const { type } = s.result;
  const combines = type === 'WC' || type === 'WC+';
  if (!combines && !(s.backing?.page.device === true && isUncached(type))) return null;
  const what = combines
    ? `memory that is ${type}: each load goes to memory, or over the bus, alone`
    : `device memory that is ${type}: each load, and each store too, goes over the bus alone`;
  return {
    agents: [GUEST_CPU],
    text: `The guest reads ${what}; some 50 MB/s were measured, 350 times below cached reads.`,
    fix: `Read back from cached memory (Vulkan: HOST_CACHED; copy on the GPU first), or with MOVNTDQA${combines ? '' : ' from a WC mapping'}; keep WC for what is only written.`,
  };
}

function throughVfio(s: Situation): Finding | null {
  if (!s.inquiry.isGiven('guest-driver') || s.inquiry.ask('guest-driver') !== 'vfio-pci')
    return null;
  if (s.backing?.page.device !== true || !isUncached(s.result.type)) return null;
  return {
    agents: ['guest kernel', 'device'],
    text: 'vfio-pci gives its BARs to user space with pgprot_noncached (UC-): no write combining for a driver in user space.',
    fix: 'Let a kernel driver map the BAR WC, or use a vfio-pci that can; from 6.12 on an entry WC of somebody else in the memtype list wins. Look for the BAR in /sys/kernel/debug/x86/pat_memtype_list (before 6.12; later vfio BARs are not listed).',
  };
}

/** Pages that the host maps one by one, with a look at the tracker for each. */
function faultsLookUp(s: Situation): Finding | null {
  if (!s.inquiry.isGiven('workload') || s.inquiry.ask('workload') !== 'faults') return null;
  if (s.backing === null || !(s.backing.page.highOrder || s.backing.page.device)) return null;
  return {
    agents: ['host'],
    text: 'Each fault on such a mapping looks up the type of its page (lookup_memtype), which walks the resource tree to tell RAM from the rest (find_next_res): a few percent of the CPU where much is mapped and unmapped.',
    fix: 'Keep the buffers mapped. Larger mappings do not help: the look-up is made for each page. The type is not at fault: no other one makes the look-up cheaper. A guest pays the same on its first touch of such a page.',
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
  {
    code: 'MT304',
    severity: 'warning',
    title: 'The guest reads from memory that is not cached',
    room: 'guest',
    cause:
      'WC memory is fast to write and uncached to read; a BAR that is not even WC is slow for both.',
    consequence: 'Readback at some 50 MB/s; compositing in place, or scrolling by copying, crawls.',
    fix: 'Use cached memory for what is read.',
    sources: ['sdm/types', 'perf/sogen'],
    example: '--cpu amd --kernel 6.8 --paging npt --backing bar-wc --guest WC --workload reads',
    find: slowReads,
  },
  {
    code: 'MT305',
    severity: 'info',
    title: 'User space reaches the BAR through vfio-pci: uncached, no write combining',
    room: 'guest',
    cause: 'vfio-pci maps BARs with pgprot_noncached.',
    consequence: 'Push models of network cards (ENA LLQ) write one by one.',
    fix: 'A kernel driver, or a vfio-pci with write combining.',
    sources: ['linux/vfio_pci'],
    example: '--cpu intel --kernel 6.8 --paging ept --backing bar --guest-driver vfio-pci',
    find: throughVfio,
  },
  {
    code: 'MT306',
    severity: 'info',
    title: 'Each fault looks up the memory type in the tracker',
    room: 'host',
    cause:
      'vmf_insert_pfn() asks lookup_memtype() for each page; kvm_is_mmio_pfn() asks it for reserved ones.',
    consequence: '3 to 6 % of the CPU in find_next_res() were seen on amdgpu buffers.',
    fix: 'Fewer faults: longer-lived mappings. Larger ones do not help: each page is looked up.',
    sources: ['linux/vmf_insert_pfn', 'linux/lookup_memtype', 'perf/prosper-3338'],
    example:
      '--cpu amd --kernel 6.16 --paging npt --backing ttm-cached --guest WB --device snoop --workload faults',
    find: faultsLookUp,
  },
];
