import { must } from '../../base/assert.ts';
import type { SpteEdition } from '../spte-editions.ts';
import type { Memslot } from './memslots.ts';
import { frameOf } from './page-tables.ts';
import { type EntryRef, ReverseMap } from './rmap.ts';
import { type ShadowPage, SpteBits } from './shadow-page.ts';
import { SpteMaker } from './spte-maker.ts';
import type { Tracer } from './trace.ts';
import type { Vm } from './vm.ts';

/** Everything that the shadow MMU keeps of one VM: kvm_arch. */
export class ShadowState {
  readonly vm: Vm;
  readonly rmap = new ReverseMap();
  readonly bits: SpteBits;
  readonly edition: SpteEdition;
  readonly tracer: Tracer | null;
  readonly mmioCaching: boolean;
  /** active_mmu_pages, oldest first. */
  readonly active = new Set<ShadowPage>();
  /** mmu_page_hash: pages by gfn, newest first. */
  readonly byGfn = new Map<number, ShadowPage[]>();
  /** mmu_valid_gen. */
  generation: 0 | 1 = 0;
  /** n_used_mmu_pages. */
  used = 0;
  /** n_max_mmu_pages: where it is reached the oldest pages go. */
  limit: number = Number.POSITIVE_INFINITY;
  readonly #byPfn = new Map<number, ShadowPage>();
  /** Guest tables of levels above 1 that are shadowed: writes to them are always emulated. By gfn, counted. */
  readonly #tracked = new Map<number, number>();
  /** Blocks with a guest table in them are not mapped huge: disallow_lpage. By level and block, counted. */
  readonly #notHuge = new Map<string, number>();
  readonly #makers: readonly [adOn: SpteMaker, adOff: SpteMaker];

  /** @param mmioCaching accesses without memory leave an MMIO SPTE */
  constructor(vm: Vm, mmioCaching: boolean) {
    this.mmioCaching = mmioCaching;
    const { config, tracer } = vm;
    this.vm = vm;
    this.tracer = tracer;
    this.edition = config.edition;
    this.bits = new SpteBits(config.edition, config.paging === 'ept' ? 'ept' : 'npt');
    this.#makers = [new SpteMaker(config), new SpteMaker({ ...config, adBits: false })];
  }

  /** What makes the entries of pages of this role. */
  maker(adDisabled: boolean): SpteMaker {
    return this.#makers[adDisabled ? 1 : 0];
  }

  slotOf(gfn: number): Memslot | null {
    return this.vm.slots.at(0, gfn);
  }

  flush(): void {
    this.vm.flushTlbs();
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
    this.vm.tables.free(sp);
  }

  /** The page whose table is in a frame. @throws InternalError when there is none */
  at(pfn: number): ShadowPage {
    return must(this.#byPfn.get(pfn), `no shadow page in frame ${pfn.toString(16)}`);
  }

  pageOf(ref: EntryRef): ShadowPage {
    return this.at(Math.floor(ref / 512));
  }

  /** The page that a present entry which is no leaf points to. */
  child(hi: number, lo: number): ShadowPage {
    return this.at(frameOf(hi, lo));
  }

  isObsolete(sp: ShadowPage): boolean {
    return sp.invalid || sp.generation !== this.generation;
  }

  clear(sp: ShadowPage, index: number): void {
    const { empty } = this.edition;
    sp.set(index, empty.hi, empty.lo);
  }

  /** for_each_gfn_valid_sp_with_gptes: a copy, newest first. */
  withTables(gfn: number): readonly ShadowPage[] {
    return (this.byGfn.get(gfn) ?? []).filter((sp) => sp.hasGptes && !this.isObsolete(sp));
  }

  /** kvm_gfn_is_write_tracked(). */
  isTracked(gfn: number): boolean {
    return this.#tracked.has(gfn);
  }

  isHugeAllowed(gfn: number, level: number): boolean {
    return !this.#notHuge.has(blockKey(gfn, level));
  }

  /** account_shadowed() and unaccount_shadowed(): `by` is 1 or -1. */
  account(sp: ShadowPage, by: 1 | -1): void {
    if (sp.level > 1) count(this.#tracked, sp.gfn, by);
    // Tracking a gfn rules huge pages out as well: __kvm_write_track_add_gfn().
    for (const level of [2, 3]) count(this.#notHuge, blockKey(sp.gfn, level), by);
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
