import { ACC } from './error-code.ts';
import { type MapLevel, pagesOf } from './host-memory.ts';
import type { Memslot } from './memslots.ts';
import { isDirtyLogged } from './memslots.ts';
import type { PageFault } from './page-fault.ts';
import { frameOf } from './page-tables.ts';
import { entryRef } from './rmap.ts';
import { dropLeaf, markMmio, unlink } from './shadow-entries.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { tryToUnsync } from './shadow-sync.ts';

/** PTE_PREFETCH_NUM: entries that are filled around a fault. */
export const PREFETCH = 8;

/** A leaf to be installed. */
export interface NewLeaf {
  readonly access: number;
  readonly gfn: number;
  /** Null: no memslot. */
  readonly pfn: number | null;
  readonly slot: Memslot | null;
  readonly patIndex: number;
  /** Null: nobody faulted, the entry is filled ahead. */
  readonly fault: PageFault | null;
}

/** RET_PF_FIXED, RET_PF_EMULATE, RET_PF_SPURIOUS. */
export type SetResult = 'fixed' | 'emulate' | 'spurious';

/** What was in the entry goes, unless the same frame is mapped by it. @returns it stays in the reverse map */
function makeRoom(state: ShadowState, sp: ShadowPage, index: number, pfn: number): boolean {
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo)) return false;
  if (!state.bits.isLast(lo, sp.level)) {
    unlink(state, state.child(hi, lo), entryRef(sp, index));
    state.env.flush();
    return false;
  }
  if (frame(hi, lo, sp.level) === pfn) return true;
  dropLeaf(state, sp, index);
  state.env.flush();
  return false;
}

/** Bit 12 of a huge leaf may be PAT. */
function frame(hi: number, lo: number, level: number): number {
  const pfn = frameOf(hi, lo);
  return pfn - (pfn % pagesOf(level));
}

/** mmu_set_spte(). */
export function setLeaf(
  state: ShadowState,
  sp: ShadowPage,
  index: number,
  leaf: NewLeaf,
): SetResult {
  const { env, bits } = state;
  const { gfn, pfn, fault, slot } = leaf;
  if (pfn === null) {
    markMmio(state, sp, index, gfn, leaf.access);
    return 'emulate';
  }
  const wasMapped = makeRoom(state, sp, index, pfn);
  const hostWritable = fault === null || fault.mapWritable;
  const [oldHi, oldLo] = [sp.hi(index), sp.lo(index)];
  const wasWritable = wasMapped && bits.isWritable(oldLo);
  const wants = hostWritable && (leaf.access & ACC.WRITE) !== 0;
  const isGuarded = wants && !wasWritable && tryToUnsync(state, gfn, fault === null) !== null;
  const isWritable = wants && !isGuarded;
  const { level } = sp;
  const { access, patIndex } = leaf;
  const mmuWritable = !isGuarded;
  const prefetch = fault === null;
  const request = { level, slot, gfn, pfn, access, hostWritable, mmuWritable, prefetch, patIndex };
  const { hi, lo } = env.leaf(request);
  if (isWritable && slot !== null && isDirtyLogged(slot)) env.markDirty(slot, gfn);
  const isSame = hi === oldHi && lo === oldLo;
  if (!isSame) {
    sp.set(index, hi, lo);
    env.traceLeaf(sp, index, gfn);
    // W went, or A or D: what the CPU keeps may still allow or skip them.
    if (wasMapped && wasWritable && !isWritable) env.flush();
  }
  sp.setTranslation(index, gfn, access, patIndex);
  if (!wasMapped) state.rmap.add(gfn, sp.level, entryRef(sp, index));
  if (isGuarded && fault !== null && fault.code.write) return 'emulate';
  return isSame ? 'spurious' : 'fixed';
}

/** gfn_to_memslot_dirty_bitmap(): entries that may be written are not filled ahead where writes are logged. */
export function prefetchSlot(state: ShadowState, gfn: number, access: number): Memslot | null {
  const slot = state.env.slotOf(gfn);
  if (slot === null || ((access & ACC.WRITE) !== 0 && isDirtyLogged(slot))) return null;
  return slot;
}

/** direct_pte_prefetch_many(). @returns false: nothing was there, the rest is left alone */
function prefetchMany(state: ShadowState, sp: ShadowPage, start: number, end: number): boolean {
  const { access, patIndex } = sp.role;
  const gfn = sp.gfnAt(start);
  const slot = prefetchSlot(state, gfn, access);
  if (slot === null) return false;
  const frames = state.env.prefetch(slot, gfn, end - start);
  frames.forEach((pfn, i) => {
    setLeaf(state, sp, start + i, { access, gfn: gfn + i, pfn, slot, patIndex, fault: null });
  });
  return frames.length > 0;
}

/** __direct_pte_prefetch(): the empty entries around one that was just made. */
export function prefetchDirect(state: ShadowState, sp: ShadowPage, index: number): void {
  const first = index - (index % PREFETCH);
  let start: number | null = null;
  for (let i = first; i <= first + PREFETCH; i += 1) {
    const isOpen = i < first + PREFETCH && i !== index && !isPresentAt(state, sp, i);
    if (isOpen) start ??= i;
    else if (start !== null) {
      if (!prefetchMany(state, sp, start, i)) return;
      start = null;
    }
  }
}

export function isPresentAt(state: ShadowState, sp: ShadowPage, index: number): boolean {
  return state.bits.isPresent(sp.hi(index), sp.lo(index));
}

/**
 * kvm_mmu_hugepage_adjust(): the level of the mapping and the frame of its first page. Where the host is asked to
 * keep huge pages from being executed, a fetch is mapped small.
 */
export function adjustLevel(state: ShadowState, fault: PageFault): void {
  const { slot, pfn } = fault;
  if (fault.maxLevel === 1 || slot === null || pfn === null || isDirtyLogged(slot)) return;
  let most: MapLevel = fault.maxLevel;
  while (most > 1 && !state.isHugeAllowed(fault.gfn, most)) most = (most - 1) as MapLevel;
  fault.reqLevel = state.env.mappingLevel(slot, fault.gfn, most);
  if (fault.reqLevel === 1 || isHugeDisallowed(state, fault)) return;
  fault.goalLevel = fault.reqLevel;
  fault.pfn = pfn - (pfn % 512 ** (fault.goalLevel - 1));
}

export function isHugeDisallowed(state: ShadowState, fault: PageFault): boolean {
  return fault.code.fetch && state.env.nxHugePages;
}

/** disallowed_hugepage_adjust(): where small pages were made for the sake of a fetch, they stay small. */
export function adjustDisallowed(
  state: ShadowState,
  fault: PageFault,
  sp: ShadowPage,
  index: number,
): void {
  if (!state.env.nxHugePages || sp.level === 1 || sp.level !== fault.goalLevel) return;
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) return;
  if (!state.child(hi, lo).isNxDisallowed || fault.pfn === null) return;
  fault.goalLevel = (fault.goalLevel - 1) as MapLevel;
  const [here, below] = [512 ** (sp.level - 1), 512 ** (sp.level - 2)];
  fault.pfn += (fault.gfn % here) - (fault.gfn % below);
}

/** The event before a fault is mapped: the frame of the accessed 4K page. */
export function traceRequested(state: ShadowState, fault: PageFault, access: number): void {
  const { pfn, gfn, goalLevel } = fault;
  const frameOfPage = pfn === null ? null : pfn + (gfn % 512 ** (goalLevel - 1));
  state.env.tracer?.spteRequested(gfn, frameOfPage, goalLevel, access);
}
