import { readSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import { loadZstd } from '../../host/zstd.ts';
import type { ByteSource, Codecs } from '../../trace/binary/source.ts';

/** What is decompressed within a trace. */
export async function loadCodecs(): Promise<Codecs> {
  const { stream, whole } = await loadZstd();
  return {
    inflate: (bytes, size) => inflateSync(bytes, { maxOutputLength: Math.max(1, size) }),
    zstd: whole,
    zstdStream: () => {
      const { push } = stream();
      return (piece) => Buffer.concat(push(piece));
    },
  };
}

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
