import type { Memslot } from './memslots.ts';
import type { MmuPage } from './page-tables.ts';
import type { Vcpu } from './vcpu.ts';

/** What became of a fault: RET_PF_*, and -EFAULT and -EHWPOISON to the VMM. */
export type FaultResult =
  | 'fixed'
  | 'spurious'
  | 'retry'
  /** KVM emulates the instruction: an MMIO SPTE, no memslot, or a write that it does not map. */
  | 'emulate'
  | 'efault'
  | 'hwpoison'
  /** The guest gets a #PF: shadow paging only. */
  | 'guest-fault';

/** What the CPU finds in KVM's tables. */
export type HardwareWalk =
  | {
      readonly is: 'leaf';
      readonly level: number;
      readonly hi: number;
      readonly lo: number;
      /** Frame of the 4K page in question. */
      readonly pfn: number;
    }
  | {
      readonly is: 'fault';
      /** The entry that stopped the walk. */
      readonly level: number;
      readonly hi: number;
      readonly lo: number;
      /** It has reserved bits set, or is an EPT misconfiguration: an MMIO SPTE. */
      readonly rsvd: boolean;
      /** It maps something, but not for this access. */
      readonly present: boolean;
    };

/**
 * One way in which KVM keeps its page tables: the TDP MMU, or the shadow code (shadow paging, nested guests,
 * and TDP with tdp_mmu=0). Addresses are gfns; ranges are [start, end).
 */
export interface Mmu {
  /** kvm_mmu_load(): gives the vCPU a root, a new one where its old one is gone or does not fit. */
  readonly load: (vcpu: Vcpu) => void;
  /** kvm_mmu_unload() of this vCPU. */
  readonly unload: (vcpu: Vcpu) => void;
  /** The walk of the CPU, for an access with these bits (PFERR WRITE, USER, FETCH), through KVM's tables: of a gpa with EPT or NPT, of a linear address under shadow paging. */
  readonly walk: (vcpu: Vcpu, address: number, code: number) => HardwareWalk;
  /** kvm_mmu_do_page_fault(), with PFERR bits: of a gpa with EPT or NPT, of a linear address under shadow paging. */
  readonly pageFault: (vcpu: Vcpu, address: number, errorCode: number) => FaultResult;
  /** The MMIO SPTE of an address was hit: handle_mmio_page_fault(). */
  readonly mmioFault: (vcpu: Vcpu, address: number) => 'emulate' | 'invalid' | 'retry';
  /** The guest flushed its TLB by a write of CR3, that may have another value now. */
  readonly flushGuest: (vcpu: Vcpu) => void;
  /** INVLPG of the guest; an address in the upper half is negative. */
  readonly invlpg: (vcpu: Vcpu, address: number) => void;
  /** kvm_mmu_zap_all_fast(): every root is invalid; its pages go. */
  readonly zapAllFast: () => void;
  /** kvm_zap_gfn_range(). */
  readonly zapGfnRange: (start: number, end: number) => void;
  /** kvm_unmap_gfn_range() of the MMU notifier; true: the TLBs have to be flushed. */
  readonly unmapGfnRange: (slot: Memslot, start: number, end: number) => boolean;
  /** kvm_arch_flush_shadow_memslot(): the slot is deleted or moved. */
  readonly flushSlot: (slot: Memslot) => void;
  /** Dirty logging begins: write-protects the slot, huge pages are split first where the kernel does that. */
  readonly dirtyLogOn: (slot: Memslot) => void;
  /** Dirty logging ended: small pages may become huge again. */
  readonly dirtyLogOff: (slot: Memslot) => void;
  /** The VM is gone: kvm_mmu_uninit_vm() with the events that it prints. */
  readonly destroy: () => void;
  /** kvm_tdp_mmu_write_protect_gfn(): a table that is shadowed lies there. @returns any entry lost W */
  readonly protectGfn?: (gfn: number) => boolean;
  /** The tables that are roots. */
  readonly roots: () => readonly MmuPage[];
}

/** What the MMU of L1 asks of the shadow code beside it, that keeps tables of L1 for L2. */
export interface TableWatch {
  /** kvm_gfn_is_write_tracked(): stores are emulated. */
  readonly isGuarded: (gfn: number) => boolean;
  readonly isHugeAllowed: (gfn: number, level: number) => boolean;
  /** mmu_try_to_unsync_pages(): a writable entry may be made. */
  readonly mayWrite: (gfn: number) => boolean;
  /** KVM wrote guest memory in the place of the guest. */
  readonly written: (gpa: number, bytes: number) => void;
}
