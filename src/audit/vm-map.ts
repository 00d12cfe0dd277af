import { WORD } from './leaf-word.ts';

/** Where something stands in a trace, and when it was. */
export interface Moment {
  /** Number of a line, or offset of a record. */
  readonly place: number;
  /** Seconds in the clock of the trace; null: not printed, or not kept. */
  readonly time: number | null;
}

/** Neighbouring guest pages that are mapped alike. */
export interface Region {
  readonly gfnStart: number;
  /** The first page behind it. */
  readonly gfnEnd: number;
  readonly level: number;
  /** See `WORD`; what does not tell types apart is masked out, but for writable and unsure. */
  readonly word: number;
  /** The first and the last installation of its pages. */
  readonly since: Moment;
  readonly until: Moment;
  /** Most often that one of its entries was installed anew or changed its type; counted up to 255. */
  readonly changes: number;
  /** What was there before the last of these changes; null: nothing, or it differs within the region. */
  readonly before: number | null;
}

const ENTRIES = 512;
const LEVELS = 3;
/** 4-KiB pages behind an entry of level n+1, and behind a whole table of level n. */
const PAGES: readonly number[] = [1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36, 2 ** 45];
const CHANGES_MAX = 255;
/** Page-table pages of each level that are found at once. */
const LAST = 1 << 11;

/** Entries whose time is kept, 8 MiB: of those that come later only the place is. */
export const TIMED_ENTRIES = 1 << 20;

function pagesOf(level: number): number {
  return PAGES[level] ?? 0;
}

/**
 * Entries of so many page-table pages, in the order in which they were first used; all columns by entry. 5 bytes each;
 * 2 more once one of them changes, 8 more with times. Together, because an array of its own for every page-table page
 * would be one more miss of the cache for every entry that is written.
 */
const CHUNK = 16;

interface Chunk {
  readonly words: Uint8Array;
  /** The same, four at a time. */
  readonly quads: Uint32Array;
  places: Uint32Array | Float64Array;
  readonly times: Float64Array | null;
  /** What was there before the last change, and 256 times the number of changes. */
  history: Uint16Array | null;
}

/** A page-table page. */
interface Block {
  readonly chunk: Chunk;
  /** Of its first entry in the columns. */
  readonly base: number;
  used: number;
  epoch: number;
}

/**
 * What is mapped of one guest-physical address space. Memory grows with the guest: a page of 4 KiB costs 5
 * bytes, 7 when something in its chunk was changed, a huge page the same; so 64 GiB in 4-KiB pages are 80 to
 * 112 MiB. Places past 2^32 cost 4 bytes more, the first `TIMED_ENTRIES` 8 for their
 * time; a map at least 0.25 MiB.
 */
export class GuestMap {
  /** By level, by number of the page-table page. */
  readonly #blocks: readonly Map<number, Block>[] = Array.from(
    { length: LEVELS + 1 },
    () => new Map(),
  );
  /** Those used last, by level and the low bits of the number: sooner found than in the map. */
  readonly #lastKeys = new Float64Array((LEVELS + 1) * LAST).fill(-1);
  readonly #last: (Block | null)[] = Array.from(this.#lastKeys, () => null);
  #chunk: Chunk | null = null;
  /** Page-table pages in it. */
  #filled = 0;
  #timed = 0;
  #epoch = 0;
  #bytes = 0;

  /** Bytes of what is kept, without what the engine adds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Entries that are present. */
  get entries(): number {
    let sum = 0;
    for (const level of this.#blocks) for (const block of level.values()) sum += block.used;
    return sum;
  }

  /** The word of the entry of that level at a page; 0: none. */
  at(level: number, gfn: number): number {
    const block = this.#find(level, gfn);
    return block === null ? 0 : (block.chunk.words[block.base + slotOf(level, gfn)] ?? 0);
  }

  /** The leaf that maps a page, of whatever level; 0: none. */
  lookup(gfn: number): number {
    for (let level = 1; level <= LEVELS; level += 1) {
      if (!this.#hasLevel(level)) continue;
      const word = this.at(level, gfn);
      if (word !== 0) return word;
    }
    return 0;
  }

  /** When the entry of that level at a page was installed; null: there is none. */
  since(level: number, gfn: number): Moment | null {
    const block = this.#find(level, gfn);
    if (block === null) return null;
    const at = block.base + slotOf(level, gfn);
    return (block.chunk.words[at] ?? 0) === 0 ? null : momentIn(block.chunk, at);
  }

  /**
   * Installs a leaf.
   *
   * @param mask of the bits that tell types apart
   * @returns the word that was there
   */
  set(level: number, gfn: number, word: number, mask: number, place: number, time: number): number {
    if (level > LEVELS) return 0;
    const block = this.#find(level, gfn) ?? this.#add(level, gfn);
    this.#refresh(block);
    const { chunk } = block;
    const at = block.base + slotOf(level, gfn);
    const old = chunk.words[at] ?? 0;
    chunk.words[at] = word;
    if (old === 0) this.#displace(level, gfn, place);
    if (old !== 0 && ((old ^ word) & mask) === 0) return old;
    if (old === 0) block.used += 1;
    else this.#changed(chunk, at, old);
    this.#setPlace(chunk, at, place);
    if (chunk.times !== null) chunk.times[at] = time;
    return old;
  }

  /** Takes an entry away. Returns the word that was there. */
  remove(level: number, gfn: number): number {
    const block = this.#find(level, gfn);
    if (block === null) return 0;
    this.#refresh(block);
    const { chunk } = block;
    const at = block.base + slotOf(level, gfn);
    const old = chunk.words[at] ?? 0;
    if (old === 0) return 0;
    chunk.words[at] = 0;
    block.used -= 1;
    this.#changed(chunk, at, old);
    return old;
  }

  /** Takes away all that a page-table page of this level holds: its entries, and those below them. */
  removeTable(level: number, gfn: number): number {
    let removed = 0;
    const top = Math.min(level, LEVELS);
    const first = gfn - (gfn % pagesOf(level));
    const end = first + pagesOf(level);
    for (let below = 1; below <= top; below += 1) removed += this.#removeRange(below, first, end);
    return removed;
  }

  /** Takes all entries away. */
  clear(): number {
    let removed = 0;
    for (const level of this.#blocks)
      for (const block of level.values()) removed += this.#empty(block);
    return removed;
  }

  /** Events were lost: what is mapped may no longer be so. */
  doubt(): void {
    this.#epoch += 1;
  }

  /** A huge page became a table of smaller ones of the same type, which the kernel does not print. */
  split(level: number, gfn: number, mask: number, place: number, time: number): void {
    const word = this.remove(level, gfn);
    if (word === 0 || level < 2) return;
    const step = pagesOf(level - 2);
    for (let i = 0; i < ENTRIES; i += 1)
      this.set(level - 1, gfn + i * step, word, mask, place, time);
  }

  /** Neighbours that are alike, by gfn; where levels overlap, the larger page first. */
  regions(mask: number): readonly Region[] {
    return this.#blocks
      .flatMap((_, level) => this.#regionsOf(level, mask | WORD.writable | WORD.unsure))
      .sort((a, b) => a.gfnStart - b.gfnStart || b.level - a.level);
  }

  #regionsOf(level: number, mask: number): readonly Region[] {
    const found: Region[] = [];
    const blocks = [...(this.#blocks[level] ?? [])].sort(([a], [b]) => a - b);
    let open: Open | null = null;
    for (const [key, block] of blocks) {
      if (block.used === 0) continue;
      this.#refresh(block);
      for (let slot = 0; slot < ENTRIES; slot += 1) {
        const word = (block.chunk.words[block.base + slot] ?? 0) & mask;
        if (word === 0) continue;
        const gfn = (key * ENTRIES + slot) * pagesOf(level - 1);
        if (open === null || open.gfnEnd !== gfn || open.word !== word) {
          if (open !== null) found.push(finished(open));
          open = opened(gfn, level, word);
        }
        extend(open, block.chunk, block.base + slot);
      }
    }
    if (open !== null) found.push(finished(open));
    return found;
  }

  #hasLevel(level: number): boolean {
    return (this.#blocks[level]?.size ?? 0) > 0;
  }

  #find(level: number, gfn: number): Block | null {
    const key = Math.floor(gfn / pagesOf(level));
    const at = level * LAST + (key & (LAST - 1));
    if (this.#lastKeys[at] === key) return this.#last[at] ?? null;
    const block = this.#blocks[level]?.get(key);
    if (block === undefined) return null;
    this.#lastKeys[at] = key;
    this.#last[at] = block;
    return block;
  }

  #add(level: number, gfn: number): Block {
    if (this.#chunk === null || this.#filled === CHUNK) {
      this.#chunk = this.#newChunk();
      this.#filled = 0;
    }
    const base = this.#filled * ENTRIES;
    const block: Block = { chunk: this.#chunk, base, used: 0, epoch: this.#epoch };
    this.#filled += 1;
    const key = Math.floor(gfn / pagesOf(level));
    this.#blocks[level]?.set(key, block);
    return block;
  }

  #newChunk(): Chunk {
    const isTimed = this.#timed < TIMED_ENTRIES;
    const count = CHUNK * ENTRIES;
    if (isTimed) this.#timed += count;
    this.#bytes += count * (isTimed ? 13 : 5);
    const words = new Uint8Array(count);
    return {
      words,
      quads: new Uint32Array(words.buffer),
      places: new Uint32Array(count),
      times: isTimed ? new Float64Array(count) : null,
      history: null,
    };
  }

  /** What this block has was installed before events were lost. */
  #refresh(block: Block): void {
    if (block.epoch === this.#epoch) return;
    block.epoch = this.#epoch;
    const { base, chunk } = block;
    for (let at = base; at < base + ENTRIES; at += 1) {
      const word = chunk.words[at] ?? 0;
      if (word !== 0) chunk.words[at] = word | WORD.unsure;
    }
  }

  #changed(chunk: Chunk, at: number, old: number): void {
    if (chunk.history === null) {
      chunk.history = new Uint16Array(CHUNK * ENTRIES);
      this.#bytes += 2 * CHUNK * ENTRIES;
    }
    const changes = (chunk.history[at] ?? 0) >> 8;
    chunk.history[at] = old | (Math.min(changes + 1, CHANGES_MAX) << 8);
  }

  #setPlace(chunk: Chunk, at: number, place: number): void {
    if (place >= 2 ** 32 && chunk.places instanceof Uint32Array) {
      chunk.places = Float64Array.from(chunk.places);
      this.#bytes += 4 * CHUNK * ENTRIES;
    }
    chunk.places[at] = place;
  }

  /** A new entry takes the place of smaller ones below it, and of a huge one above. */
  #displace(level: number, gfn: number, place: number): void {
    for (let above = level + 1; above <= LEVELS; above += 1)
      if (this.#hasLevel(above) && this.at(above, gfn) !== 0)
        this.remove(above, gfn - (gfn % pagesOf(above - 1)));
    if (level === 1 || place < 0) return;
    const end = gfn + pagesOf(level - 1);
    for (let below = 1; below < level; below += 1) this.#removeRange(below, gfn, end);
  }

  #removeRange(level: number, first: number, end: number): number {
    const size = pagesOf(level);
    const blocks = this.#blocks[level];
    if (blocks === undefined) return 0;
    let removed = 0;
    if ((end - first) / size > blocks.size) {
      for (const [key, block] of blocks)
        if (key * size >= first && key * size < end) removed += this.#empty(block);
      return removed;
    }
    for (let at = first; at < end; at += size) {
      const block = blocks.get(Math.floor(at / size));
      if (block !== undefined) removed += this.#empty(block);
    }
    return removed;
  }

  #empty(block: Block): number {
    const { used, base, chunk } = block;
    for (let quad = base / 4; block.used > 0; quad += 1) {
      if (chunk.quads[quad] === 0) continue;
      for (let at = quad * 4; at < quad * 4 + 4; at += 1) {
        const old = chunk.words[at] ?? 0;
        if (old === 0) continue;
        chunk.words[at] = 0;
        block.used -= 1;
        this.#changed(chunk, at, old);
      }
    }
    return used;
  }
}

function slotOf(level: number, gfn: number): number {
  return level === 1 ? gfn & 511 : Math.floor(gfn / pagesOf(level - 1)) & 511;
}

// ---- regions ----------------------------------------------------------------------------------

interface Open {
  readonly gfnStart: number;
  gfnEnd: number;
  readonly level: number;
  readonly word: number;
  first: Moment;
  last: Moment;
  changes: number;
  /** -1: not looked at yet; -2: they differ. */
  before: number;
}

function opened(gfn: number, level: number, word: number): Open {
  const first = { place: Number.POSITIVE_INFINITY, time: null };
  const last = { place: -1, time: null };
  return { gfnStart: gfn, gfnEnd: gfn, level, word, first, last, changes: 0, before: -1 };
}

function momentIn(chunk: Chunk, at: number): Moment {
  const time = chunk.times?.[at] ?? Number.NaN;
  return { place: chunk.places[at] ?? 0, time: Number.isNaN(time) ? null : time };
}

function extend(open: Open, chunk: Chunk, at: number): void {
  open.gfnEnd += pagesOf(open.level - 1);
  const moment = momentIn(chunk, at);
  const { place } = moment;
  if (place < open.first.place) open.first = moment;
  if (place > open.last.place) open.last = moment;
  const history = chunk.history?.[at] ?? 0;
  open.changes = Math.max(open.changes, history >> 8);
  const before = history & 0xff;
  open.before = open.before === -1 || open.before === before ? before : -2;
}

function finished(open: Open): Region {
  const { gfnStart, gfnEnd, level, word, first, last, changes, before } = open;
  const shown = before > 0 ? before : null;
  return { gfnStart, gfnEnd, level, word, since: first, until: last, changes, before: shown };
}
