// Pieces of WebAssembly's text format.

/** Up to eight characters as they are loaded. */
export function chars(text: string): string {
  let word = 0n;
  for (let i = text.length - 1; i >= 0; i -= 1) word = (word << 8n) | BigInt(text.charCodeAt(i));
  return String(word);
}

/** Sixteen times the same byte. */
export function all(byte: number | string): string {
  const value = typeof byte === 'number' ? byte : byte.charCodeAt(0);
  return `(v128.const ${`${value} `.repeat(16)})`;
}

/** Eight times the same 16 bits. */
export function all16(value: number): string {
  return `(v128.const ${`${value & 0xff} ${value >> 8} `.repeat(8)})`;
}

export function get(name: string): string {
  return `(local.get $${name})`;
}

/** Whether eight bytes (or fewer) from an address are these characters. */
export function is(address: string, text: string): string {
  if (text.length === 8) return `(i64.eq (i64.load ${address}) (i64.const ${chars(text)}))`;
  if (text.length === 4) return `(i32.eq (i32.load ${address}) (i32.const ${chars(text)}))`;
  if (text.length === 2) return `(i32.eq (i32.load16_u ${address}) (i32.const ${chars(text)}))`;
  if (text.length === 1) return `(i32.eq (i32.load8_u ${address}) (i32.const ${chars(text)}))`;
  const mask = (1n << BigInt(8 * text.length)) - 1n;
  return `(i64.eq (i64.and (i64.load ${address}) (i64.const ${mask})) (i64.const ${chars(text)}))`;
}

/** Leaves the line to others unless characters are where they must be. */
export function must(address: string, text: string): string {
  return unless(is(address, text));
}

export function unless(condition: string): string {
  return `(br_if $unknown (i32.eqz ${condition}))`;
}

export function plus(name: string, offset: number): string {
  return offset === 0 ? get(name) : `(i32.add ${get(name)} (i32.const ${offset}))`;
}

/** Bits of the bytes that are a character, of 16 bytes at an address. */
export function bits(address: string, character: string, offset = 0): string {
  return `(i8x16.bitmask (i8x16.eq (v128.load offset=${offset} ${address}) ${all(character)}))`;
}

export function bits32(address: string, character: string): string {
  return `(i32.or ${bits(address, character)} (i32.shl ${bits(address, character, 16)} (i32.const 16)))`;
}

export function any(...conditions: readonly string[]): string {
  return conditions.reduce((a, b) => `(i32.and ${a} ${b})`);
}

export function when(condition: string, ...then: readonly string[]): string {
  return `(if ${condition} (then ${then.join('\n')}))`;
}
