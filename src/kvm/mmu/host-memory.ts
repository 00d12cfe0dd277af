import type { U64 } from '../../base/u64.ts';
import type { PatType } from '../../x86/types.ts';
import { type FrameFacts, type FrameRange, Frames, indexOf } from './frames.ts';

export const PAGE_SIZE = 4096;

/** 1: 4 KiB, 2: 2 MiB, 3: 1 GiB; PG_LEVEL_4K, PG_LEVEL_2M, PG_LEVEL_1G. */
export type MapLevel = 1 | 2 | 3;

const PAGES: readonly number[] = [0, 1, 512, 512 ** 2, 512 ** 3, 512 ** 4];

/** 4K pages in a page of that level, also of the tables above: 4 and 5. */
export function pagesOf(level: number): number {
  return PAGES[level] as number;
}

/** What a first write to a page does that the page tables of the VMM do not let through. */
export type WriteFault =
  /** The mapping allows no writes. */
  | 'refused'
  /** A private page is copied to a new frame: the zero page, or one that is shared. */
  | 'copy'
  /** The same frame becomes writable: dirty tracking of a file system, pfn_mkwrite of a driver. */
  | 'make-writable';

/** A stretch of the VMM's address space that is mapped alike. */
export interface HostMapping {
  readonly hva: number;
  /** Exclusive. */
  readonly end: number;
  /** Frame of the first page; the others follow it, but for `sameFrame`. */
  readonly pfn: number;
  /** All pages are this one frame: the zero page. */
  readonly sameFrame: boolean;
  /** Largest page that the page tables use, where address and frame are aligned to it. */
  readonly level: MapLevel;
  /** The page tables have entries; private memory that nobody touched has none yet. */
  readonly present: boolean;
  /** The page-table entries allow writes now. */
  readonly writable: boolean;
  readonly onWrite: WriteFault;
  /** VM_PFNMAP or VM_IO: get_user_pages() keeps its hands off. */
  readonly pfnmap: boolean;
  /** The VMA, where a change of a part of it makes the kernel split huge pages; see HostMemory.unmap(). */
  readonly vma: { readonly start: number; readonly end: number } | null;
  /** The type in the page tables of the VMM. */
  readonly vmmType: PatType;
  /** The frames are poisoned: a machine check hit them. */
  readonly poisoned: boolean;
}

/** What the MMU notifier tells: [start, end) of the address space is about to change. */
export type Notify = (start: number, end: number) => void;

const mappingAt = (list: readonly HostMapping[], hva: number) =>
  indexOf(
    list,
    hva,
    (m) => m.hva,
    (m) => m.end,
  );

function listen(all: Set<Notify>, one: Notify): () => void {
  all.add(one);
  return () => all.delete(one);
}

/** The later part of a mapping, from `hva` on. */
function tailFrom(m: HostMapping, hva: number): HostMapping {
  return { ...m, hva, pfn: m.sameFrame ? m.pfn : m.pfn + (hva - m.hva) / PAGE_SIZE };
}

/**
 * The host as KVM asks it: the address space of the VMM with its page tables, the page frames behind it and
 * what is in them. Addresses are user addresses, below 2^47; frames are numbers of 4K pages.
 */
export class HostMemory {
  #mappings: HostMapping[] = [];
  /** Where the last search ended: faults come in runs. */
  #last = 0;
  readonly #frames = new Frames();
  readonly #content = new Map<number, Uint32Array>();
  readonly #notify = new Set<Notify>();
  readonly #retyped = new Set<Notify>();
  #fresh: number;

  /** @param fresh frames from this one on are given to pages that are copied */
  constructor(fresh: number = 0x4_0000) {
    this.#fresh = fresh;
  }

  /** Registers an MMU notifier. @returns takes it away again */
  onInvalidate(notify: Notify): () => void {
    return listen(this.#notify, notify);
  }

  /** Registers who wants to know where frames change their type: no kernel does. @returns takes it away again */
  onRetype(notify: Notify): () => void {
    return listen(this.#retyped, notify);
  }

  /** Says what frames are. They must not overlap others; frames that are not said are ordinary RAM. */
  frames(range: FrameRange): void {
    this.#frames.add(range);
  }

  factsOf(pfn: number): FrameFacts {
    return this.#frames.factsOf(pfn);
  }

  /** set_memory_*() and the like: changes what frames are. It tells no MMU notifier. */
  retype(pfn: number, end: number, change: Partial<FrameFacts>): void {
    this.#frames.retype(pfn, end, change);
    for (const m of this.#mappings) {
      const last = this.frameIn(m, m.end - PAGE_SIZE);
      if (m.pfn >= end || last < pfn) continue;
      const from = m.sameFrame ? m.hva : m.hva + Math.max(0, pfn - m.pfn) * PAGE_SIZE;
      const to = m.sameFrame ? m.end : m.end - Math.max(0, last + 1 - end) * PAGE_SIZE;
      for (const tell of this.#retyped) tell(from, to);
    }
  }

  /** The mapping of an address; null: none, an access is -EFAULT. */
  mappingOf(hva: number): HostMapping | null {
    const last = this.#mappings[this.#last];
    if (last !== undefined && hva >= last.hva && hva < last.end) return last;
    const at = mappingAt(this.#mappings, hva);
    if (at < 0) return null;
    this.#last = at;
    return this.#mappings[at] as HostMapping;
  }

  /** Frame of an address in its mapping. */
  frameIn(m: HostMapping, hva: number): number {
    return m.sameFrame ? m.pfn : m.pfn + Math.floor((hva - m.hva) / PAGE_SIZE);
  }

  /** The size of the page that maps an address: host_pfn_mapping_level(). */
  levelIn(m: HostMapping, hva: number): MapLevel {
    for (let level = m.level; level > 1; level -= 1) {
      const size = pagesOf(level) * PAGE_SIZE;
      const start = hva - (hva % size);
      const inside = start >= m.hva && start + size <= m.end;
      if (inside && this.frameIn(m, start) % pagesOf(level) === 0) return level;
    }
    return 1;
  }

  /** mmap(), with MAP_FIXED where something is mapped there: that goes, and the notifier tells. */
  map(mapping: HostMapping): void {
    this.unmap(mapping.hva, mapping.end);
    const at = mappingAt(this.#mappings, mapping.hva);
    this.#mappings.splice(~at, 0, mapping);
  }

  /**
   * munmap(). Where the edge of a VMA comes to lie inside a 2M block of it, __split_huge_pmd() tells the
   * notifier of the whole block, whether a huge page was there or not.
   */
  unmap(start: number, end: number): void {
    if (!this.#mappings.some((m) => m.hva < end && m.end > start)) return;
    this.#splitVma(start, end);
    this.#cut(start, end);
    this.#invalidate(start, end);
    this.#mappings = this.#mappings.filter((m) => m.end <= start || m.hva >= end);
  }

  /** mremap() with MREMAP_FIXED: the pages of [from, fromEnd) come to `to`, over what was there. */
  move(from: number, fromEnd: number, to: number): void {
    this.unmap(to, to + fromEnd - from);
    this.#invalidate(from, fromEnd);
    this.#cut(from, fromEnd);
    const moved = this.#mappings.filter((m) => m.hva < fromEnd && m.end > from);
    const by = to - from;
    this.unmap(from, fromEnd);
    for (const m of moved) {
      const vma = { start: m.hva + by, end: m.end + by };
      this.map({ ...m, hva: m.hva + by, end: m.end + by, vma: m.vma === null ? null : vma });
    }
  }

  /** mprotect(). */
  protect(start: number, end: number, writable: boolean): void {
    this.#splitVma(start, end);
    this.#replace(start, end, (m) => ({ ...m, writable }));
  }

  /**
   * MADV_DONTNEED of private memory: the pages are gone, the next touch gets new ones.
   *
   * @returns false: -EINVAL, VM_PFNMAP
   */
  discard(start: number, end: number): boolean {
    if (this.#mappings.some((m) => m.pfnmap && m.hva < end && m.end > start)) return false;
    const size = pagesOf(2) * PAGE_SIZE;
    const huge = [start, end].filter((edge) => {
      const m = this.mappingOf(edge);
      return edge % size !== 0 && m !== null && this.levelIn(m, edge) > 1;
    });
    const head = this.mappingOf(start);
    if (start % size === 0 && head !== null && this.levelIn(head, start) > 1 && end - start < size)
      huge.push(start + PAGE_SIZE);
    const blocks = new Set(huge.map((edge) => edge - (edge % size)));
    const pages = (end - start) / PAGE_SIZE;
    const pfn = this.#fresh;
    this.#fresh += pages;
    this.#replace(start, end, (m) => ({
      ...m,
      level: 1,
      pfn: pfn + (m.hva - start) / PAGE_SIZE,
      present: false,
      writable: false,
      onWrite: m.writable ? 'copy' : m.onWrite,
    }));
    for (const block of blocks) this.#splitBlock(block);
    return true;
  }

  /** Tells the notifier, then changes what is mapped in a range. The VMA stays one. */
  #replace(start: number, end: number, change: (m: HostMapping) => HostMapping): void {
    this.#cut(start, end);
    this.#invalidate(start, end);
    this.#mappings = this.#mappings.map((m) => (m.hva < end && m.end > start ? change(m) : m));
  }

  /** Cuts mappings at both ends. */
  #cut(start: number, end: number): void {
    for (const edge of [start, end]) {
      const at = mappingAt(this.#mappings, edge);
      const m = this.#mappings[at];
      if (m === undefined || m.hva === edge) continue;
      this.#mappings.splice(at, 1, { ...m, end: edge }, tailFrom(m, edge));
    }
  }

  #splitVma(start: number, end: number): void {
    const size = pagesOf(2) * PAGE_SIZE;
    for (const edge of [start, end]) {
      const vma = this.mappingOf(edge)?.vma ?? null;
      if (vma === null || edge <= vma.start || edge >= vma.end) continue;
      const block = edge - (edge % size);
      if (block !== edge && block >= vma.start && block + size <= vma.end) this.#splitBlock(block);
      this.#cut(edge, edge);
      this.#mappings = this.#mappings.map((m) => {
        if (m.hva < vma.start || m.end > vma.end) return m;
        const now = m.hva < edge ? { ...vma, end: edge } : { ...vma, start: edge };
        return { ...m, vma: now };
      });
    }
  }

  /** A 2M block is in small pages from now on. */
  #splitBlock(block: number): void {
    const end = block + pagesOf(2) * PAGE_SIZE;
    this.#invalidate(block, end);
    const isInside = (m: HostMapping): boolean => m.hva < end && m.end > block;
    if (!this.#mappings.some((m) => isInside(m) && m.level > 1)) return;
    this.#cut(block, end);
    this.#mappings = this.#mappings.map((m) => (isInside(m) ? { ...m, level: 1 } : m));
  }

  #invalidate(start: number, end: number): void {
    for (const notify of this.#notify) notify(start, end);
  }

  /**
   * A fault of the VMM, or of KVM in its name: get_user_pages(). The notifier is told where a frame changes,
   * not where there was none.
   *
   * @returns false: the mapping does not allow it
   */
  fault(hva: number, write: boolean): boolean {
    const page = hva - (hva % PAGE_SIZE);
    const m = this.mappingOf(page);
    if (m === null || m.poisoned) return false;
    const isAllowed = m.writable || m.onWrite !== 'refused';
    if (write && !isAllowed) return false;
    if (!m.present) this.#populate(page, write);
    else if (write && !m.writable) this.#makeWritable(m, page);
    return true;
  }

  /** The first touch of a private page: a read gets the frame of the mapping, the zero page, a write a new one. */
  #populate(page: number, write: boolean): void {
    this.#cut(page, page + PAGE_SIZE);
    const now = write
      ? { writable: true, pfn: this.#fresh++, sameFrame: false, level: 1 as const }
      : { level: 1 as const };
    const at = mappingAt(this.#mappings, page);
    const m = this.#mappings[at];
    if (m !== undefined) this.#mappings[at] = { ...m, ...now, present: true };
  }

  #makeWritable(m: HostMapping, page: number): void {
    const pfn = m.onWrite === 'copy' ? this.#copy(this.frameIn(m, page)) : this.frameIn(m, page);
    const now = { writable: true, pfn, sameFrame: false, level: 1 as const };
    this.#replace(page, page + PAGE_SIZE, (old) => ({ ...old, ...now }));
  }

  #copy(pfn: number): number {
    const to = this.#fresh++;
    const content = this.#content.get(pfn);
    if (content !== undefined) this.#content.set(to, content.slice());
    return to;
  }

  /** Eight bytes of a frame at a byte offset that is a multiple of 8. Never written: 0. */
  read64(pfn: number, offset: number): U64 {
    const words = this.#content.get(pfn);
    if (words === undefined) return { hi: 0, lo: 0 };
    return { hi: words[(offset >> 2) + 1] ?? 0, lo: words[offset >> 2] ?? 0 };
  }

  write64(pfn: number, offset: number, { hi, lo }: U64): void {
    let words = this.#content.get(pfn);
    if (words === undefined) {
      words = new Uint32Array(PAGE_SIZE / 4);
      this.#content.set(pfn, words);
    }
    words[offset >> 2] = lo;
    words[(offset >> 2) + 1] = hi;
  }
}
