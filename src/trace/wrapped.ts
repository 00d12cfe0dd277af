import { KIND, type Kind } from './batch.ts';
import { BLANK } from './scan-bytes.ts';
import type { Fields } from './scan-fields.ts';
import type { Head } from './scan-head.ts';
import { secondHead } from './scan-other.ts';

/** Mail programs wrap at 72 to 80 columns, at a blank. */
const WRAP_MAX = 80;

/** An event whose fields ended too early. In a mail the rest of them may stand on the next line. */
export class WrappedLine {
  kind: Kind = KIND.other;
  #line = -1;
  #begin: Uint8Array = new Uint8Array();

  /** @param line its number */
  keep(line: number, kind: Kind, begin: Uint8Array): void {
    if (begin.length > WRAP_MAX || begin.at(-1) === BLANK) return;
    this.#line = line;
    this.kind = kind;
    this.#begin = begin.slice();
  }

  /**
   * Reads the event that was kept together with the line behind it, into `head` and `fields`.
   *
   * @param line number of the line that the event began on, if `rest` is the one behind it
   * @returns false when they are not one event
   */
  read(line: number, rest: Uint8Array, head: Head, fields: Fields): boolean {
    if (line !== this.#line || rest[0] === BLANK) return false;
    this.#line = -1;
    const joined = Uint8Array.of(...this.#begin, BLANK, ...rest);
    if (!head.read(joined, 0, joined.length)) return false;
    if (head.isMixed || secondHead(joined, head.payload, joined.length) >= 0) return false;
    return fields.read(this.kind, joined, head.payload, joined.length);
  }
}
