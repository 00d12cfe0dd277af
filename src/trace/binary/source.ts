/**
 * A file that is read in ranges, so that its size does not matter. The core does not open files: an adapter in
 * `host/` does.
 */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /**
   * The bytes from `offset` on. Fewer than `length` only where the file ends; what was returned stays as it is
   * when the next range is read.
   */
  readonly read: (offset: number, length: number) => Uint8Array;
}

/** What is compressed is handed to functions of the host; null: the host has none. */
export interface Codecs {
  /** zlib format (RFC 1950). Throws on damage, or when more than `size` bytes would come out. */
  readonly inflate: ((bytes: Uint8Array, size: number) => Uint8Array) | null;
  /** One or more whole zstd frames (RFC 8878). Throws on damage, or when more than `size` bytes would come out. */
  readonly zstd: ((bytes: Uint8Array, size: number) => Uint8Array) | null;
  /**
   * A zstd stream that comes in pieces, each flushed but none of them a whole frame, as perf writes it. The
   * function it gives returns what a piece decompresses to.
   */
  readonly zstdStream: (() => (piece: Uint8Array) => Uint8Array) | null;
}

/** Bytes in memory as a source. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, Math.min(bytes.length, offset + length)),
  };
}

/** A file does not go on as its format says. */
export class Damaged extends Error {
  override name = 'Damaged';
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

const WINDOW = 1 << 16;
const TWO_32 = 2 ** 32;

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Latin-1: what names and descriptions in traces are made of; never throws. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return text;
}

function bytesWords(count: number): string {
  return count === 1 ? '1 byte' : `${count} bytes`;
}

/** Reads a source from front to back, as headers are. Every method throws `Damaged` past the end. */
export class Cursor {
  at: number;
  little = true;
  readonly #source: ByteSource;
  readonly #base: number;
  #window: Uint8Array = new Uint8Array(0);
  #view: DataView = viewOf(this.#window);
  #from = 0;

  /** @param base offset in the file of the source's first byte, for messages */
  constructor(source: ByteSource, at = 0, base = 0) {
    this.#source = source;
    this.at = at;
    this.#base = base;
  }

  get left(): number {
    return this.#source.size - this.at;
  }

  /** Offset in the file of what is read next. */
  get offset(): number {
    return this.#base + this.at;
  }

  #check(length: number): void {
    const { left } = this;
    if (left < 0) throw new Damaged(this.offset, `this is ${bytesWords(-left)} behind the end`);
    if (length > left || this.at < 0)
      throw new Damaged(
        this.offset,
        `${bytesWords(length)} ${length === 1 ? 'is' : 'are'} wanted, ${left} are left`,
      );
  }

  /** Index in the window of the next `length` bytes; may put another view in place. */
  #need(length: number): number {
    this.#check(length);
    const index = this.at - this.#from;
    if (index >= 0 && index + length <= this.#window.length) return index;
    this.#window = this.#source.read(this.at, Math.min(this.left, Math.max(WINDOW, length)));
    this.#view = viewOf(this.#window);
    this.#from = this.at;
    if (this.#window.length < length) throw new Damaged(this.offset, 'the file has become shorter');
    return 0;
  }

  u8(): number {
    const index = this.#need(1);
    const value = this.#view.getUint8(index);
    this.at += 1;
    return value;
  }

  u16(): number {
    const index = this.#need(2);
    const value = this.#view.getUint16(index, this.little);
    this.at += 2;
    return value;
  }

  u32(): number {
    const index = this.#need(4);
    const value = this.#view.getUint32(index, this.little);
    this.at += 4;
    return value;
  }

  /** Exact below 2^53: offsets, sizes and counts of a file that can be read are. */
  u64(): number {
    const first = this.u32();
    const second = this.u32();
    return this.little ? second * TWO_32 + first : first * TWO_32 + second;
  }

  i64(): bigint {
    const index = this.#need(8);
    const value = this.#view.getBigInt64(index, this.little);
    this.at += 8;
    return value;
  }

  bytes(length: number): Uint8Array {
    const index = this.#need(length);
    this.at += length;
    return this.#window.subarray(index, index + length);
  }

  text(length: number): string {
    return latin1(this.bytes(length));
  }

  skip(length: number): void {
    this.#check(length);
    this.at += length;
  }

  /** A text that ends with a zero byte, which is read too. */
  zeroEnded(max = 4096): string {
    const start = this.offset;
    let text = '';
    for (let byte = this.u8(); byte !== 0; byte = this.u8()) {
      text += String.fromCharCode(byte);
      if (text.length > max) throw new Damaged(start, `a name does not end within ${max} bytes`);
    }
    return text;
  }
}
