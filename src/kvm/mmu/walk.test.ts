import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type U64, u64 } from '../../base/u64.ts';
import { PFERR } from './error-code.ts';
import { type WalkMemory, walkTables } from './walk.ts';
import type { WalkSettings } from './walk-format.ts';

/** Four tables in frames 1 to 4, one of each level; entry 0 of each is what a walk of address 0 meets. */
const ADDRESS = 0xabc;

function memoryOf(entries: readonly bigint[]): WalkMemory & { readonly entries: bigint[] } {
  const kept = [...entries];
  return {
    entries: kept,
    load: (gpa) => {
      const entry = gpa % 4096 === 0 ? kept[gpa / 4096 - 1] : undefined;
      return entry === undefined ? null : toU64(entry);
    },
    store: (gpa, value) => {
      kept[gpa / 4096 - 1] = (BigInt(value.hi) << 32n) | BigInt(value.lo);
    },
  };
}

function toU64(n: bigint): U64 {
  return u64(Number(n >> 32n), Number(n & 0xffff_ffffn));
}

function bit(n: bigint, index: number): boolean {
  return ((n >> BigInt(index)) & 1n) === 1n;
}

const SETTINGS: WalkSettings = {
  format: 'long',
  levels: 4,
  root: u64(0, 0x1000),
  nx: true,
  wp: true,
  smep: false,
  smap: false,
  ac: false,
  pcide: false,
  accessedDirty: true,
  physicalBits: 40,
  gbPages: true,
  executeOnly: false,
};

/** The manual, in other words than the walker: SDM 4.5 to 4.8. "#PF code" or "gfn", and A and D as they are left. */
function longMode(
  entries: readonly bigint[],
  code: number,
  s: WalkSettings,
): readonly [string, readonly bigint[]] {
  const after = [...entries];
  const [write, user, fetch] = [code & 2, code & 4, code & 16].map((b) => b !== 0) as [
    boolean,
    boolean,
    boolean,
  ];
  const cause = (write ? 2 : 0) + (user ? 4 : 0) + (fetch && (s.nx || s.smep) ? 16 : 0);
  const rights = { w: true, u: true, x: true };
  let at = 0;
  const used: number[] = [];
  for (let i = 0; i < 4; i += 1) {
    const e = entries[at];
    if (e === undefined) return [`#PF ${cause}`, entries];
    used.push(at);
    if (!bit(e, 0)) return [`#PF ${cause}`, entries];
    const large = i > 0 && i < 3 && bit(e, 7);
    const above = (e & ((1n << 52n) - 1n)) >> BigInt(s.physicalBits);
    const below = large ? (e >> 13n) & ((1n << BigInt(i === 2 ? 8 : 17)) - 1n) : 0n;
    const badSize = (i === 0 && bit(e, 7)) || (i === 1 && bit(e, 7) && !s.gbPages);
    if (above !== 0n || below !== 0n || badSize || (bit(e, 63) && !s.nx))
      return [`#PF ${cause + 9}`, entries];
    rights.w &&= bit(e, 1);
    rights.u &&= bit(e, 2);
    rights.x &&= !bit(e, 63);
    if (!large && i < 3) {
      at = Number((e & 0xf_ffff_ffff_f000n) >> 12n) - 1;
      continue;
    }
    const refused =
      (user && !rights.u) ||
      (fetch && s.nx && !rights.x) ||
      (write && !rights.w && (user || s.wp)) ||
      (!user && rights.u && (fetch ? s.smep : s.smap && !s.ac));
    if (refused) return [`#PF ${cause + 1}`, entries];
    for (const j of used) after[j] = (after[j] as bigint) | 0x20n;
    if (write) after[at] = (after[at] as bigint) | 0x40n;
    return [
      `${((e & 0xf_ffff_ffff_f000n) >> 12n) & ~(large ? (i === 2 ? 0x1ffn : 0x3_ffffn) : 0n)}`,
      after,
    ];
  }
  throw new Error('no leaf');
}

/** Entries that mostly point on: a table, with some bits turned. */
function entries(leafBits: number): fc.Arbitrary<bigint[]> {
  const noise = fc.oneof(
    { weight: 5, arbitrary: fc.constant(0n) },
    { weight: 3, arbitrary: fc.constantFrom(1n, 2n, 4n, 0x80n, 0x20n, 0x40n, 1n << 63n) },
    { weight: 1, arbitrary: fc.constantFrom(1n << 13n, 1n << 41n, 1n << 45n) },
  );
  return fc
    .tuple(noise, noise, noise, noise, noise)
    .map(([a, b, c, d, e]) => [
      0x2007n ^ a,
      0x3007n ^ b,
      0x4007n ^ c,
      (0x12_3000n | BigInt(leafBits)) ^ d ^ e,
    ]);
}

describe('a walk', () => {
  const flags = fc.record({
    nx: fc.boolean(),
    wp: fc.boolean(),
    smep: fc.boolean(),
    smap: fc.boolean(),
    ac: fc.boolean(),
    gbPages: fc.boolean(),
  });
  const kinds = fc.constantFrom(0, PFERR.WRITE, PFERR.FETCH);

  test('of long mode gives what the manual says, and leaves A and D so', () => {
    fc.assert(
      fc.property(entries(7), flags, kinds, fc.boolean(), (list, chosen, kind, user) => {
        const settings = { ...SETTINGS, ...chosen };
        const code = kind | (user ? PFERR.USER : 0);
        const memory = memoryOf(list);
        const walk = walkTables(settings, memory, ADDRESS, code, 'kvm');
        const got = walk.ok ? `${walk.gfn}` : `#PF ${walk.errorCode}`;
        expect([got, memory.entries]).toEqual(longMode(list, code, settings));
      }),
      { numRuns: 3000 },
    );
  });

  test('of the CPU leaves A in what it went through, also where it ends in a fault', () => {
    const memory = memoryOf([0x2007n, 0x3007n, 0n, 0n]);
    expect(walkTables(SETTINGS, memory, ADDRESS, 0, 'cpu').ok).toBe(false);
    expect(memory.entries).toEqual([0x2027n, 0x3027n, 0n, 0n]);
    const kvm = memoryOf([0x2007n, 0x3007n, 0n, 0n]);
    walkTables(SETTINGS, kvm, ADDRESS, 0, 'kvm');
    expect(kvm.entries).toEqual([0x2007n, 0x3007n, 0n, 0n]);
  });

  test('gives the PAT index of the leaf and of each table', () => {
    const memory = memoryOf([0x2007n | 0x8n, 0x3007n | 0x10n, 0x4007n | 0x18n, 0x5007n | 0x90n]);
    const root = u64(0, 0x1008);
    const walk = walkTables({ ...SETTINGS, root }, memory, ADDRESS, 0, 'kvm');
    expect(walk.ok && [walk.patIndex, walk.tablePatIndex.slice(0, 4)]).toEqual([6, [3, 2, 1, 1]]);
    const pcide = walkTables({ ...SETTINGS, root, pcide: true }, memory, ADDRESS, 0, 'kvm');
    expect(pcide.ok && pcide.tablePatIndex[3]).toBe(0);
    const large = memoryOf([0x2007n, 0x3007n, 0x20_0000n | 0x1097n, 0n]);
    const huge = walkTables(SETTINGS, large, ADDRESS, 0, 'kvm');
    expect(huge.ok && [huge.level, huge.gfn, huge.patIndex]).toEqual([2, 0x200, 6]);
  });

  const EPT = { ...SETTINGS, format: 'ept' } as const;

  test('of EPT refuses types 2, 3 and 7, W without R, and X alone where it is not allowed', () => {
    for (let type = 0; type < 8; type += 1)
      for (let rwx = 1; rwx < 8; rwx += 1)
        for (const executeOnly of [false, true]) {
          const memory = memoryOf([0x2007n, 0x3007n, 0x4007n, BigInt(0x5000 | (type << 3) | rwx)]);
          const code = (rwx & 1) !== 0 ? PFERR.USER : PFERR.FETCH;
          const walk = walkTables({ ...EPT, executeOnly }, memory, ADDRESS, code, 'kvm');
          const isBad =
            [2, 3, 7].includes(type) || rwx === 2 || rwx === 6 || (rwx === 4 && !executeOnly);
          expect(walk.ok ? 'ok' : walk.errorCode & PFERR.RSVD).toBe(isBad ? PFERR.RSVD : 'ok');
        }
  });

  test('where no memory is says so', () => {
    const walk = walkTables({ ...SETTINGS, root: u64(0, 0x9000) }, memoryOf([]), ADDRESS, 0, 'kvm');
    expect(walk).toEqual({ ok: false, errorCode: 0, level: 4, noMemory: true });
  });
});
