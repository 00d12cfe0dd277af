import type { U64 } from '../../base/u64.ts';

/** A translation that the CPU keeps: from the page of an address to a frame, with what it took from the tables. */
export interface TlbEntry {
  /** Of the 4K page. */
  readonly gpaPage: number;
  /** Frame of the host. */
  readonly pfn: number;
  /** The leaf of KVM's tables as it was when the translation was made. */
  readonly level: number;
  readonly hi: number;
  readonly lo: number;
  /** PAT index of the guest's own leaf; null without guest paging. */
  readonly patIndex: number | null;
  /** IA32_PAT when it was made: a later write of the MSR does not reach it. Source: sdm/alias. */
  readonly pat: U64;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly user: boolean;
  /** The D flags were set when it was made: a write needs no walk. */
  readonly dirty: boolean;
}

/**
 * The translations that a CPU keeps until it is told to drop them. It may drop any of them at any time, so that
 * nothing but a flush may be relied on; this one keeps them as long as it can, which is what shows stale types.
 */
export class Tlb {
  readonly #entries = new Map<number, TlbEntry>();
  readonly #capacity: number;

  /** @param capacity translations of 4K pages; the oldest goes first */
  constructor(capacity: number = 1536) {
    this.#capacity = capacity;
  }

  get(page: number): TlbEntry | null {
    return this.#entries.get(page) ?? null;
  }

  /** @param page the address in 4K pages */
  set(page: number, entry: TlbEntry): void {
    this.#entries.delete(page);
    if (this.#entries.size >= this.#capacity) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
    }
    this.#entries.set(page, entry);
  }

  /** INVLPG, INVEPT and the like; without an address all of them. */
  flush(page: number | null = null): void {
    if (page === null) this.#entries.clear();
    else this.#entries.delete(page);
  }

  /** Translations in the order in which they were made. */
  entries(): readonly (readonly [page: number, entry: TlbEntry])[] {
    return [...this.#entries];
  }
}
