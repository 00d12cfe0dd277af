import { type U64, u64Byte, u64FromHex } from '../base/u64.ts';
import {
  compileGuestMtrrs,
  type GuestMtrrState,
  type GuestMtrrs,
  type GuestMtrrVersion,
  guestMtrrCode,
} from '../kvm/guest-mtrr.ts';
import { mtrrTypeOf } from '../x86/types.ts';
import {
  arrayField,
  bitField,
  compare,
  integerField,
  type Replayed,
  type Row,
  RowError,
} from './table.ts';
import { expectFields } from './x86-rows.ts';

const FIXED = 11;
const PAIRS = 8;
/** E, FE and the type: the bits of IA32_MTRR_DEF_TYPE that KVM lets a guest set. */
const DEF_TYPE_BITS = 0xcff;
/** One past the last page of 52 address bits. */
const GFNS = 2 ** 40;

function hex(value: unknown, field: string): U64 {
  const text = typeof value === 'string' && /^0x/i.test(value) ? value : '';
  const parsed = u64FromHex(text);
  if (parsed === null) {
    throw new RowError(
      `"${field}" must be a hexadecimal string of 64 bits, is ${JSON.stringify(value) ?? 'missing'}`,
    );
  }
  return parsed;
}

function typeByte(value: U64, byte: number, field: string): void {
  if (mtrrTypeOf(u64Byte(value, byte)) === null) {
    throw new RowError(`"${field}" has a byte that is no MTRR type`);
  }
}

function defType(row: Row): number {
  const value = hex(row['def_type'], 'def_type');
  if (value.hi !== 0 || (value.lo & ~DEF_TYPE_BITS) !== 0) {
    throw new RowError('"def_type" has reserved bits set');
  }
  typeByte(value, 0, 'def_type');
  return value.lo;
}

function ofLength(row: Row, field: string, length: number): readonly unknown[] {
  const all = arrayField(row, field);
  if (all.length === length) return all;
  throw new RowError(`"${field}" must have ${length} elements, has ${all.length}`);
}

function stateOf(row: Row): GuestMtrrState {
  return {
    maxphyaddr: integerField(row, 'maxphyaddr', 36, 52),
    cpuidMtrr: bitField(row, 'cpuid_mtrr'),
    defType: defType(row),
    fixed: ofLength(row, 'fixed', FIXED).map((item) => {
      const value = hex(item, 'fixed');
      for (let byte = 0; byte < 8; byte += 1) typeByte(value, byte, 'fixed');
      return value;
    }),
    variable: ofLength(row, 'var', PAIRS).map((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) {
        throw new RowError('"var" must hold pairs of PHYSBASE and PHYSMASK');
      }
      const [base, mask] = pair.map((item) => hex(item, 'var')) as [U64, U64];
      typeByte(base, 0, 'var');
      return { base, mask };
    }),
  };
}

/** The objects of an array that may be left out. */
function items(row: Row, field: string, fields: string): readonly Row[] {
  if (row[field] === undefined) return [];
  return arrayField(row, field).map((item) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) {
      throw new RowError(`"${field}" must hold objects, has ${JSON.stringify(item)}`);
    }
    expectFields(item as Row, fields);
    return item as Row;
  });
}

function gfnOf(item: Row): number {
  const value = hex(item['gfn'], 'gfn');
  const gfn = value.hi * 2 ** 32 + value.lo;
  if (gfn >= GFNS) throw new RowError('"gfn" is above 52 address bits');
  return gfn;
}

/** An answer: "undefined", or what the field holds otherwise. */
function answer(item: Row, field: string, read: () => number): number | 'undefined' {
  return item[field] === 'undefined' ? 'undefined' : read();
}

interface Asked {
  readonly field: string;
  readonly want: number | 'undefined';
  readonly got: number | 'undefined';
}

function query(item: Row, i: number, mtrrs: GuestMtrrs, steps: string[]): Asked {
  const gfn = gfnOf(item);
  const want = answer(item, 'type', () => {
    const code = integerField(item, 'type', 0, 7);
    if (mtrrTypeOf(code) === null) throw new RowError('"type" is not an MTRR type');
    return code;
  });
  const { type, by, items: seen } = mtrrs.lookup(gfn);
  steps.push(`gfn 0x${gfn.toString(16)}: ${type ?? 'undefined'} by ${by} of [${seen.join(' ')}]`);
  return {
    field: `queries[${i}].type`,
    want,
    got: type === null ? 'undefined' : guestMtrrCode(type),
  };
}

function range(item: Row, i: number, mtrrs: GuestMtrrs): Asked {
  const gfn = gfnOf(item);
  const npages = integerField(item, 'npages', 1, GFNS - gfn);
  const want = answer(item, 'consistent', () => Number(bitField(item, 'consistent')));
  const got = mtrrs.consistent(gfn, npages);
  return { field: `ranges[${i}].consistent`, want, got: got === null ? 'undefined' : Number(got) };
}

/** kvm_mtrr_get_guest_memory_type() and kvm_mtrr_check_gfn_range_consistency() over one MTRR state. */
export function replayGuestMtrr(row: Row, version: GuestMtrrVersion): Replayed {
  expectFields(row, 'maxphyaddr cpuid_mtrr def_type fixed var', 'id queries ranges');
  const queries = items(row, 'queries', 'gfn type');
  const ranges = items(row, 'ranges', 'gfn npages consistent');
  if (queries.length + ranges.length === 0) throw new RowError('neither "queries" nor "ranges"');
  const mtrrs = compileGuestMtrrs(version, stateOf(row));
  const steps: string[] = [];
  const asked = [
    ...queries.map((item, i) => query(item, i, mtrrs, steps)),
    ...ranges.map((item, i) => range(item, i, mtrrs)),
  ];
  const fields = (side: 'want' | 'got'): Row =>
    Object.fromEntries(asked.map((a) => [a.field, a[side]]));
  return compare(fields('want'), fields('got'), steps);
}
