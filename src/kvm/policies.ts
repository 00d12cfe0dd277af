import { must } from '../base/assert.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { ERAS } from './eras/index.ts';
import { MMIO_BY_MTRR, MMIO_INVALID_RAM_PAT, MMIO_SEED_PATCH } from './mmio.ts';
import {
  HOST_PAT_SHADOW,
  HOST_PAT_SVM,
  HOST_PAT_TRACKED_SHADOW,
  HOST_PAT_TRACKED_SVM,
  HOST_PAT_TRACKED_VMX,
  HOST_PAT_VMX,
  withHostPatSlot,
  withHostPatSlotInShadow,
  withHostPatSlotOnSvm,
} from './proposals/host-pat.ts';
import { MTRR_TO_EPT_VMX } from './proposals/mtrr-to-ept.ts';
import { withSlotFlag } from './proposals/slot-flag.ts';
import { XEN_MMIO, XEN_SVM, XEN_VMX } from './proposals/xen.ts';
import type { KvmRules } from './rules.ts';
import { ALL_KERNEL_RULES, spanOf } from './timeline.ts';
import {
  ZAP_HOST_PAT,
  ZAP_HOST_PAT_TRACKED,
  ZAP_XEN,
  zapWithHostPatSlot,
  zapWithSlotFlag,
} from './zap.ts';

/** A change of the rules that somebody proposed: what it replaces in the rules of a kernel. */
export interface Proposal {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** The kernel it was posted against. */
  readonly base: string;
  readonly apply: (kernel: KvmRules) => KvmRules;
}

export const PROPOSALS: readonly Proposal[] = [
  {
    id: 'wc-as-mmio',
    title: 'Treat WC memory as MMIO (the founding patch)',
    text:
      'kvm_is_mmio_pfn() also says MMIO for any page the host tracks as WC: EPT UC without IPAT, so the ' +
      'guest can have UC or WC, never WB.',
    base: '6.8',
    apply: (kernel) => ({ ...kernel, id: 'wc-as-mmio', mmio: MMIO_SEED_PATCH }),
  },
  {
    id: 'honor-guest-pat',
    title: 'Always honour the guest PAT on CPUs with self-snoop (as in 6.11-rc)',
    text: 'EPT WB without IPAT for RAM when the CPU has self-snoop; guest MTRRs and CR0.CD dropped.',
    base: '6.11-rc1',
    apply: (kernel) => {
      const { vmx, hugePage, zap } = rulesOfBase('6.11-rc1');
      const id = 'honor-guest-pat';
      return { ...kernel, id, vmx, hugePage, zap, guestMtrr: null, hasPatQuirk: false };
    },
  },
  {
    id: 'host-pat',
    title: "The ideal of the founding mail: exactly the host's type, and the guest PAT on top",
    text:
      "Exactly the type that the VMM's own page tables have for the page, with the guest PAT honoured on " +
      'top, for all of guest memory, under EPT, NPT and shadow paging. Never built; docs/ideal.md has the ' +
      'reasons.',
    base: '6.16',
    apply: (kernel) => ({
      ...kernel,
      id: 'host-pat',
      vmx: HOST_PAT_VMX,
      svm: HOST_PAT_SVM,
      shadow: HOST_PAT_SHADOW,
      guestMtrr: null,
      hugePage: 'one-host-type',
      zap: ZAP_HOST_PAT,
    }),
  },
  {
    id: 'host-pat-tracked',
    title: 'The ideal to the letter: the type that the host tracks (lookup_memtype)',
    text:
      'As host-pat, but KVM asks the tracker instead of the page tables of the VMM. i915 writes WC into ' +
      'page tables without telling the tracker, and the ISA range is exempt from tracking.',
    base: '6.16',
    apply: (kernel) => ({
      ...kernel,
      id: 'host-pat-tracked',
      vmx: HOST_PAT_TRACKED_VMX,
      svm: HOST_PAT_TRACKED_SVM,
      shadow: HOST_PAT_TRACKED_SHADOW,
      guestMtrr: null,
      hugePage: 'one-host-type',
      zap: ZAP_HOST_PAT_TRACKED,
    }),
  },
  {
    id: 'host-pat-slot',
    title: 'The ideal behind a memslot flag, KVM_MEM_HOST_MEMTYPE (proposed here)',
    text:
      'host-pat for flagged memslots only, and the rules of the kernel for all others: who does not ask ' +
      'for it keeps every bit. docs/ideal.md has the reasons.',
    base: '6.16',
    apply: (kernel) => ({
      ...kernel,
      id: 'host-pat-slot',
      vmx: withHostPatSlot(kernel.vmx),
      svm: withHostPatSlotOnSvm(kernel.svm),
      shadow: withHostPatSlotInShadow(kernel.shadow),
      hugeFlagged: true,
      zap: zapWithHostPatSlot(kernel.zap),
    }),
  },
  {
    id: 'mmio-by-mtrr',
    title: 'Ask the MTRRs, not the host PAT, whether a page is MMIO (2026, our reading)',
    text:
      'kvm_is_mmio_pfn() asks the host MTRRs instead of PageReserved and the tracked memory type. Read from ' +
      'the size of the hunk of a trial patch and from what its author said; its new lines are not public.',
    base: '6.16',
    apply: (kernel) => ({ ...kernel, id: 'mmio-by-mtrr', mmio: MMIO_BY_MTRR }),
  },
  {
    id: 'slot-flag',
    title: 'KVM_MEM_NON_COHERENT_DMA, a memslot flag (ChromeOS)',
    text: 'The guest PAT is honoured for the RAM of flagged memslots only.',
    base: '6.6',
    apply: (kernel) => ({
      ...kernel,
      id: 'slot-flag',
      vmx: withSlotFlag(kernel.vmx),
      zap: zapWithSlotFlag(kernel.zap),
    }),
  },
  {
    id: 'invalid-ram-pat',
    title: 'Ask the tracker for RAM without a struct page (2024-05-07)',
    text: 'A pfn without a struct page that the raw e820 calls RAM is MMIO if the host tracks it UC or WC.',
    base: '6.8',
    apply: (kernel) => ({ ...kernel, id: 'invalid-ram-pat', mmio: MMIO_INVALID_RAM_PAT }),
  },
];

/** What hypervisors other than KVM do, by the same names; no part of what KVM was or may be. */
export const OTHER_HYPERVISORS: readonly Proposal[] = [
  {
    id: 'mtrr-to-ept',
    title: 'Not KVM: a thin hypervisor that puts the MTRR type of each page into its EPT',
    text:
      'A hypervisor under a running system must do itself what MTRRs did: under EPT the CPU asks them no ' +
      'more. The leaf has the MTRR type of the page and IPAT=0, and the guest PAT counts as before.',
    base: '6.16',
    apply: (kernel) => ({
      ...kernel,
      id: 'mtrr-to-ept',
      vmx: MTRR_TO_EPT_VMX,
      guestMtrr: null,
      hasPatQuirk: false,
      pagings: ['ept'],
      confidential: [],
    }),
  },
  {
    id: 'xen',
    title: 'Xen: epte_get_entry_emt(), for comparison',
    text:
      'RAM of a domain without devices is WB with IPAT; with a device, guest MTRR and host MTRR are ' +
      'combined and the guest PAT counts. Assigned MMIO is UC, and on AMD UC- in the nested leaf. RAM and ' +
      'assigned MMIO only; shadow paging of Xen is not part of it.',
    base: '6.16',
    apply: (kernel) => ({
      ...kernel,
      id: 'xen',
      vmx: XEN_VMX,
      svm: XEN_SVM,
      mmio: XEN_MMIO,
      guestMtrr: null,
      zap: ZAP_XEN,
      hasCdQuirk: false,
      hasPatQuirk: false,
      pagings: ['ept', 'npt'],
      confidential: [],
    }),
  },
];

/** Every policy that is no era. */
export const NAMED_POLICIES: readonly Proposal[] = [...PROPOSALS, ...OTHER_HYPERVISORS];

function rulesOfBase(version: string): KvmRules {
  const span = must(spanOf(parseKernelVersion(version)), `no rules for ${version}`);
  return must(span.rules[0], 'a span has rules');
}

/** A proposal on the kernel it was posted against. */
export function proposalRules(proposal: Proposal): KvmRules {
  return proposal.apply(rulesOfBase(proposal.base));
}

/**
 * The sets of rules a policy name stands for: an era (E0 to E11: every span of kernels with it) or a
 * proposal on its own base. Empty for an unknown name.
 */
export function rulesOfPolicy(name: string): readonly KvmRules[] {
  const proposal = NAMED_POLICIES.find((p) => p.id === name);
  if (proposal !== undefined) return [proposalRules(proposal)];
  return ALL_KERNEL_RULES.filter((rules) => rules.vmx.id === name.toUpperCase());
}

/** Every policy name, eras first. */
export const POLICY_NAMES: readonly string[] = [
  ...ERAS.map((era) => era.id),
  ...NAMED_POLICIES.map((p) => p.id),
];
