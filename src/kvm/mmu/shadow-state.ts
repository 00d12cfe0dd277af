import { must } from '../../base/assert.ts';
import type { U64 } from '../../base/u64.ts';
import type { SpteEdition } from '../spte-editions.ts';
import type { MapLevel } from './host-memory.ts';
import type { Memslot } from './memslots.ts';
import type { PageTables } from './page-tables.ts';
import { type EntryRef, ReverseMap } from './rmap.ts';
import { type ShadowPage, SpteBits } from './shadow-page.ts';
import type { Tracer } from './trace.ts';

/** What an access to a page of the host came to: kvm_faultin_pfn(). */
export type FaultIn =
  | { readonly is: 'pfn'; readonly pfn: number; readonly writable: boolean }
  | { readonly is: 'noslot' }
  | { readonly is: 'efault' }
  | { readonly is: 'hwpoison' }
  /** A write to a read-only memslot, or to a slot that is being changed: KVM emulates it. */
  | { readonly is: 'emulate' }
  | { readonly is: 'retry' };

/** What make_spte() is told. */
export interface ShadowLeaf {
  readonly level: number;
  readonly slot: Memslot | null;
  /** First gfn and frame of the mapping. */
  readonly gfn: number;
  readonly pfn: number;
  /** ACC_*. */
  readonly access: number;
  readonly hostWritable: boolean;
  /** False: KVM guards a table of the guest in the page. */
  readonly mmuWritable: boolean;
  /** Not for an access of now: A stays clear. */
  readonly prefetch: boolean;
  /** Of the guest's leaf. Kernels do not look at it; proposals may. */
  readonly patIndex: number;
}

/** What the shadow MMU asks of the VM that it belongs to. */
export interface ShadowEnv {
  readonly tables: PageTables;
  readonly edition: SpteEdition;
  /** What the entries are; under shadow paging those of ordinary page tables. */
  readonly flavour: 'ept' | 'npt';
  readonly tracer: Tracer | null;
  /** make_spte() less write protection. */
  readonly leaf: (request: ShadowLeaf) => U64;
  /** make_nonleaf_spte(). */
  readonly table: (child: ShadowPage) => U64;
  /** Leaves depend on the PAT index of the guest's leaf: no kernel does that. */
  readonly usesGuestPat: boolean;
  /** enable_mmio_caching: accesses without memory leave an MMIO SPTE. */
  readonly mmioCaching: boolean;
  /** make_mmu_pages_available(). */
  readonly reclaim: () => void;
  /** kvm_mmu_set_spte, of an entry that was just made. */
  readonly traceLeaf: (sp: ShadowPage, index: number, gfn: number) => void;
  readonly mmioSpte: (gfn: number, access: number) => U64;
  readonly mmioGfn: (hi: number, lo: number) => number;
  /** Of the memslots, as MMIO SPTEs keep it. */
  readonly generation: () => number;
  /** EPT or NPT is on: pages are those of L2, or of legacy direct roots. */
  readonly tdp: boolean;
  /** EPT entries may lack every permission bit: one that has none left is dropped. */
  readonly noReadless: boolean;
  /** is_nx_huge_page_enabled(): no huge page is executable. */
  readonly nxHugePages: boolean;
  readonly slotOf: (gfn: number) => Memslot | null;
  readonly faultIn: (slot: Memslot | null, gfn: number, write: boolean) => FaultIn;
  /** Frames of pages from `gfn` on that are mapped writable and have a struct page; stops at the first that has not. */
  readonly prefetch: (slot: Memslot, gfn: number, pages: number) => readonly number[];
  /** The largest page that slot, host and guest MTRRs allow, at most `most`. */
  readonly mappingLevel: (slot: Memslot, gfn: number, most: MapLevel) => MapLevel;
  readonly markDirty: (slot: Memslot, gfn: number) => void;
  readonly readGuest: (gpa: number) => U64 | null;
  /** All TLBs of the VM. */
  readonly flush: () => void;
}

/** Everything that the shadow MMU keeps of one VM: kvm_arch. */
export class ShadowState {
  readonly rmap = new ReverseMap();
  readonly bits: SpteBits;
  /** active_mmu_pages, oldest first. */
  readonly active = new Set<ShadowPage>();
  /** mmu_page_hash: pages by gfn, newest first. */
  readonly byGfn = new Map<number, ShadowPage[]>();
  readonly #byPfn = new Map<number, ShadowPage>();
  /** mmu_valid_gen. */
  generation: 0 | 1 = 0;
  /** n_used_mmu_pages. */
  used = 0;
  /** n_max_mmu_pages: from here on the oldest pages go. */
  limit = Number.POSITIVE_INFINITY;
  /** Guest tables of levels above 1 that are shadowed: writes to them are always emulated. By gfn, counted. */
  readonly tracked = new Map<number, number>();
  /** Blocks with a guest table of level 1 in them are not mapped huge: disallow_lpage. By level and block. */
  readonly notHuge = new Map<string, number>();

  readonly env: ShadowEnv;

  constructor(env: ShadowEnv) {
    this.env = env;
    this.bits = new SpteBits(env.edition, env.flavour);
  }

  add(sp: ShadowPage): void {
    this.#byPfn.set(sp.pfn, sp);
    this.active.add(sp);
    const list = this.byGfn.get(sp.gfn);
    if (list === undefined) this.byGfn.set(sp.gfn, [sp]);
    else list.unshift(sp);
    this.used += 1;
  }

  /** The page leaves the hash, and its table goes back to the pool. */
  free(sp: ShadowPage): void {
    const list = must(this.byGfn.get(sp.gfn), 'a page in the hash');
    list.splice(list.indexOf(sp), 1);
    if (list.length === 0) this.byGfn.delete(sp.gfn);
    this.#byPfn.delete(sp.pfn);
    this.env.tables.free(sp);
  }

  /** The page whose table is in a frame. */
  at(pfn: number): ShadowPage {
    return must(this.#byPfn.get(pfn), `no shadow page in frame ${pfn.toString(16)}`);
  }

  find(pfn: number): ShadowPage | null {
    return this.#byPfn.get(pfn) ?? null;
  }

  pageOf(ref: EntryRef): ShadowPage {
    return this.at(Math.floor(ref / 512));
  }

  /** The page that a present entry which is no leaf points to. */
  child(hi: number, lo: number): ShadowPage {
    return this.at((hi & 0xf_ffff) * 2 ** 20 + (lo >>> 12));
  }

  isObsolete(sp: ShadowPage): boolean {
    return sp.invalid || sp.generation !== this.generation;
  }

  clear(sp: ShadowPage, index: number): void {
    const { empty } = this.env.edition;
    sp.set(index, empty.hi, empty.lo);
  }

  /** for_each_gfn_valid_sp_with_gptes: a copy, newest first. */
  withTables(gfn: number): readonly ShadowPage[] {
    return (this.byGfn.get(gfn) ?? []).filter((sp) => sp.hasGptes && !this.isObsolete(sp));
  }

  isTracked(gfn: number): boolean {
    return this.tracked.has(gfn);
  }

  isHugeAllowed(gfn: number, level: number): boolean {
    return !this.notHuge.has(blockKey(gfn, level));
  }

  /** account_shadowed() and unaccount_shadowed(): `by` is 1 or -1. */
  account(sp: ShadowPage, by: 1 | -1): void {
    if (sp.level > 1) count(this.tracked, sp.gfn, by);
    // Tracking a gfn rules huge pages out as well: __kvm_write_track_add_gfn().
    for (const level of [2, 3]) count(this.notHuge, blockKey(sp.gfn, level), by);
  }
}

function blockKey(gfn: number, level: number): string {
  return `${level}:${Math.floor(gfn / 512 ** (level - 1))}`;
}

function count<K>(map: Map<K, number>, key: K, by: 1 | -1): void {
  const now = (map.get(key) ?? 0) + by;
  if (now === 0) map.delete(key);
  else map.set(key, now);
}
