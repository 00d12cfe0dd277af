import { rule } from '../../cite/rule.ts';
import { ACC } from './error-code.ts';
import { fastPageFault } from './fast-page-fault.ts';
import { faultIn } from './fault-in.ts';
import { pagesOf } from './host-memory.ts';
import type { FaultResult } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import type { ShadowContext } from './shadow-context.ts';
import { link } from './shadow-entries.ts';
import { indexAt, isGuarded, lastOf, newFault, noteMmio } from './shadow-fault.ts';
import { getChild } from './shadow-get.ts';
import {
  adjustDisallowed,
  adjustLevel,
  isHugeDisallowed,
  setLeaf,
  traceRequested,
} from './shadow-map.ts';
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
  const { root, rootRole } = context;
  if (root !== null) {
    const last = () => lastOf(state, root.page, address);
    const fast = fastPageFault(state.vm, context.vcpu, fault, !rootRole.adDisabled, last);
    if (fast !== null) return fast;
  }
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
