// Numbers and names out of bytes, without a string. Offsets count into the bytes; `end` is one past the line.

export const BLANK = 32;
export const COLON = 58;
export const DASH = 45;
export const EQUALS = 61;
export const OPEN = 91;
export const CLOSE = 93;
const TAB = 9;
const PARENTHESIS = 40;

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

export function isNameStart(code: number): boolean {
  return (code >= 97 && code <= 122) || code === 95 || (code >= 65 && code <= 90);
}

export function isName(code: number): boolean {
  return isNameStart(code) || isDigit(code);
}

/** The byte at an offset; 0 past the end. */
export function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

export function skipBlanks(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  while (i < end && (bytes[i] === BLANK || bytes[i] === TAB)) i += 1;
  return i;
}

/** The first blank from an offset on, or the end. */
export function wordEnd(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  while (i < end && bytes[i] !== BLANK) i += 1;
  return i;
}

/** Where the digits that stop before `end` begin. */
export function digitsBefore(bytes: Uint8Array, from: number, end: number): number {
  let i = end;
  while (i > from && isDigit(byteAt(bytes, i - 1))) i -= 1;
  return i;
}

/** A decimal number of all the bytes between two offsets; -1 when it is none, or has more than ten digits. */
export function decimalBetween(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end || end - start > 10) return -1;
  let value = 0;
  for (let i = start; i < end; i += 1) {
    const code = byteAt(bytes, i);
    if (!isDigit(code)) return -1;
    value = value * 10 + code - 48;
  }
  return value;
}

/** A decimal number at an offset, also in parentheses; -1 when there is none. */
export function decimalAt(bytes: Uint8Array, at: number, end: number): number {
  const start = at < end && bytes[at] === PARENTHESIS ? at + 1 : at;
  let stop = start;
  while (stop < end && isDigit(byteAt(bytes, stop))) stop += 1;
  return decimalBetween(bytes, start, stop);
}

/** ASCII letters as bytes, made once. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** Whether `word` stands at an offset. */
export function isAt(bytes: Uint8Array, at: number, end: number, word: Uint8Array): boolean {
  if (at + word.length > end) return false;
  for (let i = 0; i < word.length; i += 1) if (bytes[at + i] !== word[i]) return false;
  return true;
}

/**
 * Where the value of a field begins: of "gfn 40000", of "gfn=0x40000 (262144)" (trace option fields) and of
 * "gfn=262144" (perf, where it cannot parse the format). -1 when there is no such field.
 */
export function fieldAt(bytes: Uint8Array, payload: number, end: number, name: Uint8Array): number {
  const first = name[0];
  for (let at = payload; at + name.length < end; at += 1) {
    if (bytes[at] !== first) continue;
    const before = bytes[at - 1];
    if (at !== payload && before !== BLANK && before !== COLON) continue;
    const stop = at + name.length;
    const after = bytes[stop];
    if (after !== BLANK && after !== EQUALS && after !== COLON) continue;
    if (isAt(bytes, at, end, name)) return skipBlanks(bytes, stop + 1, end);
  }
  return -1;
}

/** A number of up to 64 bits, as it was read last. */
export class Word {
  hi = 0;
  lo = 0;

  /** As a JavaScript number; -1 past 2^52, which no frame and no address of a guest is. */
  get number(): number {
    return this.hi >= 2 ** 20 ? -1 : this.hi * 2 ** 32 + this.lo;
  }

  /**
   * Reads hexadecimal digits, with or without "0x".
   *
   * @returns where it ends; -1 when there is no number, or one past 64 bits
   */
  readHex(bytes: Uint8Array, at: number, end: number): number {
    const hasMark = at + 1 < end && bytes[at] === 48 && (byteAt(bytes, at + 1) | 32) === 120;
    const start = hasMark ? at + 2 : at;
    let hi = 0;
    let lo = 0;
    let i = start;
    for (; i < end; i += 1) {
      const code = byteAt(bytes, i);
      const lower = code | 32;
      const isLetter = lower >= 97 && lower <= 102;
      if (!isLetter && !isDigit(code)) break;
      hi = (hi << 4) | (lo >>> 28);
      lo = (lo << 4) | (isLetter ? lower - 87 : code - 48);
    }
    this.hi = hi >>> 0;
    this.lo = lo >>> 0;
    return this.#ended(bytes, start, i, end, 16);
  }

  /** Reads decimal digits, below 2^53. Returns as `readHex`. */
  readDecimal(bytes: Uint8Array, at: number, end: number): number {
    let value = 0;
    let i = at;
    while (i < end && isDigit(byteAt(bytes, i))) {
      value = value * 10 + byteAt(bytes, i) - 48;
      i += 1;
    }
    this.hi = Math.floor(value / 2 ** 32) >>> 0;
    this.lo = value >>> 0;
    return this.#ended(bytes, at, i, end, 15);
  }

  /** After a number comes a blank, a comma or the end. */
  #ended(bytes: Uint8Array, start: number, stop: number, end: number, digits: number): number {
    const isApart = stop >= end || bytes[stop] === BLANK || bytes[stop] === 44;
    return isApart && stop > start && stop - start <= digits ? stop : -1;
  }
}
