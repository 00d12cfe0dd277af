import { rule } from '../../cite/rule.ts';
import type { ShadowContext } from './shadow-context.ts';
import { writeProtectGfn } from './shadow-entries.ts';
import { roleWord, ShadowPage, type ShadowRole } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { syncPage } from './shadow-sync.ts';
import { commitZap, type InvalidList, prepareZap } from './shadow-zap.ts';

rule({
  id: 'kvm/shadow-page',
  room: 'kvm',
  title: 'Pages of the shadow MMU',
  text:
    'A page is found by gfn and role: level, permissions of the levels above, direct or not, and the bits of ' +
    'CR0, CR4 and EFER that change what permissions mean. Of a guest table it has the gfn of the table; of ' +
    'a huge page of the guest that is mapped small it is direct and has the first gfn. As the permissions ' +
    'are part of the role, a huge page that was read before it was written has two: read-only, then ' +
    'writable. No cache bit of the guest is part of a role.',
  sources: ['kvm/kvm_mmu_get_page'],
});

/** kvm_mmu_find_shadow_page(). */
function find(
  state: ShadowState,
  context: ShadowContext | null,
  gfn: number,
  role: ShadowRole,
): ShadowPage | null {
  const invalid: InvalidList = [];
  const word = roleWord(role);
  let found: ShadowPage | null = null;
  for (const sp of [...(state.byGfn.get(gfn) ?? [])]) {
    if (state.isObsolete(sp)) continue;
    if (roleWord(sp.role) !== word) {
      // The guest makes a table of a higher level of it: what was out of date is not a table any more.
      if (role.level > 1 && sp.unsync) prepareZap(state, sp, invalid);
      continue;
    }
    if (!sp.role.direct && sp.unsync && context !== null) {
      const flush = syncPage(state, context, sp, invalid);
      if (flush === null) break;
      if (flush) state.flush();
    }
    if (!sp.role.direct) sp.writeFlooding = 0;
    found = sp;
    break;
  }
  commitZap(state, invalid);
  return found;
}

/** kvm_mmu_alloc_shadow_page(). */
function allocate(state: ShadowState, gfn: number, role: ShadowRole): ShadowPage {
  const table = state.vm.tables.allocate({
    level: role.level,
    gfn,
    tdpMmu: false,
    role,
    parent: null,
  });
  const sp = new ShadowPage(table, gfn, role, state.generation);
  state.add(sp);
  if (!sp.hasGptes) return sp;
  state.account(sp, 1);
  // Tables of level 1 are write-protected here, those above because their gfn is tracked.
  if (writeProtectGfn(state, gfn, true)) state.flush();
  return sp;
}

/** kvm_mmu_get_shadow_page(). @param context null for direct pages, which are never out of date */
export function getPage(
  state: ShadowState,
  context: ShadowContext | null,
  gfn: number,
  role: ShadowRole,
): ShadowPage {
  const existing = find(state, context, gfn, role);
  const sp = existing ?? allocate(state, gfn, role);
  state.tracer?.getPage(sp, existing === null, 1, sp.generation);
  return sp;
}

/** What tells a child from its parent: kvm_mmu_child_role(). */
export interface ChildOf {
  readonly gfn: number;
  readonly direct: boolean;
  readonly access: number;
  readonly patIndex: number;
}

/** kvm_mmu_get_child_sp(); null: the entry points to a page already. */
export function getChild(
  state: ShadowState,
  context: ShadowContext,
  parent: ShadowPage,
  index: number,
  of: ChildOf,
): ShadowPage | null {
  const [hi, lo] = [parent.hi(index), parent.lo(index)];
  if (state.bits.isPresent(hi, lo) && !state.bits.isLast(lo, parent.level)) return null;
  const { gfn, ...changed } = of;
  return getPage(state, context, gfn, { ...parent.role, level: parent.level - 1, ...changed });
}
