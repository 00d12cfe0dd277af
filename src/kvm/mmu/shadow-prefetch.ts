import { ACC } from './error-code.ts';
import { PAGE_SIZE } from './host-memory.ts';
import { endOf, hvaOf, isDirtyLogged, isReadonly, type Memslot } from './memslots.ts';
import type { ShadowContext } from './shadow-context.ts';
import { setLeaf } from './shadow-map.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { guestLeaf } from './shadow-sync.ts';

/** PTE_PREFETCH_NUM: entries around a fault, that of the fault among them. */
const PREFETCH = 8;

/** gfn_to_memslot_dirty_bitmap(): entries that may be written are not filled ahead where writes are logged. */
function slotFor(state: ShadowState, gfn: number, access: number): Memslot | null {
  const slot = state.slotOf(gfn);
  if (slot === null || ((access & ACC.WRITE) !== 0 && isDirtyLogged(slot))) return null;
  return slot;
}

/**
 * Frames of pages from `gfn` on that the VMM has mapped writable, with a struct page; it stops at the first that
 * is not so. Source: gfn_to_page_many_atomic(), kvm_prefetch_pages() from 6.13 on.
 */
function framesOf(state: ShadowState, slot: Memslot, gfn: number, pages: number): number[] {
  const { host } = state.vm;
  const frames: number[] = [];
  if (isReadonly(slot) || gfn + pages > endOf(slot)) return frames;
  for (let i = 0; i < pages; i += 1) {
    const hva = hvaOf(slot, gfn) + i * PAGE_SIZE;
    const mapping = host.mappingOf(hva);
    if (mapping === null || !mapping.present || !mapping.writable) break;
    if (mapping.pfnmap || mapping.poisoned) break;
    frames.push(host.frameIn(mapping, hva));
  }
  return frames;
}

/** direct_pte_prefetch_many(). @returns false: nothing was there, the rest is left alone */
function prefetchMany(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  start: number,
  end: number,
): boolean {
  const { access, patIndex } = sp.role;
  const gfn = sp.gfnAt(start);
  const slot = slotFor(state, gfn, access);
  if (slot === null) return false;
  const frames = framesOf(state, slot, gfn, end - start);
  frames.forEach((pfn, i) => {
    const leaf = { access, gfn: gfn + i, pfn, slot, patIndex, fault: null };
    setLeaf(state, context, sp, start + i, leaf);
  });
  return frames.length > 0;
}

function isPresentAt(state: ShadowState, sp: ShadowPage, index: number): boolean {
  return state.bits.isPresent(sp.hi(index), sp.lo(index));
}

/** __direct_pte_prefetch(): the empty entries around one that was just made. */
export function prefetchDirect(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
): void {
  const first = index - (index % PREFETCH);
  let start: number | null = null;
  for (let i = first; i <= first + PREFETCH; i += 1) {
    const isOpen = i < first + PREFETCH && i !== index && !isPresentAt(state, sp, i);
    if (isOpen) start ??= i;
    else if (start !== null) {
      if (!prefetchMany(state, context, sp, start, i)) return;
      start = null;
    }
  }
}

/** FNAME(pte_prefetch): by what the guest has in the entries of its table, where one stands behind the page. */
export function prefetchAround(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
): void {
  if (sp.level > 1) return;
  if (sp.role.direct) {
    prefetchDirect(state, context, sp, index);
    return;
  }
  const first = index - (index % PREFETCH);
  for (let i = first; i < first + PREFETCH; i += 1) {
    if (i === index || isPresentAt(state, sp, i)) continue;
    if (!prefetchGuest(state, context, sp, i)) return;
  }
}

/** FNAME(prefetch_gpte). */
function prefetchGuest(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
): boolean {
  const entry = context.memory.load(sp.gfn * PAGE_SIZE + index * 8, 1);
  const leaf = entry === null ? null : guestLeaf(context, entry);
  if (leaf === null) {
    // FNAME(prefetch_invalid_gpte) drops what is there: an MMIO SPTE at most.
    state.clear(sp, index);
    return false;
  }
  const { gfn, patIndex } = leaf;
  const access = sp.role.access & leaf.access;
  const slot = slotFor(state, gfn, access);
  const pfn = slot === null ? undefined : framesOf(state, slot, gfn, 1)[0];
  if (slot === null || pfn === undefined) return false;
  setLeaf(state, context, sp, index, { access, gfn, pfn, slot, patIndex, fault: null });
  return true;
}
