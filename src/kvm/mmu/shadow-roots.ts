import { PREVIOUS_ROOTS, type RootInfo, type ShadowContext } from './shadow-context.ts';
import { getPage } from './shadow-get.ts';
import { roleWord } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { syncChildren } from './shadow-sync.ts';
import { commitZap, type InvalidList, prepareZap } from './shadow-zap.ts';

/** mmu_free_root_page(): the vCPU lets go of a root; one that was zapped meanwhile is gone with the last. */
function release(state: ShadowState, { page }: RootInfo, invalid: InvalidList): void {
  page.rootCount -= 1;
  if (page.rootCount === 0 && page.invalid) prepareZap(state, page, invalid);
}

/** kvm_mmu_free_roots(): those that `goes` says, previous ones first. */
export function freeRoots(
  state: ShadowState,
  context: ShadowContext,
  goes: (root: RootInfo) => boolean = () => true,
): void {
  const invalid: InvalidList = [];
  for (const root of context.previous.filter(goes)) release(state, root, invalid);
  context.previous = context.previous.filter((root) => !goes(root));
  if (context.root !== null && goes(context.root)) {
    release(state, context.root, invalid);
    context.root = null;
  }
  commitZap(state, invalid);
}

function isUsable({ rootRole, pgd }: ShadowContext, root: RootInfo): boolean {
  if (!rootRole.direct && root.pgd !== pgd) return false;
  return roleWord(root.page.role) === roleWord(rootRole);
}

/** fast_pgd_switch(): looks among the previous roots; the current one becomes the latest of them. */
export function switchRoot(state: ShadowState, context: ShadowContext): void {
  const { root } = context;
  if (root !== null && isUsable(context, root)) return;
  const at = context.previous.findIndex((previous) => isUsable(context, previous));
  const found = context.previous[at] ?? null;
  const rest = context.previous.filter((previous) => previous !== found);
  const kept = root === null ? rest : [root, ...rest];
  context.root = found;
  context.previous = kept.slice(0, PREVIOUS_ROOTS);
  const invalid: InvalidList = [];
  for (const dropped of kept.slice(PREVIOUS_ROOTS)) release(state, dropped, invalid);
  commitZap(state, invalid);
  if (found !== null && !context.rootRole.direct) found.page.writeFlooding = 0;
}

/** mmu_alloc_shadow_roots(), mmu_alloc_direct_roots(). */
function allocateRoot(state: ShadowState, context: ShadowContext): void {
  const { rootRole, pgd } = context;
  const gfn = rootRole.direct ? 0 : Math.floor(pgd / 4096);
  if (!rootRole.direct && state.slotOf(gfn) === null)
    throw new RangeError(
      `the root of the guest's page tables, ${pgd.toString(16)}, is in no memslot`,
    );
  const page = getPage(state, context, gfn, rootRole);
  page.rootCount += 1;
  context.root = { page, pgd: rootRole.direct ? 0 : pgd };
}

/** kvm_mmu_reload() and the requests before it: obsolete roots go, a root is loaded, pages are synced. */
export function reload(state: ShadowState, context: ShadowContext): void {
  const isObsolete = ({ page }: RootInfo): boolean => state.isObsolete(page);
  const { root, previous } = context;
  if ((root !== null && isObsolete(root)) || previous.some(isObsolete))
    freeRoots(state, context, isObsolete);
  if (context.root === null) {
    allocateRoot(state, context);
    context.needsSync = true;
    context.vcpu.tlb.flush();
  }
  if (!context.needsSync) return;
  context.needsSync = false;
  syncRoot(state, context);
}

/** kvm_mmu_sync_roots(). */
function syncRoot(state: ShadowState, context: ShadowContext): void {
  if (context.rootRole.direct || context.root === null) return;
  context.vcpu.mmio = null;
  if (context.root.page.unsyncChildren > 0) syncChildren(state, context, context.root.page);
}
