import type { U64 } from '../../base/u64.ts';
import { pagesOf } from './host-memory.ts';
import { entryIndex, frameOf, type MmuPage, type MmuRole, type Place } from './page-tables.ts';
import type { SpteBits } from './spte-bits.ts';
import type { SpteMaker } from './spte-maker.ts';
import type { Vm } from './vm.ts';

/** First gfn of an entry. */
export function gfnOf(page: MmuPage, index: number): number {
  return page.gfn + index * pagesOf(page.level);
}

/**
 * The tables of the TDP MMU: reads and changes of entries, with the event that KVM prints of every change.
 * Source: kvm/tdp_mmu.c.
 */
export class TdpTables {
  readonly vm: Vm;
  readonly role: MmuRole;
  readonly bits: SpteBits;
  readonly #maker: SpteMaker;

  constructor(vm: Vm) {
    this.vm = vm;
    this.#maker = vm.sptes;
    this.bits = vm.bits;
    this.role = {
      direct: true,
      has4ByteGpte: false,
      quadrant: 0,
      access: vm.sptes.accessAll,
      efer_nx: true,
      adDisabled: !vm.config.adBits,
      smm: false,
    };
  }

  hi(page: MmuPage, index: number): number {
    return page.entries[index * 2 + 1] as number;
  }

  lo(page: MmuPage, index: number): number {
    return page.entries[index * 2] as number;
  }

  child(hi: number, lo: number): MmuPage {
    return this.vm.tables.at(frameOf(hi, lo));
  }

  /** Writes an entry and handles what it was: handle_changed_spte(). */
  set(page: MmuPage, index: number, hi: number, lo: number): void {
    const oldHi = this.hi(page, index);
    const oldLo = this.lo(page, index);
    page.entries[index * 2] = lo;
    page.entries[index * 2 + 1] = hi;
    this.#changed(page, index, [oldHi, oldLo], [hi, lo]);
  }

  #changed(
    page: MmuPage,
    index: number,
    [oldHi, oldLo]: readonly [number, number],
    [hi, lo]: readonly [number, number],
  ): void {
    if (oldHi === hi && oldLo === lo) return;
    const isTable = this.bits.isPresent(oldHi, oldLo) && !this.bits.isLast(oldLo, page.level);
    const removed = isTable ? this.child(oldHi, oldLo) : null;
    const { removalFirst } = this.vm.config.behaviour;
    if (removed !== null && removalFirst) this.#remove(removed);
    const asId = page.role.smm ? 1 : 0;
    this.vm.tracer?.spteChanged(asId, gfnOf(page, index), page.level, oldHi, oldLo, hi, lo);
    if (removed !== null && !removalFirst) this.#remove(removed);
  }

  /** handle_removed_pt(): a table is out of the tree; what it mapped goes with it. */
  #remove(page: MmuPage): void {
    const { empty, frozen } = this.vm.config.edition;
    this.vm.tracer?.prepareZap(page);
    const to = frozen ?? empty;
    for (let index = 0; index < 512; index += 1) {
      if (this.bits.isPresent(this.hi(page, index), this.lo(page, index)))
        this.set(page, index, to.hi, to.lo);
    }
    this.vm.tables.free(page);
  }

  /** Makes an entry map nothing. */
  clear(page: MmuPage, index: number): void {
    const { empty } = this.vm.config.edition;
    this.set(page, index, empty.hi, empty.lo);
  }

  /** A new table under an entry, not linked yet. */
  newChild(page: MmuPage, index: number): MmuPage {
    const child = this.vm.tables.allocate({
      level: page.level - 1,
      gfn: gfnOf(page, index),
      tdpMmu: true,
      role: page.role,
      parent: page,
    });
    if (!this.vm.config.behaviour.tableAfterEntry) this.vm.tracer?.getPage(child, true);
    return child;
  }

  /** tdp_mmu_link_sp(). */
  link(page: MmuPage, index: number, child: MmuPage): void {
    const { hi, lo } = this.#maker.table(child.pfn);
    this.set(page, index, hi, lo);
    if (this.vm.config.behaviour.tableAfterEntry) this.vm.tracer?.getPage(child, true);
  }

  /** tdp_mmu_split_huge_page(): a table of small pages, with the bits of the huge one, takes its place. */
  split(page: MmuPage, index: number): void {
    const hi = this.hi(page, index);
    const lo = this.lo(page, index);
    const child = this.newChild(page, index);
    for (let i = 0; i < 512; i += 1) {
      const small = this.#maker.small(hi, lo, page.level, i);
      child.entries[i * 2] = small.lo;
      child.entries[i * 2 + 1] = small.hi;
    }
    this.link(page, index, child);
    this.vm.tracer?.splitHugePage(gfnOf(page, index), hi, lo, page.level);
  }

  /** The first leaf below a table, at any depth; null: nothing is mapped. */
  firstLeaf(page: MmuPage): U64 | null {
    for (let index = 0; index < 512; index += 1) {
      const entry = { hi: this.hi(page, index), lo: this.lo(page, index) };
      if (!this.bits.isPresent(entry.hi, entry.lo)) continue;
      if (this.bits.isLast(entry.lo, page.level)) return entry;
      const below = this.firstLeaf(this.child(entry.hi, entry.lo));
      if (below !== null) return below;
    }
    return null;
  }

  /** The entries that map something of [start, end), in order; `visit` may change the one it is given. */
  leaves(
    page: MmuPage,
    start: number,
    end: number,
    visit: (page: MmuPage, index: number, hi: number, lo: number) => void,
  ): void {
    const size = pagesOf(page.level);
    const first = Math.max(0, Math.floor((start - page.gfn) / size));
    const last = Math.min(512, Math.ceil((end - page.gfn) / size));
    for (let index = first; index < last; index += 1) {
      const hi = this.hi(page, index);
      const lo = this.lo(page, index);
      if (!this.bits.isPresent(hi, lo)) continue;
      if (this.bits.isLast(lo, page.level)) visit(page, index, hi, lo);
      else this.leaves(this.child(hi, lo), start, end, visit);
    }
  }

  /** Every present entry at one level, tables and leaves, in order. */
  atLevel(page: MmuPage, level: number, visit: (page: MmuPage, index: number) => void): void {
    for (let index = 0; index < 512; index += 1) {
      const hi = this.hi(page, index);
      const lo = this.lo(page, index);
      if (!this.bits.isPresent(hi, lo)) continue;
      if (page.level === level) visit(page, index);
      else if (!this.bits.isLast(lo, page.level)) this.atLevel(this.child(hi, lo), level, visit);
    }
  }

  /** The entry that a walk for a gfn ends at: a leaf, or one that is not present. */
  last(root: MmuPage, gfn: number): Place {
    let page = root;
    for (;;) {
      const index = entryIndex(gfn, page.level);
      const hi = this.hi(page, index);
      const lo = this.lo(page, index);
      if (!this.bits.isPresent(hi, lo) || this.bits.isLast(lo, page.level)) return { page, index };
      page = this.child(hi, lo);
    }
  }
}
