import { assert } from '../../base/assert.ts';
import { rule } from '../../cite/rule.ts';

rule({
  id: 'kvm/shadow-rmap',
  room: 'kvm',
  title: 'The reverse map of the shadow MMU',
  text:
    'For each gfn and size, the entries that map it: what a notifier, dirty logging and write protection of a ' +
    'guest page table go through. One entry is kept in place, several in a list. The TDP MMU has none: it ' +
    'walks its one table.',
  sources: ['kvm/shadow-rmap'],
});

/**
 * An entry of a page table: frame of the table * 512 + index. Exact: frames have at most 40 bits.
 */
export type EntryRef = number;

export function entryRef(table: { readonly pfn: number }, index: number): EntryRef {
  return table.pfn * 512 + index;
}

const CHUNK = 512;

/**
 * Entries by number, 8 bytes a number where one entry is the rule: rmap_head. A cell is 0 for none, ref + 1
 * for one, and -1 - i for list i.
 */
class Heads {
  readonly #chunks = new Map<number, Float64Array>();
  readonly #lists: (EntryRef[] | null)[] = [];
  readonly #free: number[] = [];

  get(at: number): readonly EntryRef[] {
    const cell = this.#chunks.get(Math.floor(at / CHUNK))?.[at % CHUNK] ?? 0;
    if (cell === 0) return [];
    return cell > 0 ? [cell - 1] : (this.#lists[-1 - cell] ?? []);
  }

  add(at: number, ref: EntryRef): void {
    const key = Math.floor(at / CHUNK);
    let chunk = this.#chunks.get(key);
    if (chunk === undefined) {
      chunk = new Float64Array(CHUNK);
      this.#chunks.set(key, chunk);
    }
    const cell = chunk[at % CHUNK] ?? 0;
    if (cell === 0) chunk[at % CHUNK] = ref + 1;
    else if (cell < 0) this.#lists[-1 - cell]?.push(ref);
    else {
      const list = this.#free.pop() ?? this.#lists.length;
      this.#lists[list] = [cell - 1, ref];
      chunk[at % CHUNK] = -1 - list;
    }
  }

  remove(at: number, ref: EntryRef): void {
    const chunk = this.#chunks.get(Math.floor(at / CHUNK));
    const cell = chunk?.[at % CHUNK] ?? 0;
    assert(chunk !== undefined && cell !== 0, 'the entry is not in the reverse map');
    if (cell > 0) {
      assert(cell === ref + 1, 'another entry is in the reverse map');
      chunk[at % CHUNK] = 0;
      return;
    }
    const list = this.#lists[-1 - cell] ?? [];
    const found = list.indexOf(ref);
    assert(found >= 0, 'the entry is not in the list of the reverse map');
    // The last one takes its place, as in pte_list_desc_remove_entry().
    list[found] = list[list.length - 1] as EntryRef;
    list.pop();
    if (list.length > 0) return;
    this.#lists[-1 - cell] = null;
    this.#free.push(-1 - cell);
    chunk[at % CHUNK] = 0;
  }

  /** Numbers with entries in [start, end), ascending. */
  occupied(start: number, end: number): readonly number[] {
    const found: number[] = [];
    for (const key of this.#keysIn(start, end)) {
      const chunk = this.#chunks.get(key) as Float64Array;
      const from = Math.max(start - key * CHUNK, 0);
      const to = Math.min(end - key * CHUNK, CHUNK);
      for (let i = from; i < to; i += 1) if (chunk[i] !== 0) found.push(key * CHUNK + i);
    }
    return found;
  }

  #keysIn(start: number, end: number): readonly number[] {
    const first = Math.floor(start / CHUNK);
    const last = Math.ceil(end / CHUNK);
    if (last - first > this.#chunks.size)
      return [...this.#chunks.keys()].filter((k) => k >= first && k < last).sort((a, b) => a - b);
    const keys: number[] = [];
    for (let key = first; key < last; key += 1) if (this.#chunks.has(key)) keys.push(key);
    return keys;
  }
}

/** KVM_MAX_HUGEPAGE_LEVEL. */
const LEVELS = [1, 2, 3] as const;

/** The reverse map of a VM: gfn and level to the entries that map it. */
export class ReverseMap {
  readonly #levels = LEVELS.map(() => new Heads());

  #of(level: number): Heads {
    return this.#levels[level - 1] as Heads;
  }

  add(gfn: number, level: number, ref: EntryRef): void {
    this.#of(level).add(Math.floor(gfn / 512 ** (level - 1)), ref);
  }

  remove(gfn: number, level: number, ref: EntryRef): void {
    this.#of(level).remove(Math.floor(gfn / 512 ** (level - 1)), ref);
  }

  /** The entries of one size that map a gfn, a copy: they may go while one looks at them. */
  of(gfn: number, level: number): readonly EntryRef[] {
    return [...this.#of(level).get(Math.floor(gfn / 512 ** (level - 1)))];
  }

  /** The entries of sizes `from` to `to` whose pages meet [start, end): smallest size first, by gfn. */
  inRange(start: number, end: number, from = 1, to: number = LEVELS.length): readonly EntryRef[] {
    const found: EntryRef[] = [];
    for (let level = from; level <= to; level += 1) {
      const pages = 512 ** (level - 1);
      const heads = this.#of(level);
      const last = Math.ceil(end / pages);
      for (const at of heads.occupied(Math.floor(start / pages), last))
        found.push(...heads.get(at));
    }
    return found;
  }
}
