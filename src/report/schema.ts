import { FACT_KEYS, factDefinition, factWord } from '../facts/facts.ts';
import { POLICY_NAMES } from '../kvm/policies.ts';
import { BACKING_ALIASES, BACKINGS } from '../linux/backing.ts';
import { VERDICTS } from '../resolve/verdicts/index.ts';
import { EFFECTIVE_TYPES, MTRR_TYPES } from '../x86/types.ts';
import { EXPLAIN_SCHEMA_VERSION } from './explain-json.ts';
import { DIALECT, type Json, nullable, object, STRINGS } from './schema-parts.ts';

const text = (description: string): Json => ({ type: 'string', description });

/** One word, or a list of words where several values are possible. */
function oneOrMore(item: Json, description: string): Json {
  return { description, anyOf: [item, { type: 'array', items: item, minItems: 1 }] };
}

function factSchema(key: (typeof FACT_KEYS)[number]): Json {
  const { title, values, ask } = factDefinition(key);
  const description = `${title}. How to find it: ${ask}.`;
  if (key === 'backing') {
    return oneOrMore(
      { enum: [...BACKINGS.map((b) => b.id), ...Object.keys(BACKING_ALIASES)] },
      description,
    );
  }
  if (values === null || key === 'cpu') return oneOrMore({ type: 'string' }, description);
  const words = [...values].flatMap((v) =>
    typeof v === 'boolean' ? [v, factWord(v)] : [factWord(v)],
  );
  return oneOrMore({ enum: words }, description);
}

/** The facts that a case file or a scenario may say, by key. */
export function factProperties(): Json {
  const facts = FACT_KEYS.filter((key) => key !== 'policy').map(
    (key) => [key, factSchema(key)] as const,
  );
  const word = { type: ['string', 'number'] };
  const ranges = (whose: string): Json =>
    oneOrMore({ type: 'string' }, `${whose} MTRRs in register order: "WB 0-4G, UC 3G-4G"`);
  return {
    kernel: oneOrMore(word, 'kernel versions, as uname -r prints them'),
    policy: oneOrMore({ enum: POLICY_NAMES }, 'an era or a proposal'),
    quirks2: {
      ...word,
      description: 'the answer to KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2)',
    },
    'guest-mtrr-ranges': ranges('guest'),
    'guest-mtrr-default': { enum: MTRR_TYPES, description: 'default type of the guest MTRRs' },
    'guest-mtrr-fixed': { enum: MTRR_TYPES, description: 'one type for all fixed guest MTRRs' },
    'host-mtrr-ranges': ranges('host'),
    'host-mtrr-default': { enum: MTRR_TYPES, description: 'default type of the host MTRRs' },
    'host-mtrr-fixed': { enum: MTRR_TYPES, description: 'one type for all fixed host MTRRs' },
    hpa: { ...word, description: 'host-physical address, bytes' },
    gpa: { ...word, description: 'guest-physical address, bytes' },
    'phys-bits': {
      type: 'integer',
      minimum: 36,
      maximum: 52,
      description: 'MAXPHYADDR, for MTRR ranges',
    },
    ...Object.fromEntries(facts),
  };
}

/** JSON Schema of a case file. */
export function caseSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype case file',
    description: 'The facts of one guest access. What is left out is unknown.',
    type: 'object',
    properties: {
      title: text('one line'),
      about: text('what the case is about'),
      url: text('where it was reported'),
      date: text('when'),
      expect: { description: 'what a test expects of it' },
      ...factProperties(),
    },
    additionalProperties: false,
  };
}

const when: Json = {
  type: 'array',
  items: object({ fact: { type: 'string' }, values: STRINGS }),
};

const VERDICT_LIST: Json = {
  type: 'array',
  items: object({
    code: { enum: VERDICTS.map((v) => v.code) },
    severity: { enum: ['error', 'warning', 'info'] },
    title: { type: 'string' },
    certain: { type: 'boolean' },
    when,
    agents: STRINGS,
    text: { type: 'string' },
    fix: { type: 'string' },
  }),
};

const STEP_LIST: Json = {
  type: 'array',
  items: object({
    room: { enum: ['firmware', 'guest', 'vmm', 'host', 'kvm', 'cpu'] },
    rule: { type: 'string' },
    inputs: { type: 'object', additionalProperties: { type: 'string' } },
    output: { type: 'string' },
    why: { type: 'string' },
    source: { type: 'string' },
  }),
};

/** JSON Schema of what `explain --format json` prints: one answer, or several to compare. */
export function explainSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype explain',
    anyOf: [
      { $ref: '#/$defs/answer' },
      object({
        schemaVersion: { const: EXPLAIN_SCHEMA_VERSION },
        compare: { type: 'array', items: { $ref: '#/$defs/answer' }, minItems: 2 },
      }),
    ],
    $defs: { answer: answerSchema() },
  };
}

function answerSchema(): Json {
  const type = { enum: EFFECTIVE_TYPES };
  const leaf = { type: ['object', 'null'] };
  return {
    ...object({
      schemaVersion: { const: EXPLAIN_SCHEMA_VERSION },
      subject: nullable('string'),
      notes: STRINGS,
      effective: object({
        types: {
          type: 'array',
          items: type,
          minItems: 1,
          description: 'the possible effective types',
        },
        undefined: {
          type: 'boolean',
          description: 'left undefined by the architecture or the kernel',
        },
        ucOrigin: { enum: ['mtrr', 'page', 'cd', null] },
      }),
      kvm: object({
        policy: nullable('string'),
        policies: STRINGS,
        paging: { enum: ['ept', 'npt', 'shadow', null] },
        isMmio: nullable('boolean'),
        ept: {
          ...leaf,
          properties: { memtype: { enum: MTRR_TYPES }, ipat: { type: 'boolean' } },
          required: ['memtype', 'ipat'],
        },
        npt: leaf,
        shadow: leaf,
      }),
      verdicts: VERDICT_LIST,
      steps: STEP_LIST,
      unknown: { ...STRINGS, description: 'facts that would decide' },
      alternatives: { type: 'array', items: object({ type, when }) },
      assumptions: {
        type: 'array',
        items: object({
          fact: { type: 'string' },
          value: { type: 'string' },
          why: { type: 'string' },
        }),
      },
      facts: { type: 'array', items: { type: 'object' } },
      flips: { type: 'array', items: { type: 'object' } },
      worlds: { type: 'integer', minimum: 1 },
      exitCode: { enum: [0, 1, 3] },
    }),
  };
}
