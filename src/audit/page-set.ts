const CHUNK_BITS = 15;
const CHUNK = 1 << CHUNK_BITS;

/** Guest pages, a bit for each: 4 KiB for every 128 MiB in which there is one. */
export class PageSet {
  readonly #chunks = new Map<number, Uint32Array>();

  get isEmpty(): boolean {
    return this.#chunks.size === 0;
  }

  has(gfn: number): boolean {
    const words = this.#chunks.get(Math.floor(gfn / CHUNK));
    return words !== undefined && (((words[(gfn % CHUNK) >>> 5] ?? 0) >>> (gfn & 31)) & 1) === 1;
  }

  /** @param pages a power of two, of which `gfn` is a multiple */
  add(gfn: number, pages: number): void {
    this.#put(gfn, pages, true);
  }

  /** As `add`. */
  remove(gfn: number, pages: number): void {
    if (!this.isEmpty) this.#put(gfn, pages, false);
  }

  #put(gfn: number, pages: number, isIn: boolean): void {
    for (let at = gfn; at < gfn + pages; ) {
      const first = at % CHUNK;
      const count = Math.min(CHUNK - first, gfn + pages - at);
      const words = this.#chunk(Math.floor(at / CHUNK), isIn);
      if (words !== null && count < 32) {
        const bits = (2 ** count - 1) << (first & 31);
        const before = words[first >>> 5] ?? 0;
        words[first >>> 5] = isIn ? before | bits : before & ~bits;
      } else words?.fill(isIn ? 0xffff_ffff : 0, first >>> 5, (first + count) >>> 5);
      at += count;
    }
  }

  #chunk(index: number, isNew: boolean): Uint32Array | null {
    const known = this.#chunks.get(index);
    if (known !== undefined || !isNew) return known ?? null;
    const words = new Uint32Array(CHUNK >>> 5);
    this.#chunks.set(index, words);
    return words;
  }
}
