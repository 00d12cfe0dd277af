// The inputs of the resolution benchmark: the same generator, seed and order as in baseline.c.
import { compileMtrrs, fastMtrrs, patCodes } from './dist.mjs';

export const POOL = 4096;
const SEED = 0x6d656d74;
const GIB = 2 ** 30;

/** start, size, type code; WB by default. Overlaps give WT, and one is undefined. */
const LAYOUT = [
  [2 * GIB, GIB / 2, 0],
  [3 * GIB, GIB, 0],
  [2 ** 45, 2 ** 45, 0],
  [0xd0000000, GIB / 4, 1],
  [4 * GIB, 4 * GIB, 6],
  [6 * GIB, 2 * GIB, 4],
  [16 * GIB, 16 * GIB, 5],
  [24 * GIB, 8 * GIB, 6],
];

const MASK_VALID = 0x800;
/** E, FE, default WB. */
const DEF_TYPE = 0xc06;
const PHYS_BITS = 46;

function* xorshift(seed) {
  let state = seed;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

function u64(n, low) {
  return { hi: Math.floor(n / 2 ** 32), lo: ((n % 2 ** 32) + low) >>> 0 };
}

/** Eleven MSRs of eight type bytes each, lowest byte first. */
function fixedMsrs(next) {
  const bytes = Uint8Array.from({ length: 88 }, () => [0, 1, 4, 5, 6][next() % 5]);
  const words = new DataView(bytes.buffer);
  return Array.from({ length: 11 }, (_, i) => ({
    lo: words.getUint32(8 * i, true),
    hi: words.getUint32(8 * i + 4, true),
  }));
}

/** MTRRs, PAT and a pool of accesses: address, page-table entry, and whether that is a large leaf. */
export function makeInputs() {
  const generator = xorshift(SEED);
  const next = () => generator.next().value;
  const mtrrs = compileMtrrs({
    defType: DEF_TYPE,
    fixed: fixedMsrs(next),
    variable: LAYOUT.map(([start, size, type]) => ({
      base: u64(start, type),
      mask: u64(2 ** PHYS_BITS - size, MASK_VALID),
    })),
    physBits: PHYS_BITS,
  });
  const hi = new Uint32Array(POOL);
  const lo = new Uint32Array(POOL);
  const entry = new Uint32Array(POOL);
  const large = new Uint8Array(POOL);
  for (let i = 0; i < POOL; i++) {
    const bits = 20 + (next() % 27);
    const high = next();
    const low = next();
    hi[i] = bits > 32 ? high % 2 ** (bits - 32) : 0;
    lo[i] = bits < 32 ? low % 2 ** bits : low;
    entry[i] = next();
    large[i] = next() & 1;
  }
  const pat = patCodes({ hi: 0x04070506, lo: 0x00070106 });
  return { mtrrs, fast: fastMtrrs(mtrrs), pat, hi, lo, entry, large };
}
