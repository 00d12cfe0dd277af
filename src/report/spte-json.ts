import { type SpteReading, spteDigits } from '../kvm/spte-reading.ts';
import { EFFECTIVE_TYPES, MTRR_TYPES, PAT_TYPES } from '../x86/types.ts';
import {
  BOOLEAN,
  COUNT,
  DIALECT,
  type Json,
  listOf,
  nullable,
  object,
  ref,
  STRING,
  STRINGS,
} from './schema-parts.ts';
import {
  accessOf,
  apartWords,
  causesOf,
  meaningWords,
  readingWords,
  rulesOf,
  type SpteAnswer,
} from './spte-words.ts';

const SCHEMA_VERSION = 1;

function rangeJson(range: readonly [number, number] | null): object | null {
  return range === null ? null : { high: range[0], low: range[1] };
}

function readingJson(reading: SpteReading, answer: SpteAnswer): object {
  const { paging, edition, kind, levels, fields, contradictions, leaf, mmio, table, notes } =
    reading;
  const access = accessOf(reading);
  return {
    paging,
    layout: edition.layout,
    kernels: edition.kernels,
    kind,
    levels,
    summary: readingWords(reading),
    fields,
    contradictions,
    leaf:
      leaf === null
        ? null
        : {
            ...leaf,
            byGuestPat: access === null ? null : Object.fromEntries(access),
            causes: causesOf(reading, answer.question),
          },
    mmio: mmio === null ? null : { ...mmio, guard: rangeJson(mmio.guard) },
    table: table === null ? null : { pfn: table },
    meaning: meaningWords(reading, answer.question),
    notes,
    rules: rulesOf(reading, answer),
  };
}

/** What `spte --format json` prints. */
export function spteJson(answers: readonly SpteAnswer[]): object {
  return {
    schemaVersion: SCHEMA_VERSION,
    sptes: answers.map((answer) => {
      const { origin, question } = answer;
      return {
        text: answer.text,
        value: `0x${spteDigits(answer.value)}`,
        readAs: answer.how,
        origin:
          origin === null
            ? null
            : { event: origin.event, field: origin.field, gfn: origin.gfn, asId: origin.asId },
        asked: {
          paging: question.paging,
          kernel: question.kernel?.text ?? null,
          level: question.level,
        },
        fits: answer.fits,
        readings: answer.readings.map((reading) => readingJson(reading, answer)),
        apart: answer.readings.length < 2 ? [] : apartWords(answer.readings),
      };
    }),
  };
}

const FIELD: Json = object({
  high: COUNT,
  low: COUNT,
  name: STRING,
  value: { ...STRING, description: 'hexadecimal' },
  reader: { enum: ['cpu', 'kvm', 'nobody'] },
  says: STRING,
  wrong: nullable('string'),
});

const orNull = (schema: Json): Json => ({ anyOf: [schema, { type: 'null' }] });

const CAUSE: Json = object({
  eras: STRINGS,
  kernels: STRINGS,
  when: nullable('string'),
  why: STRING,
});

const LEAF: Json = object({
  pfn: COUNT,
  memtype: { enum: [...MTRR_TYPES, null] },
  ipat: nullable('boolean'),
  patIndex: nullable('integer'),
  write: { enum: ['writable', 'writes tracked', 'guarded by KVM', 'read-only in the VMM'] },
  saved: { ...nullable('string'), description: 'what access tracking took away' },
  byGuestPat: orNull({
    type: 'object',
    propertyNames: { enum: PAT_TYPES },
    additionalProperties: { enum: EFFECTIVE_TYPES },
  }),
  causes: orNull(listOf(CAUSE)),
});

const MMIO: Json = object({
  gfn: COUNT,
  generation: COUNT,
  access: orNull(object({ write: BOOLEAN, user: BOOLEAN })),
  guard: orNull(object({ high: COUNT, low: COUNT })),
  tdx: BOOLEAN,
});

const READING: Json = object({
  paging: { enum: ['ept', 'npt', 'shadow'] },
  layout: { enum: ['A', 'B', 'C'] },
  kernels: STRING,
  kind: { enum: ['leaf', 'table', 'empty', 'frozen', 'mmio', 'unknown'] },
  levels: listOf(COUNT),
  summary: STRING,
  fields: { ...listOf(FIELD), description: 'they tile bits 63 to 0' },
  contradictions: STRINGS,
  leaf: orNull(LEAF),
  mmio: orNull(MMIO),
  table: orNull(object({ pfn: COUNT })),
  meaning: STRINGS,
  notes: STRINGS,
  rules: STRINGS,
});

/** JSON Schema of what `spte --format json` prints. */
export function spteSchema(): Json {
  const origin = object({
    event: nullable('string'),
    field: STRING,
    gfn: nullable('integer'),
    asId: nullable('integer'),
  });
  const asked = object({
    paging: nullable('string'),
    kernel: nullable('string'),
    level: nullable('integer'),
  });
  const spte = object({
    text: STRING,
    value: STRING,
    readAs: nullable('string'),
    origin: orNull(origin),
    asked,
    fits: BOOLEAN,
    readings: listOf(ref('reading')),
    apart: STRINGS,
  });
  const properties = { schemaVersion: { const: SCHEMA_VERSION }, sptes: listOf(spte) };
  return {
    $schema: DIALECT,
    title: 'memtype spte',
    ...object(properties),
    $defs: { reading: READING },
  };
}
