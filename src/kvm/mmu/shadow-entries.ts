import { must } from '../../base/assert.ts';
import { type EntryRef, entryRef } from './rmap.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';

export function indexOfRef(ref: EntryRef): number {
  return ref % 512;
}

/** drop_spte(): a leaf goes, from the reverse map too. */
export function dropLeaf(state: ShadowState, sp: ShadowPage, index: number): void {
  const wasPresent = state.bits.isPresent(sp.hi(index), sp.lo(index));
  state.clear(sp, index);
  if (wasPresent) state.rmap.remove(sp.gfnAt(index), sp.level, entryRef(sp, index));
}

/** drop_parent_pte(): the entry no longer points to its child. */
export function unlink(state: ShadowState, child: ShadowPage, ref: EntryRef): void {
  const at = child.parents.indexOf(ref);
  must(child.parents[at], 'an entry that points to the page');
  child.parents[at] = child.parents[child.parents.length - 1] as EntryRef;
  child.parents.pop();
  state.clear(state.pageOf(ref), indexOfRef(ref));
}

/** __link_shadow_page(): a huge page that was there goes. */
export function link(state: ShadowState, sp: ShadowPage, index: number, child: ShadowPage): void {
  if (state.bits.isPresent(sp.hi(index), sp.lo(index))) {
    dropLeaf(state, sp, index);
    state.flush();
  }
  const { hi, lo } = state.maker(child.role.adDisabled).table(child.pfn);
  sp.set(index, hi, lo);
  child.parents.push(entryRef(sp, index));
  if (child.unsyncChildren > 0 || child.unsync) markUnsync(state, sp, index);
}

/** mark_unsync(): something below this entry is out of date. */
export function markUnsync(state: ShadowState, sp: ShadowPage, index: number): void {
  if (sp.unsyncIndexes.has(index)) return;
  sp.unsyncIndexes.add(index);
  sp.unsyncChildren += 1;
  if (sp.unsyncChildren === 1) markParentsUnsync(state, sp);
}

/** kvm_mmu_mark_parents_unsync(). */
export function markParentsUnsync(state: ShadowState, sp: ShadowPage): void {
  for (const ref of [...sp.parents]) markUnsync(state, state.pageOf(ref), indexOfRef(ref));
}

/**
 * Write-protects every 4K leaf of a gfn, and all larger ones: kvm_mmu_slot_gfn_write_protect(). With `guard`
 * KVM may not make them writable again by itself.
 */
export function writeProtectGfn(state: ShadowState, gfn: number, guard: boolean): boolean {
  let any = state.vm.mmu.protectGfn?.(gfn) ?? false;
  for (let level = 1; level <= 3; level += 1)
    for (const ref of state.rmap.of(gfn, level)) any = protectEntry(state, ref, guard) || any;
  return any;
}

/** spte_write_protect(). */
export function protectEntry(state: ShadowState, ref: EntryRef, guard: boolean): boolean {
  const sp = state.pageOf(ref);
  const index = indexOfRef(ref);
  const now = state.bits.writeProtected(sp.hi(index), sp.lo(index), guard);
  if (now === null) return false;
  sp.set(index, now.hi, now.lo);
  return true;
}
