import { createInflateRaw } from 'node:zlib';

/** Packed data do not go on as RFC 1952 says. */
export class GzipError extends Error {
  override name = 'GzipError';
}

const CHUNK = 1 << 20;
/** What is unpacked at a time is held until it is taken: deflate makes a thousand times as much of it at most. */
const STEP = 1 << 16;
const HEAD = 10;
const TRAILER = 8;
const TEXT_MAX = 1 << 16;
const FLAG = { crc: 2, extra: 4, name: 8, comment: 16 };

const CRC_POLYNOMIAL = 0xedb8_8320;
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1)
    crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ CRC_POLYNOMIAL;
  return crc;
});

/** CRC-32 of what was seen, inverted as it is carried on. Not every version of Node that is supported has one. */
function crcOf(bytes: Uint8Array, before: number): number {
  let crc = before;
  for (let i = 0; i < bytes.length; i += 1)
    crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  return crc;
}

/** Bytes that come in chunks, taken as far as they are used. */
class Feed {
  readonly #source: AsyncIterator<Uint8Array>;
  #bytes: Uint8Array = new Uint8Array();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#source = chunks[Symbol.asyncIterator]();
  }

  /** At least so many bytes, not taken yet; fewer where the data end. */
  async look(least: number): Promise<Uint8Array> {
    while (this.#bytes.length < least) {
      const { value, done } = await this.#source.next();
      if (done === true) break;
      this.#bytes = this.#bytes.length === 0 ? value : Buffer.concat([this.#bytes, value]);
    }
    return this.#bytes;
  }

  take(length: number): void {
    this.#bytes = this.#bytes.subarray(length);
  }

  async bytes(length: number): Promise<Uint8Array> {
    const found = await this.look(length);
    if (found.length < length) throw new GzipError('unexpected end of file');
    this.take(length);
    return found.subarray(0, length);
  }

  async text(): Promise<void> {
    for (let length = 0; length < TEXT_MAX; length += 1) {
      const [byte] = await this.bytes(1);
      if (byte === 0) return;
    }
    throw new GzipError('a name without an end');
  }
}

/** What stands before the data of a member. */
async function skipHead(feed: Feed): Promise<void> {
  const head = await feed.bytes(HEAD);
  const flags = head[3] ?? 0;
  if (head[2] !== 8 || flags > 31) throw new GzipError('an unknown way of packing');
  if ((flags & FLAG.extra) !== 0) {
    const [low = 0, high = 0] = await feed.bytes(2);
    await feed.bytes(low + 256 * high);
  }
  if ((flags & FLAG.name) !== 0) await feed.text();
  if ((flags & FLAG.comment) !== 0) await feed.text();
  if ((flags & FLAG.crc) !== 0) await feed.bytes(2);
}

/** The data of a member. zlib says how much of the feed was theirs. */
async function* member(feed: Feed): AsyncGenerator<Uint8Array> {
  const inflate = createInflateRaw({ chunkSize: CHUNK });
  const out: Uint8Array[] = [];
  let isDone = false;
  let failure: Error | null = null;
  inflate.on('data', (bytes: Uint8Array) => out.push(bytes));
  inflate.on('end', () => {
    isDone = true;
  });
  // Told by the callback of write, too.
  inflate.on('error', () => {});
  while (!isDone && failure === null) {
    const input = (await feed.look(1)).subarray(0, STEP);
    if (input.length === 0) failure = new GzipError('unexpected end of file');
    const before = inflate.bytesWritten;
    if (failure === null)
      failure = await new Promise<Error | null>((resolve) => {
        inflate.write(input, (error) => resolve(error ?? null));
      });
    feed.take(inflate.bytesWritten - before);
    // The end of the stream is told in a turn of its own.
    await new Promise(setImmediate);
    yield* out.splice(0);
  }
  inflate.destroy();
  if (failure !== null) throw failure;
}

/**
 * Unpacks gzip as it comes, member by member, and gives all that is whole before it fails. Zeros behind the last
 * member are padding.
 *
 * @throws GzipError, or an error of zlib
 */
export async function* gunzip(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const feed = new Feed(packed);
  for (let isFirst = true; ; isFirst = false) {
    const [first, second] = await feed.look(2);
    if (!isFirst && first === undefined) return;
    if (!isFirst && first === 0) {
      feed.take(1);
      continue;
    }
    if (first !== 0x1f || second !== 0x8b)
      throw new GzipError(isFirst ? 'no gzip' : 'what follows its end is no gzip');
    await skipHead(feed);
    let crc = -1;
    for await (const bytes of member(feed)) {
      crc = crcOf(bytes, crc);
      yield bytes;
    }
    const trailer = Buffer.from(await feed.bytes(TRAILER));
    if (trailer.readInt32LE(0) !== ~crc) throw new GzipError('its check sum is another');
  }
}
