import type { Problems } from './problems.ts';
import { type ByteSource, type Codecs, viewOf } from './source.ts';

/** Types of records (include/uapi/linux/perf_event.h; tools/lib/perf/include/perf/event.h from 64 on). */
export const RECORD = {
  lost: 2,
  sample: 9,
  lostSamples: 13,
  attr: 64,
  tracingData: 66,
  round: 68,
  auxtrace: 71,
  feature: 80,
  compressed: 81,
  compressed2: 83,
} as const;

const HEAD = 8;
const WINDOW = 1 << 20;
const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** Up to a multiple of eight; not by bits, as lengths of damaged files have all 32 of them. */
export function aligned(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** One record after another of the data of a perf.data, decompressed where it is compressed. */
export class PerfRecords {
  type = 0;
  view: DataView = NOTHING;
  /** Index of the record's head. */
  at = 0;
  size = 0;
  /** In the file; of a record that was compressed, where the compressed one begins. */
  place = 0;
  /** Reading has ended before the data did. */
  isCut = false;
  readonly #source: ByteSource;
  readonly #end: number;
  readonly #problems: Problems;
  readonly #codecs: Codecs;
  #next: number;
  #window: DataView = NOTHING;
  #from = 0;
  #inner: DataView = NOTHING;
  #innerNext = 0;
  #innerPlace = 0;
  #stream: ((piece: Uint8Array) => Uint8Array) | null = null;

  constructor(source: ByteSource, from: number, end: number, codecs: Codecs, problems: Problems) {
    this.#source = source;
    this.#next = from;
    this.#end = Math.min(end, source.size);
    this.#codecs = codecs;
    this.#problems = problems;
  }

  #stop(message: string): false {
    this.isCut = true;
    this.#problems.add(this.#next, `${message}: what follows is not read`);
    this.#next = this.#end;
    return false;
  }

  /** Makes `length` bytes at `#next` readable. */
  #reach(length: number): boolean {
    const index = this.#next - this.#from;
    if (index >= 0 && index + length <= this.#window.byteLength) return true;
    const left = this.#end - this.#next;
    if (left < length) return false;
    const bytes = this.#source.read(this.#next, Math.min(left, Math.max(WINDOW, length)));
    this.#window = viewOf(bytes);
    this.#from = this.#next;
    return bytes.length >= length;
  }

  /** The next record; false at the end. */
  next(): boolean {
    for (;;) {
      if (this.#nextInner()) return true;
      if (!this.#nextOuter()) return false;
      if (this.type !== RECORD.compressed && this.type !== RECORD.compressed2) return true;
      if (!this.#decompress()) return false;
    }
  }

  #nextInner(): boolean {
    const left = this.#inner.byteLength - this.#innerNext;
    if (left < HEAD) return false;
    const size = this.#inner.getUint16(this.#innerNext + 6, true);
    if (size < HEAD) {
      this.#inner = NOTHING;
      this.#innerNext = 0;
      return this.#stop(`a record that was compressed says that it has ${size} bytes`);
    }
    if (size > left) return false;
    this.view = this.#inner;
    this.at = this.#innerNext;
    this.type = this.#inner.getUint32(this.at, true);
    this.size = size;
    this.place = this.#innerPlace;
    this.#innerNext += size;
    return true;
  }

  #nextOuter(): boolean {
    const left = this.#end - this.#next;
    if (left < 0) return this.#stop('what follows a record is cut');
    if (left === 0) return false;
    if (!this.#reach(HEAD)) return this.#stop(`${left} bytes are left where a record is wanted`);
    const index = this.#next - this.#from;
    const size = this.#window.getUint16(index + 6, true);
    if (size < HEAD) return this.#stop(`a record says that it has ${size} bytes`);
    if (!this.#reach(size)) return this.#stop(`a record of ${size} bytes is cut`);
    this.view = this.#window;
    this.at = this.#next - this.#from;
    this.type = this.view.getUint32(this.at, true);
    this.size = size;
    this.place = this.#next;
    this.#next += size;
    return true;
  }

  /** Passes over `length` bytes that follow the record, and gives where they begin. None follow a compressed one. */
  skip(length: number): number {
    const start = this.#next;
    if (this.view !== this.#inner) this.#next += length;
    return start;
  }

  #decompress(): boolean {
    if (this.#stream === null) {
      if (this.#codecs.zstdStream === null) {
        return this.#stop(
          'the records are compressed with zstd, which cannot be decompressed here',
        );
      }
      this.#stream = this.#codecs.zstdStream();
    }
    const { buffer, byteOffset } = this.view;
    const isSecond = this.type === RECORD.compressed2;
    const room = this.size - HEAD - (isSecond ? 8 : 0);
    const length = isSecond && this.size >= 16 ? this.view.getUint32(this.at + 8, true) : room;
    if (room < 0 || length > room) return this.#stop('a compressed record does not fit itself');
    const start = byteOffset + this.at + this.size - room;
    try {
      const plain = this.#stream(new Uint8Array(buffer, start, length));
      const rest = this.#inner.byteLength - this.#innerNext;
      const joined = new Uint8Array(rest + plain.length);
      joined.set(
        new Uint8Array(this.#inner.buffer, this.#inner.byteOffset + this.#innerNext, rest),
      );
      joined.set(plain, rest);
      this.#inner = viewOf(joined);
      this.#innerNext = 0;
      this.#innerPlace = this.place;
      return true;
    } catch {
      return this.#stop('compressed records do not decompress (zstd)');
    }
  }
}
