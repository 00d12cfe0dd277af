import { CATEGORIES } from '../../compare/categories.ts';
import { EVENTS } from '../../compare/existing/events.ts';
import { PLATFORM_IDS } from '../../compare/platforms.ts';
import { DIMENSIONS } from '../../compare/space/cube.ts';
import { EFFECTIVE_TYPES } from '../../x86/types.ts';
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
} from '../schema-parts.ts';
import { DIFF_SCHEMA_VERSION } from './json.ts';
import { KINDS } from './words.ts';

const TYPE: Json = { enum: EFFECTIVE_TYPES };
const INPUT: Json = { enum: DIMENSIONS };

const orNull = (schema: Json): Json => ({ anyOf: [schema, { type: 'null' }] });

const SIDE = object({
  name: { ...STRING, description: 'as it was named' },
  kernel: { ...STRING, description: 'what explain --kernel takes' },
  title: STRING,
  notes: STRINGS,
});

const PLATFORM = object(
  {
    id: { enum: PLATFORM_IDS },
    title: STRING,
    vendor: { enum: ['intel', 'amd'] },
    paging: { enum: ['ept', 'npt', 'shadow'] },
    selfSnoop: nullable('boolean'),
    confidential: { enum: ['no', 'tdx', 'snp'] },
    against: { ...ref('platform'), description: 'where the other side runs, if that is elsewhere' },
  },
  ['id', 'title', 'vendor', 'paging', 'selfSnoop', 'confidential'],
);

const LITERAL = object({
  input: INPUT,
  values: { ...STRINGS, description: 'the input has one of these' },
  others: { ...STRINGS, description: 'the values left out' },
});

const COVER = object({
  conditions: {
    ...listOf(listOf(ref('literal'))),
    description: 'any of the conditions; each holds where all of its literals do; empty: always',
  },
  minimal: { ...BOOLEAN, description: 'proven: no smaller set of conditions says the same' },
});

const DECIDED = object({
  rule: { ...STRING, description: 'see memtype rule' },
  leaf: STRING,
  why: STRING,
  source: STRING,
});

const CONSEQUENCE = object({
  kind: { enum: KINDS },
  category: { enum: CATEGORIES.filter((c) => c !== 'guest-visible') },
  text: STRING,
  forWhom: nullable('string'),
  codes: { ...STRINGS, description: 'verdicts of explain' },
  sources: STRINGS,
});

const WITNESS = object({
  facts: {
    type: 'object',
    additionalProperties: STRING,
    description: 'a case file for explain, both kernels in it',
  },
  other: {
    type: ['object', 'null'],
    additionalProperties: STRING,
    description: 'a case file of the second side, where that is on another platform',
  },
});

const CHANGE = object({
  before: TYPE,
  after: TYPE,
  points: COUNT,
  when: ref('cover'),
  witness: ref('witness'),
  kinds: listOf(object({ backings: STRINGS, consequences: listOf(ref('consequence')) })),
  unknownKind: { ...BOOLEAN, description: 'no known kind of page gets here' },
});

const AXIS = object({ input: INPUT, values: STRINGS });

const GRID = object({
  rows: AXIS,
  columns: orNull(AXIS),
  slices: listOf(
    object({
      at: orNull(object({ input: INPUT, value: STRING })),
      cells: {
        ...listOf(listOf(orNull(object({ before: TYPE, after: TYPE })))),
        description: 'by row, then column; null: the cause has no point there',
      },
      backings: STRINGS,
    }),
  ),
});

const CAUSE = object({
  before: ref('decided'),
  after: ref('decided'),
  mmio: {
    ...orNull(object({ before: ref('decided'), after: ref('decided') })),
    description: 'the answers of kvm_is_mmio_pfn() where the two sides disagree',
  },
  points: COUNT,
  differing: COUNT,
  when: ref('cover'),
  grid: orNull(GRID),
  changes: listOf(ref('change')),
});

const GROUP = object({
  platforms: listOf(ref('platform')),
  points: { ...COUNT, description: 'of one platform' },
  differing: COUNT,
  leafOnly: { ...COUNT, description: 'the leaf differs and the type does not' },
  causes: listOf(CAUSE),
  unchanged: STRINGS,
});

const USER = object({
  id: STRING,
  title: STRING,
  source: STRING,
  platforms: listOf(ref('platform')),
  before: listOf(TYPE),
  after: listOf(TYPE),
  consequences: listOf(ref('consequence')),
  witness: ref('witness'),
});

const AFTER_EVENT = object({
  affected: COUNT,
  stale: COUNT,
  action: STRING,
  example: orNull(object({ installed: STRING, now: STRING, state: STRING })),
});

const EXISTING = object({
  differs: BOOLEAN,
  points: COUNT,
  changes: listOf(
    object({
      event: { enum: EVENTS },
      title: STRING,
      platforms: listOf(ref('platform')),
      before: AFTER_EVENT,
      after: AFTER_EVENT,
      consequence: STRING,
      source: STRING,
    }),
  ),
  staleOnBoth: listOf(object({ event: { enum: EVENTS }, title: STRING })),
});

const FAMILY = object({
  id: STRING,
  title: STRING,
  bound: { ...STRING, description: 'what was generated, and where it ends' },
  members: COUNT,
  differing: COUNT,
  cases: listOf(
    object({
      cause: STRING,
      count: COUNT,
      before: STRING,
      after: STRING,
      example: STRING,
      source: STRING,
    }),
  ),
});

const RULE = object({
  what: STRING,
  before: STRING,
  after: STRING,
  consequence: STRING,
  source: STRING,
});

const DIFFERENCE = object({
  a: SIDE,
  b: SIDE,
  points: { ...COUNT, description: 'folded, once for each platform' },
  differing: COUNT,
  platforms: { ...listOf(GROUP), description: 'platforms on which the same changes' },
  notCompared: listOf(object({ platform: ref('platform'), why: STRING })),
  restrictedTo: STRINGS,
  only: { enum: [...CATEGORIES, null] },
  users: listOf(USER),
  usersUnchanged: listOf(object({ id: STRING, title: STRING })),
  rules: listOf(RULE),
  existing: EXISTING,
  families: listOf(FAMILY),
});

/** JSON Schema of what `diff --format json` prints. */
export function diffSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype diff',
    ...object({
      schemaVersion: { const: DIFF_SCHEMA_VERSION },
      differences: {
        ...listOf(DIFFERENCE),
        minItems: 1,
        description: 'several where a version may have one of several sets of rules',
      },
    }),
    $defs: {
      platform: PLATFORM,
      literal: LITERAL,
      cover: COVER,
      decided: DECIDED,
      consequence: CONSEQUENCE,
      witness: WITNESS,
      change: CHANGE,
    },
  };
}
