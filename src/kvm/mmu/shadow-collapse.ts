import { mappingLevel } from './fault-in.ts';
import { hvaOf, type Memslot } from './memslots.ts';
import { frameOf } from './page-tables.ts';
import { dropLeaf } from './shadow-entries.ts';
import { newFault } from './shadow-fault.ts';
import type { ShadowState } from './shadow-state.ts';
import type { Vcpu } from './vcpu.ts';

/**
 * kvm_rmap_zap_collapsible_sptes(): leaves of direct pages that could be part of a larger one go, so that the
 * next fault makes it. @returns any went
 */
export function dropCollapsible(state: ShadowState, vcpu: Vcpu, slot: Memslot): boolean {
  let any = false;
  const refs = state.rmap.inRange(slot.baseGfn, slot.baseGfn + slot.npages, 1, 2);
  for (const ref of refs) {
    const sp = state.pageOf(ref);
    const index = ref % 512;
    if (!sp.role.direct || sp.level >= largest(state, vcpu, slot, sp.gfnAt(index), ref)) continue;
    dropLeaf(state, sp, index);
    any = true;
  }
  return any;
}

function largest(state: ShadowState, vcpu: Vcpu, slot: Memslot, gfn: number, ref: number): number {
  const sp = state.pageOf(ref);
  const fault = newFault(gfn * 4096, 0, gfn);
  fault.slot = slot;
  fault.hva = hvaOf(slot, gfn);
  fault.pfn = frameOf(sp.hi(ref % 512), sp.lo(ref % 512));
  return mappingLevel(state.vm, vcpu, fault);
}
