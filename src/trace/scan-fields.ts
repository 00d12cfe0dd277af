import { KIND, type Kind } from './batch.ts';
import {
  ascii,
  byteAt,
  decimalAt,
  EQUALS,
  fieldAt,
  isAt,
  isDigit,
  Word,
  wordEnd,
} from './scan-bytes.ts';

const GFN = ascii('gfn');
const PFN = ascii('pfn');
const SPTE = ascii('spte');
const NEW_SPTE = ascii('new_spte');
const OLD_SPTE = ascii('old_spte');
const LEVEL = ascii('level');
const AS_ID = [ascii('as id'), ascii('as_id')];
const GEN = ascii('gen');
const ROLE = ascii('role');
const SP = ascii('sp ');
const ADDRESS = [ascii('address'), ascii('fault_address')];
const ERROR_CODE = ascii('error_code');
const REASON = [ascii('exit_reason'), ascii('reason')];
const FAILED = ascii('[FAILED TO PARSE]');

/** "msr_write 2ff = 0xc06", "cr_read 0 = 0x11": the words of text, the names of fields. */
const MSR = {
  read: ascii('msr_read'),
  write: ascii('msr_write'),
  isWrite: ascii('write'),
  key: ascii('ecx'),
  value: ascii('data'),
};
const CR = {
  read: ascii('cr_read'),
  write: ascii('cr_write'),
  isWrite: ascii('rw'),
  key: ascii('cr'),
  value: ascii('val'),
};
const EXCEPTION = ascii('exception');
const GP = ascii('(#GP)');

const OPEN = 40;
const W = 119;
const DASH = 45;

/** Flags of `KIND.msr` and `KIND.cr`. */
const WRITTEN = 1;
const RAISED = 2;

/** The fields of one event, as they were read last. */
export class Fields {
  key = 0;
  level = 0;
  flags = 0;
  readonly value: Word = new Word();
  readonly before: Word = new Word();
  readonly #key = new Word();
  #isFailed = false;

  /** Reads the fields of an event of a kind; false when they are not as any kernel prints them. */
  read(kind: Kind, bytes: Uint8Array, payload: number, end: number): boolean {
    this.clear();
    this.#isFailed = isAt(bytes, payload, end, FAILED);
    switch (kind) {
      case KIND.set:
        return (
          this.#page(bytes, payload, end) &&
          this.#word(this.value, bytes, payload, end, SPTE) &&
          this.#isAsLettered(bytes, payload, end)
        );
      case KIND.changed:
        return this.#changed(bytes, payload, end);
      case KIND.requested:
        return this.#page(bytes, payload, end) && this.#word(this.value, bytes, payload, end, PFN);
      case KIND.mmioMarked:
        // The generation is printed from 3.13 on.
        if (!this.#word(this.value, bytes, payload, end, GEN)) this.value.lo = 0;
        return this.#number(bytes, payload, end, GFN);
      case KIND.mmioFault:
        return this.#number(bytes, payload, end, GFN);
      case KIND.zapPage:
        return this.#zapped(bytes, payload, end);
      case KIND.msr:
        return this.#register(bytes, payload, end, MSR);
      case KIND.cr:
        return this.#register(bytes, payload, end, CR);
      case KIND.pageFault:
        return (
          ADDRESS.some((name) => this.#number(bytes, payload, end, name)) &&
          this.#word(this.value, bytes, payload, end, ERROR_CODE)
        );
      case KIND.exit:
        this.#exit(bytes, payload, end);
        return true;
      case KIND.mark:
      case KIND.zapAll:
      case KIND.other:
      case KIND.lost:
      case KIND.unreadable:
        return true;
    }
  }

  clear(): void {
    this.key = 0;
    this.level = 0;
    this.flags = 0;
    this.value.hi = 0;
    this.value.lo = 0;
    this.before.hi = 0;
    this.before.lo = 0;
  }

  /** "gfn 40000 ... level 1" */
  #page(bytes: Uint8Array, payload: number, end: number): boolean {
    if (!this.#number(bytes, payload, end, GFN)) return false;
    const at = fieldAt(bytes, payload, end, LEVEL);
    this.level = at < 0 ? -1 : decimalAt(bytes, at, end);
    return this.level >= 1 && this.level <= 5;
  }

  /** "spte 8600000002beeb77 (rwxu)": w is bit 1 under every paging mode; else the line is damaged. */
  #isAsLettered(bytes: Uint8Array, payload: number, end: number): boolean {
    const open = wordEnd(bytes, fieldAt(bytes, payload, end, SPTE), end) + 1;
    const letter = byteAt(bytes, open + 2);
    const isLetters = open + 4 < end && bytes[open] === OPEN && (letter === W || letter === DASH);
    return !isLetters || (letter === W) === ((this.value.lo & 2) !== 0);
  }

  #changed(bytes: Uint8Array, payload: number, end: number): boolean {
    if (!this.#page(bytes, payload, end)) return false;
    for (const name of AS_ID) {
      const at = fieldAt(bytes, payload, end, name);
      if (at >= 0) this.flags = Math.max(0, decimalAt(bytes, at, end)) & 0xff;
    }
    return (
      this.#word(this.value, bytes, payload, end, NEW_SPTE) &&
      this.#word(this.before, bytes, payload, end, OLD_SPTE)
    );
  }

  /** "sp gen 0 gfn 800 l1 8-byte ..."; as fields: "gfn=0x800 (2048) role=0x3704 (14084)", the level last. */
  #zapped(bytes: Uint8Array, payload: number, end: number): boolean {
    if (!this.#number(bytes, payload, end, GFN)) return false;
    const isText = isAt(bytes, payload, end, SP);
    if (!isText && this.#word(this.value, bytes, payload, end, ROLE)) {
      this.level = this.value.lo & 0xf;
      this.value.hi = 0;
      this.value.lo = 0;
      return true;
    }
    for (let at = payload; at + 2 < end; at += 1) {
      const isLevel = bytes[at] === 32 && bytes[at + 1] === 108 && isDigit(byteAt(bytes, at + 2));
      if (!isLevel) continue;
      this.level = byteAt(bytes, at + 2) - 48;
      return at + 3 >= end || bytes[at + 3] === 32;
    }
    return false;
  }

  #register(bytes: Uint8Array, payload: number, end: number, words: typeof MSR): boolean {
    const isWrite = isAt(bytes, payload, end, words.write);
    if (!isWrite && !isAt(bytes, payload, end, words.read)) {
      if (!this.#word(this.value, bytes, payload, end, words.isWrite)) return false;
      this.flags = this.value.lo === 0 ? 0 : WRITTEN;
      const isRaised = this.#word(this.value, bytes, payload, end, EXCEPTION);
      if (isRaised && this.value.lo !== 0) this.flags |= RAISED;
      return (
        this.#number(bytes, payload, end, words.key) &&
        this.#word(this.value, bytes, payload, end, words.value)
      );
    }
    const name = isWrite ? words.write : words.read;
    const stop = this.#key.readHex(bytes, payload + name.length + 1, end);
    if (stop < 0 || bytes[stop + 1] !== EQUALS) return false;
    const last = this.value.readHex(bytes, stop + 3, end);
    this.key = this.#key.number;
    this.flags =
      (isWrite ? WRITTEN : 0) | (last >= 0 && isAt(bytes, last + 1, end, GP) ? RAISED : 0);
    return last >= 0 && this.key >= 0;
  }

  /** Text has names, fields have numbers: `key` is then -1. */
  #exit(bytes: Uint8Array, payload: number, end: number): void {
    if (!REASON.some((name) => this.#number(bytes, payload, end, name))) this.key = -1;
  }

  #number(bytes: Uint8Array, payload: number, end: number, name: Uint8Array): boolean {
    if (!this.#word(this.#key, bytes, payload, end, name)) return false;
    this.key = this.#key.number;
    return this.key >= 0;
  }

  #word(word: Word, bytes: Uint8Array, payload: number, end: number, name: Uint8Array): boolean {
    const at = fieldAt(bytes, payload, end, name);
    if (at < 0) return false;
    if (bytes[at] === 40 && bytes[at - 1] === EQUALS) {
      // "cr=(0)": small numbers of trace option fields are decimal.
      const value = decimalAt(bytes, at, end);
      word.hi = 0;
      word.lo = value >>> 0;
      return value >= 0 && value < 2 ** 32;
    }
    const isHex = !this.#isFailed || (bytes[at] === 48 && (byteAt(bytes, at + 1) | 32) === 120);
    return (isHex ? word.readHex(bytes, at, end) : word.readDecimal(bytes, at, end)) >= 0;
  }
}
