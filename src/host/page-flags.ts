import { closeSync, openSync, readSync } from 'node:fs';
import { type U64, u64 } from '../base/u64.ts';

const ENTRY = 8;

/** /proc/kpageflags of this machine, read at once: what a frame is at this moment. */
export class PageFlagsFile {
  readonly #fd: number;

  /** @throws the error of the system when it cannot be opened: it takes root */
  constructor(path = '/proc/kpageflags') {
    this.#fd = openSync(path, 'r');
  }

  /** Entries of so many frames; fewer where the file ends. */
  read(pfn: number, pages: number): readonly U64[] {
    const bytes = Buffer.alloc(pages * ENTRY);
    let size = 0;
    try {
      size = readSync(this.#fd, bytes, 0, bytes.length, pfn * ENTRY);
    } catch {
      // Past the last frame it is refused.
    }
    return Array.from({ length: Math.floor(size / ENTRY) }, (_, i) =>
      u64(bytes.readUInt32LE(i * ENTRY + 4), bytes.readUInt32LE(i * ENTRY)),
    );
  }

  close(): void {
    closeSync(this.#fd);
  }
}
