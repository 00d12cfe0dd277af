import { rule } from '../../cite/rule.ts';
import { ACC, PFERR } from './error-code.ts';
import { faultIn } from './fault-in.ts';
import { errorCodeText } from './fault-text.ts';
import { pagesOf } from './host-memory.ts';
import { isDirtyLogged } from './memslots.ts';
import type { FaultResult } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import type { ShadowContext } from './shadow-context.ts';
import { link } from './shadow-entries.ts';
import { indexAt, isGuarded, newFault, noteMmio } from './shadow-fault.ts';
import { getChild } from './shadow-get.ts';
import {
  adjustDisallowed,
  adjustLevel,
  isHugeDisallowed,
  setLeaf,
  traceRequested,
} from './shadow-map.ts';
import type { ShadowPage } from './shadow-page.ts';
import { prefetchDirect } from './shadow-prefetch.ts';
import type { ShadowState } from './shadow-state.ts';
import { reclaim } from './shadow-zap.ts';

rule({
  id: 'kvm/legacy-direct',
  room: 'kvm',
  title: 'EPT and NPT without the TDP MMU',
  text:
    'With tdp_mmu=0, and before there was a TDP MMU, the shadow code maps guest memory by direct pages: no ' +
    'table of the guest stands behind them, the permissions are all set, and neighbours of a 4K leaf are ' +
    'mapped ahead as under shadow paging. A write that only dirty logging stopped is repaired without the ' +
    'lock (fast_page_fault). The types of the leaves are those of the TDP MMU.',
  sources: ['kvm/direct_map'],
});

/** direct_page_fault() of a gpa, without the TDP MMU. */
export function directPageFault(
  state: ShadowState,
  context: ShadowContext,
  address: number,
  code: number,
): Exclude<FaultResult, 'guest-fault'> {
  const gfn = Math.floor(address / 4096);
  const fault = newFault(address, code, gfn);
  fault.slot = state.slotOf(gfn);
  if (isGuarded(state, code, gfn)) return 'emulate';
  const fast = fastPageFault(state, context, fault);
  if (fast !== null) return fast;
  const early = faultIn(state.vm, context.vcpu, fault);
  if (early !== null) return early;
  if (fault.slot === null) {
    noteMmio(state, context, 0, gfn, ACC.WRITE | ACC.USER);
    if (!state.mmioCaching) return 'emulate';
  }
  reclaim(state);
  return directMap(state, context, fault);
}

/** direct_map(). */
function directMap(
  state: ShadowState,
  context: ShadowContext,
  fault: PageFault,
): 'fixed' | 'emulate' | 'spurious' | 'retry' {
  const { address } = fault;
  if (context.root === null) return 'retry';
  // Every page below a direct root allows everything: the leaf decides.
  const access = state.vm.sptes.accessAll;
  adjustLevel(state, context, fault);
  traceRequested(state, fault, access);
  let sp = context.root.page;
  for (;;) {
    const index = indexAt(address, sp.level);
    adjustDisallowed(state, fault, sp, index);
    if (sp.level === fault.goalLevel) break;
    const gfn = fault.gfn - (fault.gfn % pagesOf(sp.level));
    const made = getChild(state, context, sp, index, { gfn, direct: true, access, patIndex: 0 });
    if (made !== null) link(state, sp, index, made);
    const child = made ?? state.child(sp.hi(index), sp.lo(index));
    if (isHugeDisallowed(state, fault)) child.nxHugePageDisallowed = true;
    sp = child;
  }
  const index = indexAt(address, sp.level);
  const gfn = fault.gfn - (fault.gfn % pagesOf(sp.level));
  const { pfn, slot } = fault;
  const leaf = { access, gfn, pfn, slot, patIndex: 0, fault };
  const result = setLeaf(state, context, sp, index, leaf);
  // Without A bits nobody could tell what was mapped ahead from what was accessed.
  if (result !== 'spurious' && sp.level === 1 && !sp.role.adDisabled)
    prefetchDirect(state, context, sp, index);
  return result;
}

/** fast_page_fault(): null, it is not for the fast path. */
function fastPageFault(
  state: ShadowState,
  context: ShadowContext,
  fault: PageFault,
): 'fixed' | 'spurious' | null {
  const { code, address } = fault;
  const adBits = !context.rootRole.adDisabled;
  const isStore = (code & PFERR.WRITE) !== 0;
  if (context.root === null || (code & PFERR.RSVD) !== 0) return null;
  if ((code & PFERR.PRESENT) !== 0 ? !isStore : adBits) return null;
  const { sp, index } = lastOf(state, context.root.page, address);
  const old = { hi: sp.hi(index), lo: sp.lo(index) };
  const result = repair(state, fault, sp, index);
  const now = { hi: sp.hi(index), lo: sp.lo(index) };
  const text = errorCodeText(state.vm, code);
  const { id } = context.vcpu;
  state.tracer?.fastPageFault(id, address, text, old, now, result ?? 'other');
  return result;
}

function repair(
  state: ShadowState,
  fault: PageFault,
  sp: ShadowPage,
  index: number,
): 'fixed' | 'spurious' | null {
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (!state.bits.isPresent(hi, lo) || !state.bits.isLast(lo, sp.level)) return null;
  if (isAllowed(state, fault, hi, lo)) return 'spurious';
  const now = repaired(state, fault, sp, index);
  if (now === null || !isAllowed(state, fault, now.hi, now.lo)) return null;
  sp.set(index, now.hi, now.lo);
  const becameWritable = state.bits.isWritable(now.lo) && !state.bits.isWritable(lo);
  if (becameWritable) state.vm.markDirty(sp.role.smm ? 1 : 0, fault.gfn);
  return 'fixed';
}

/** fast_pf_get_last_sptep(): the entry that a walk ends at. */
function lastOf(
  state: ShadowState,
  root: ShadowPage,
  address: number,
): { readonly sp: ShadowPage; readonly index: number } {
  let sp = root;
  for (;;) {
    const index = indexAt(address, sp.level);
    const [hi, lo] = [sp.hi(index), sp.lo(index)];
    if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) return { sp, index };
    sp = state.child(hi, lo);
  }
}

/** is_access_allowed(). */
function isAllowed(state: ShadowState, { code }: PageFault, hi: number, lo: number): boolean {
  if ((code & PFERR.FETCH) !== 0) return state.bits.isExecutable(hi, lo);
  return (code & PFERR.WRITE) !== 0 ? state.bits.isWritable(lo) : (lo & 1) !== 0;
}

/** The entry as the fast path would leave it: with W where KVM may set it, with what access tracking took. */
function repaired(
  state: ShadowState,
  fault: PageFault,
  sp: ShadowPage,
  index: number,
): { readonly hi: number; readonly lo: number } | null {
  const [hi, lo] = state.bits.restored(sp.hi(index), sp.lo(index));
  if ((fault.code & PFERR.WRITE) === 0 || !state.bits.isMmuWritable(hi, lo)) return { hi, lo };
  // Of a huge page only the first 4K would be logged.
  if (sp.level > 1 && fault.slot !== null && isDirtyLogged(fault.slot)) return null;
  return { hi, lo: (lo | 2) >>> 0 };
}
