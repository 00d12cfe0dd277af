import { rule } from '../../cite/rule.ts';
import { ACC, PFERR } from './error-code.ts';
import type { FaultResult, PageFaultCode } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import { entryRef } from './rmap.ts';
import type { ShadowContext } from './shadow-context.ts';
import { link, unlink } from './shadow-entries.ts';
import { type ChildOf, getChild } from './shadow-get.ts';
import {
  adjustDisallowed,
  adjustLevel,
  isHugeDisallowed,
  isPresentAt,
  PREFETCH,
  prefetchDirect,
  prefetchSlot,
  setLeaf,
  traceRequested,
} from './shadow-map.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { guestLeaf, syncChildren } from './shadow-sync.ts';
import { clearFlooding } from './shadow-write.ts';
import type { Walk, WalkFault } from './walk.ts';

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

/** Where a page fault came from, and what walks the guest's tables for it. */
export interface FaultSource {
  readonly context: ShadowContext;
  readonly address: number;
  readonly code: PageFaultCode;
  readonly walk: (address: number, code: number) => Walk | WalkFault;
  /** vcpu_cache_mmio_info(): the access has no memory behind it. */
  readonly noteMmio: (gfn: number, access: number) => void;
}

export type ShadowFaultResult =
  | { readonly is: Exclude<FaultResult, 'guest-fault'>; readonly gfn: number | null }
  /** The guest gets this error code. */
  | { readonly is: 'guest-fault'; readonly fault: WalkFault };

/** The error code that the walk is asked for: RSVD is of KVM's own entries. */
export function walkCode(code: PageFaultCode): number {
  return (
    (code.present ? PFERR.PRESENT : 0) |
    (code.write ? PFERR.WRITE : 0) |
    (code.user ? PFERR.USER : 0) |
    (code.fetch ? PFERR.FETCH : 0)
  );
}

/** FNAME(page_fault). */
export function shadowPageFault(state: ShadowState, source: FaultSource): ShadowFaultResult {
  const { env } = state;
  const { code, address } = source;
  const walk = source.walk(address, walkCode(code));
  if (!walk.ok) return { is: 'guest-fault', fault: walk };
  const slot = env.slotOf(walk.gfn);
  const fault: PageFault = {
    address,
    code,
    gfn: walk.gfn,
    slot,
    pfn: null,
    hva: 0,
    mapWritable: false,
    maxLevel: Math.min(walk.level, 3) as PageFault['maxLevel'],
    reqLevel: 1,
    goalLevel: 1,
  };
  const { gfn } = walk;
  if (!code.rsvd && code.present && code.write && state.isTracked(gfn)) {
    clearFlooding(state, source.context, address);
    return { is: 'emulate', gfn };
  }
  const host = env.faultIn(slot, gfn, code.write);
  if (host.is === 'noslot') {
    source.noteMmio(gfn, walk.access);
    if (!env.mmioCaching) return { is: 'emulate', gfn };
  } else if (host.is !== 'pfn') return { is: host.is, gfn };
  else {
    fault.pfn = host.pfn;
    fault.mapWritable = host.writable;
  }
  env.reclaim();
  return { is: fetch(state, source, fault, walk, finalAccess(source, fault, walk.access)), gfn };
}

/** A supervisor writes with CR0.WP=0 to a page that is read-only: for it alone, the page is writable. */
function finalAccess({ context, code }: FaultSource, fault: PageFault, access: number): number {
  const { settings } = context;
  const overrides =
    code.write && (access & ACC.WRITE) === 0 && !settings.wp && !code.user && fault.slot !== null;
  if (!overrides || settings.format === 'ept') return access;
  const own = (access | ACC.WRITE) & ~ACC.USER;
  return settings.smep ? own & ~ACC.EXEC : own;
}

export function indexAt(address: number, level: number): number {
  return Math.floor(address / 2 ** (3 + 9 * level)) % 512;
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

/** FNAME(fetch). */
function fetch(
  state: ShadowState,
  source: FaultSource,
  fault: PageFault,
  walk: Walk,
  access: number,
): 'fixed' | 'emulate' | 'spurious' | 'retry' {
  const { context, address } = source;
  if (context.root === null) return 'retry';
  let sp = context.root.page;
  for (let level = sp.level; level > walk.level; level -= 1) {
    sp.writeFlooding = 0;
    const gfn = walk.tableGfn[level - 2] as number;
    const above = walk.tableAccess[level - 2] as number;
    const of = { gfn, direct: false, access: above, patIndex: 0 };
    sp = descend(state, context, sp, indexAt(address, level), of);
  }
  sp.writeFlooding = 0;
  const patIndex = state.env.usesGuestPat ? walk.patIndex : 0;
  adjustLevel(state, fault);
  traceRequested(state, fault, access);
  for (;;) {
    const index = indexAt(address, sp.level);
    adjustDisallowed(state, fault, sp, index);
    if (sp.level === fault.goalLevel) break;
    validateDirect(state, sp, index, access, patIndex);
    const gfn = fault.gfn - (fault.gfn % 512 ** (sp.level - 1));
    const child = descend(state, context, sp, index, { gfn, direct: true, access, patIndex });
    if (isHugeDisallowed(state, fault)) child.isNxDisallowed = true;
    sp = child;
  }
  const index = indexAt(address, sp.level);
  const gfn = fault.gfn - (fault.gfn % 512 ** (sp.level - 1));
  const { pfn, slot } = fault;
  const result = setLeaf(state, sp, index, { access, gfn, pfn, slot, patIndex, fault });
  if (result === 'spurious') return result;
  prefetch(state, context, sp, index);
  return result;
}

/** validate_direct_spte(): the guest page became writable, so that its pages in small have another role. */
function validateDirect(
  state: ShadowState,
  sp: ShadowPage,
  index: number,
  access: number,
  patIndex: number,
): void {
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) return;
  const child = state.child(hi, lo);
  if (child.role.access === access && child.role.patIndex === patIndex) return;
  unlink(state, child, entryRef(sp, index));
  state.env.flush();
}

/** FNAME(pte_prefetch). */
function prefetch(state: ShadowState, context: ShadowContext, sp: ShadowPage, index: number): void {
  if (sp.level > 1) return;
  if (sp.role.direct) {
    prefetchDirect(state, sp, index);
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
  const entry = state.env.readGuest(sp.gfn * 4096 + index * 8);
  const leaf = entry === null ? null : guestLeaf(state, context, entry);
  if (leaf === null) {
    // FNAME(prefetch_invalid_gpte) drops what is there: an MMIO SPTE at most.
    state.clear(sp, index);
    return false;
  }
  const access = sp.role.access & leaf.access;
  const slot = prefetchSlot(state, leaf.gfn, access);
  const pfn = slot === null ? undefined : state.env.prefetch(slot, leaf.gfn, 1)[0];
  if (slot === null || pfn === undefined) return false;
  const { gfn, patIndex } = leaf;
  setLeaf(state, sp, index, { access, gfn, pfn, slot, patIndex, fault: null });
  return true;
}
