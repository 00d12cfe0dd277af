import type { ShadowPage, ShadowRole } from './shadow-page.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';
import type { WalkMemory } from './walk.ts';
import type { WalkSettings } from './walk-format.ts';

/** A root that a vCPU may come back to: kvm_mmu_root_info. */
export interface RootInfo {
  readonly page: ShadowPage;
  /** CR3 as it was; of direct roots 0. */
  readonly pgd: number;
}

/** KVM_MMU_NUM_PREV_ROOTS. */
export const PREVIOUS_ROOTS = 3;

/** How one vCPU is paged at a time: struct kvm_mmu. */
export interface ShadowContext {
  readonly vm: Vm;
  readonly vcpu: Vcpu;
  /** How KVM reads and writes the tables of the guest. */
  readonly memory: WalkMemory;
  /** Leaves depend on the PAT index of the guest's leaf: no kernel does that. */
  readonly usesGuestPat: boolean;
  /** EPT entries may lack R: one without any permission is not present. */
  readonly executeOnly: boolean;
  /** How the guest's own tables are read; not of direct roots. */
  settings: WalkSettings;
  rootRole: ShadowRole;
  /** CR3, nCR3 or EPTP; 0 of direct roots. */
  pgd: number;
  /** CR0, CR3, CR4 and EFER that all this follows from; null: it has to be asked for anew. */
  from: readonly [cr0: number, cr3: number, cr4: number, efer: number] | null;
  root: RootInfo | null;
  previous: RootInfo[];
  /** KVM_REQ_MMU_SYNC: the guest flushed its TLB. */
  needsSync: boolean;
}
