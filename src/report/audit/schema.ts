import { MTRR_TYPES } from '../../x86/types.ts';
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
import { AUDIT_SCHEMA_VERSION } from './json.ts';

const NUMBER: Json = { type: 'number' };
const TYPE: Json = {
  enum: [...MTRR_TYPES, null],
  description: 'of EPT; null: reserved, or no EPT',
};
const PAGING: Json = { enum: ['ept', 'npt', 'shadow', 'pages', null] };
const IPAT: Json = { ...nullable('boolean'), description: 'of EPT' };
const PAT_INDEX: Json = { ...nullable('integer'), description: 'of NPT and shadow paging' };
const LEVEL: Json = { type: 'integer', minimum: 1, description: '1: 4 KiB, 2: 2 MiB, 3: 1 GiB' };
const VM: Json = { ...nullable('integer'), description: 'null: the trace does not tell VMs apart' };
const SPTE: Json = { type: 'string', pattern: '^0x[0-9a-f]{1,16}$' };

const MOMENT = {
  place: { ...NUMBER, description: 'number of the line from 1, or offset: see unit' },
  time: { ...nullable('number'), description: 'seconds in the clock of the trace' },
};

const orNull = (name: string): Json => ({ anyOf: [ref(name), { type: 'null' }] });

const COUNT_ROW = object({
  paging: PAGING,
  memtype: TYPE,
  ipat: IPAT,
  patIndex: PAT_INDEX,
  level: LEVEL,
  installs: COUNT,
  first: ref('moment'),
});

const REGION = object({
  vm: VM,
  gfnStart: COUNT,
  gfnEnd: { ...COUNT, description: 'the first page behind it' },
  memtype: TYPE,
  ipat: IPAT,
  level: LEVEL,
  patIndex: PAT_INDEX,
  writable: BOOLEAN,
  asId: { enum: [0, 1], description: '1: system management mode' },
  sure: { ...BOOLEAN, description: 'false: events were lost since' },
  since: ref('moment'),
  until: ref('moment'),
  changes: COUNT,
  before: {
    anyOf: [object({ memtype: TYPE, ipat: IPAT }), { type: 'null' }],
    description: 'what was there before the last change',
  },
});

const FINDING = object({
  code: { type: 'string', pattern: '^MT7[0-9]{2}$' },
  severity: { enum: ['error', 'warning', 'info'] },
  title: STRING,
  vm: VM,
  count: COUNT,
  at: orNull('moment'),
  line: { ...nullable('string'), description: 'text of the event; null: it was not kept' },
  column: { ...nullable('integer'), description: 'what is meant begins here, from 1' },
  length: nullable('integer'),
  text: STRING,
  agents: STRINGS,
  fix: STRING,
});

const WRITTEN = { value: SPTE, ...MOMENT, times: COUNT };
const REGISTER: Json = { anyOf: [object(WRITTEN), { type: 'null' }] };

const VM_ROW = object({
  vm: VM,
  events: COUNT,
  sptes: COUNT,
  threads: COUNT,
  removed: COUNT,
  mmioFaults: COUNT,
  mmioMarked: COUNT,
  zapAll: COUNT,
  counts: listOf(ref('count')),
  guest: object({
    pat: REGISTER,
    cr0: REGISTER,
    mtrrs: listOf(object({ msr: STRING, ...WRITTEN })),
  }),
  host: {
    ...listOf(
      object({
        host: object({
          kind: { enum: ['ram', 'reserved', 'device', 'hidden-ram'] },
          memtype: nullable('string'),
        }),
        memtype: TYPE,
        ipat: IPAT,
        patIndex: PAT_INDEX,
        installs: COUNT,
        mixed: COUNT,
        first: object({ gfn: COUNT, pfn: COUNT, level: LEVEL, ...MOMENT }),
      }),
    ),
    description: 'entries beside what the host knows of their frames (--host)',
  },
  emulated: { anyOf: [object({ count: COUNT, gfn: COUNT }), { type: 'null' }] },
});

const PREDICTION = object({
  entries: COUNT,
  predicted: COUNT,
  open: { ...COUNT, description: 'among several that the facts give' },
  mismatched: COUNT,
  mismatches: {
    ...listOf(
      object({
        ...MOMENT,
        gfn: COUNT,
        level: LEVEL,
        spte: SPTE,
        slot: STRING,
        installed: STRING,
        expected: STRINGS,
        reasons: STRINGS,
      }),
    ),
    description: 'the first 256',
  },
  unknown: listOf(
    object({ fact: STRING, entries: COUNT, first: object({ ...MOMENT, gfn: COUNT }) }),
  ),
  rows: listOf(object({ slot: STRING, installed: STRING, entries: COUNT, mismatches: COUNT })),
  contradictions: STRINGS,
});

const DAMAGE = object({
  what: STRING,
  count: COUNT,
  isLoss: { ...BOOLEAN, description: 'events may be missing for it' },
  first: listOf(object({ place: COUNT, column: COUNT, text: STRING })),
});

/** JSON Schema of what `audit --format json` prints; of several traces it is one line for each. */
export function auditSchema(): Json {
  const properties = {
    schemaVersion: { const: AUDIT_SCHEMA_VERSION },
    file: { ...STRING, description: '"-": standard input' },
    form: STRING,
    unit: { enum: ['line', 'offset'] },
    bytes: COUNT,
    lines: nullable('integer'),
    about: STRINGS,
    events: COUNT,
    sptes: { ...COUNT, description: 'present leaf entries that kvm_mmu_set_spte printed' },
    paging: PAGING,
    toldBy: {
      enum: ['given', 'tgid', 'names', 'one'],
      description: 'how VMs were told apart',
    },
    vmsAtLeast: { ...COUNT, description: 'by the names of threads; 0: they do not say' },
    unassigned: { ...COUNT, description: 'changes of entries by threads of no VM that is known' },
    counts: listOf(ref('count')),
    findings: listOf(FINDING),
    undetermined: { ...STRINGS, description: 'why less can be said than was asked' },
    vms: listOf(VM_ROW),
    inferences: listOf(object({ about: STRING, text: STRING, proofs: listOf(ref('moment')) })),
    gaps: object({
      count: COUNT,
      lost: { ...COUNT, description: 'as far as the kernel says how many' },
      first: listOf(object({ ...MOMENT, lost: nullable('integer') })),
    }),
    unreadable: object({ count: COUNT, first: listOf(object({ ...MOMENT, name: STRING })) }),
    damaged: listOf(DAMAGE),
    otherEvents: { type: 'object', additionalProperties: COUNT },
    prediction: orNull('prediction'),
    regions: listOf(ref('region')),
  };
  return {
    $schema: DIALECT,
    title: 'memtype audit',
    ...object(properties),
    $defs: { moment: object(MOMENT), count: COUNT_ROW, region: REGION, prediction: PREDICTION },
  };
}

/** JSON Schema of a line of `audit --format jsonl`. */
export function regionSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype audit --format jsonl',
    allOf: [ref('region'), object({ file: STRING, paging: PAGING })],
    $defs: { moment: object(MOMENT), region: REGION },
  };
}
