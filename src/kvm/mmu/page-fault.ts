import type { MapLevel } from './host-memory.ts';
import type { Memslot } from './memslots.ts';

/** struct kvm_page_fault: what a fault is, and what is found out about it on the way. */
export interface PageFault {
  /** The faulting address: a gpa with EPT or NPT, a linear address under shadow paging. */
  readonly address: number;
  /** PFERR bits. */
  readonly code: number;
  /** The gfn to map; under shadow paging of the guest's translation. */
  gfn: number;
  /** Null: no memslot has it. */
  slot: Memslot | null;
  /** Null: no memslot, KVM_PFN_NOSLOT. */
  pfn: number | null;
  hva: number;
  /** The mapping of the VMM allows writes. */
  mapWritable: boolean;
  /** Under shadow paging, the size of the guest's own page. */
  maxLevel: MapLevel;
  /** Largest level by host, memslot and rules; then what is left after the NX workaround. */
  reqLevel: MapLevel;
  goalLevel: MapLevel;
}
