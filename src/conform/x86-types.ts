import { must } from '../base/assert.ts';
import { u64ToHex } from '../base/u64.ts';
import { LINUX_PAT, PAT_LOWER_HALF, XEN_PAT } from '../linux/pat-layout.ts';
import { combineMtrrPat } from '../x86/combine.ts';
import { eptLeafOf, eptTableType } from '../x86/ept.ts';
import { PAT_RESET, PAT_RULE, type PatLayout, patIndex, patLayout, patMsr } from '../x86/pat.ts';
import {
  PROPERTY_WORDS,
  type Property,
  type PropertyWord,
  TYPE_NAMES,
  TYPE_PROPERTIES,
  TYPE_PROPERTIES_RULE,
  type TypeName,
} from '../x86/properties.ts';
import { MTRR_TYPES, mtrrTypeOf, PAT_TYPES, patTypeOf, type Vendor } from '../x86/types.ts';
import { compare, numberField, type Replay, type Row, RowError, wordField } from './table.ts';
import { expectFields, JsonDocument, type Parse } from './x86-rows.ts';

// ---- the rows of types.json -----------------------------------------------------------------------

const REGISTERS = ['pat', 'mtrr', 'ept', 'eptp', 'vmxBasic[53:50]'] as const;
type Register = (typeof REGISTERS)[number];

function encodingRows(document: JsonDocument, register: Register): Row[] {
  const section = 'encodings';
  const { reserved, onReserved, ...codes } = document.object('encodings', register);
  const rows: Row[] = Object.entries(codes).map(([code, type]) => {
    if (!/^\d+$/.test(code))
      throw new RowError(`encodings of ${register}: unknown field "${code}"`);
    return { section, register, code: Number(code), type };
  });
  return reserved === undefined ? rows : [...rows, { section, register, reserved, onReserved }];
}

/** Layout name to the fields that hold its MSR value and its entries. */
const LAYOUT_FIELDS = [
  { layout: 'reset', msr: 'reset', entries: 'resetEntries' },
  { layout: 'linux', msr: 'linux', entries: 'linuxEntries' },
  { layout: 'linuxErrataCpus', msr: 'linuxErrataCpus', entries: 'linuxErrataEntries' },
  { layout: 'xenHost', msr: 'xenHostValue', entries: null },
] as const;

/** What the section says in words, and what stands in the text of the rule. */
const PAT_REMARKS = 'msr preservedOnINIT citations';

function patRows(document: JsonDocument): Row[] {
  const pat = document.object('pat');
  const fields = LAYOUT_FIELDS.flatMap(({ msr, entries }) => [msr, ...(entries ? [entries] : [])]);
  expectFields(pat, `${fields.join(' ')} index bits`, PAT_REMARKS);
  const layouts = LAYOUT_FIELDS.map(({ layout, msr, entries }) => ({
    section: 'pat',
    layout,
    msr: pat[msr],
    ...(entries === null ? {} : { entries: pat[entries] }),
  }));
  const { index, bits } = pat;
  return [...layouts, { section: 'pat', index, bits }];
}

function typeRows(document: JsonDocument): Row[] {
  const types = document.object('types');
  return Object.keys(types).map((type) => ({
    section: 'types',
    type,
    ...document.object('types', type),
  }));
}

/** Encodings, PAT values and the properties of the eight types. */
export const parseTypes: Parse = (text) => {
  const document = new JsonDocument(text, 'schema encodings pat types citations');
  expectFields(document.object('encodings'), REGISTERS.join(' '), 'citations');
  const encodings = REGISTERS.flatMap((register) => encodingRows(document, register));
  return [...encodings, ...patRows(document), ...typeRows(document)];
};

// ---- encodings ------------------------------------------------------------------------------------

interface Decoder {
  readonly decode: (code: number) => string | null;
  /** How many numbers the field can hold. */
  readonly codes: number;
  readonly onReserved: string | null;
}

const eptPointer: Decoder = {
  decode: (code) => eptTableType(code, false),
  codes: 8,
  onReserved: null,
};

/** How each register decodes a number, and what a reserved one does. */
const DECODERS: Readonly<Record<Register, Decoder>> = {
  pat: { decode: patTypeOf, codes: 256, onReserved: '#GP' },
  mtrr: { decode: mtrrTypeOf, codes: 256, onReserved: '#GP' },
  ept: {
    decode: (code) => eptLeafOf(code << 3)?.memtype ?? null,
    codes: 8,
    onReserved: 'EPT misconfiguration exit',
  },
  eptp: eptPointer,
  'vmxBasic[53:50]': eptPointer,
};

/** Ascending numbers, with runs of three and more written "first..last". */
function withRuns(numbers: readonly number[]): readonly (number | string)[] {
  const runs: number[][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run !== undefined && run.at(-1) === number - 1) run.push(number);
    else runs.push([number]);
  }
  return runs.flatMap<number | string>((run) =>
    run.length < 3 ? run : [`${run[0]}..${run.at(-1)}`],
  );
}

const encoding: Replay = (row) => {
  const register = wordField(row, 'register', REGISTERS);
  const { decode, codes, onReserved } = DECODERS[register];
  if ('reserved' in row) {
    expectFields(row, 'section register reserved onReserved');
    const reserved = Array.from({ length: codes }, (_, code) => code).filter(
      (code) => decode(code) === null,
    );
    return compare(row, { reserved: withRuns(reserved), onReserved }, [
      `${register}: ${onReserved}`,
    ]);
  }
  expectFields(row, 'section register code type');
  const code = numberField(row, 'code');
  const type = decode(code);
  return compare(row, { type }, [`${register}: ${code} -> ${type}`]);
};

// ---- PAT ------------------------------------------------------------------------------------------

const LAYOUTS: Readonly<Record<(typeof LAYOUT_FIELDS)[number]['layout'], PatLayout>> = {
  reset: must(patLayout(PAT_RESET), 'reset value of the PAT'),
  linux: LINUX_PAT['wt-wp'],
  linuxErrataCpus: PAT_LOWER_HALF,
  xenHost: XEN_PAT,
};

const LAYOUT_NAMES = LAYOUT_FIELDS.map(({ layout }) => layout);

/** The bit of a leaf that adds `weight` to the PAT index, found by trying each. */
function bitOfWeight(weight: number, large: boolean): number {
  return Array.from({ length: 13 }, (_, bit) => bit).findIndex(
    (bit) => patIndex(1 << bit, large) === weight,
  );
}

const patIndexRow: Replay = (row) => {
  expectFields(row, 'section index bits');
  const bits = {
    pwt: bitOfWeight(1, false),
    pcd: bitOfWeight(2, false),
    pat4k: bitOfWeight(4, false),
    patLarge: bitOfWeight(4, true),
  };
  const weight = (bit: number): number => Math.log2(patIndex(1 << bit, false));
  const shift = (by: number): string => (by === 0 ? '' : `<<${by}`);
  const term = (name: string, bit: number): string => `${name}${shift(weight(bit))}`;
  const index = [term('PAT', bits.pat4k), term('PCD', bits.pcd), term('PWT', bits.pwt)].join(' | ');
  return compare(row, { index, bits }, [`${PAT_RULE.id}: index = ${index}`]);
};

const pat: Replay = (row) => {
  if (!('layout' in row)) return patIndexRow(row);
  expectFields(row, 'section layout msr', 'entries');
  const name = wordField(row, 'layout', LAYOUT_NAMES);
  const layout = LAYOUTS[name];
  const msr = u64ToHex(patMsr(layout), 16);
  const entries = name === 'xenHost' ? {} : { entries: layout };
  return compare(row, { msr, ...entries }, [`${name}: ${layout.join(' ')}`]);
};

// ---- properties -----------------------------------------------------------------------------------

const PROPERTY_FIELDS: Readonly<Record<Property, string>> = {
  read: 'readCache',
  write: 'writeCache',
  back: 'writeback',
  spec: 'speculativeReads',
  comb: 'writeCombining',
  order: 'ordering',
};

/** Sentences that explain a type; there is no answer to compare them with. */
const SENTENCES = 'name snoopsOwnCaches onWriteHit onHit from snoops';

/** The word that a property of the file stands for: true, false, or the start or end of a sentence. */
function propertyWord(row: Row, field: string): PropertyWord {
  const value = row[field];
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  const text = typeof value === 'string' ? value : '';
  const word = PROPERTY_WORDS.find(
    (w) => text === w || text.startsWith(`${w} `) || text.endsWith(`: ${w}`),
  );
  if (word === undefined) throw new RowError(`"${field}" has an unknown value`);
  return word;
}

function settableBy(type: TypeName): readonly string[] {
  const inPat = PAT_TYPES.some((known) => known === type);
  const inMtrr = MTRR_TYPES.some((known) => known === type);
  return [...(inPat ? ['PAT'] : []), ...(inMtrr ? ['MTRR', 'EPT'] : [])];
}

/** MTRR types under which PAT UC- is not uncached, from the tables. */
function overridingUcMinus(vendor: Vendor): readonly string[] {
  return MTRR_TYPES.filter((mtrr) => combineMtrrPat(vendor, mtrr, 'UC-').type === 'WC');
}

function overriddenBy(type: TypeName): string | undefined {
  if (type !== 'UC-') return undefined;
  const always = overridingUcMinus('amd');
  const onIntel = overridingUcMinus('intel').filter((mtrr) => !always.includes(mtrr));
  return `MTRR ${always.join(', ')} (Intel: also MTRR ${onIntel.join(', ')} -> WC)`;
}

const typeProperties: Replay = (row) => {
  const fields = Object.values(PROPERTY_FIELDS);
  const needed = `section type settableBy ${fields.join(' ')}`;
  expectFields(row, needed, `${SENTENCES} vendor overriddenBy`);
  const type = wordField(row, 'type', TYPE_NAMES);
  const words = Object.fromEntries(fields.map((field) => [field, propertyWord(row, field)]));
  const properties = TYPE_PROPERTIES.cols.map((property) => [
    PROPERTY_FIELDS[property],
    TYPE_PROPERTIES.at(type, property),
  ]);
  const got = {
    ...Object.fromEntries(properties),
    settableBy: settableBy(type),
    vendor: settableBy(type).length === 0 ? 'amd' : undefined,
    overriddenBy: overriddenBy(type),
  };
  return compare({ ...row, ...words }, got, [`${TYPE_PROPERTIES_RULE.id}: ${type}`]);
};

export const replayTypes: Replay = (row) => {
  switch (wordField(row, 'section', ['encodings', 'pat', 'types'])) {
    case 'encodings':
      return encoding(row);
    case 'pat':
      return pat(row);
    case 'types':
      return typeProperties(row);
  }
};
