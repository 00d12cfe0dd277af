import type { Clock } from './clock.ts';
import type { Problems } from './problems.ts';
import { type PageLayout, PageReader } from './ring.ts';
import { type ByteSource, viewOf } from './source.ts';

/** The ring-buffer pages of one CPU, one after another. */
export interface Pages {
  /** Goes to the next page; false at the end. */
  readonly next: () => boolean;
  readonly view: DataView;
  /** Index of the page in `view`. */
  readonly start: number;
  /** Bytes of it that are there. */
  readonly size: number;
  /** Offset of the page in the file; of compressed pages, see `ChunkPages`. */
  readonly offset: number;
  /** What should stand before this page, or before the end, could not be read. */
  readonly isGap: boolean;
}

const WINDOW_MAX = 1 << 20;
const WINDOWS = 1 << 26;
const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** Bytes to read at a time, so that the windows of all CPUs together stay small. */
export function windowSize(pageSize: number, cpus: number): number {
  const share = Math.min(WINDOW_MAX, WINDOWS / Math.max(1, cpus));
  return Math.max(1, Math.floor(share / pageSize)) * pageSize;
}

/** Pages that stand in a file as they were in the kernel. */
export class PlainPages implements Pages {
  view: DataView = NOTHING;
  start = 0;
  size = 0;
  offset: number;
  isGap = false;
  readonly #source: ByteSource;
  readonly #end: number;
  readonly #isCut: boolean;
  readonly #pageSize: number;
  readonly #window: number;
  #from = 0;

  constructor(source: ByteSource, offset: number, size: number, pageSize: number, window: number) {
    this.#source = source;
    this.#end = Math.min(source.size, offset + size);
    this.#isCut = offset + size > source.size;
    this.#pageSize = pageSize;
    this.#window = window;
    this.offset = offset - pageSize;
  }

  next(): boolean {
    this.offset += this.#pageSize;
    const left = this.#end - this.offset;
    if (left <= 0) {
      this.isGap = this.#isCut;
      return false;
    }
    this.size = Math.min(this.#pageSize, left);
    this.start = this.offset - this.#from;
    if (this.start + this.size > this.view.byteLength || this.view === NOTHING) {
      const bytes = this.#source.read(this.offset, Math.min(this.#window, left));
      this.view = viewOf(bytes);
      this.#from = this.offset;
      this.start = 0;
      this.size = Math.min(this.size, bytes.length);
    }
    return this.size > 0;
  }
}

/** One record after another of a CPU, and the events that were lost before it. */
export class CpuRecords {
  view: DataView = NOTHING;
  /** Index of the record in `view`. */
  at = 0;
  /** 0 and `lost` not 0: events were lost, and no record follows. */
  length = 0;
  place = 0;
  timeHi = 0;
  timeLo = 0;
  /** Events lost since the last record; -1: an unknown number. */
  lost = 0;
  readonly cpu: number;
  readonly #pages: Pages;
  readonly #reader: PageReader;
  readonly #problems: Problems;
  readonly #clock: Clock;
  #lostBefore = 0;
  #isOpen = false;
  #isEnded = false;
  #wentBack = false;

  constructor(pages: Pages, layout: PageLayout, cpu: number, clock: Clock, problems: Problems) {
    this.#pages = pages;
    this.#reader = new PageReader(layout);
    this.cpu = cpu;
    this.#clock = clock;
    this.#problems = problems;
  }

  #load(): boolean {
    if (this.#isEnded) return false;
    const isPage = this.#pages.next();
    this.#isEnded = !isPage;
    if (this.#pages.isGap) this.#lostBefore = -1;
    if (!isPage) return false;
    this.#reader.load(this.#pages.view, this.#pages.start, this.#pages.size);
    this.#isOpen = true;
    if (this.#reader.lost !== 0) {
      const known = this.#lostBefore >= 0 && this.#reader.lost > 0;
      this.#lostBefore = known ? this.#lostBefore + this.#reader.lost : -1;
    }
    return true;
  }

  #close(): void {
    this.#isOpen = false;
    const { broken } = this.#reader;
    if (broken === null) return;
    this.#problems.add(this.#pages.offset, `${broken}: the rest of this page is not read`);
    this.#lostBefore = -1;
  }

  next(): boolean {
    this.lost = 0;
    for (;;) {
      if (!this.#isOpen && !this.#load()) return this.#end();
      if (this.#reader.next()) break;
      this.#close();
    }
    const { at, length, view, timeHi, timeLo } = this.#reader;
    this.at = at;
    this.length = length;
    this.view = view;
    this.place = this.#pages.offset + at - this.#pages.start;
    this.#settle(timeHi, timeLo);
    return true;
  }

  #end(): boolean {
    if (this.#lostBefore === 0) return false;
    this.length = 0;
    this.place = this.#pages.offset;
    this.lost = this.#lostBefore;
    this.#lostBefore = 0;
    return true;
  }

  #settle(hi: number, lo: number): void {
    this.lost = this.#lostBefore;
    this.#lostBefore = 0;
    this.#clock.correct(hi, lo, this.cpu);
    const before = this.timeHi;
    const isBack =
      this.#clock.hi < before || (this.#clock.hi === before && this.#clock.lo < this.timeLo);
    this.timeHi = this.#clock.hi;
    this.timeLo = this.#clock.lo;
    if (!isBack || this.#wentBack) return;
    this.#wentBack = true;
    this.#problems.add(this.place, `the clock of CPU ${this.cpu} goes back here; it is said once`);
  }
}

/** Anything that stands in the order of time. */
interface Timed {
  readonly timeHi: number;
  readonly timeLo: number;
  readonly next: () => boolean;
}

function isEarlier(a: Timed, aRank: number, b: Timed, bRank: number): boolean {
  if (a.timeHi !== b.timeHi) return a.timeHi < b.timeHi;
  return a.timeLo === b.timeLo ? aRank < bRank : a.timeLo < b.timeLo;
}

/** The streams as one, by time; at the same time the first of the list comes first. A heap of as many places. */
export function* merged<T extends Timed>(streams: readonly T[]): Generator<T, void> {
  const heap: { stream: T; rank: number }[] = [];
  const sift = (from: number): void => {
    for (let at = from; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        const a = heap[child];
        const b = heap[least];
        if (a && b && isEarlier(a.stream, a.rank, b.stream, b.rank)) least = child;
      }
      const upper = heap[at];
      const lower = heap[least];
      if (least === at || !upper || !lower) return;
      heap[at] = lower;
      heap[least] = upper;
      at = least;
    }
  };
  streams.forEach((stream, rank) => {
    if (stream.next()) heap.push({ stream, rank });
  });
  for (let at = heap.length >> 1; at >= 0; at -= 1) sift(at);
  for (let top = heap[0]; top !== undefined; top = heap[0]) {
    yield top.stream;
    if (!top.stream.next()) {
      const last = heap.pop();
      if (last !== undefined && heap.length > 0) heap[0] = last;
    }
    sift(0);
  }
}
