import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import * as zlib from 'node:zlib';
import { openBinaryTrace } from '../../trace/binary/open.ts';
import type { ByteSource, Codecs } from '../../trace/binary/source.ts';
import type { BinaryTrace } from '../../trace/binary/trace.ts';

type Unzip = (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** From Node 22.15 on. */
const ZSTD = (zlib as { readonly zstdDecompressSync?: Unzip }).zstdDecompressSync;

/** What Node decompresses. A zstd stream in pieces it does at once only, not piece by piece. */
export const CODECS: Codecs = {
  inflate: (bytes, size) => zlib.inflateSync(bytes, { maxOutputLength: Math.max(1, size) }),
  zstd:
    ZSTD === undefined
      ? null
      : (bytes, size) => ZSTD(bytes, { maxOutputLength: Math.max(1, size) }),
  zstdStream: null,
};

function readRange(fd: number, offset: number, length: number): Uint8Array {
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  while (at < length) {
    const count = readSync(fd, buffer, at, length - at, offset + at);
    if (count === 0) break;
    at += count;
  }
  return buffer.subarray(0, at);
}

/** A regular file, read in ranges; `close` is to be called at the end. */
export interface OpenFile extends ByteSource {
  readonly close: () => void;
}

/** @returns null when it is no regular file: of others no range can be read */
export function openRanges(path: string): OpenFile | null {
  const fd = path === '-' ? 0 : openSync(path, 'r');
  const close = (): void => {
    if (fd !== 0) closeSync(fd);
  };
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    close();
    return null;
  }
  const { size } = stat;
  const read = (offset: number, length: number): Uint8Array =>
    readRange(fd, offset, Math.max(0, Math.min(length, size - offset)));
  return { size, read, close };
}

/**
 * A binary trace; null: it is none.
 *
 * @throws InputError when nothing in it can be read
 */
export function binaryOf(source: ByteSource): BinaryTrace | null {
  return openBinaryTrace(source, CODECS);
}
