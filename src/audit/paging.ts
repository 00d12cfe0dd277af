import { type SpteLayout, spteLayouts } from '../kvm/spte.ts';
import type { KernelVersion } from '../linux/version.ts';
import type { Moment } from './vm-map.ts';

/** `pages`: page-table entries as the CPU has them: NPT, or shadow paging of either vendor. */
export type AuditPaging = 'ept' | 'npt' | 'shadow' | 'pages';

const EPT_WRITABLE_B = 0x0600_0000;
const EPT_WRITABLE_C = 0x00a0_0000;
const NX_OR_VE = 0x8000_0000;
const FULL_B = 0xe00;
const FULL_A = 0xc00;

/** What entries and zaps of one trace say of the paging mode and of where the software bits stand. */
export class PagingVotes {
  ept: Moment | null = null;
  pages: Moment | null = null;
  /** A page of a page table that belongs to a table of the guest: shadow paging, or a nested guest. */
  shadow: Moment | null = null;
  /** kvm_tdp_mmu_spte_changed: EPT or NPT, with the TDP MMU. */
  tdp: Moment | null = null;
  /** Layout of the software bits, as a full leaf or a frozen entry shows it. */
  readonly layouts = new Map<SpteLayout, Moment>();
  #eptVotes = 0;
  #pageVotes = 0;
  #older: boolean;
  readonly #known: { readonly paging: AuditPaging | null; readonly layout: SpteLayout | null };

  constructor(paging: AuditPaging | null, kernel: KernelVersion | null) {
    const layouts = kernel === null ? [] : spteLayouts(kernel);
    this.#older = layouts.length === 1 && layouts[0] === 'A';
    this.#known = { paging, layout: layouts.length === 1 ? (layouts[0] ?? null) : null };
  }

  /** Null: not told yet. */
  get isEpt(): boolean | null {
    const { paging } = this.#known;
    if (paging !== null) return paging === 'ept';
    if (this.#eptVotes === 0 && this.#pageVotes === 0) return null;
    return this.#eptVotes > 0;
  }

  get paging(): AuditPaging | null {
    const { paging } = this.#known;
    if (paging !== null) return paging;
    if (this.isEpt === null) return null;
    if (this.isEpt) return 'ept';
    if (this.tdp !== null) return 'npt';
    return this.shadow === null ? 'pages' : 'shadow';
  }

  /** Both kinds of entries are there: traces of two hosts, or of two modules. */
  get isMixed(): boolean {
    return this.#eptVotes > 0 && this.#pageVotes > 0;
  }

  /** Bit 11 does not say "present". */
  get olderLayout(): boolean {
    return this.#older;
  }

  /** The layouts that are possible by what was seen. */
  get possible(): readonly SpteLayout[] {
    if (this.#known.layout !== null) return [this.#known.layout];
    const seen = [...this.layouts.keys()];
    return seen.length === 0 ? ['A', 'B', 'C'] : seen;
  }

  /** A present leaf as kvm_mmu_set_spte prints it. */
  leaf(hi: number, lo: number, place: number, time: number): void {
    // PWT and PCD are never set by KVM, nor is the global bit, where an EPT entry has A.
    const isEpt = (lo & 0x118) !== 0 || this.#hasEptBits(hi, lo);
    if (isEpt) {
      this.#eptVotes += 1;
      this.ept ??= momentOf(place, time);
    } else if ((lo & 0x600) !== 0 && (lo & 5) === 5) {
      this.#pageVotes += 1;
      this.pages ??= momentOf(place, time);
    }
    if (this.layouts.size > 0) return;
    this.#layout(hi, lo, isEpt, place, time);
    if (this.#known.layout === null) this.#older = this.layouts.size === 1 && this.layouts.has('A');
  }

  /** A table: A is bit 8 under EPT, bit 5 in a page table. Asked as long as nothing is told. */
  table(lo: number, place: number, time: number): void {
    if ((lo & 0x120) === 0x100) {
      this.#eptVotes += 1;
      this.ept ??= momentOf(place, time);
    } else if ((lo & 0x125) === 0x25) {
      this.#pageVotes += 1;
      this.pages ??= momentOf(place, time);
    }
  }

  frozen(lo: number, place: number, time: number): void {
    const layout = lo === 0x1a0 ? 'C' : 'B';
    if (this.layouts.has(layout)) return;
    this.layouts.set(layout, momentOf(place, time));
    if (this.#known.layout === null) this.#older = false;
  }

  /** A page of page tables was zapped: that of a direct map stands at a multiple of its size. */
  zapped(level: number, gfn: number, place: number, time: number): void {
    if (this.shadow !== null || level < 1 || gfn % 512 ** level === 0) return;
    this.shadow = momentOf(place, time);
  }

  #hasEptBits(hi: number, lo: number): boolean {
    if ((hi & EPT_WRITABLE_B) >>> 0 !== 0) return true;
    return (hi & EPT_WRITABLE_C) !== 0 && (hi & NX_OR_VE) !== 0 && (lo & 0x600) !== 0x600;
  }

  #layout(hi: number, lo: number, isEpt: boolean, place: number, time: number): void {
    const moment = momentOf(place, time);
    if (isEpt) {
      if ((hi & EPT_WRITABLE_B) === EPT_WRITABLE_B) this.layouts.set('B', moment);
      else if ((hi & EPT_WRITABLE_C) === EPT_WRITABLE_C) this.layouts.set('C', moment);
      else if ((hi & 0x7fff_ffff & ~0xf_ffff) === 0 && (lo & FULL_A) === FULL_A)
        this.layouts.set('A', moment);
    } else if ((lo & FULL_B) === FULL_B) {
      this.layouts.set('B', moment);
      this.layouts.set('C', moment);
    } else if ((lo & FULL_B) === FULL_A) this.layouts.set('A', moment);
  }
}

export function momentOf(place: number, time: number): Moment {
  return { place, time: Number.isNaN(time) ? null : time };
}
