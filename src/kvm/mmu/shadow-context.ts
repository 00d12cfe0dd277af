import type { ShadowPage, ShadowRole } from './shadow-page.ts';
import type { WalkSettings } from './walk-format.ts';

/** A root that a vCPU may come back to: kvm_mmu_root_info. */
export interface RootInfo {
  readonly page: ShadowPage;
  /** CR3 as it was; of direct roots 0. */
  readonly pgd: number;
}

/** KVM_MMU_NUM_PREV_ROOTS. */
export const PREVIOUS_ROOTS = 3;

/** What a vCPU last emulated without memory: kvm_vcpu_arch.mmio_gva and its neighbours. */
export interface MmioCache {
  /** Page of the linear address, or of the gpa where there is no translation. */
  readonly page: number;
  readonly gfn: number;
  readonly access: number;
  /** Generation of the memslots: older ones do not count. */
  readonly generation: number;
}

/** How one vCPU is paged at a time: struct kvm_mmu. */
export interface ShadowContext {
  /** How the guest's own tables are read; not of direct roots. */
  settings: WalkSettings;
  rootRole: ShadowRole;
  root: RootInfo | null;
  previous: RootInfo[];
  mmio: MmioCache | null;
}
