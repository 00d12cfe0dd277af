import {
  type U64,
  u64,
  u64FromBytes,
  u64FromHex,
  u64FromNumber,
  u64ToNumber,
} from '../base/u64.ts';
import {
  compileMtrrs,
  MTRR_ENABLE,
  MTRR_FIXED_ENABLE,
  type MtrrState,
  mtrrLookup,
} from '../x86/mtrr.ts';
import { MTRR_TYPES, type MtrrType, TYPE_CODE } from '../x86/types.ts';
import { arrayField, type Row, RowError, stringField, wordField } from './table.ts';
import { expectFields } from './x86-rows.ts';

/**
 * The MTRR states behind the `case` names of the lookup tables: 46 physical address bits, one MSR state
 * per case, as golden/README.md describes them.
 */
const PHYS_BITS = 46;
const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const QUERIED = 0x10000000;
const LARGE_PAGE = 0x40000000;
const MASK_VALID = 0x800;

type VariableRange = MtrrState['variable'][number];

/** A variable range over `size` bytes, a power of two, from `base`, which need not be a multiple of it. */
export function variableRange(base: number, size: number, type: MtrrType): VariableRange {
  const from = u64FromNumber(base);
  const mask = u64FromNumber(2 ** PHYS_BITS - size);
  return {
    base: u64(from.hi, from.lo + TYPE_CODE[type]),
    mask: u64(mask.hi, mask.lo + MASK_VALID),
  };
}

/** E=1, FE=0. */
export function mtrrState(defaultType: MtrrType, variable: readonly VariableRange[]): MtrrState {
  const defType = MTRR_ENABLE | TYPE_CODE[defaultType];
  return { defType, fixed: null, variable, physBits: PHYS_BITS };
}

/** One question to an MTRR lookup. */
export interface MtrrQuery {
  readonly state: MtrrState;
  readonly address: U64;
  /** Bytes asked about, from the address. */
  readonly size: number;
  /** The guest's CPUID shows MTRRs; only KVM looks. */
  readonly cpuidMtrr: boolean;
}

function query(state: MtrrState, address: number, size: number = 4 * KIB): MtrrQuery {
  return { state, address: u64FromNumber(address), size, cpuidMtrr: true };
}

function typesOf(row: Row, count: number): readonly MtrrType[] {
  const types = arrayField(row, 'types').map((value) => {
    const type = MTRR_TYPES.find((known) => known === value);
    if (type === undefined) throw new RowError(`"types" has an unknown type`);
    return type;
  });
  if (types.length !== count) throw new RowError(`"types" must have ${count}`);
  return types;
}

export function addressField(row: Row, field: string): U64 {
  const address = u64FromHex(stringField(row, field));
  if (address === null) throw new RowError(`"${field}" must be a hexadecimal number`);
  return address;
}

const OVERLAP_SIZES = [64 * KIB, 4 * KIB, 8 * KIB];

/** Ranges of 64K, 4K and 8K at one base, the types in register order, over default WB. */
export function overlap(types: readonly MtrrType[]): MtrrQuery {
  const ranges = types.map((type, i) => variableRange(QUERIED, OVERLAP_SIZES[i] ?? 0, type));
  return query(mtrrState('WB', ranges), QUERIED);
}

/** One range over the start of a large page, and that page. */
function partOfPage(row: Row, covered: number, page: number): MtrrQuery {
  const ranges = typesOf(row, 1).map((type) => variableRange(LARGE_PAGE, covered, type));
  const state = mtrrState(wordField(row, 'def', MTRR_TYPES), ranges);
  return { ...query(state, LARGE_PAGE), size: page };
}

function switchedOff(row: Row): MtrrQuery {
  const ranges = typesOf(row, 1).map((type) => variableRange(QUERIED, 4 * KIB, type));
  const state = mtrrState(wordField(row, 'def', MTRR_TYPES), ranges);
  return query({ ...state, defType: state.defType & ~MTRR_ENABLE }, QUERIED);
}

/** Default WB and one WC range at `base` with this mask. */
function oneWc(row: Row, base: number, mask: U64): MtrrQuery {
  const range = { base: u64(0, base + TYPE_CODE.WC), mask };
  return { ...query(mtrrState('WB', [range]), 0), address: addressField(row, 'addr') };
}

const BITS_12_AND_16 = 0x11000;

const DISCONTIGUOUS: U64 = u64(
  2 ** (PHYS_BITS - 32) - 1,
  (0xfffff000 & ~BITS_12_AND_16) | MASK_VALID,
);

/** Every case but `fixed-field`, by name. */
const CASES: Readonly<Record<string, (row: Row) => MtrrQuery>> = {
  default: (row) => {
    typesOf(row, 0);
    return query(mtrrState(wordField(row, 'def', MTRR_TYPES), []), QUERIED);
  },
  'E=0': switchedOff,
  'E=0,no-CPUID.MTRR': (row) => ({ ...switchedOff(row), cpuidMtrr: false }),
  overlap2: (row) => overlap(typesOf(row, 2)),
  overlap3: (row) => overlap(typesOf(row, 3)),
  'order0-4k-inside': (row) => partOfPage(row, 4 * KIB, 4 * KIB),
  'order9-4k-inside': (row) => partOfPage(row, 4 * KIB, 2 * MIB),
  'order18-4k-inside': (row) => partOfPage(row, 4 * KIB, GIB),
  'order0-covered': (row) => partOfPage(row, GIB, 4 * KIB),
  'order9-covered': (row) => partOfPage(row, GIB, 2 * MIB),
  'order18-covered': (row) => partOfPage(row, GIB, GIB),
  'span2M-4k-inside': (row) => partOfPage(row, 4 * KIB, 2 * MIB),
  'discontiguous-mask': (row) => oneWc(row, 0, DISCONTIGUOUS),
  'base-not-size-aligned': (row) => oneWc(row, 0x3000, variableRange(0, 16 * KIB, 'UC').mask),
};

/** Input fields of the cases that have no `def`. */
const INPUTS: Readonly<Record<string, string>> = {
  overlap2: 'types',
  overlap3: 'types',
  'discontiguous-mask': 'addr architectural',
  'base-not-size-aligned': 'addr architectural',
};

/** The question a row of an MTRR lookup asks. @throws RowError on an unknown case or shape */
export function mtrrQuery(row: Row): MtrrQuery {
  const name = wordField(row, 'case', Object.keys(CASES));
  expectFields(row, `src fn case ${INPUTS[name] ?? 'def types'} type`, 'uniform');
  const ask = CASES[name];
  if (ask === undefined) throw new RowError('unknown case');
  return ask(row);
}

/** The answer of the manual, bitwise. */
export function architectural({ state, address }: MtrrQuery): MtrrType | 'UNDEFINED' {
  const answer = mtrrLookup(compileMtrrs(state), address);
  return answer.kind === 'type' ? answer.type : 'UNDEFINED';
}

// ---- which fixed range an address belongs to --------------------------------------------------------

const FIXED_COUNT = 88;
const DIGITS = 3;
const DIGIT_TYPES: readonly (string | null)[] = MTRR_TYPES;
const RADIX = DIGIT_TYPES.length;

function digit(ordinal: number, place: number): number {
  return Math.floor(ordinal / RADIX ** place) % RADIX;
}

/** Fixed MSRs whose bytes hold one digit of their own number, a type for each digit. */
function markedFixed(place: number): readonly U64[] {
  const codes = Array.from(
    { length: FIXED_COUNT },
    (_, i) => TYPE_CODE[MTRR_TYPES[digit(i, place)] ?? 'UC'],
  );
  return Array.from({ length: FIXED_COUNT / 8 }, (_, i) =>
    u64FromBytes(codes.slice(8 * i, 8 * i + 8)),
  );
}

const MARKED: readonly MtrrState[] = Array.from({ length: DIGITS }, (_, place) => ({
  ...mtrrState('UC', []),
  defType: MTRR_ENABLE | MTRR_FIXED_ENABLE,
  fixed: markedFixed(place),
}));

/**
 * The number of the fixed range that a lookup uses for an address, found by asking it three times: no
 * fixed range can hold its own number 0-87, but it can hold the digits of it as types.
 */
export function fixedField(
  address: U64,
  lookup: (query: MtrrQuery) => string | null,
): number | null {
  const digits = MARKED.map((state) => {
    const type = lookup({ state, address, size: 4 * KIB, cpuidMtrr: true });
    return DIGIT_TYPES.indexOf(type);
  });
  if (digits.includes(-1)) return null;
  return digits.reduce((sum, value, place) => sum + value * RADIX ** place, 0);
}

/** The address as a page number. */
export function gfnOf(address: U64): number {
  return Math.floor(u64ToNumber(address) / (4 * KIB));
}
