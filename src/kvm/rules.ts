import type { VmxEra } from './decision.ts';
import type { GuestMtrrVersion } from './guest-mtrr.ts';
import type { HugePageRule } from './huge-page.ts';
import type { MmioRule } from './mmio.ts';
import type { NoncoherentRule } from './noncoherent.ts';
import type { ShadowEra } from './shadow.ts';
import type { SvmEra } from './svm.ts';
import type { ZapRules } from './zap.ts';

export type PagingMode = 'ept' | 'npt' | 'shadow';

/** Everything KVM decides about memory types in one version, or in one proposal. */
export interface KvmRules {
  /** "2.6.31", "6.16" (the first version with exactly these rules) or the name of a proposal. */
  readonly id: string;
  /** The kernels with exactly these rules, in words. */
  readonly kernels: string;
  readonly vmx: VmxEra;
  readonly svm: SvmEra;
  readonly mmio: MmioRule;
  /** Null from 6.11 on: guest MTRRs are storage only. */
  readonly guestMtrr: GuestMtrrVersion | null;
  readonly hugePage: HugePageRule;
  /** Flagged memslots (KVM_MEM_HOST_MEMTYPE) are limited too: one host type in a block. */
  readonly hugeFlagged: boolean;
  readonly noncoherent: NoncoherentRule;
  readonly zap: ZapRules;
  /** KVM_X86_QUIRK_CD_NW_CLEARED exists. */
  readonly hasCdQuirk: boolean;
  /** KVM_X86_QUIRK_IGNORE_GUEST_PAT exists: the VMM can opt out. */
  readonly hasPatQuirk: boolean;
  /** hva_to_pfn() refuses pages of a VM_PFNMAP mapping that carry no reference count of their own. */
  readonly needsRefcountedPages: boolean;
  /** Capability 236 is KVM_CAP_PRE_FAULT_MEMORY: not zero with EPT or NPT. */
  readonly hasPreFault: boolean;
  /** The VMX guest runs with its own PAT MSR; before, with the host's. */
  readonly vmxLoadsGuestPat: boolean;
  readonly shadow: ShadowEra;
  /** Paging modes that there are. */
  readonly pagings: readonly PagingMode[];
  /** Confidential guests that it runs. */
  readonly confidential: readonly ('tdx' | 'snp')[];
}
