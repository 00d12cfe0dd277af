import { must } from '../../base/assert.ts';
import type { U64 } from '../../base/u64.ts';
import type { SpteEdition } from '../spte-editions.ts';
import type { Memslot } from './memslots.ts';
import type { PageTables } from './page-tables.ts';
import { type EntryRef, ReverseMap } from './rmap.ts';
import { type ShadowPage, SpteBits } from './shadow-page.ts';
import type { TraceContext } from './trace.ts';

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
export interface LeafRequest {
  readonly level: number;
  readonly gfn: number;
  readonly pfn: number;
  /** ACC_*; WRITE only where the entry becomes writable. */
  readonly access: number;
  readonly hostWritable: boolean;
  /** Not for an access of now: A stays clear. */
  readonly prefetch: boolean;
  readonly adDisabled: boolean;
}

/** What the shadow MMU asks of the VM that it belongs to. */
export interface ShadowEnv {
  readonly tables: PageTables;
  readonly edition: SpteEdition;
  /** What the entries are; under shadow paging those of ordinary page tables. */
  readonly flavour: 'ept' | 'npt';
  readonly emit: (event: string, context: TraceContext, text: string) => void;
  /** make_spte() less write protection. */
  readonly leaf: (request: LeafRequest) => U64;
  readonly mmioSpte: (gfn: number, access: number) => U64;
  readonly slotOf: (gfn: number) => Memslot | null;
  readonly faultIn: (slot: Memslot | null, gfn: number, write: boolean) => FaultIn;
  /** Frames of pages from `gfn` on that are mapped writable and have a struct page; stops at the first that has not. */
  readonly prefetch: (slot: Memslot, gfn: number, pages: number) => readonly number[];
  /** The largest page that slot, host and guest MTRRs allow, at most `most`. */
  readonly mappingLevel: (slot: Memslot, gfn: number, most: number) => number;
  readonly markDirty: (slot: Memslot, gfn: number) => void;
  readonly readGuest: (gpa: number) => U64 | null;
  readonly writeGuest: (gpa: number, value: U64) => void;
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

  constructor(readonly env: ShadowEnv) {
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
