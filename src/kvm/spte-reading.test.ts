import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { must } from '../base/assert.ts';
import { type U64, u64, u64FromHex } from '../base/u64.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { eptLeafBits } from '../x86/ept.ts';
import type { MtrrType } from '../x86/types.ts';
import type { PagingMode } from './rules.ts';
import { decodeSpte } from './spte.ts';
import { editionsOf, SPTE_EDITIONS } from './spte-editions.ts';
import { leafCauses } from './spte-meaning.ts';
import { readSpte, readSpteAs, type SpteReading } from './spte-reading.ts';

function hex(text: string): U64 {
  return must(u64FromHex(text), text);
}

const PAGINGS = ['ept', 'npt', 'shadow'] as const;

function read(
  value: string,
  paging: PagingMode | null,
  kernel: string | null,
  level: number | null,
) {
  const version = kernel === null ? null : parseKernelVersion(kernel);
  return readSpte(hex(value), { paging, kernel: version, level });
}

/** A reading in a few words. */
function words(reading: SpteReading | undefined): string {
  if (reading === undefined) return 'none';
  const { kind, leaf, mmio, table, levels } = reading;
  const parts = [kind, levels.join(' ')];
  if (leaf !== null)
    parts.push(
      leaf.patIndex === null
        ? `${leaf.memtype} ${leaf.ipat ? 'ipat' : 'pat'}`
        : `pat${leaf.patIndex}`,
      leaf.pfn.toString(16),
      leaf.write,
    );
  if (table !== null) parts.push(table.toString(16));
  if (mmio !== null)
    parts.push(
      `gfn ${mmio.gfn.toString(16)} gen ${mmio.generation.toString(16)}`,
      ...(mmio.guard === null ? [] : [`guard ${mmio.guard.join(':')}`]),
    );
  return parts.join(', ');
}

// Values of traces, but those marked as made: no trace with one is known.
test.each([
  ['600000455299b77', 'ept', '6.2', 1, 'leaf, 1, WB ipat, 455299, writable'],
  ['60000021be00bf3', 'ept', '6.2', null, 'leaf, 2, WB ipat, 21be00, writable'],
  ['2c583e907', 'ept', '6.2', null, 'table, 2 3 4 5, 2c583e'],
  ['5a0', 'ept', '6.2', 1, 'frozen, 1'],
  ['0', 'npt', '6.1', 1, 'empty, 1'],
  ['8000000000000000', 'ept', '6.12', 1, 'empty, 1'],
  ['8000000000000000', 'npt', '7.3', 1, 'empty, 1'],
  ['80000000000005a0', 'npt', '6.12', 1, 'frozen, 1'],
  ['80000000000001a0', 'ept', '7.3', 1, 'frozen, 1'],
  ['f85000f116', 'ept', '6.1', 1, 'mmio, 1, gfn 5000f gen 22, guard 39:35'],
  ['f805000f116', 'ept', '6.12', 1, 'mmio, 1, gfn 5000f gen 22, guard 43:39'],
  ['f805000f116', 'ept', '7.3', 1, 'mmio, 1, gfn 5000f gen 22, guard 43:39'],
  ['8000040400057', 'npt', '6.1', 1, 'mmio, 1, gfn 40400 gen a'],
  ['800f850000125', 'shadow', '6.12', 1, 'mmio, 1, gfn 50000 gen 24, guard 39:35'],
  ['11a412a25', 'shadow', '6.18', 1, 'leaf, 1, pat0, 11a412, guarded by KVM'],
  ['5873825', 'npt', '7.3', 1, 'leaf, 1, pat0, 5873, read-only in the VMM'],
  ['100b4a00ea7', 'npt', '6.2', 2, 'leaf, 2, pat0, 100b4a00, writable'],
  ['86000080a5669b37', 'ept', '6.16', 1, 'leaf, 1, WB pat, 80a5669, writable'],
  // Made: access tracking, the empty and frozen values of 5.12, MMIO of older kernels and of a TDX guest.
  ['750000123456870', 'ept', '6.1', null, 'leaf, 1, WB ipat, 123456, writes tracked'],
  ['800000000000000', 'ept', '5.12', 1, 'frozen, 1'],
  ['300000fee0011e', 'ept', '5.4', 1, 'mmio, 1, gfn fee00 gen 23'],
  ['40000000fee0011e', 'ept', '4.14', 1, 'mmio, 1, gfn fee00 gen 23'],
  ['fee00110', 'ept', '6.16', 1, 'mmio, 1, gfn fee00 gen 22'],
])('%s (%s, %s, level %s) is %s', (value, paging, kernel, level, expected) => {
  const { readings } = read(value, paging as PagingMode, kernel, level);
  expect(words(readings[0])).toBe(expected);
});

test('what access tracking took away is named', () => {
  const [b] = read('1500000123456870', 'ept', '6.1', 1).readings;
  expect(b?.contradictions).not.toEqual([]);
  const tracked = read('750000123456870', 'ept', '6.1', 1);
  expect(tracked.fits).toBe(true);
  expect(tracked.readings[0]?.leaf?.saved).toBe('R, X');
});

test.each([
  ['600000455299b57', 'ept', '6.1', 'bits 5:3: type 2 is reserved, an EPT misconfiguration'],
  ['600000455299b76', 'ept', '6.1', 'bits 1:0: W without R is an EPT misconfiguration'],
  [
    '600000455299377',
    'ept',
    '6.1',
    'bit 11 (MMU-present) is clear, and it is no other known value',
  ],
  ['600000455299b77', 'ept', '6.12', 'bit 63 is clear'],
  ['600000455299b77', 'npt', '6.1', 'bits 58, 57 are set'],
  ['6000000455299bf3', 'ept', '6.1', 'bits 20:12 must be 0'],
  ['46b0e77', 'npt', '6.1', 'bit 4 (PCD) is set'],
  ['400000455299b77', 'ept', '7.3', 'bit 63'],
])('%s (%s, %s) contradicts: %s', (value, paging, kernel, expected) => {
  const { fits, readings } = read(value, paging as PagingMode, kernel, null);
  expect(fits).toBe(false);
  expect(readings[0]?.contradictions.join('; ')).toContain(expected);
});

test('what a line prints beside the value decides between the readings', () => {
  const line = { letters: null, gfn: null, generation: null, isTdp: false };
  const asked = { paging: null, kernel: null, level: 1 };
  const kinds = (
    value: string,
    printed: Partial<typeof line> | { letters: string; generation: number },
  ) => readSpte(hex(value), { ...asked, printed: { ...line, ...printed } });
  // check_mmio_spte of 7.3 and of 6.1: the same bits are another generation in 5.4.
  expect(kinds('f805000f116', { generation: 0x22 } as never).fits).toBe(true);
  expect(kinds('f805000f116', { generation: 0x23 } as never).fits).toBe(false);
  expect(kinds('11a412a25', { letters: 'r-xu' } as never).fits).toBe(true);
  expect(kinds('11a412a25', { letters: 'rwxu' } as never).fits).toBe(false);
  const tdp = kinds('46b0e67', { isTdp: true });
  expect(tdp.readings.map(({ paging }) => paging)).not.toContain('shadow');
});

const bits64 = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }))
  .map(([hi, lo]) => u64(hi, lo));
/** Values that are nearly real, and any. */
const anyValue = fc.oneof(
  bits64,
  fc
    .tuple(
      fc.constantFrom(
        '600000455299b77',
        'f805000f116',
        '8000040400057',
        '90a000012345ff7',
        '5a0',
        '46b0e67',
      ),
      fc.integer({ min: 0, max: 63 }),
    )
    .map(([text, flip]) => {
      const { hi, lo } = hex(text);
      return flip < 32
        ? u64(hi, (lo ^ (1 << flip)) >>> 0)
        : u64((hi ^ (1 << (flip - 32))) >>> 0, lo);
    }),
);

test('the fields tile the 64 bits and make up the value again', () => {
  fc.assert(
    fc.property(
      anyValue,
      fc.constantFrom(...PAGINGS),
      fc.constantFrom(...SPTE_EDITIONS),
      fc.constantFrom(null, 1, 2, 3, 4, 5),
      (value, paging, edition, level) => {
        const { fields } = readSpteAs(value, paging, edition, level);
        let next = 63;
        let sum = 0n;
        for (const { high, low, value: digits } of fields) {
          expect(high).toBe(next);
          expect(low).toBeLessThanOrEqual(high);
          const part = BigInt(`0x${digits}`);
          expect(part < 1n << BigInt(high - low + 1)).toBe(true);
          sum |= part << BigInt(low);
          next = low - 1;
        }
        expect(next).toBe(-1);
        expect(sum).toBe((BigInt(value.hi) << 32n) | BigInt(value.lo));
      },
    ),
  );
});

test('type, IPAT, frame and what it is are those that the fast decoder finds', () => {
  fc.assert(
    fc.property(
      anyValue,
      fc.constantFrom(...PAGINGS),
      fc.constantFrom(...SPTE_EDITIONS),
      fc.constantFrom(1, 2, 3, 4, 5),
      (value, paging, edition, level) => {
        const reading = readSpteAs(value, paging, edition, level);
        if (reading.contradictions.length > 0 || reading.mmio?.tdx === true) return;
        const fast = decodeSpte(value, paging === 'ept' ? 'ept' : 'npt', edition.layout, level);
        expect(fast.kind).toBe(reading.kind);
        if (fast.kind === 'leaf')
          expect(reading.leaf).toMatchObject({
            memtype: fast.memtype,
            ipat: fast.ipat,
            patIndex: fast.patIndex,
            pfn: fast.pfn,
          });
        if (fast.kind === 'table') expect(reading.table).toBe(fast.pfn);
        if (fast.kind === 'mmio') expect(reading.mmio?.gfn).toBe(fast.gfn);
      },
    ),
    { numRuns: 2000 },
  );
});

test('every type that a real kernel wrote has a rule of its kernel, and is read back', () => {
  const text = readFileSync(new URL('../../vectors/text/real-kvm.txt', import.meta.url), 'utf8');
  let count = 0;
  for (const line of text.split('\n')) {
    const [kernel = '', , , , paging = '', , , , , , , , type = '', ipat = ''] = line.split(' ');
    if (paging !== 'ept' || kernel.startsWith('#')) continue;
    const version = parseKernelVersion(kernel);
    for (const edition of editionsOf(version)) {
      const leaf = { memtype: type as MtrrType, ipat: ipat === '1' };
      expect([line, leafCauses(leaf.memtype, leaf.ipat, edition, version)]).not.toContainEqual([]);
      const [host, mmu] = edition.writable.ept;
      const top = 2 ** (host - 32) + 2 ** (mmu - 32) + (edition.suppressVe ? 2 ** 31 : 0);
      const xu = edition.saved.xu === null ? 0 : 0x400;
      const value = u64(top, 0x1234_5b07 + xu + eptLeafBits(leaf));
      const reading = readSpteAs(value, 'ept', edition, 1, version);
      expect(reading.contradictions).toEqual([]);
      expect(reading).toMatchObject({ leaf, isForeign: false });
      count += 1;
    }
  }
  expect(count).toBeGreaterThan(200);
});

const { MEMTYPE_SAMPLES: folder = '' } = process.env;

function filesOf(directory: string): readonly string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? filesOf(path) : [path];
  });
}

/** The paging mode and the kernel of a trace, by the name of its folder. */
function hostOf(path: string): readonly [PagingMode, string] | null {
  const run = path.split('/').at(-2) ?? '';
  if (/raw|perf|^trace/.test(run)) return null;
  const paging = /ept/.test(run) ? 'ept' : /shadow|npt0/.test(run) ? 'shadow' : 'npt';
  const kernel = /7\.3|73/.test(run) ? '7.3.4' : (/6\.\d+/.exec(run)?.[0] ?? '6.1');
  return /ept|shadow|npt|nested/.test(run) ? [paging, kernel] : null;
}

function textOf(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** Every value of a trace once, with its level. */
function valuesOf(text: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const line of text.split('\n')) {
    const level = /check_mmio_spte/.test(line) ? '1' : /\blevel (\d)/.exec(line)?.[1];
    if (level === undefined) continue;
    for (const [, value] of line.matchAll(/(?:\bspte|old_spte|new_spte) ([0-9a-f]+)/g))
      found.add(`${value} ${level}`);
  }
  return found;
}

describe.skipIf(folder === '')('real traces', () => {
  test('every SPTE decodes without an unexplained bit', () => {
    const wrong: string[] = [];
    let count = 0;
    const roots = ['realkvm', 'guests'].map((name) => join(folder, name)).filter(existsSync);
    for (const path of roots.flatMap(filesOf).filter((p) => /trace[^/]*\.txt(\.gz)?$/.test(p))) {
      const host = hostOf(path);
      if (host === null) continue;
      for (const entry of valuesOf(textOf(path))) {
        const [value = '', level] = entry.split(' ');
        const { fits, readings } = read(value, host[0], host[1], Number(level));
        count += 1;
        if (!fits || readings.some((r) => r.isForeign)) wrong.push(`${path} ${entry}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(30_000);
  });
});
