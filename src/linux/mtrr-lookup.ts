import { type U64, u64ToNumber } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { type CompiledMtrrs, compileMtrrs, type MtrrState } from '../x86/mtrr.ts';
import { type MtrrType, mtrrType } from '../x86/types.ts';

export const MTRR_LOOKUP_RULE = rule({
  id: 'linux/mtrr-lookup',
  room: 'host',
  title: 'The MTRR type of a range as Linux computes it (mtrr_type_lookup, 7.3)',
  text:
    'The MTRRs become a map of ranges that do not overlap. A variable range is taken as contiguous: it ' +
    'starts at its base and is 2^MAXPHYADDR minus the mask long, so a discontiguous mask gives its hull ' +
    'and a base that is not a multiple of the size shifts the range. Where ranges overlap, any UC gives ' +
    'UC, WT with WB gives WT, and a mix that the manual leaves undefined gives UC. Fixed ranges decide ' +
    'alone, and so does WB between 4 GiB and TOP_MEM2: a variable MTRR there has no say, where the AMD ' +
    'manual gives it the last word. A query over several types merges them by the same rules, in address ' +
    'order. `uniform` is dropped only when a later range changes the type found so far: a range that ' +
    'starts as UC counts as uniform whatever follows. With the MTRRs off the answer is UC; Linux 6.1 ' +
    'answered MTRR_TYPE_INVALID.',
  sources: ['linux/mtrr-generic', 'linux/mtrr_type_lookup-61', 'apm/tom2'],
});

/** Addresses of one type. `end` is exclusive; both are below 2^53. */
export interface TypedRange {
  readonly start: number;
  readonly end: number;
  readonly type: MtrrType;
}

/** The MTRRs as Linux keeps them: ascending ranges that do not overlap, and the default between them. */
export interface LinuxMtrrMap {
  readonly enabled: boolean;
  readonly defaultType: MtrrType;
  readonly ranges: readonly TypedRange[];
}

const FOUR_GIB = 2 ** 32;
const MASK_VALID = 1 << 11;

/** Two overlapping types. Every mix that the manual leaves undefined gives UC. */
function merge(a: MtrrType, b: MtrrType): MtrrType {
  if (a === b) return a;
  const wtAndWb = (a === 'WT' && b === 'WB') || (a === 'WB' && b === 'WT');
  return wtAndWb ? 'WT' : 'UC';
}

/** A variable MTRR as one contiguous range, whatever its mask looks like. */
function hull(base: U64, mask: U64, physBits: number): TypedRange {
  const implemented = 2 ** physBits;
  const start = u64ToNumber({ hi: base.hi, lo: (base.lo & 0xfffff000) >>> 0 });
  const maskBits = u64ToNumber({ hi: mask.hi, lo: (mask.lo & 0xfffff000) >>> 0 }) % implemented;
  return { start, end: start + implemented - maskBits, type: mtrrType(base.lo & 0xff) };
}

/** The 88 fixed ranges: 8 x 64K, 16 x 16K, 64 x 4K. */
function fixedRanges(codes: Uint8Array): readonly TypedRange[] {
  let start = 0;
  return Array.from(codes, (code, i) => {
    const end = start + (i < 8 ? 0x10000 : i < 24 ? 0x4000 : 0x1000);
    const range = { start, end, type: mtrrType(code) };
    start = end;
    return range;
  });
}

/** Ranges that nothing overrides: the fixed ones, and WB from 4 GiB to TOP_MEM2. */
function decidingRanges({ fixed, tom2 }: CompiledMtrrs): readonly TypedRange[] {
  const top = tom2 === null ? 0 : u64ToNumber(tom2);
  const aboveFourGib: TypedRange[] =
    top > FOUR_GIB ? [{ start: FOUR_GIB, end: top, type: 'WB' }] : [];
  return [...(fixed === null ? [] : fixedRanges(fixed)), ...aboveFourGib];
}

function covers(range: TypedRange, start: number): boolean {
  return range.start <= start && start < range.end;
}

/**
 * What Linux 7.3 makes of the MTRRs at boot (`mtrr_build_map`).
 *
 * @throws InternalError on a reserved type: an MSR cannot hold one
 */
export function buildMtrrMap(state: MtrrState): LinuxMtrrMap {
  const compiled = compileMtrrs(state);
  const hulls = state.variable
    .filter((range) => (range.mask.lo & MASK_VALID) !== 0)
    .map((range) => hull(range.base, range.mask, state.physBits));
  return {
    enabled: compiled.enabled,
    defaultType: mtrrType(compiled.defaultCode),
    ranges: disjoint(decidingRanges(compiled), hulls),
  };
}

function disjoint(
  deciding: readonly TypedRange[],
  hulls: readonly TypedRange[],
): readonly TypedRange[] {
  const edges = [...deciding, ...hulls].flatMap((range) => [range.start, range.end]);
  const cuts = [...new Set(edges)].sort((a, b) => a - b);
  const ranges: TypedRange[] = [];
  cuts.slice(0, -1).forEach((start, i) => {
    const decided = deciding.find((range) => covers(range, start));
    const found = decided ? [decided] : hulls.filter((range) => covers(range, start));
    if (found.length === 0) return;
    const type = found.map((range) => range.type).reduce(merge);
    ranges.push({ start, end: cuts[i + 1] ?? start, type });
  });
  return ranges;
}

export interface LinuxMtrrAnswer {
  readonly type: MtrrType;
  /** Linux believes that the whole range has this type. See the rule for when it is wrong. */
  readonly uniform: boolean;
}

/** `start` up to `end` cut where the type may change, with the default type in the gaps. */
function typesIn(map: LinuxMtrrMap, start: number, end: number): readonly MtrrType[] {
  const types: MtrrType[] = [];
  let at = start;
  for (const range of map.ranges) {
    if (range.end <= at || range.start >= end) continue;
    if (at < range.start) types.push(map.defaultType);
    types.push(range.type);
    at = range.end;
  }
  if (at < end) types.push(map.defaultType);
  return types;
}

/**
 * The type of [start, end), addresses in bytes, end exclusive. With MTRRs off: UC, uniform.
 * Source: Linux 7.3 `mtrr_type_lookup`.
 */
export function mtrrTypeLookup(map: LinuxMtrrMap, start: number, end: number): LinuxMtrrAnswer {
  if (!map.enabled) return { type: 'UC', uniform: true };
  let type: MtrrType | null = null;
  let uniform = true;
  for (const next of typesIn(map, start, end)) {
    const merged: MtrrType = type === null ? next : merge(type, next);
    if (type !== null && merged !== type) uniform = false;
    type = merged;
  }
  return { type: type ?? map.defaultType, uniform };
}

/** What `mtrr_type_lookup` answers when the MTRRs are off, by the kernel it was read in. */
export const MTRRS_OFF = { '6.1': 'MTRR_TYPE_INVALID', '7.3': 'UC' } as const;

/** The MTRR side of a memory-type request: one type, several in the range, or MTRRs switched off. */
export type MtrrHint = MtrrType | 'mixed' | 'disabled';

/** What the tracker learns from the MTRRs about [start, end). */
export function mtrrHint(map: LinuxMtrrMap, start: number, end: number): MtrrHint {
  if (!map.enabled) return 'disabled';
  const { type, uniform } = mtrrTypeLookup(map, start, end);
  return uniform ? type : 'mixed';
}
