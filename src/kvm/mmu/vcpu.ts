import type { U64 } from '../../base/u64.ts';
import type { GuestMtrrState } from '../guest-mtrr.ts';
import type { MmuPage } from './page-tables.ts';
import type { Tlb } from './tlb.ts';

/** The registers of a vCPU that memory depends on. */
export interface Registers {
  cr0: number;
  cr3: number;
  cr4: number;
  efer: number;
  /** Current privilege level. */
  cpl: 0 | 1 | 2 | 3;
  /** IA32_PAT as the guest wrote it. */
  pat: U64;
  smm: boolean;
}

export const CR0 = { PG: 2 ** 31, CD: 2 ** 30, NW: 2 ** 29, WP: 2 ** 16, PE: 1 } as const;
export const CR4 = {
  PSE: 1 << 4,
  PAE: 1 << 5,
  PGE: 1 << 7,
  LA57: 1 << 12,
  PCIDE: 1 << 17,
  SMEP: 1 << 20,
  SMAP: 1 << 21,
} as const;
export const EFER = { LME: 1 << 8, LMA: 1 << 10, NX: 1 << 11 } as const;

/** A virtual CPU: its registers, the root of KVM's tables that it uses, and the TLB it runs on. */
export interface Vcpu {
  readonly id: number;
  readonly registers: Registers;
  mtrrs: GuestMtrrState;
  /** Null: none yet, or it was zapped; the next entry loads one. */
  root: MmuPage | null;
  readonly tlb: Tlb;
  /** vcpu_cache_mmio_info(): the last address that was emulated MMIO, while the memslots stay as they are. */
  mmio: MmioCache | null;
  /** Where the guest executes: printed by kvm_page_fault. */
  rip: number;
}

export interface MmioCache {
  /** 0 with EPT and NPT. */
  readonly gva: number;
  readonly gfn: number;
  readonly access: number;
  readonly generation: number;
}
