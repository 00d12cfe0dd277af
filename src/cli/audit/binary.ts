import { readSync } from 'node:fs';
import * as zlib from 'node:zlib';
import { openBinaryTrace } from '../../trace/binary/open.ts';
import type { ByteSource, Codecs } from '../../trace/binary/source.ts';
import type { BinaryTrace } from '../../trace/binary/trace.ts';

type Unzip = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** From Node 22.15 on. */
const ZSTD = (zlib as { readonly zstdDecompressSync?: Unzip }).zstdDecompressSync;

/** What Node decompresses. A zstd stream it decompresses at once only, not piece by piece. */
const CODECS: Codecs = {
  inflate: (bytes, size) => zlib.inflateSync(bytes, { maxOutputLength: Math.max(1, size) }),
  zstd:
    ZSTD === undefined
      ? null
      : (bytes, size) => ZSTD(bytes, { maxOutputLength: Math.max(1, size) }),
  zstdStream: null,
};

/** A regular file, read in ranges. */
export function rangesOf(fd: number, size: number): ByteSource {
  return {
    size,
    read(offset, length) {
      const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)));
      let at = 0;
      while (at < buffer.length) {
        const count = readSync(fd, buffer, at, buffer.length - at, offset + at);
        if (count === 0) break;
        at += count;
      }
      return buffer.subarray(0, at);
    },
  };
}

/**
 * A binary trace; null: it is none.
 *
 * @throws InputError when nothing in it can be read
 */
export function binaryOf(source: ByteSource): BinaryTrace | null {
  return openBinaryTrace(source, CODECS);
}
