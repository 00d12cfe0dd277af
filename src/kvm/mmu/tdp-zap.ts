import { QUIRK } from '../quirks.ts';
import { pagesOf } from './host-memory.ts';
import { disallowsHuge, endOf, hvaOf, isReadonly, type Memslot } from './memslots.ts';
import type { MmuPage } from './page-tables.ts';
import type { TdpMmu } from './tdp-mmu.ts';
import { gfnOf, type TdpTables } from './tdp-tables.ts';

/** zap_gfn_range() up to 5.17: tables that lie in the range whole go, with the MMIO entries in them. */
function zapTables(tables: TdpTables, page: MmuPage, start: number, end: number): boolean {
  const size = pagesOf(page.level);
  const first = Math.max(0, Math.floor((start - page.gfn) / size));
  const last = Math.min(512, Math.ceil((end - page.gfn) / size));
  let any = false;
  for (let index = first; index < last; index += 1) {
    const [hi, lo] = [tables.hi(page, index), tables.lo(page, index)];
    if (!tables.isPresent(hi, lo)) continue;
    const gfn = gfnOf(page, index);
    const isWhole = gfn >= start && gfn + size <= end;
    if (isWhole || tables.isLeaf(page.level, lo)) {
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

/** kvm_arch_flush_shadow_memslot(): everything goes, or with SLOT_ZAP_ALL disabled the slot alone. */
export function flushSlot(mmu: TdpMmu, slot: Memslot): void {
  const { vm } = mmu;
  const isAll = !vm.config.behaviour.slotZapAllQuirk || vm.hasQuirk(QUIRK.SLOT_ZAP_ALL);
  if (isAll) mmu.zapAllFast();
  else if (mmu.unmapGfnRange(slot, slot.baseGfn, endOf(slot))) vm.flushTlbs();
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
    tables.leaves(root, start, end, (page, index, hi, lo) => {
      const mask = vm.config.pml && page.level === 1 ? vm.sptes.dirty : 2;
      if ((lo & mask) !== 0) tables.set(page, index, hi, (lo & ~mask) >>> 0);
    });
  }
  vm.flushTlbs();
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
  const { vm } = tables;
  for (const root of roots)
    for (const level of [3, 2])
      tables.atLevel(root, level, (page, index) => {
        const gfn = gfnOf(page, index);
        if (gfn < slot.baseGfn || gfn + pagesOf(level) > endOf(slot)) return;
        if (tables.isLeaf(level, tables.lo(page, index))) return;
        if (disallowsHuge(slot, gfn, level) || hostLevel(tables, slot, gfn) < level) return;
        if (vm.config.behaviour.recoverHuge) recover(tables, page, index);
        else tables.clear(page, index);
      });
  vm.flushTlbs();
}

function hostLevel({ vm }: TdpTables, slot: Memslot, gfn: number): number {
  const hva = hvaOf(slot, gfn);
  const mapping = vm.host.mappingOf(hva);
  return mapping === null ? 1 : vm.host.levelIn(mapping, hva);
}

/** The huge page gets the bits of the first small one that is present, its type with them. */
function recover(tables: TdpTables, page: MmuPage, index: number): void {
  const child = tables.child(tables.hi(page, index), tables.lo(page, index));
  for (let i = 0; i < 512; i += 1) {
    const hi = tables.hi(child, i);
    const lo = tables.lo(child, i);
    if (!tables.isPresent(hi, lo) || !tables.isLeaf(child.level, lo)) continue;
    const huge = tables.huge(hi, lo, page.level);
    tables.set(page, index, huge.hi, huge.lo);
    return;
  }
}
