import { must } from '../../base/assert.ts';
import type { U64 } from '../../base/u64.ts';
import { rule } from '../../cite/rule.ts';
import { patIndex } from '../../x86/pat.ts';
import { ACC } from './error-code.ts';
import { frameOf } from './page-tables.ts';
import type { ShadowContext } from './shadow-context.ts';
import { dropLeaf, writeProtectGfn } from './shadow-entries.ts';
import { makeLeaf, markMmio } from './shadow-leaf.ts';
import { contextWord, type ShadowPage } from './shadow-page.ts';
import { roleAccess } from './shadow-paging.ts';
import type { ShadowState } from './shadow-state.ts';
import { eachUnsync, makeUnsync, unlinkUnsync } from './shadow-unsync.ts';
import { commitZap, type InvalidList, prepareZap } from './shadow-zap.ts';
import { entryFrame, FORMATS } from './walk-format.ts';

rule({
  id: 'kvm/shadow-unsync',
  room: 'kvm',
  title: 'Guest page tables that the guest may write',
  text:
    'Tables of levels above 1 are write-protected while they are shadowed: KVM emulates each write and drops ' +
    'the entry, and after three writes without a use in between the page. A table of level 1 becomes ' +
    'writable at the first write fault: its shadow is out of date (unsync) until the guest flushes the ' +
    'translation. INVLPG compares one entry, a write of CR3 all pages below the root, which are ' +
    'write-protected again first. An entry whose frame changed goes, and the next access faults; one whose ' +
    'permissions changed is made anew. The cache bits of the guest entry are looked at in neither case.',
  sources: ['kvm/mmu_try_to_unsync_pages', 'kvm/kvm_mmu_track_write', 'kvm/shadow-fetch'],
});

/** What a guest entry gives to the entry that shadows it; null: nothing, FNAME(prefetch_invalid_gpte). */
export interface GuestLeaf {
  readonly gfn: number;
  /** Of the entry alone, without W where it is clean. */
  readonly access: number;
  /** 0 where no leaf depends on it. */
  readonly patIndex: number;
}

/** A guest entry of level 1 as sync and prefetch read it: an entry that was never used is left alone. */
export function guestLeaf(context: ShadowContext, entry: U64): GuestLeaf | null {
  const { settings } = context;
  const format = FORMATS[settings.format];
  if (!format.isPresent(entry)) return null;
  if (settings.accessedDirty && (entry.lo & format.accessed) === 0) return null;
  if (format.isReserved(entry, 1, settings)) return null;
  const isClean = settings.accessedDirty && (entry.lo & format.dirty) === 0;
  const own = format.accessOf(entry);
  const access = roleAccess(context.vm, settings, isClean ? own & ~ACC.WRITE : own);
  return {
    gfn: entryFrame(entry, 1),
    access,
    patIndex: context.usesGuestPat ? patIndex(entry.lo, false) : 0,
  };
}

/** FNAME(sync_spte). @returns whether the TLBs have to be flushed; null: the table is gone */
function syncEntry(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
): boolean | null {
  const { bits } = state;
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (bits.isEmpty(hi, lo)) return false;
  const entry = context.memory.load(sp.gfn * 4096 + index * 8, 1);
  if (entry === null) return null;
  const leaf = guestLeaf(context, entry);
  if (leaf === null) {
    dropAny(state, sp, index);
    return true;
  }
  const access = sp.role.access & leaf.access;
  if (bits.isMmio(hi, lo)) return syncMmio(state, sp, index, leaf.gfn, access);
  if (leaf.gfn !== sp.gfnAt(index) || (access === 0 && context.executeOnly)) {
    dropLeaf(state, sp, index);
    return true;
  }
  if (sp.accessAt(index) === access && sp.patIndexAt(index) === leaf.patIndex) return false;
  sp.setTranslation(index, leaf.gfn, access, leaf.patIndex);
  return remake(state, context, sp, index);
}

function dropAny(state: ShadowState, sp: ShadowPage, index: number): void {
  if (state.bits.isPresent(sp.hi(index), sp.lo(index))) dropLeaf(state, sp, index);
  else state.clear(sp, index);
}

/** sync_mmio_spte(): the entry goes where the guest maps another page now; else it is made anew. */
function syncMmio(
  state: ShadowState,
  sp: ShadowPage,
  index: number,
  gfn: number,
  access: number,
): boolean {
  if (state.bits.mmioGfn(sp.hi(index), sp.lo(index)) === gfn)
    markMmio(state, sp, index, gfn, access);
  else state.clear(sp, index);
  return false;
}

/** The permissions changed: make_spte() with what the old entry says of frame and host. */
function remake(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
): boolean {
  const { bits } = state;
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  const [gfn, access] = [sp.gfnAt(index), sp.accessAt(index)];
  const slot = must(state.slotOf(gfn), 'the memslot of a mapped page');
  const hostWritable = bits.isHostWritable(hi, lo);
  const wasWritable = bits.isWritable(lo);
  const wants = hostWritable && (access & ACC.WRITE) !== 0 && !wasWritable;
  // A page that is being synced must not make others writable: can_unsync is false.
  const isGuarded = wants && (state.isTracked(gfn) || state.withTables(gfn).length > 0);
  const made = makeLeaf(state, context.vcpu, sp, {
    slot,
    gfn,
    pfn: frameOf(hi, lo),
    access,
    hostWritable,
    mmuWritable: !isGuarded,
    prefetch: true,
    patIndex: sp.patIndexAt(index),
  });
  sp.set(index, made.hi, made.lo);
  return wasWritable && !bits.isWritable(made.lo);
}

/** __kvm_sync_page(). @returns null: it cannot be, the page has to go */
function syncEntries(state: ShadowState, context: ShadowContext, sp: ShadowPage): boolean | null {
  if (sp.role.direct || contextWord(sp.role) !== contextWord(context.rootRole)) return null;
  let flush = false;
  for (let index = 0; index < 512; index += 1) {
    const done = syncEntry(state, context, sp, index);
    if (done === null) return null;
    flush = flush || done;
  }
  return flush;
}

/** kvm_sync_page(): brings the entries up to date; the page stays unsync. @returns null: it was zapped */
export function syncPage(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  invalid: InvalidList,
): boolean | null {
  const flush = syncEntries(state, context, sp);
  if (flush === null) prepareZap(state, sp, invalid);
  return flush;
}

/** mmu_sync_children(): everything below a page is up to date and write-protected again. */
export function syncChildren(state: ShadowState, context: ShadowContext, top: ShadowPage): void {
  const invalid: InvalidList = [];
  let flush = false;
  const protect = (batch: readonly ShadowPage[]): void => {
    let any = false;
    for (const sp of batch) any = writeProtectGfn(state, sp.gfn, true) || any;
    if (any) state.flush();
  };
  eachUnsync(
    state,
    top,
    (sp) => {
      unlinkUnsync(state, sp);
      flush = syncPage(state, context, sp, invalid) === true || flush;
    },
    protect,
  );
  if (invalid.length > 0) commitZap(state, invalid);
  else if (flush) state.flush();
}

/** kvm_sync_spte() of INVLPG: one entry of a page that is out of date. */
export function syncOne(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
): void {
  const flush = syncEntry(state, context, sp, index);
  if (flush === null) dropAny(state, sp, index);
  if (flush !== false) state.flush();
}

/** What mmu_try_to_unsync_pages() says: null, the entry may be writable; else it has to be write-protected. */
export function tryToUnsync(state: ShadowState, gfn: number, prefetch: boolean): 'guarded' | null {
  if (state.isTracked(gfn)) return 'guarded';
  for (const sp of state.withTables(gfn)) {
    if (sp.unsync) continue;
    if (prefetch) return 'guarded';
    makeUnsync(state, sp);
  }
  return null;
}
