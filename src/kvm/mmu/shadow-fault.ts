import { rule } from '../../cite/rule.ts';
import { ACC, PFERR } from './error-code.ts';
import { faultIn } from './fault-in.ts';
import { pagesOf } from './host-memory.ts';
import type { FaultResult } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import { entryRef } from './rmap.ts';
import type { ShadowContext } from './shadow-context.ts';
import { link, unlink } from './shadow-entries.ts';
import { type ChildOf, getChild } from './shadow-get.ts';
import {
  adjustDisallowed,
  adjustLevel,
  isHugeDisallowed,
  setLeaf,
  traceRequested,
} from './shadow-map.ts';
import type { ShadowPage } from './shadow-page.ts';
import { roleAccess } from './shadow-paging.ts';
import { prefetchAround } from './shadow-prefetch.ts';
import type { ShadowState } from './shadow-state.ts';
import { syncChildren } from './shadow-sync.ts';
import { clearFlooding } from './shadow-write.ts';
import { reclaim } from './shadow-zap.ts';
import { type Walk, type WalkFault, walkTables } from './walk.ts';

rule({
  id: 'kvm/shadow-fault',
  room: 'kvm',
  title: 'A fault under shadow paging',
  text:
    'KVM walks the tables of the guest; what they refuse is the #PF of the guest. Else it makes a page for ' +
    'each table on the way, and the leaf: of the size of the guest page at most, less where host or memslot ' +
    'are smaller or a table of the guest lies in the block. What is left between is direct pages. Up to ' +
    'seven neighbours of a 4K leaf are mapped ahead, if the host has them writable, with A clear. A store to ' +
    'a table that KVM guards is emulated.',
  sources: ['kvm/shadow-fetch'],
});

export type ShadowFaultResult =
  | { readonly is: Exclude<FaultResult, 'guest-fault'>; readonly gfn: number }
  /** The guest, or L1, gets this fault. */
  | { readonly is: 'guest-fault'; readonly fault: WalkFault };

/** A fault of which nothing is known yet. */
export function newFault(address: number, code: number, gfn: number): PageFault {
  return {
    address,
    code,
    gfn,
    slot: null,
    pfn: null,
    hva: 0,
    mapWritable: false,
    maxLevel: 3,
    reqLevel: 1,
    goalLevel: 1,
  };
}

/** page_fault_handle_page_track(): a store to a table of the guest that KVM guards. */
export function isGuarded(state: ShadowState, code: number, gfn: number): boolean {
  const isStore = (code & PFERR.PRESENT) !== 0 && (code & PFERR.WRITE) !== 0;
  return isStore && (code & PFERR.RSVD) === 0 && state.isTracked(gfn);
}

/** vcpu_cache_mmio_info(): the next access to the page is emulated without a look at any table. */
export function noteMmio(
  { vm }: ShadowState,
  { vcpu }: ShadowContext,
  gva: number,
  gfn: number,
  access: number,
): void {
  const page = gva - (gva % 4096);
  vcpu.mmio = { gva: page, gfn, access, generation: vm.slots.generation };
}

/** FNAME(page_fault). */
export function shadowPageFault(
  state: ShadowState,
  context: ShadowContext,
  address: number,
  code: number,
): ShadowFaultResult {
  const { settings, memory, vcpu } = context;
  const tracer = state.tracer;
  const trace = tracer === null ? null : (e: string, text: string) => tracer.sink(e, 0, text);
  const walk = walkTables(settings, memory, address, code & ~PFERR.RSVD, 'kvm', trace);
  if (!walk.ok) return { is: 'guest-fault', fault: walk };
  const { gfn } = walk;
  const fault = newFault(address, code, gfn);
  fault.maxLevel = Math.min(walk.level, 3) as PageFault['maxLevel'];
  if (isGuarded(state, code, gfn)) {
    clearFlooding(state, context, address);
    return { is: 'emulate', gfn };
  }
  const early = faultIn(state.vm, vcpu, fault);
  if (early !== null) return { is: early, gfn };
  if (fault.slot === null) {
    noteMmio(state, context, address, gfn, walk.access & (ACC.WRITE | ACC.USER));
    if (!state.mmioCaching) return { is: 'emulate', gfn };
  }
  reclaim(state);
  const own = finalAccess(context, fault, walk.access);
  const access = roleAccess(state.vm, settings, own);
  return { is: fetch(state, context, fault, walk, access), gfn };
}

/** A supervisor writes with CR0.WP=0 to a page that is read-only: for it alone, the page is writable. */
function finalAccess({ settings }: ShadowContext, fault: PageFault, access: number): number {
  const { code, slot } = fault;
  const isStore = (code & PFERR.WRITE) !== 0 && (access & ACC.WRITE) === 0;
  const isExempt = !settings.wp && (code & PFERR.USER) === 0 && slot !== null;
  if (!isStore || !isExempt || settings.format === 'ept') return access;
  const own = (access | ACC.WRITE) & ~ACC.USER;
  return settings.smep ? own & ~ACC.EXEC : own;
}

/** Bytes that an entry of each level covers. */
const SPANS = [1, 2, 3, 4, 5].map((level) => 2 ** (3 + 9 * level));

export function indexAt(address: number, level: number): number {
  return Math.floor(address / (SPANS[level - 1] as number)) % 512;
}

/** The page that an entry on the way points to, made and linked where there is none. */
function descend(
  state: ShadowState,
  context: ShadowContext,
  sp: ShadowPage,
  index: number,
  of: ChildOf,
): ShadowPage {
  const made = getChild(state, context, sp, index, of);
  if (made === null) return state.child(sp.hi(index), sp.lo(index));
  if (!of.direct && made.unsyncChildren > 0) syncChildren(state, context, made);
  link(state, sp, index, made);
  return made;
}

/** The pages that stand for the guest's tables: FNAME(fetch), first half. @returns that of the guest's leaf */
function fetchTables(
  state: ShadowState,
  context: ShadowContext,
  root: ShadowPage,
  address: number,
  walk: Walk,
): ShadowPage {
  let sp = root;
  for (let { level } = sp; level > walk.level; level -= 1) {
    sp.writeFlooding = 0;
    const of: ChildOf = {
      gfn: walk.tableGfn[level - 2] as number,
      direct: false,
      access: roleAccess(state.vm, context.settings, walk.tableAccess[level - 2] as number),
      patIndex: 0,
    };
    sp = descend(state, context, sp, indexAt(address, level), of);
  }
  sp.writeFlooding = 0;
  return sp;
}

/** FNAME(fetch). */
function fetch(
  state: ShadowState,
  context: ShadowContext,
  fault: PageFault,
  walk: Walk,
  access: number,
): 'fixed' | 'emulate' | 'spurious' | 'retry' {
  const { address } = fault;
  if (context.root === null) return 'retry';
  let sp = fetchTables(state, context, context.root.page, address, walk);
  const patIndex = context.usesGuestPat ? walk.patIndex : 0;
  adjustLevel(state, context, fault);
  traceRequested(state, fault, access);
  for (;;) {
    const index = indexAt(address, sp.level);
    adjustDisallowed(state, fault, sp, index);
    if (sp.level === fault.goalLevel) break;
    const gfn = fault.gfn - (fault.gfn % pagesOf(sp.level));
    const of: ChildOf = { gfn, direct: true, access, patIndex };
    validateDirect(state, sp, index, of);
    const child = descend(state, context, sp, index, of);
    if (isHugeDisallowed(state, fault)) child.nxHugePageDisallowed = true;
    sp = child;
  }
  const index = indexAt(address, sp.level);
  const gfn = fault.gfn - (fault.gfn % pagesOf(sp.level));
  const { pfn, slot } = fault;
  const result = setLeaf(state, context, sp, index, { access, gfn, pfn, slot, patIndex, fault });
  if (result !== 'spurious') prefetchAround(state, context, sp, index);
  return result;
}

/** validate_direct_spte(): the guest page became writable, so that its pages in small have another role. */
function validateDirect(state: ShadowState, sp: ShadowPage, index: number, of: ChildOf): void {
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) return;
  const child = state.child(hi, lo);
  if (child.role.access === of.access && child.role.patIndex === of.patIndex) return;
  unlink(state, child, entryRef(sp, index));
  state.flush();
}
