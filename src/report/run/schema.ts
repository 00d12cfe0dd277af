import { ACTORS } from '../../scenario/happening.ts';
import { NOTATION } from '../../scenario/instruction.ts';
import { AGENTS, CLEARED, RESULTS } from '../../scenario/scenario.ts';
import { EFFECTIVE_TYPES, PAT_TYPES } from '../../x86/types.ts';
import { factProperties } from '../schema.ts';
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
import { RUN_SCHEMA_VERSION } from './json.ts';

const text = (description: string): Json => ({ type: 'string', description });

function oneOrMore(items: Json, description: string): Json {
  return { description, anyOf: [items, { type: 'array', items, minItems: 1 }] };
}

function instructionsOf(agent: (typeof AGENTS)[number]): Json {
  const forms = NOTATION.filter((n) => n.by.includes(agent)).map(({ op, form, vmm, does }) => {
    const prefix = agent === 'guest' && vmm !== 'no' ? (vmm === 'must' ? 'vmm ' : '[vmm] ') : '';
    return `${`${prefix}${op} ${form}`.trimEnd()} (${does})`;
  });
  return { type: 'array', items: STRING, description: `instructions: ${forms.join('; ')}` };
}

function programSchema(facts: Json): Json {
  const line = oneOrMore(STRING, 'lines of the cache, each the names of its bytes: [x y, flag]');
  const condition = (description: string): Json =>
    oneOrMore(STRING, `${description}; for example "gpu.seen = 0 and memory.y != 1"`);
  return {
    type: 'object',
    properties: {
      title: text('one or two words'),
      about: text('what it shows'),
      with: { type: 'object', properties: facts, additionalProperties: false },
      blob: line,
      ram: line,
      cleared: { enum: CLEARED, description: 'whether the host flushed the pages it cleared' },
      ...Object.fromEntries(AGENTS.map((agent) => [agent, instructionsOf(agent)])),
      never: condition('no schedule may end so'),
      sometimes: condition('some schedule must end so'),
      granted: oneOrMore({ enum: PAT_TYPES }, 'what the guest kernel may grant'),
      effective: oneOrMore({ enum: EFFECTIVE_TYPES }, "what the guest's accesses may be"),
    },
    required: ['blob'],
    additionalProperties: false,
  };
}

/** JSON Schema of a scenario file. */
export function scenarioSchema(): Json {
  const facts = factProperties();
  return {
    $schema: DIALECT,
    title: 'memtype scenario',
    description: 'Facts, as in a case file, and programs that run on them.',
    type: 'object',
    properties: {
      title: text('one line'),
      about: text('what it is about'),
      url: text('where it was reported'),
      date: text('when'),
      ...facts,
      programs: { type: 'object', additionalProperties: programSchema(facts), minProperties: 1 },
      outcomes: listOf({
        type: 'object',
        description: `facts, and by name of a program how it ends: ${RESULTS.join(', ')}`,
        properties: { title: STRING, ...facts },
        additionalProperties: { enum: RESULTS },
      }),
    },
    required: ['programs'],
    additionalProperties: false,
  };
}

const EVENT_HEAD = { n: COUNT, who: { enum: Object.keys(ACTORS) }, what: STRING };

const COPIES: Json = listOf(
  object({
    line: STRING,
    copies: listOf(
      object({ at: STRING, values: listOf({ type: ['integer', 'null'] }), isDirty: BOOLEAN }),
    ),
  }),
);

const MISSED: Json = listOf(object({ at: STRING, value: COUNT }));

const EVENT: Json = {
  oneOf: [
    object({
      ...EVENT_HEAD,
      kind: { const: 'stage' },
      step: { type: ['integer', 'null'], minimum: 1, maximum: 10 },
      type: nullable('string'),
      sources: STRINGS,
      trace: { ...STRINGS, description: "lines of KVM's tracepoints" },
    }),
    object({
      ...EVENT_HEAD,
      kind: { const: 'machine' },
      byte: nullable('string'),
      line: nullable('string'),
      type: { enum: [...EFFECTIVE_TYPES, null] },
      read: {
        ...object({ value: COUNT, from: STRING, missed: MISSED }),
        type: ['object', 'null'],
      },
      copies: COPIES,
      rule: STRING,
      sources: STRINGS,
    }),
  ],
};

const registers: Json = {
  type: 'object',
  additionalProperties: { type: 'object', additionalProperties: COUNT },
};

function runObject(): Json {
  return object({
    schemaVersion: { const: RUN_SCHEMA_VERSION },
    scenario: STRING,
    program: STRING,
    subject: nullable('string'),
    seed: COUNT,
    result: { enum: RESULTS },
    holds: { ...nullable('boolean'), description: 'null: not all schedules were looked at' },
    violations: listOf(
      object({
        kind: { enum: ['never', 'sometimes', 'stuck', 'granted', 'effective', 'refused'] },
        text: STRING,
      }),
    ),
    outcome: { ...registers, description: 'by agent, its registers at the end' },
    memory: { type: 'object', additionalProperties: listOf(COUNT) },
    types: listOf({ enum: EFFECTIVE_TYPES }),
    kvm: nullable('string'),
    guest: object({ requested: nullable('string'), granted: nullable('string') }),
    searched: {
      ...object({ states: COUNT, steps: COUNT, isComplete: BOOLEAN }),
      type: ['object', 'null'],
    },
    assumptions: listOf(object({ fact: STRING, value: STRING, why: STRING })),
    facts: listOf(object({ fact: STRING, values: STRINGS })),
    verdict: { type: ['object', 'null'] },
    cost: listOf({ type: 'object' }),
    exitCode: { enum: [0, 1, 3] },
    events: listOf(ref('event')),
  });
}

/** JSON Schema of what `run --format json` prints: one run, or several to compare. */
export function runOutputSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype run',
    anyOf: [
      ref('run'),
      object({ schemaVersion: { const: RUN_SCHEMA_VERSION }, runs: listOf(ref('run')) }),
    ],
    $defs: { run: runObject(), event: EVENT },
  };
}
