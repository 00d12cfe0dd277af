import { refuse } from '../../base/diagnostic.ts';
import type { Pages } from './pages.ts';
import type { Problems } from './problems.ts';
import { type ByteSource, bytesSource, type Codecs, Cursor, Damaged, viewOf } from './source.ts';

/** Of one compressed part when decompressed; trace-cmd makes chunks of ten pages and sections of a few megabytes. */
const PART_MAX = 1 << 28;
const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** Decompresses the parts of one file. */
export interface Decompressor {
  readonly name: string;
  /** @throws Damaged */
  readonly part: (bytes: Uint8Array, size: number, offset: number) => Uint8Array;
}

/**
 * @param name as the file has it; null for "none"
 * @throws InputError when there is no function for it
 */
export function decompressorOf(name: string, codecs: Codecs): Decompressor | null {
  if (name === 'none') return null;
  const known = { zlib: codecs.inflate, zstd: codecs.zstd };
  const decompress = Object.hasOwn(known, name) ? known[name as keyof typeof known] : null;
  if (decompress === null) {
    refuse(
      `the trace is compressed with "${name}", which cannot be decompressed here`,
      'make one without: trace-cmd convert -i FILE -o OUT --compression none',
    );
  }
  return {
    name,
    part(bytes, size, offset) {
      if (size > PART_MAX)
        throw new Damaged(offset, `a compressed part claims to hold ${size} bytes`);
      try {
        const plain = decompress(bytes, size);
        if (plain.length <= size) return plain;
      } catch {
        // Whatever the function says, it is said below.
      }
      throw new Damaged(offset, `${bytes.length} bytes do not decompress (${name})`);
    },
  };
}

/** A section that stands in memory or in the file, from its first byte on. */
export function compressedSection(cursor: Cursor, decompressor: Decompressor | null): Cursor {
  const { offset } = cursor;
  if (decompressor === null) {
    throw new Damaged(offset, 'a section is compressed in a file that names no compression');
  }
  const packed = cursor.u32();
  const size = cursor.u32();
  const plain = decompressor.part(cursor.bytes(packed), size, offset);
  const inner = new Cursor(bytesSource(plain), 0, offset);
  inner.little = cursor.little;
  return inner;
}

/** One decompressed chunk after another; a damaged one is said and passed over. */
export class Chunks {
  /** Bytes that come before this chunk, decompressed. */
  before = 0;
  bytes: Uint8Array = new Uint8Array(0);
  isGap = false;
  readonly #cursor: Cursor;
  readonly #end: number;
  readonly #decompressor: Decompressor;
  readonly #problems: Problems;
  #left = -1;

  constructor(
    source: ByteSource,
    offset: number,
    size: number,
    little: boolean,
    decompressor: Decompressor,
    problems: Problems,
  ) {
    this.#cursor = new Cursor(source, offset);
    this.#cursor.little = little;
    this.#end = offset + size;
    this.#decompressor = decompressor;
    this.#problems = problems;
  }

  next(): boolean {
    this.isGap = false;
    this.before += this.bytes.length;
    this.bytes = new Uint8Array(0);
    const cursor = this.#cursor;
    for (;;) {
      const { offset } = cursor;
      try {
        if (this.#left < 0) this.#left = this.#end - cursor.at < 4 ? 0 : cursor.u32();
        if (this.#left === 0 || cursor.at + 8 > this.#end) return false;
        this.#left -= 1;
        const packed = cursor.u32();
        const size = cursor.u32();
        this.before += this.bytes.length;
        this.bytes = this.#decompressor.part(cursor.bytes(packed), size, offset);
        if (this.bytes.length > 0) return true;
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
        this.isGap = true;
        this.#problems.add(error.offset, `a chunk of compressed records: ${error.message}`);
        if (cursor.left < 8) this.#left = 0;
      }
    }
  }
}

/**
 * Pages that stand in a file in compressed chunks. Their offset is the one that trace-cmd gives them too: where
 * the data of the CPU begins, and then as many bytes on as come before them when decompressed.
 */
export class ChunkPages implements Pages {
  view: DataView = NOTHING;
  start = 0;
  size = 0;
  offset = 0;
  isGap = false;
  readonly #chunks: Chunks;
  readonly #from: number;
  readonly #pageSize: number;

  constructor(chunks: Chunks, from: number, pageSize: number) {
    this.#chunks = chunks;
    this.#from = from;
    this.#pageSize = pageSize;
  }

  next(): boolean {
    this.isGap = false;
    this.start += this.#pageSize;
    if (this.start >= this.view.byteLength) {
      const isChunk = this.#chunks.next();
      this.isGap = this.#chunks.isGap;
      if (!isChunk) return false;
      this.view = viewOf(this.#chunks.bytes);
      this.start = 0;
    }
    this.size = Math.min(this.#pageSize, this.view.byteLength - this.start);
    this.offset = this.#from + this.#chunks.before + this.start;
    return true;
  }
}
