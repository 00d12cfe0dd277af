import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { u64, u64FromNumber } from '../base/u64.ts';
import { compileMtrrs, type MtrrState, mtrrLookup } from '../x86/mtrr.ts';
import { MTRR_TYPES, type MtrrType, TYPE_CODE } from '../x86/types.ts';
import { buildMtrrMap, MTRRS_OFF, mtrrHint, mtrrTypeLookup } from './mtrr-lookup.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const ENABLED = 1 << 11;
const FIXED = 1 << 10;

/** A range whose size is a power of two and divides its base. */
function variable(base: number, size: number, type: MtrrType): MtrrState['variable'][number] {
  const mask = u64FromNumber(2 ** 46 - size);
  const { hi, lo } = u64FromNumber(base);
  return { base: u64(hi, lo + TYPE_CODE[type]), mask: u64(mask.hi, mask.lo + ENABLED) };
}

function state(def: MtrrType, ranges: MtrrState['variable'], more?: Partial<MtrrState>): MtrrState {
  const defType = ENABLED | TYPE_CODE[def];
  return { defType, fixed: null, variable: ranges, physBits: 46, ...more };
}

describe('buildMtrrMap', () => {
  it('cuts overlapping ranges into ranges that do not overlap', () => {
    const map = buildMtrrMap(
      state('UC', [
        variable(0, 4 * GIB, 'WB'),
        variable(3 * GIB, GIB, 'UC'),
        variable(0, GIB, 'WT'),
      ]),
    );
    expect(map.ranges).toEqual([
      { start: 0, end: GIB, type: 'WT' },
      { start: GIB, end: 3 * GIB, type: 'WB' },
      { start: 3 * GIB, end: 4 * GIB, type: 'UC' },
    ]);
  });

  it('takes a discontiguous mask for its hull', () => {
    const mask = u64(2 ** 14 - 1, 0xfffee800);
    const map = buildMtrrMap(state('WB', [{ base: u64(0, 1), mask }]));
    expect(map.ranges).toEqual([{ start: 0, end: 0x12000, type: 'WC' }]);
  });

  it('shifts a range whose base is not a multiple of its size', () => {
    const map = buildMtrrMap(state('WB', [variable(0x3000, 16 * KIB, 'WC')]));
    expect(map.ranges).toEqual([{ start: 0x3000, end: 0x7000, type: 'WC' }]);
  });

  it('lets the fixed ranges decide below 1 MiB', () => {
    const fixed = Array.from({ length: 11 }, () => u64(0x06060606, 0x06060606));
    const defType = ENABLED | FIXED | TYPE_CODE.UC;
    const map = buildMtrrMap(state('UC', [variable(0, 2 * MIB, 'WC')], { defType, fixed }));
    expect(mtrrTypeLookup(map, 0, MIB)).toEqual({ type: 'WB', uniform: true });
    expect(mtrrTypeLookup(map, MIB, 2 * MIB)).toEqual({ type: 'WC', uniform: true });
  });

  it('D7: lets WB below TOP_MEM2 win over a variable range, where the AMD manual does not', () => {
    const ranges = [variable(4 * GIB, GIB, 'UC')];
    const amd = state('UC', ranges, { tom2: u64FromNumber(6 * GIB) });
    const map = buildMtrrMap(amd);
    expect(mtrrTypeLookup(map, 4 * GIB, 5 * GIB)).toEqual({ type: 'WB', uniform: true });
    const manual = mtrrLookup(compileMtrrs(amd), u64FromNumber(4 * GIB));
    expect(manual).toMatchObject({ kind: 'type', type: 'UC' });
  });
});

describe('mtrrTypeLookup', () => {
  // A 4K range at the start of a queried 2M: rows the default type, columns the range; * not uniform.
  const SPAN = `
         UC   WC   WT   WP   WB
    UC   UC   UC*  UC*  UC*  UC*
    WC   UC   WC   UC*  UC*  UC*
    WT   UC   UC*  WT   UC*  WT*
    WP   UC   UC*  UC*  WP   UC*
    WB   UC   UC*  WT   UC*  WB
  `;
  const rows = SPAN.trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/));

  it.each(rows)('2M over default %s', (def, ...cells) => {
    cells.forEach((cell, i) => {
      const type = MTRR_TYPES[i] as MtrrType;
      const map = buildMtrrMap(state(def as MtrrType, [variable(GIB, 4 * KIB, type)]));
      const answer = mtrrTypeLookup(map, GIB, GIB + 2 * MIB);
      expect(`${answer.type}${answer.uniform ? '' : '*'}`, `${def} ${type}`).toBe(cell);
    });
  });

  it('answers UC with MTRRs off, INVALID in 6.1; the tracker sees "disabled"', () => {
    const map = buildMtrrMap(state('WB', [], { defType: TYPE_CODE.WB }));
    expect(mtrrTypeLookup(map, 0, GIB)).toEqual({ type: MTRRS_OFF['7.3'], uniform: true });
    expect(MTRRS_OFF['6.1']).toBe('MTRR_TYPE_INVALID');
    expect(mtrrHint(map, 0, GIB)).toBe('disabled');
  });

  it('tells the tracker when types mix', () => {
    const map = buildMtrrMap(state('WB', [variable(GIB, MIB, 'WC')]));
    expect(mtrrHint(map, 0, GIB)).toBe('WB');
    expect(mtrrHint(map, GIB, GIB + MIB)).toBe('WC');
    expect(mtrrHint(map, 0, 2 * GIB)).toBe('mixed');
  });

  it('agrees with the manual on every page when sizes are powers of two, undefined taken as UC', () => {
    const range = fc
      .tuple(fc.nat(15), fc.nat(4), fc.constantFrom(...MTRR_TYPES))
      .map(([at, order, type]) => {
        const size = 2 ** order * 4 * KIB;
        return variable(16 * MIB + Math.floor((at * 4 * KIB) / size) * size, size, type);
      });
    fc.assert(
      fc.property(
        fc.constantFrom(...MTRR_TYPES),
        fc.array(range, { maxLength: 6 }),
        fc.nat(31),
        (def, ranges, page) => {
          const mtrrs = state(def, ranges);
          const address = 16 * MIB + page * 4 * KIB;
          const manual = mtrrLookup(compileMtrrs(mtrrs), u64FromNumber(address));
          const linux = mtrrTypeLookup(buildMtrrMap(mtrrs), address, address + 4 * KIB);
          expect(linux).toEqual({
            type: manual.kind === 'type' ? manual.type : 'UC',
            uniform: true,
          });
        },
      ),
    );
  });
});
