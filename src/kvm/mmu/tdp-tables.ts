import { PFERR } from './error-code.ts';
import { pagesOf } from './host-memory.ts';
import { addressWords, entryIndex, frameOf, type MmuPage, type MmuRole } from './page-tables.ts';
import type { SpteMaker } from './spte-maker.ts';
import type { Vm } from './vm.ts';

/** An entry in a table. */
export interface Place {
  readonly page: MmuPage;
  readonly index: number;
}

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
  readonly #maker: SpteMaker;

  constructor(vm: Vm) {
    this.vm = vm;
    this.#maker = vm.sptes;
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

  /** is_shadow_present_pte(): it maps something. */
  isPresent(hi: number, lo: number): boolean {
    const { edition } = this.vm.config;
    if (edition.hasPresentBit) return (lo & (1 << 11)) !== 0;
    if (lo === edition.empty.lo && hi === edition.empty.hi) return false;
    if (edition.frozen !== null && lo === edition.frozen.lo && hi === edition.frozen.hi)
      return false;
    return !this.isMmio(hi, lo);
  }

  isMmio(hi: number, lo: number): boolean {
    const { edition } = this.vm.config;
    if (edition.id === 'A-5.3') return ((hi >>> 30) & 1) === 1 && lo !== 0;
    if (edition.id === 'A-5.4') return ((hi >>> 20) & 3) === 3;
    if ((lo & (1 << 11)) !== 0) return false;
    return this.#maker.isEpt ? (lo & 7) === 6 : (lo & 1) === 1 && (hi & (1 << 19)) !== 0;
  }

  /** is_last_spte(): of an entry that is present. */
  isLeaf(level: number, lo: number): boolean {
    return level === 1 || (level <= 3 && (lo & (1 << 7)) !== 0);
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
    const isTable = this.isPresent(oldHi, oldLo) && !this.isLeaf(page.level, oldLo);
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
      if (this.isPresent(this.hi(page, index), this.lo(page, index)))
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

  /**
   * tdp_mmu_make_huge_spte(): the huge page that small ones with these bits came from.
   *
   * @param level of the entry that will hold it
   */
  huge(hi: number, lo: number, level: number): { readonly hi: number; readonly lo: number } {
    const pfn = frameOf(hi, lo);
    const base = addressWords(pfn - (pfn % pagesOf(level)));
    const flags = (lo & 0xfff) | (1 << 7);
    return { hi: ((hi & ~0xf_ffff) | base.hi) >>> 0, lo: (base.lo | flags) >>> 0 };
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
      if (!this.isPresent(hi, lo)) continue;
      if (this.isLeaf(page.level, lo)) visit(page, index, hi, lo);
      else this.leaves(this.child(hi, lo), start, end, visit);
    }
  }

  /** Every present entry at one level, tables and leaves, in order. */
  atLevel(page: MmuPage, level: number, visit: (page: MmuPage, index: number) => void): void {
    for (let index = 0; index < 512; index += 1) {
      const hi = this.hi(page, index);
      const lo = this.lo(page, index);
      if (!this.isPresent(hi, lo)) continue;
      if (page.level === level) visit(page, index);
      else if (!this.isLeaf(page.level, lo)) this.atLevel(this.child(hi, lo), level, visit);
    }
  }

  /** The entry that a walk for a gfn ends at: a leaf, or one that is not present. */
  last(root: MmuPage, gfn: number): Place {
    let page = root;
    for (;;) {
      const index = entryIndex(gfn, page.level);
      const hi = this.hi(page, index);
      const lo = this.lo(page, index);
      if (!this.isPresent(hi, lo) || this.isLeaf(page.level, lo)) return { page, index };
      page = this.child(hi, lo);
    }
  }

  /** is_access_allowed(): an entry lets an access with these PFERR bits through. */
  allows(hi: number, lo: number, code: number): boolean {
    const { isEpt } = this.#maker;
    const isExecutable = isEpt ? (lo & 4) !== 0 : hi >>> 31 === 0;
    if ((code & PFERR.FETCH) !== 0) return isExecutable;
    return (code & PFERR.WRITE) !== 0 ? (lo & 2) !== 0 : (lo & 1) !== 0;
  }
}
