import { markParentsUnsync } from './shadow-entries.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';

/** The entries between a page and one below it that is out of date, topmost first. */
type Path = readonly { readonly sp: ShadowPage; readonly index: number }[];

interface Found {
  readonly sp: ShadowPage;
  readonly path: Path;
}

/** kvm_unsync_page(). */
export function makeUnsync(state: ShadowState, sp: ShadowPage): void {
  state.tracer?.unsyncPage(sp, sp.generation);
  sp.unsync = true;
  markParentsUnsync(state, sp);
}

/** kvm_unlink_unsync_page(). */
export function unlinkUnsync(state: ShadowState, sp: ShadowPage): void {
  state.tracer?.syncPage(sp, sp.generation);
  sp.unsync = false;
}

function clearIndex(sp: ShadowPage, index: number): void {
  sp.unsyncChildren -= 1;
  sp.unsyncIndexes.delete(index);
}

/** __mmu_unsync_walk(): collects, and forgets indexes below which nothing is out of date. @returns pages found */
function collect(state: ShadowState, sp: ShadowPage, path: Path, found: Found[]): number {
  let leaves = 0;
  for (const index of [...sp.unsyncIndexes].sort((a, b) => a - b)) {
    const [hi, lo] = [sp.hi(index), sp.lo(index)];
    if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) {
      clearIndex(sp, index);
      continue;
    }
    const child = state.child(hi, lo);
    const here = [...path, { sp, index }];
    if (child.unsyncChildren > 0) {
      const below = collect(state, child, here, found);
      if (below === 0) clearIndex(sp, index);
      leaves += below;
    } else if (child.unsync) {
      leaves += 1;
      if (!found.some((f) => f.sp === child)) found.push({ sp: child, path: here });
    } else clearIndex(sp, index);
  }
  return leaves;
}

/** mmu_pages_clear_parents(): up to the first page that has more below it. */
function clearParents(path: Path): void {
  for (let i = path.length - 1; i >= 0; i -= 1) {
    const { sp, index } = path[i] as Path[number];
    clearIndex(sp, index);
    if (sp.unsyncChildren > 0) return;
  }
}

/**
 * Goes through the pages below `top` that are out of date, until there are none.
 *
 * @param before sees each batch first
 */
export function eachUnsync(
  state: ShadowState,
  top: ShadowPage,
  visit: (sp: ShadowPage) => void,
  before: (batch: readonly ShadowPage[]) => void = () => undefined,
): void {
  for (;;) {
    const found: Found[] = [];
    if (top.unsyncChildren === 0 || collect(state, top, [], found) === 0) return;
    before(found.map((f) => f.sp));
    for (const { sp, path } of found) {
      visit(sp);
      clearParents(path);
    }
  }
}
