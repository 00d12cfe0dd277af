/**
 * Unsigned 64-bit numbers as two unsigned 32-bit halves. BigInt stays out: it is ten times slower on
 * the paths that decode page-table entries and match MTRR masks.
 */
export interface U64 {
  readonly hi: number;
  readonly lo: number;
}

const TWO_32 = 0x1_0000_0000;

export function u64(hi: number, lo: number): U64 {
  return { hi: hi >>> 0, lo: lo >>> 0 };
}

/** From a non-negative integer below 2^53. */
export function u64FromNumber(n: number): U64 {
  return { hi: Math.floor(n / TWO_32) >>> 0, lo: (n % TWO_32) >>> 0 };
}

/** As a JavaScript number: exact below 2^53 only. */
export function u64ToNumber(v: U64): number {
  return v.hi * TWO_32 + v.lo;
}

/** From "0x..." or bare hexadecimal digits; null when it is not one, or does not fit 64 bits. */
export function u64FromHex(text: string): U64 | null {
  const digits = /^(?:0[xX])?([0-9a-fA-F]{1,})$/.exec(text)?.[1]?.replace(/^0+(?=.)/, '');
  if (digits === undefined || digits.length > 16) return null;
  const padded = digits.padStart(16, '0');
  return u64(Number.parseInt(padded.slice(0, 8), 16), Number.parseInt(padded.slice(8), 16));
}

/** As "0x" and hexadecimal digits, at least `digits` of them. */
export function u64ToHex(v: U64, digits = 1): string {
  const text =
    (v.hi === 0 ? '' : v.hi.toString(16)) + v.lo.toString(16).padStart(v.hi ? 8 : 1, '0');
  return `0x${text.padStart(digits, '0')}`;
}

/** Bits `high` to `low` of the value as a number. Exact up to 53 of them. */
export function u64Bits({ hi, lo }: U64, high: number, low: number): number {
  if (low >= 32) return Math.floor(hi / 2 ** (low - 32)) % 2 ** (high - low + 1);
  if (high < 32) return Math.floor(lo / 2 ** low) % 2 ** (high - low + 1);
  return (hi % 2 ** (high - 31)) * 2 ** (32 - low) + Math.floor(lo / 2 ** low);
}

/** Byte `index` (0 = least significant) of the value. */
export function u64Byte(v: U64, index: number): number {
  return ((index < 4 ? v.lo : v.hi) >>> ((index & 3) * 8)) & 0xff;
}

/** From eight bytes, least significant first. */
export function u64FromBytes(bytes: readonly number[]): U64 {
  const half = (at: number): number =>
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0;
  return { hi: half(4), lo: half(0) };
}
