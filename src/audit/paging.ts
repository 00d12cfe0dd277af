import { editionsOf, type SpteEdition } from '../kvm/spte-editions.ts';
import type { KernelVersion } from '../linux/version.ts';
import {
  ALL_EDITIONS,
  type EditionSet,
  editionSet,
  editionsOfFrozen,
  editionsOfLeaf,
  LAYOUT_A,
} from './editions.ts';
import type { Moment } from './vm-map.ts';

/** `pages`: page-table entries as the CPU has them: NPT, or shadow paging of either vendor. */
export type AuditPaging = 'ept' | 'npt' | 'shadow' | 'pages';

const EPT_WRITABLE_B = 0x0600_0000;
const EPT_WRITABLE_C = 0x00a0_0000;
const NX_OR_VE = 0x8000_0000;

/** What the entries of one trace say of the kernel that wrote them. */
export interface EditionEvidence {
  /** Those that every entry can be of; of several kernels all that any entry can be of. */
  readonly set: EditionSet;
  /** No kernel wrote all of the entries. */
  readonly isMixed: boolean;
  /** The first entry of each kind that excludes some. */
  readonly proofs: readonly Moment[];
}

/**
 * What entries and zaps of one trace say of the paging mode and of the kernel; what was said of the host counts
 * where they say nothing.
 */
export class PagingVotes {
  ept: Moment | null = null;
  pages: Moment | null = null;
  /** A page of a page table that belongs to a table of the guest: shadow paging, or a nested guest. */
  shadow: Moment | null = null;
  /** kvm_tdp_mmu_spte_changed: EPT or NPT, with the TDP MMU. */
  tdp: Moment | null = null;
  /** The first entry that can be of these editions only. */
  readonly #seen = new Map<EditionSet, Moment>();
  #last: EditionSet = ALL_EDITIONS;
  #older: boolean;
  readonly #said: { readonly paging: AuditPaging | null; readonly editions: EditionSet };

  constructor(paging: AuditPaging | null, kernel: KernelVersion | null) {
    const editions: readonly SpteEdition[] = kernel === null ? [] : editionsOf(kernel);
    this.#said = { paging, editions: editions.length === 0 ? ALL_EDITIONS : editionSet(editions) };
    this.#older = (this.possible & ~LAYOUT_A) === 0;
  }

  /** Null: not told yet. */
  get isEpt(): boolean | null {
    if (this.ept !== null) return true;
    if (this.pages !== null) return false;
    const { paging } = this.#said;
    return paging === null ? null : paging === 'ept';
  }

  get paging(): AuditPaging | null {
    if (this.isEpt === null) return null;
    if (this.isEpt) return 'ept';
    const { paging } = this.#said;
    const isRefuted = paging === 'ept' || (paging === 'shadow' && this.tdp !== null);
    if (paging !== null && paging !== 'pages' && !isRefuted) return paging;
    if (this.tdp !== null) return 'npt';
    return this.shadow === null ? 'pages' : 'shadow';
  }

  /** Both kinds of entries are there: traces of two hosts, or of two modules. */
  get isMixed(): boolean {
    return this.ept !== null && this.pages !== null;
  }

  /** Bit 11 does not say "present". */
  get olderLayout(): boolean {
    return this.#older;
  }

  get evidence(): EditionEvidence {
    let common = ALL_EDITIONS;
    let any = 0;
    const proofs: Moment[] = [];
    for (const [set, moment] of this.#seen) {
      if ((common & set) !== common) proofs.push(moment);
      common &= set;
      any |= set;
    }
    return { set: common === 0 ? any : common, isMixed: common === 0, proofs };
  }

  /** The editions that are possible by what was seen and, where that leaves it open, by what was said. */
  get possible(): EditionSet {
    const { set } = this.evidence;
    const both = set & this.#said.editions;
    return both === 0 ? set : both;
  }

  /** A present leaf as kvm_mmu_set_spte prints it. */
  leaf(hi: number, lo: number, place: number, time: number): void {
    // PWT and PCD are never set by KVM, nor is the global bit, where an EPT entry has A.
    const isEpt = (lo & 0x118) !== 0 || this.#hasEptBits(hi, lo);
    // A page table's has P, U and A, for a fault installs it; EPT without A/D bits has no bit 5 but in a type.
    const isPages = !isEpt && (lo & 0x600) !== 0 && (lo & 0x25) === 0x25;
    if (isEpt) this.ept ??= momentOf(place, time);
    else if (isPages) this.pages ??= momentOf(place, time);
    if (isEpt || isPages) this.#note(editionsOfLeaf(hi, lo, isEpt), place, time);
  }

  /** A table: A is bit 8 under EPT, bit 5 in a page table. Asked as long as nothing is told. */
  table(lo: number, place: number, time: number): void {
    if ((lo & 0x120) === 0x100) this.ept ??= momentOf(place, time);
    else if ((lo & 0x125) === 0x25) this.pages ??= momentOf(place, time);
  }

  frozen(hi: number, lo: number, place: number, time: number): void {
    this.#note(editionsOfFrozen(hi, lo), place, time);
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

  #note(set: EditionSet, place: number, time: number): void {
    if (set === this.#last || set === 0) return;
    this.#last = set;
    if (set === ALL_EDITIONS || this.#seen.has(set)) return;
    this.#seen.set(set, momentOf(place, time));
    this.#older = (this.possible & ~LAYOUT_A) === 0;
  }
}

export function momentOf(place: number, time: number): Moment {
  return { place, time: Number.isNaN(time) ? null : time };
}
