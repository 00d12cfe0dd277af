import { parseField } from './format.ts';

/** How a kernel lays out the pages of its ring buffer. */
export interface PageLayout {
  /** Bytes of a page, head included. */
  readonly pageSize: number;
  /** Bytes of the kernel's `long`: the size of the commit word. */
  readonly longSize: 4 | 8;
  /** Where the records begin. */
  readonly dataOffset: number;
  readonly little: boolean;
}

/** Of a 64-bit kernel with pages of 4 KiB that does not say otherwise. */
export const DEFAULT_LAYOUT: PageLayout = {
  pageSize: 4096,
  longSize: 8,
  dataOffset: 16,
  little: true,
};

/**
 * Reads the text of events/header_page.
 *
 * @returns null when it describes no page that can be read
 */
export function parsePageHeader(text: string, little: boolean): PageLayout | null {
  const fields = text.split('\n').flatMap((line) => parseField(line) ?? []);
  const of = (name: string) => fields.find((field) => field.name === name);
  const time = of('timestamp');
  const commit = of('commit');
  const data = of('data');
  if (time?.offset !== 0 || time.size !== 8 || commit?.offset !== 8 || data === undefined)
    return null;
  const { offset: dataOffset, size } = data;
  if ((commit.size !== 4 && commit.size !== 8) || dataOffset < 8 + commit.size || size < 8)
    return null;
  return { pageSize: dataOffset + size, longSize: commit.size, dataOffset, little };
}

const PADDING = 29;
const TIME_EXTEND = 30;
const TIME_STAMP = 31;
const COMMIT_MASK = 2 ** 27 - 1;
const MISSED = 2 ** 31;
const MISSED_COUNT = 2 ** 30;
const TWO_32 = 2 ** 32;

/** Goes through the records of one page after another (kernel/trace/ring_buffer.c, include/linux/ring_buffer.h). */
export class PageReader {
  /** Index of the record's first byte, where its event ID is, in the bytes that were given. */
  at = 0;
  length = 0;
  timeHi = 0;
  timeLo = 0;
  /** Events lost before this page; -1: the kernel does not say how many; 0: none. */
  lost = 0;
  /** What is wrong with this page; what comes after that in it is not read. */
  broken: string | null = null;
  view: DataView;
  readonly #layout: PageLayout;
  #next = 0;
  #end = 0;
  #pageHi = 0;

  constructor(layout: PageLayout) {
    this.#layout = layout;
    this.view = new DataView(new ArrayBuffer(0));
  }

  /** Begins the page at index `start` of `view`; `size` bytes of it are there. */
  load(view: DataView, start: number, size: number): void {
    const { little, longSize, dataOffset } = this.#layout;
    this.view = view;
    this.lost = 0;
    this.broken = null;
    this.#next = start;
    this.#end = start;
    if (size < dataOffset) {
      this.broken = `a page ends after ${size} bytes`;
      return;
    }
    const first = view.getUint32(start, little);
    const second = view.getUint32(start + 4, little);
    this.timeHi = little ? second : first;
    this.timeLo = little ? first : second;
    this.#pageHi = this.timeHi;
    const high = little || longSize === 4 ? start + 8 : start + 12;
    const word = view.getUint32(high, little);
    const commit = word % (COMMIT_MASK + 1);
    this.#next = start + dataOffset;
    this.#end = this.#next + commit;
    if (dataOffset + commit > size) {
      this.broken = `a page of ${size} bytes says that it holds ${commit}`;
      this.#end = this.#next;
    }
    if (word >= MISSED) this.lost = this.#missed(word, start + size);
  }

  #missed(word: number, pageEnd: number): number {
    const { little, longSize } = this.#layout;
    if (word % MISSED < MISSED_COUNT || this.#end + longSize > pageEnd) return -1;
    const low = this.#end + (longSize === 8 && !little ? 4 : 0);
    const lowPart = this.view.getUint32(low, little);
    if (longSize === 4) return lowPart;
    return lowPart + TWO_32 * this.view.getUint32(this.#end + (little ? 4 : 0), little);
  }

  #add(hi: number, lo: number): void {
    const sum = this.timeLo + lo;
    this.timeHi = (this.timeHi + hi + (sum >= TWO_32 ? 1 : 0)) >>> 0;
    this.timeLo = sum >>> 0;
  }

  #stop(message: string): boolean {
    this.broken = message;
    this.#next = this.#end;
    return false;
  }

  /** The next record of the page; false when there is none, or when `broken` says why. */
  next(): boolean {
    const { little } = this.#layout;
    while (this.#next + 4 <= this.#end) {
      const start = this.#next;
      const head = this.view.getUint32(start, little);
      const type = little ? head & 31 : head >>> 27;
      const delta = little ? head >>> 5 : head & COMMIT_MASK;
      if (type !== 0 && type < PADDING) {
        this.#add(0, delta);
        return this.#record(start + 4, type * 4);
      }
      if (type === PADDING && delta === 0) break;
      if (start + 8 > this.#end) return this.#stop('a record is cut');
      const word = this.view.getUint32(start + 4, little);
      if (type === 0) {
        this.#add(0, delta);
        if (word < 4 || word > this.#end - start)
          return this.#stop(`a record says that it has ${word} bytes`);
        return this.#record(start + 8, (word - 4 + 3) & ~3);
      }
      if (type === PADDING) {
        this.#add(0, delta);
        if (word > this.#end - start) return this.#stop(`padding says that it has ${word} bytes`);
        this.#next = start + 4 + Math.max(4, word);
        continue;
      }
      this.#time(type, delta, word);
      this.#next = start + 8;
    }
    return false;
  }

  /** A delta too large for 27 bits, or an absolute time without its upper five bits, which the page has. */
  #time(type: typeof TIME_EXTEND | typeof TIME_STAMP | number, delta: number, word: number): void {
    const lo = (delta | (word << 27)) >>> 0;
    const hi = word >>> 5;
    if (type === TIME_EXTEND) {
      this.#add(hi, lo);
      return;
    }
    this.timeHi = (hi | (this.#pageHi & 0xf8000000)) >>> 0;
    this.timeLo = lo;
  }

  #record(at: number, length: number): boolean {
    if (at + length > this.#end)
      return this.#stop(`a record of ${length} bytes does not fit its page`);
    this.at = at;
    this.length = length;
    this.#next = at + length;
    return true;
  }
}
