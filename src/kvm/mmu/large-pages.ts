/** Blocks with a guest table in them are not mapped huge: kvm_lpage_info.disallow_lpage, beside the memslot's own. */
export class LargePages {
  /** By level and block, counted. */
  readonly #disallowed = new Map<string, number>();

  isAllowed(gfn: number, level: number): boolean {
    return this.#disallowed.size === 0 || !this.#disallowed.has(blockKey(gfn, level));
  }

  /** update_gfn_disallow_lpage_count(), of all levels. */
  count(gfn: number, by: 1 | -1): void {
    for (const level of [2, 3]) {
      const key = blockKey(gfn, level);
      const now = (this.#disallowed.get(key) ?? 0) + by;
      if (now === 0) this.#disallowed.delete(key);
      else this.#disallowed.set(key, now);
    }
  }
}

function blockKey(gfn: number, level: number): string {
  return `${level}:${Math.floor(gfn / 512 ** (level - 1))}`;
}
