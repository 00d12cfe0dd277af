import { maxMappingLevel } from './mapping-level.ts';
import type { Memslot } from './memslots.ts';
import { dropLeaf } from './shadow-entries.ts';
import type { ShadowState } from './shadow-state.ts';

/**
 * kvm_rmap_zap_collapsible_sptes(): leaves of direct pages that could be part of a larger one go, so that the
 * next fault makes it. @returns any went
 */
export function dropCollapsible(state: ShadowState, slot: Memslot): boolean {
  let any = false;
  const refs = state.rmap.inRange(slot.baseGfn, slot.baseGfn + slot.npages, 1, 2);
  for (const ref of refs) {
    const sp = state.pageOf(ref);
    const index = ref % 512;
    if (!sp.role.direct || sp.level >= maxMappingLevel(state.vm, slot, sp.gfnAt(index))) continue;
    dropLeaf(state, sp, index);
    any = true;
  }
  return any;
}
