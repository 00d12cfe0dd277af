import type { SourceId } from '../cite/sources.ts';
import type { EptLeaf } from '../x86/ept.ts';
import type { MtrrType, PatType } from '../x86/types.ts';

/**
 * What vmx_get_mt_mask() of any era looks at, under the kernel's own names. Each is asked only when the
 * function would ask it, so that an unknown fact matters only where the kernel looks.
 */
export interface VmxInputs {
  /** kvm_is_mmio_pfn() of the first pfn of the mapping. */
  readonly is_mmio: () => boolean;
  /** kvm_arch_has_noncoherent_dma(); up to 3.12 a legacy IOMMU domain that is not coherent. */
  readonly noncoherent_dma: () => boolean;
  /** CR0.CD as the guest sees it. */
  readonly cr0_cd: () => boolean;
  /** KVM_X86_QUIRK_CD_NW_CLEARED still in force. */
  readonly quirk_cd_nw_cleared: () => boolean;
  /** KVM_X86_QUIRK_IGNORE_GUEST_PAT still in force. */
  readonly quirk_ignore_guest_pat: () => boolean;
  /** X86_FEATURE_SELFSNOOP after errata. */
  readonly self_snoop: () => boolean;
  /** The guest's MTRR type of the gfn, as this kernel evaluates it. */
  readonly guest_mtrr: () => MtrrType;
  /** The memory type the host tracks for the page (lookup_memtype); asked by proposals only. */
  readonly host_memtype: () => MtrrType;
  /** The type in the VMM's own page tables (its PTE for the hva); asked by proposals only. */
  readonly vmm_mapping: () => MtrrType;
  /** The host's MTRR type of the page; asked by hypervisors other than KVM only. */
  readonly host_mtrr: () => MtrrType;
  /** The memslot carries ChromeOS' KVM_MEM_NON_COHERENT_DMA; asked by that proposal only. */
  readonly slot_noncoherent: () => boolean;
  /** The memslot carries KVM_MEM_HOST_MEMTYPE; asked by that proposal only. */
  readonly slot_host_memtype: () => boolean;
  /** The VM has an assigned device; asked by hypervisors other than KVM only. */
  readonly assigned_device: () => boolean;
}

/** A test with the words the kernel uses for it. */
export interface Condition<Q> {
  readonly text: string;
  readonly holds: (inputs: Q) => boolean;
}

/** One line of a decision list. `when: null` is the final return. */
export interface Decision<Q, R> {
  readonly when: Condition<Q> | null;
  readonly returns: R;
  readonly why: string;
  /** What brought this line; null: what brought the list. */
  readonly source: SourceId | null;
}

/** A kernel function laid out as its sequence of returns: the first line that applies decides. */
export type DecisionList<Q, R> = readonly Decision<Q, R>[];

/** The memory-type bits an era puts into an EPT leaf. */
export interface EptChoice {
  readonly memtype: MtrrType | 'guest_mtrr' | 'host_memtype' | 'vmm_mapping' | 'host_mtrr';
  readonly ipat: boolean;
}

export const IPAT = true;

export function ept(memtype: EptChoice['memtype'], ipat: boolean = false): EptChoice {
  return { memtype, ipat };
}

export function when<Q, R>(
  condition: Condition<Q>,
  returns: R,
  why: string,
  source: SourceId | null = null,
): Decision<Q, R> {
  return { when: condition, returns, why, source };
}

export function otherwise<Q, R>(
  returns: R,
  why: string,
  source: SourceId | null = null,
): Decision<Q, R> {
  return { when: null, returns, why, source };
}

export function not<Q>(c: Condition<Q>): Condition<Q> {
  return { text: `!${c.text}`, holds: (q) => !c.holds(q) };
}

/** All of them, asked from left to right, as && does. */
export function all<Q>(...cs: readonly Condition<Q>[]): Condition<Q> {
  return { text: cs.map((c) => c.text).join(' && '), holds: (q) => cs.every((c) => c.holds(q)) };
}

/** Any of them, asked from left to right, as || does. */
export function any<Q>(...cs: readonly Condition<Q>[]): Condition<Q> {
  return {
    text: `(${cs.map((c) => c.text).join(' || ')})`,
    holds: (q) => cs.some((c) => c.holds(q)),
  };
}

function input<K extends keyof VmxInputs>(name: K): Condition<VmxInputs> {
  return { text: name, holds: (q) => q[name]() === true };
}

export const is_mmio = input('is_mmio');
export const noncoherent_dma = input('noncoherent_dma');
export const cr0_cd = input('cr0_cd');
export const quirk_cd_nw_cleared = input('quirk_cd_nw_cleared');
export const quirk_ignore_guest_pat = input('quirk_ignore_guest_pat');
export const self_snoop = input('self_snoop');
export const slot_noncoherent = input('slot_noncoherent');
export const slot_host_memtype = input('slot_host_memtype');
export const assigned_device = input('assigned_device');

/** The first decision that applies, with its line number counted from 1. */
export function decide<Q, R>(
  list: DecisionList<Q, R>,
  inputs: Q,
): { readonly line: number; readonly decision: Decision<Q, R> } {
  for (const [i, decision] of list.entries()) {
    if (decision.when === null || decision.when.holds(inputs)) return { line: i + 1, decision };
  }
  throw new RangeError('a decision list must end with otherwise()');
}

/** UC- has no encoding in an EPT leaf; UC without IPAT leaves the guest the same choice. */
export function eptTypeOf(type: PatType): MtrrType {
  return type === 'UC-' ? 'UC' : type;
}

/** The leaf that an EPT choice stands for, the named lookups filled in. */
export function eptLeaf(choice: EptChoice, inputs: VmxInputs): EptLeaf {
  const { memtype, ipat } = choice;
  if (memtype === 'guest_mtrr') return { memtype: inputs.guest_mtrr(), ipat };
  if (memtype === 'host_memtype') return { memtype: inputs.host_memtype(), ipat };
  if (memtype === 'vmm_mapping') return { memtype: inputs.vmm_mapping(), ipat };
  if (memtype === 'host_mtrr') return { memtype: inputs.host_mtrr(), ipat };
  return { memtype, ipat };
}

/** How KVM types EPT leaves over a span of kernels, laid out like the C function. */
export interface VmxEra {
  /** E0 to E11, or the name of a proposal. */
  readonly id: string;
  /** Kernels, in words. */
  readonly kernels: string;
  /** What started it and what it is known from. */
  readonly sources: readonly [SourceId, ...SourceId[]];
  /** The function that decides, by its name in that era. */
  readonly where: string;
  readonly vmx_get_mt_mask: DecisionList<VmxInputs, EptChoice>;
  /** Who felt the change. */
  readonly felt: string;
}
