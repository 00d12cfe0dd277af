import { rule } from '../../cite/rule.ts';
import { type EntryRef, entryRef } from './rmap.ts';
import { dropLeaf, unlink } from './shadow-entries.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { eachUnsync, unlinkUnsync } from './shadow-unsync.ts';

rule({
  id: 'kvm/shadow-zap',
  room: 'kvm',
  title: 'How pages of the shadow MMU go',
  text:
    'kvm_mmu_prepare_zap_page() empties a page, unlinks it from the entries that point to it and marks it ' +
    'invalid; pages below it stay, to be found again by gfn and role, but those that are out of date go ' +
    'with it. A root in use goes when its last vCPU lets go of it. kvm_mmu_zap_all_fast() toggles the ' +
    'generation, so that every page is obsolete, and takes them oldest first; the end of a VM takes them ' +
    'newest first. A range is zapped through the reverse map, leaf by leaf, without an event.',
  sources: ['kvm/kvm_mmu_prepare_zap_page'],
});

/** Pages that were zapped, to be freed together: invalid_list. */
export type InvalidList = ShadowPage[];

/** mmu_page_zap_pte(). @returns pages below that went with it */
export function zapEntry(
  state: ShadowState,
  sp: ShadowPage,
  index: number,
  invalid: InvalidList | null,
): number {
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo)) {
    if (state.bits.isMmio(hi, lo)) state.clear(sp, index);
    return 0;
  }
  if (state.bits.isLast(lo, sp.level)) {
    dropLeaf(state, sp, index);
    return 0;
  }
  const child = state.child(hi, lo);
  unlink(state, child, entryRef(sp, index));
  // Pages for L2 that nobody points to are hardly used again: they go at once.
  const isOrphan =
    state.vm.config.paging !== 'shadow' && child.role.guestMode && child.parents.length === 0;
  return isOrphan && invalid !== null ? prepareZap(state, child, invalid).zapped : 0;
}

/** What came of a zap: `unstable`: other pages left the list of active pages too. */
export interface Zapped {
  readonly zapped: number;
  readonly unstable: boolean;
}

/** __kvm_mmu_prepare_zap_page(). */
export function prepareZap(state: ShadowState, sp: ShadowPage, invalid: InvalidList): Zapped {
  state.tracer?.prepareZap(sp, sp.generation);
  let zapped = zapUnsyncChildren(state, sp, invalid);
  for (let i = 0; i < 512; i += 1) zapped += zapEntry(state, sp, i, invalid);
  while (sp.parents.length > 0) unlink(state, sp, sp.parents[0] as EntryRef);
  const unstable = zapped > 0;
  if (!sp.invalid && sp.hasGptes) state.account(sp, -1);
  if (sp.unsync) unlinkUnsync(state, sp);
  state.active.delete(sp);
  if (sp.rootCount === 0) {
    zapped += 1;
    invalid.push(sp);
    state.used -= 1;
  }
  sp.invalid = true;
  return { zapped, unstable };
}

/** mmu_zap_unsync_children(). */
function zapUnsyncChildren(state: ShadowState, sp: ShadowPage, invalid: InvalidList): number {
  if (sp.level === 1) return 0;
  let zapped = 0;
  eachUnsync(state, sp, (child) => {
    prepareZap(state, child, invalid);
    zapped += 1;
  });
  return zapped;
}

/** kvm_mmu_commit_zap_page(): the TLBs are flushed, then the pages are free. */
export function commitZap(state: ShadowState, invalid: InvalidList): void {
  if (invalid.length === 0) return;
  state.flush();
  for (const sp of invalid) state.free(sp);
  invalid.length = 0;
}

/** Takes pages as `next` names them until it names none: the list changes under a zap. */
function zapWhile(state: ShadowState, next: () => ShadowPage | null): void {
  const invalid: InvalidList = [];
  for (let sp = next(); sp !== null; sp = next()) prepareZap(state, sp, invalid);
  commitZap(state, invalid);
}

function first<T>(items: Iterable<T>, holds: (t: T) => boolean): T | null {
  for (const item of items) if (holds(item)) return item;
  return null;
}

/** kvm_zap_obsolete_pages(): oldest first. */
export function zapObsolete(state: ShadowState): void {
  zapWhile(state, () => first(state.active, (sp) => state.isObsolete(sp)));
}

/** kvm_mmu_zap_all(): newest first. */
export function zapAll(state: ShadowState): void {
  const newestFirst = [...state.active].reverse();
  let at = 0;
  zapWhile(state, () => {
    while (at < newestFirst.length && !state.active.has(newestFirst[at] as ShadowPage)) at += 1;
    return newestFirst[at] ?? null;
  });
}

/** kvm_mmu_zap_oldest_mmu_pages(): at least `count` pages, no roots. */
export function zapOldest(state: ShadowState, count: number): void {
  let zapped = 0;
  const invalid: InvalidList = [];
  while (zapped < count) {
    const sp = first(state.active, (page) => page.rootCount === 0);
    if (sp === null) break;
    zapped += prepareZap(state, sp, invalid).zapped;
  }
  commitZap(state, invalid);
}

/** KVM_MIN_FREE_MMU_PAGES and KVM_REFILL_PAGES. */
const FREE = { least: 5, refill: 25 };

/** make_mmu_pages_available(): before a fault is mapped. */
export function reclaim(state: ShadowState): void {
  const free = Math.max(state.limit - state.used, 0);
  if (free < FREE.least) zapOldest(state, FREE.refill - free);
}

/** kvm_mmu_unprotect_page(): pages that shadow tables in this gfn go, so that the guest may write it. */
export function unprotectPage(state: ShadowState, gfn: number): boolean {
  const invalid: InvalidList = [];
  const pages = state.withTables(gfn);
  for (const sp of pages) prepareZap(state, sp, invalid);
  commitZap(state, invalid);
  return pages.length > 0;
}

/** Zaps leaves of sizes up to `level` that meet [start, end), through the reverse map. */
export function zapLeaves(state: ShadowState, start: number, end: number): boolean {
  const refs = state.rmap.inRange(start, end);
  for (const ref of refs) dropLeaf(state, state.pageOf(ref), ref % 512);
  return refs.length > 0;
}
