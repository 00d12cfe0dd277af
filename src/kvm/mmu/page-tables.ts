import { must } from '../../base/assert.ts';
import { type U64, u64 } from '../../base/u64.ts';
import { pagesOf } from './host-memory.ts';

/** Bits 51:12 of an entry as a frame number. */
export function frameOf(hi: number, lo: number): number {
  return (hi & 0xf_ffff) * 0x10_0000 + (lo >>> 12);
}

/** An address as the low and high word of an entry: bits 51:12 for a frame number. */
export function addressWords(pfn: number): U64 {
  return u64(Math.floor(pfn / 0x10_0000), (pfn % 0x10_0000) * 4096);
}

/** A page-table page of KVM: kvm_mmu_page with its 512 entries. */
export interface MmuPage {
  /** The host's frame of the table: what the entry above holds as its address. */
  readonly pfn: number;
  /** 1: its entries map 4K pages. */
  readonly level: number;
  /** First gfn that it covers; under shadow paging the gfn of the guest's table where it has one. */
  readonly gfn: number;
  /** 512 entries of 64 bits: low word, high word. */
  readonly entries: Uint32Array;
  /** Of the TDP MMU; otherwise of the shadow code. */
  readonly tdpMmu: boolean;
  /** kvm_mmu_page_role; `direct`: no guest table stands behind it. */
  readonly role: MmuRole;
  /** vCPUs that use it as their root; of the shadow code, what KVM prints as `root`. */
  rootCount: number;
  /** Shadow paging: the guest wrote its table since this was made of it. */
  unsync: boolean;
  /** Made small because code runs in it: the iTLB multihit mitigation. */
  nxHugePageDisallowed: boolean;
  /** Zapped as a whole, no longer to be used: the role bit `invalid`. */
  invalid: boolean;
  readonly parent: MmuPage | null;
}

export interface MmuRole {
  readonly direct: boolean;
  /** Guest entries have 8 bytes; 4 with 32-bit paging. */
  readonly has4ByteGpte: boolean;
  readonly quadrant: number;
  /** ACC_*: 1 execute, 2 write, 4 user; from 7.2 on 8 read. */
  readonly access: number;
  readonly efer_nx: boolean;
  readonly adDisabled: boolean;
  readonly smm: boolean;
}

const WORDS = 1024;
const PAGES_A_CHUNK = 256;

/**
 * The memory that page-table pages come from. A table is 4 KiB, so that a mapped 4K page costs 8 bytes and
 * 1/512 of a table's object.
 */
export class PageTables {
  readonly #pages: (MmuPage | null)[] = [];
  readonly #free: number[] = [];
  readonly #words: Uint32Array[] = [];
  #chunk: Uint32Array | null = null;
  readonly firstPfn: number;
  readonly empty: U64;

  /**
   * @param firstPfn frame of the first table; the others follow
   * @param empty the entry that maps nothing
   */
  constructor(firstPfn: number, empty: U64) {
    this.firstPfn = firstPfn;
    this.empty = empty;
  }

  /** Tables in use. */
  get count(): number {
    return this.#pages.length - this.#free.length;
  }

  /** Bytes taken from the host for tables, in use or free. */
  get bytes(): number {
    return this.#words.length * WORDS * 4;
  }

  allocate(
    page: Omit<
      MmuPage,
      'pfn' | 'entries' | 'rootCount' | 'unsync' | 'nxHugePageDisallowed' | 'invalid'
    >,
  ): MmuPage {
    const at = this.#free.pop() ?? this.#pages.length;
    const entries = this.#words[at] ?? this.#newWords(at);
    this.clear(entries);
    const made: MmuPage = {
      ...page,
      pfn: this.firstPfn + at,
      entries,
      rootCount: 0,
      unsync: false,
      nxHugePageDisallowed: false,
      invalid: false,
    };
    this.#pages[at] = made;
    return made;
  }

  #newWords(at: number): Uint32Array {
    const within = at % PAGES_A_CHUNK;
    if (within === 0 || this.#chunk === null) this.#chunk = new Uint32Array(WORDS * PAGES_A_CHUNK);
    const words = this.#chunk.subarray(within * WORDS, (within + 1) * WORDS);
    this.#words[at] = words;
    return words;
  }

  /** Makes all entries map nothing. */
  clear(entries: Uint32Array): void {
    const { hi, lo } = this.empty;
    if (hi === lo) entries.fill(lo);
    else
      for (let i = 0; i < WORDS; i += 2) {
        entries[i] = lo;
        entries[i + 1] = hi;
      }
  }

  free(page: MmuPage): void {
    const at = page.pfn - this.firstPfn;
    this.#pages[at] = null;
    this.#free.push(at);
  }

  /** The table in a frame. @throws InternalError when there is none */
  at(pfn: number): MmuPage {
    return must(this.#pages[pfn - this.firstPfn], 'no page table in that frame');
  }

  /** Every table in use, by frame. */
  all(): readonly MmuPage[] {
    return this.#pages.filter((page) => page !== null);
  }
}

/** Index of a gfn in a table of that level. */
export function entryIndex(gfn: number, level: number): number {
  return Math.floor(gfn / pagesOf(level)) % 512;
}

/** The physical address of an entry. */
export function pageTableAddress(page: MmuPage, index: number): number {
  return page.pfn * 4096 + index * 8;
}
