import { pagesOf } from './host-memory.ts';
import { maxMappingLevel } from './mapping-level.ts';
import { endOf, isReadonly, type Memslot } from './memslots.ts';
import type { MmuPage } from './page-tables.ts';
import { gfnOf, type TdpTables } from './tdp-tables.ts';

/** zap_gfn_range() up to 5.17: tables that lie in the range whole go, with the MMIO entries in them. */
function zapTables(tables: TdpTables, page: MmuPage, start: number, end: number): boolean {
  const size = pagesOf(page.level);
  const first = Math.max(0, Math.floor((start - page.gfn) / size));
  const last = Math.min(512, Math.ceil((end - page.gfn) / size));
  let any = false;
  for (let index = first; index < last; index += 1) {
    const [hi, lo] = [tables.hi(page, index), tables.lo(page, index)];
    if (!tables.bits.isPresent(hi, lo)) continue;
    const gfn = gfnOf(page, index);
    const isWhole = gfn >= start && gfn + size <= end;
    if (isWhole || tables.bits.isLast(lo, page.level)) {
      tables.clear(page, index);
      any = true;
    } else any = zapTables(tables, tables.child(hi, lo), start, end) || any;
  }
  return any;
}

/** tdp_mmu_zap_leafs(): MMIO entries stay, the generation of the memslots guards them. @returns anything went */
export function zapLeaves(
  tables: TdpTables,
  roots: readonly MmuPage[],
  start: number,
  end: number,
): boolean {
  let any = false;
  if (tables.vm.config.behaviour.zapsTables) {
    for (const root of roots) any = zapTables(tables, root, start, end) || any;
    return any;
  }
  for (const root of roots)
    tables.leaves(root, start, end, (page, index) => {
      tables.clear(page, index);
      any = true;
    });
  return any;
}

/** kvm_tdp_mmu_zap_invalidated_roots(): no vCPU uses them any more, they go in passes, one a level. */
export function zapRoots(tables: TdpTables, roots: readonly MmuPage[]): void {
  const { vm } = tables;
  for (const root of roots) root.invalid = true;
  for (const vcpu of vm.vcpus) {
    vcpu.root = null;
    vcpu.tlb.flush();
  }
  for (const root of roots) {
    for (const level of vm.config.behaviour.zapRootLevels)
      tables.atLevel(root, Math.min(level, root.level), (page, index) => tables.clear(page, index));
    vm.tables.free(root);
  }
}

/**
 * kvm_mmu_slot_apply_flags(): huge pages are split first, by eager_page_split; then D is cleared where PML logs
 * writes, else W. Huge pages that are left lose W in any case.
 */
export function dirtyLogOn(tables: TdpTables, roots: readonly MmuPage[], slot: Memslot): void {
  const { vm } = tables;
  const [start, end] = [slot.baseGfn, endOf(slot)];
  if (isReadonly(slot)) return;
  for (const root of roots) {
    if (vm.config.behaviour.eagerSplit) splitHuge(tables, root, start, end);
    logLeaves(tables, root, start, end, 3);
  }
  vm.flushTlbs();
}

/** Leaves up to a level lose D where PML logs writes, else W: clear_dirty_pt_masked() of 4K pages. */
export function logLeaves(
  tables: TdpTables,
  root: MmuPage,
  start: number,
  end: number,
  most: number,
): void {
  const { config, sptes } = tables.vm;
  tables.leaves(root, start, end, (page, index, hi, lo) => {
    const mask = config.pml && page.level === 1 ? sptes.dirty : 2;
    if (page.level <= most && (lo & mask) !== 0) tables.set(page, index, hi, (lo & ~mask) >>> 0);
  });
}

/** tdp_mmu_split_huge_pages_root(): down to 4K; a page that sticks out of the slot is split too. */
function splitHuge(tables: TdpTables, root: MmuPage, start: number, end: number): void {
  for (const level of [3, 2])
    tables.leaves(root, start, end, (page, index) => {
      if (page.level === level) tables.split(page, index);
    });
}

/** kvm_tdp_mmu_recover_huge_pages(), before kvm_tdp_mmu_zap_collapsible_sptes(). */
export function dirtyLogOff(tables: TdpTables, roots: readonly MmuPage[], slot: Memslot): void {
  let any = false;
  for (const root of roots) any = collapse(tables, root, slot) || any;
  if (any) tables.vm.flushTlbs();
}

/** recover_huge_pages_range(), zap_collapsible_spte_range(): the largest first. @returns anything changed */
function collapse(tables: TdpTables, page: MmuPage, slot: Memslot): boolean {
  const { vm, bits } = tables;
  const size = pagesOf(page.level);
  const first = Math.max(0, Math.floor((slot.baseGfn - page.gfn) / size));
  const last = Math.min(512, Math.ceil((endOf(slot) - page.gfn) / size));
  let any = false;
  for (let index = first; page.level > 1 && index < last; index += 1) {
    const [hi, lo] = [tables.hi(page, index), tables.lo(page, index)];
    if (!bits.isPresent(hi, lo) || bits.isLast(lo, page.level)) continue;
    const gfn = gfnOf(page, index);
    const isHuge =
      page.level <= 3 && gfn >= slot.baseGfn && maxMappingLevel(vm, slot, gfn) >= page.level;
    const done = isHuge && toHuge(tables, page, index);
    any = done || any;
    if (!done) any = collapse(tables, tables.child(hi, lo), slot) || any;
  }
  return any;
}

/** tdp_mmu_make_huge_spte(): the bits of the first leaf below, its type with them; up to 6.12 all is zapped. */
function toHuge(tables: TdpTables, page: MmuPage, index: number): boolean {
  const { vm } = tables;
  if (!vm.config.behaviour.recoverHuge) {
    tables.clear(page, index);
    return true;
  }
  const leaf = tables.firstLeaf(tables.child(tables.hi(page, index), tables.lo(page, index)));
  if (leaf === null) return false;
  const { hi, lo } = vm.sptes.huge(leaf.hi, leaf.lo, page.level);
  tables.set(page, index, hi, lo);
  return true;
}
