import { readSync } from 'node:fs';
import type { TextScanner } from '../trace/scan.ts';

/** Bytes of a file that a thread reads at a time. */
export const PIECE = 4 << 20;
const LINE_FEED = 10;

/** Reads the bytes of a file between two offsets, as a text of its own. */
export function readPiece(scanner: TextScanner, fd: number, start: number, end: number): void {
  for (let at = start; at < end; ) {
    const { room } = scanner;
    const count = readSync(fd, room, 0, Math.min(room.length, end - at), at);
    // The file has become shorter.
    if (count === 0) break;
    scanner.filled(count);
    at += count;
  }
  scanner.end();
}

const probe = Buffer.alloc(1 << 16);

/** Where the first line begins at or after an offset; the size, when none does. */
export function lineFrom(fd: number, offset: number, size: number): number {
  for (let at = offset - 1; at < size; ) {
    // Nearly always the line ends within the first few bytes.
    const length = at === offset - 1 ? 512 : probe.length;
    const count = readSync(fd, probe, 0, Math.min(length, size - at), at);
    if (count === 0) break;
    const feed = probe.subarray(0, count).indexOf(LINE_FEED);
    if (feed >= 0) return at + feed + 1;
    at += count;
  }
  return size;
}
