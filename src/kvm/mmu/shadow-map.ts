import { must } from '../../base/assert.ts';
import { ACC, PFERR } from './error-code.ts';
import { mappingLevel } from './fault-in.ts';
import { type MapLevel, pagesOf } from './host-memory.ts';
import { isDirtyLogged, type Memslot } from './memslots.ts';
import type { PageFault } from './page-fault.ts';
import { frameOf } from './page-tables.ts';
import { entryRef } from './rmap.ts';
import type { ShadowContext } from './shadow-context.ts';
import { dropLeaf, unlink } from './shadow-entries.ts';
import { makeLeaf, markMmio } from './shadow-leaf.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { tryToUnsync } from './shadow-sync.ts';

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
    state.flush();
    return false;
  }
  if (frameAt(hi, lo, sp.level) === pfn) return true;
  dropLeaf(state, sp, index);
  state.flush();
  return false;
}

/** Bit 12 of a huge leaf may be PAT. */
function frameAt(hi: number, lo: number, level: number): number {
  const pfn = frameOf(hi, lo);
  return pfn - (pfn % pagesOf(level));
}

/** mmu_set_spte(). */
export function setLeaf(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
  leaf: NewLeaf,
): SetResult {
  const { gfn, pfn, fault, access, patIndex } = leaf;
  if (pfn === null) {
    markMmio(state, sp, index, gfn, access);
    return 'emulate';
  }
  const slot = must(leaf.slot, 'a page has a memslot');
  const wasMapped = makeRoom(state, sp, index, pfn);
  const hostWritable = fault === null || fault.mapWritable;
  const [oldHi, oldLo] = [sp.hi(index), sp.lo(index)];
  const wasWritable = wasMapped && state.bits.isWritable(oldLo);
  const wants = hostWritable && (access & ACC.WRITE) !== 0;
  const prefetch = fault === null;
  const isGuarded = wants && !wasWritable && tryToUnsync(state, gfn, prefetch) !== null;
  const mmuWritable = !isGuarded;
  const request = { slot, gfn, pfn, access, hostWritable, mmuWritable, prefetch, patIndex };
  const { hi, lo } = makeLeaf(state, context.vcpu, sp, request);
  const isSame = hi === oldHi && lo === oldLo;
  if (!isSame) {
    sp.set(index, hi, lo);
    traceLeaf(state, sp, index, gfn);
    // The CPU may keep what allowed more.
    if (wasWritable && !state.bits.isWritable(lo)) state.flush();
  }
  if (state.bits.isWritable(lo)) state.vm.markDirty(0, fault === null ? gfn : fault.gfn);
  sp.setTranslation(index, gfn, access, patIndex);
  if (!wasMapped) state.rmap.add(gfn, sp.level, entryRef(sp, index));
  if (isGuarded && fault !== null && (fault.code & PFERR.WRITE) !== 0) return 'emulate';
  return isSame ? 'spurious' : 'fixed';
}

function traceLeaf(state: ShadowState, sp: ShadowPage, index: number, gfn: number): void {
  const { bits, tracer } = state;
  if (tracer === null) return;
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  tracer.setSpte(gfn, hi, lo, bits.printed(hi, lo), { page: sp, index });
}

/**
 * kvm_mmu_hugepage_adjust(): the level of the mapping and the frame of its first page. Where the host keeps huge
 * pages from being executed, a fetch is mapped small.
 */
export function adjustLevel(state: ShadowState, context: ShadowContext, fault: PageFault): void {
  const { slot, pfn, gfn } = fault;
  if (fault.maxLevel === 1 || slot === null || pfn === null || isDirtyLogged(slot)) return;
  let most: MapLevel = fault.maxLevel;
  while (most > 1 && !state.isHugeAllowed(gfn, most)) most = (most - 1) as MapLevel;
  fault.maxLevel = most;
  fault.reqLevel = mappingLevel(state.vm, context.vcpu, fault);
  if (fault.reqLevel === 1 || isHugeDisallowed(state, fault)) return;
  fault.goalLevel = fault.reqLevel;
  fault.pfn = pfn - (pfn % pagesOf(fault.goalLevel));
}

export function isHugeDisallowed({ vm }: ShadowState, { code }: PageFault): boolean {
  return vm.config.nxHugePages && (code & PFERR.FETCH) !== 0;
}

/** disallowed_hugepage_adjust(): where small pages were made for the sake of a fetch, they stay small. */
export function adjustDisallowed(
  state: ShadowState,
  fault: PageFault,
  sp: ShadowPage,
  index: number,
): void {
  if (!state.vm.config.nxHugePages || sp.level === 1 || sp.level !== fault.goalLevel) return;
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) return;
  if (!state.child(hi, lo).nxHugePageDisallowed || fault.pfn === null) return;
  fault.goalLevel = (fault.goalLevel - 1) as MapLevel;
  const { gfn } = fault;
  fault.pfn += (gfn % pagesOf(sp.level)) - (gfn % pagesOf(sp.level - 1));
}

/** The event before a fault is mapped: the frame of the accessed 4K page. */
export function traceRequested(state: ShadowState, fault: PageFault, access: number): void {
  const { pfn, gfn, goalLevel } = fault;
  const frame = pfn === null ? null : pfn + (gfn % pagesOf(goalLevel));
  state.tracer?.spteRequested(gfn, frame, goalLevel, access);
}
