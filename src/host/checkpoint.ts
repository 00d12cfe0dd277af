import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { refuse } from '../base/diagnostic.ts';
import type { Progress } from '../explore/search.ts';
import { type Found, inOrder } from '../explore/table.ts';

/** A search that was kept. */
export interface Kept extends Progress {
  /** Its states, in the order of discovery, marked. */
  readonly states: Int32Array;
}

interface Head {
  readonly memtype: 'search';
  /** Says of which search this is. */
  readonly key: string;
  readonly words: number;
  readonly count: number;
  readonly transitions: number;
  readonly levels: readonly number[];
}

/** The line of JSON is no longer than this. */
const HEAD_MAX = 2 ** 24;
/** Bytes that are read or written at once, and states. */
const PIECE = 2 ** 26;
const STATES = 2 ** 20;

const HELP = 'name another file, or remove this one';

/** Where a search is kept: a line of JSON, and the states as they are. Written whole under another name first. */
export class Checkpoint {
  readonly #file: string;
  readonly #key: string;
  readonly #every: number;
  #next: number;

  /** @param every seconds between two times that it is written */
  constructor(file: string, key: string, every: number) {
    this.#file = file;
    this.#key = key;
    this.#every = every * 1000;
    this.#next = performance.now() + this.#every;
  }

  /** Whether it is time. */
  isDue(): boolean {
    return performance.now() >= this.#next;
  }

  /** What is in the file; null where there is none. @throws InputError when it is not of this search */
  read(words: number): Kept | null {
    if (!existsSync(this.#file)) return null;
    const fd = openSync(this.#file, 'r');
    try {
      return this.#readFrom(fd, words);
    } finally {
      closeSync(fd);
    }
  }

  #readFrom(fd: number, words: number): Kept {
    const { size } = fstatSync(fd);
    const start = Buffer.alloc(Math.min(size, HEAD_MAX));
    readSync(fd, start, 0, start.length, 0);
    const line = start.indexOf(10);
    let head: Partial<Head> = {};
    try {
      head = JSON.parse(start.toString('utf8', 0, Math.max(0, line))) as Partial<Head>;
    } catch {
      refuse(`${this.#file} is not a search that was kept`, HELP);
    }
    const { memtype, key, count = -1, transitions = 0, levels = [] } = head;
    if (memtype === 'search' && key !== this.#key)
      refuse(`${this.#file} is of another test, other options or another version`, HELP);
    if (memtype !== 'search' || size !== line + 1 + count * words * 4)
      refuse(`${this.#file} is not a search that was kept`, HELP);
    const states = new Int32Array(count * words);
    const bytes = new Uint8Array(states.buffer);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(fd, bytes, at, Math.min(PIECE, bytes.length - at), line + 1 + at);
      if (read === 0) refuse(`${this.#file} became shorter while it was read`);
      at += read;
    }
    return { states, transitions, levels };
  }

  write(found: Found, words: number, { levels, transitions }: Progress): void {
    const { count } = found;
    const head: Head = { memtype: 'search', key: this.#key, words, count, transitions, levels };
    const whole = `${this.#file}.part`;
    const fd = openSync(whole, 'w');
    const put = (bytes: Uint8Array): void => {
      for (let at = 0; at < bytes.length; )
        at += writeSync(fd, bytes, at, Math.min(PIECE, bytes.length - at));
    };
    try {
      put(Buffer.from(`${JSON.stringify(head)}\n`));
      for (let from = 0; from < count; from += STATES)
        put(new Uint8Array(inOrder(found, words, from, Math.min(from + STATES, count)).buffer));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(whole, this.#file);
    this.#next = performance.now() + this.#every;
  }

  /** The search has ended: nothing has to be kept. */
  remove(): void {
    rmSync(this.#file, { force: true });
    rmSync(`${this.#file}.part`, { force: true });
  }
}
