import { rule } from '../../cite/rule.ts';
import { ACC } from './error-code.ts';
import { isDirtyLogged } from './memslots.ts';
import type { FaultResult } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import type { ShadowContext } from './shadow-context.ts';
import { link } from './shadow-entries.ts';
import { type FaultSource, indexAt } from './shadow-fault.ts';
import { getChild } from './shadow-get.ts';
import {
  adjustDisallowed,
  adjustLevel,
  isHugeDisallowed,
  prefetchDirect,
  setLeaf,
  traceRequested,
} from './shadow-map.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';

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
  source: FaultSource,
): Exclude<FaultResult, 'guest-fault'> {
  const { env } = state;
  const { address, code } = source;
  const gfn = Math.floor(address / 4096);
  const slot = env.slotOf(gfn);
  const fault: PageFault = {
    address,
    code,
    gfn,
    slot,
    pfn: null,
    hva: 0,
    mapWritable: false,
    maxLevel: 3,
    reqLevel: 1,
    goalLevel: 1,
  };
  if (!code.rsvd && code.present && code.write && state.isTracked(gfn)) return 'emulate';
  const fast = fastPageFault(state, source.context, fault);
  if (fast !== null) return fast;
  const host = env.faultIn(slot, gfn, code.write);
  if (host.is === 'noslot') {
    source.noteMmio(gfn, ACC.ALL);
    if (!env.mmioCaching) return 'emulate';
  } else if (host.is !== 'pfn') return host.is;
  else {
    fault.pfn = host.pfn;
    fault.mapWritable = host.writable;
  }
  env.reclaim();
  return directMap(state, source.context, fault);
}

/** Every page below a direct root: everything is allowed, the leaf decides. */
const DIRECT = { direct: true, access: ACC.ALL, patIndex: 0 } as const;

/** direct_map(). */
function directMap(
  state: ShadowState,
  context: ShadowContext,
  fault: PageFault,
): 'fixed' | 'emulate' | 'spurious' | 'retry' {
  if (context.root === null) return 'retry';
  adjustLevel(state, fault);
  traceRequested(state, fault, ACC.ALL);
  let sp = context.root.page;
  for (;;) {
    const index = indexAt(fault.address, sp.level);
    adjustDisallowed(state, fault, sp, index);
    if (sp.level === fault.goalLevel) break;
    const gfn = fault.gfn - (fault.gfn % 512 ** (sp.level - 1));
    const made = getChild(state, context, sp, index, { gfn, ...DIRECT });
    if (made !== null) link(state, sp, index, made);
    const child = made ?? state.child(sp.hi(index), sp.lo(index));
    if (isHugeDisallowed(state, fault)) child.isNxDisallowed = true;
    sp = child;
  }
  const index = indexAt(fault.address, sp.level);
  const gfn = fault.gfn - (fault.gfn % 512 ** (sp.level - 1));
  const { pfn, slot } = fault;
  const result = setLeaf(state, sp, index, { access: ACC.ALL, gfn, pfn, slot, patIndex: 0, fault });
  // Without A bits nobody could tell what was mapped ahead from what was accessed.
  if (result !== 'spurious' && sp.level === 1 && !sp.role.adDisabled)
    prefetchDirect(state, sp, index);
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
  if (code.rsvd || (code.present ? !code.write : adBits)) return null;
  const at = leafOf(state, context, address);
  if (at === null) return null;
  const { sp, index } = at;
  const [hi, lo] = [sp.hi(index), sp.lo(index)];
  if (isAllowed(state, fault, hi, lo)) return 'spurious';
  const now = repaired(state, fault, sp, index);
  if (now === null || !isAllowed(state, fault, now.hi, now.lo)) return null;
  sp.set(index, now.hi, now.lo);
  const becameWritable = state.bits.isWritable(now.lo) && !state.bits.isWritable(lo);
  if (becameWritable && fault.slot !== null) state.env.markDirty(fault.slot, fault.gfn);
  return 'fixed';
}

function leafOf(
  state: ShadowState,
  context: ShadowContext,
  address: number,
): { readonly sp: ShadowPage; readonly index: number } | null {
  let sp = context.root?.page ?? null;
  while (sp !== null) {
    const index = indexAt(address, sp.level);
    const [hi, lo] = [sp.hi(index), sp.lo(index)];
    if (!state.bits.isPresent(hi, lo)) return null;
    if (state.bits.isLast(lo, sp.level)) return { sp, index };
    sp = state.child(hi, lo);
  }
  return null;
}

/** is_access_allowed(). */
function isAllowed(state: ShadowState, { code }: PageFault, hi: number, lo: number): boolean {
  if (code.fetch) return state.bits.isExecutable(hi, lo);
  return code.write ? state.bits.isWritable(lo) : (lo & 1) !== 0;
}

/** The entry as the fast path would leave it: with W where KVM may set it, with what access tracking took. */
function repaired(
  state: ShadowState,
  fault: PageFault,
  sp: ShadowPage,
  index: number,
): { readonly hi: number; readonly lo: number } | null {
  const [hi, lo] = state.bits.restored(sp.hi(index), sp.lo(index));
  if (!fault.code.write || !state.bits.isMmuWritable(hi, lo)) return { hi, lo };
  // Of a huge page only the first 4K would be logged.
  if (sp.level > 1 && fault.slot !== null && isDirtyLogged(fault.slot)) return null;
  return { hi, lo: (lo | 2) >>> 0 };
}
