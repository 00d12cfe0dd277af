import { must } from '../base/assert.ts';
import type { SourceId } from '../cite/sources.ts';
import { LINUX_PAT, slotFor } from '../linux/pat-layout.ts';
import { PAT_RESET, patLayout } from '../x86/pat.ts';
import type { MtrrType, PatType } from '../x86/types.ts';
import { all, type Condition, type DecisionList, not, otherwise, when } from './decision.ts';

/** What KVM/SVM looks at when it types a nested leaf. */
export interface SvmInputs {
  readonly is_mmio: () => boolean;
  /** kvm_arch_has_assigned_device(): any device, coherent or not; asked by 4.2 only. */
  readonly assigned_device: () => boolean;
  /** The memslot carries KVM_MEM_HOST_MEMTYPE; asked by that proposal only. */
  readonly slot_host_memtype: () => boolean;
}

/**
 * The type a nested leaf asks of the host PAT: index 0 (KVM refuses to load unless that is WB, from
 * 6.0), the guest's MTRR type; in proposals the type the host tracks for the page or the type in the
 * VMM's page tables; in Xen index 2 (PCD).
 */
export type NptLeafChoice = 'PA0' | 'guest_mtrr' | 'host_memtype' | 'vmm_mapping' | 'PCD';

/**
 * What the VMCB's g_pat holds while the guest runs.
 *
 * - `reset`: the value after reset; guest writes to the PAT MSR are stored but never reach hardware
 * - `all-wb`: every entry WB, to imitate IPAT
 * - `guest`: the guest's PAT MSR
 */
export type GuestPatChoice = 'reset' | 'all-wb' | 'guest';

/** How KVM types nested pages on AMD over a span of kernels. */
export interface SvmEra {
  readonly id: string;
  readonly kernels: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
  readonly npt_leaf: DecisionList<SvmInputs, NptLeafChoice>;
  readonly g_pat: DecisionList<SvmInputs, GuestPatChoice>;
  readonly note: string;
}

export const is_mmio: Condition<SvmInputs> = { text: 'is_mmio', holds: (q) => q.is_mmio() };
const assigned_device: Condition<SvmInputs> = {
  text: 'assigned_device',
  holds: (q) => q.assigned_device(),
};

export const slotHostMemtype: Condition<SvmInputs> = {
  text: 'slot_host_memtype',
  holds: (q) => q.slot_host_memtype(),
};

const PA0_ALWAYS: DecisionList<SvmInputs, NptLeafChoice> = [
  otherwise('PA0', 'KVM leaves PWT, PCD and PAT of the nested leaf at 0'),
];

export const S0: SvmEra = {
  id: 'S0',
  kernels: '2.6.26 to 4.1',
  sources: ['kvm/svm.c'],
  npt_leaf: PA0_ALWAYS,
  g_pat: [otherwise('reset', 'g_pat is the constant 0007040600070406')],
  note: "The guest's PAT index is decoded with the reset PAT: a Linux guest's WC (PA1) becomes WT.",
};

export const S1: SvmEra = {
  id: 'S1',
  kernels: '4.2.0 to 4.2.3, 4.3-rc1 to 4.3-rc3',
  sources: ['kvm/3c2e7f7de324', 'kvm/549283037017'],
  npt_leaf: [
    when(
      all(not(is_mmio), not(assigned_device)),
      'PA0',
      'RAM of a VM without an assigned device: WB',
    ),
    otherwise('guest_mtrr', 'the guest MTRR type, at its lowest slot in the host PAT'),
  ],
  g_pat: [
    when(assigned_device, 'guest', "an assigned device: the guest's own PAT"),
    otherwise('all-wb', 'no assigned device: g_pat 0606060606060606 imitates IPAT'),
  ],
  note: 'Reverted: the PAT map was not deterministic, and guests booted very slowly (bug 103321).',
};

export const S2: SvmEra = {
  id: 'S2',
  kernels: '4.3 (and 4.2.4) to 4.14.2',
  sources: ['kvm/fc07e76ac7ff', 'kvm/svm.c'],
  npt_leaf: PA0_ALWAYS,
  g_pat: [otherwise('reset', 'g_pat is sampled when the VMCB is initialised: the reset value')],
  note:
    'Guest writes to the PAT MSR do not reach hardware, unless the vCPU gets an INIT after the write, ' +
    'which samples it again.',
};

export const S3: SvmEra = {
  id: 'S3',
  kernels: '4.15 to 7.3, 4.14.3 and later 4.14.y',
  sources: ['kvm/15038e147247', 'kvm/svm.c', 'lab/ept-traces'],
  npt_leaf: PA0_ALWAYS,
  g_pat: [otherwise('guest', "g_pat is the guest's PAT MSR, updated on every write")],
  note: 'The guest PAT is always honoured, guest MTRRs never; the quirk changes nothing on AMD.',
};

export const SVM_ERAS: readonly SvmEra[] = [S0, S1, S2, S3];

/** Of the guest MTRR types, the host PAT of 4.2 had no slot for WP and took UC- instead. */
export function nestedTypeOf(guestMtrr: MtrrType): PatType {
  return guestMtrr === 'WP' ? 'UC-' : guestMtrr;
}

const RESET_LAYOUT = must(patLayout(PAT_RESET), 'reset value of the PAT');

/** What the PTE of a Linux guest that wants `type` means under the PAT after reset. */
export function decodedByReset(type: PatType): PatType {
  return must(RESET_LAYOUT[slotFor(LINUX_PAT['wt-wp'], type)], 'PAT index');
}

/**
 * What the guest's PTE means under the PAT that a host of 2.6.26 to 2.6.28 has: VMX did not load the
 * guest's PAT then.
 */
export function decodedByHost(type: PatType, layout: 'linux' | 'reset'): PatType {
  const index = layout === 'reset' ? RESET_LAYOUT.indexOf(type) : slotFor(LINUX_PAT['wt-wp'], type);
  return index < 0 ? type : must(LINUX_PAT.wc[index], 'PAT index');
}
