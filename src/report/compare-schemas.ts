import { POLICY_NAMES } from '../kvm/policies.ts';
import { SVM_ERAS } from '../kvm/svm.ts';
import { EFFECTIVE_TYPES } from '../x86/types.ts';
import { MATRIX_SCHEMA_VERSION } from './matrix-json.ts';
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
import { TIMELINE_SCHEMA_VERSION } from './timeline-json.ts';

const text = (description: string): Json => ({ type: 'string', description });

const SOURCE: Json = {
  source: text('id of memtype sources'),
  commit: { ...nullable('string'), description: 'commit id; null for what is no commit' },
  citation: STRING,
};

const ANSWER: Json = object({
  types: {
    ...listOf({ enum: EFFECTIVE_TYPES }),
    description: 'the possible effective types; empty where there is no access',
  },
  undefined: { ...BOOLEAN, description: 'left undefined by the architecture or the kernel' },
  leaf: { ...nullable('string'), description: 'what KVM installs; null where that is open' },
  errors: { ...STRINGS, description: 'verdict codes that hold in every possible world' },
  warnings: STRINGS,
  refusals: { ...STRINGS, description: 'codes of remarks that say what the kernel refuses' },
  unknown: { ...STRINGS, description: 'facts that would decide between several types' },
  decided: {
    anyOf: [object({ rule: STRING, why: STRING }), { type: 'null' }],
    description: 'the line of the decision list that made the leaf',
  },
  refused: {
    anyOf: [object({ by: { enum: ['kvm', 'guest'] }, why: STRING }), { type: 'null' }],
    description: 'why there is no access under these rules',
  },
});

const CAUSE: Json = object({
  ...SOURCE,
  evidence: { enum: ['read', 'ran', 'archive', 'inferred', 'recalled'] },
  parts: listOf(object({ ingredient: STRING, what: STRING, before: STRING, after: STRING })),
});

const STRETCH: Json = object({
  from: text('the first version with this answer'),
  to: { ...nullable('string'), description: 'the first version with another; null: none' },
  kernels: STRING,
  eras: STRINGS,
  unsettled: { ...BOOLEAN, description: 'the sources do not settle which of several rules hold' },
  answer: ref('answer'),
  causes: listOf(ref('cause')),
});

const BRANCH: Json = object({
  from: STRING,
  series: STRING,
  kernels: STRING,
  as: {
    anyOf: [object({ kernels: STRING, exactly: BOOLEAN }), { type: 'null' }],
    description: 'mainline kernels with the same answer, or at least with its types and leaf',
  },
  answer: ref('answer'),
  causes: listOf(ref('cause')),
});

/** JSON Schema of what `diff --timeline --format json` prints. */
export function timelineSchema(): Json {
  const properties = {
    schemaVersion: { const: TIMELINE_SCHEMA_VERSION },
    facts: listOf(object({ key: STRING, values: STRINGS })),
    newest: text('the newest kernel read'),
    stretches: { ...listOf(ref('stretch')), minItems: 1, description: 'mainline, oldest first' },
    branches: { ...listOf(ref('branch')), description: 'series that took over later rules' },
    verdicts: listOf(object({ code: STRING, title: STRING })),
    unknown: STRINGS,
    assumptions: listOf(object({ fact: STRING, value: STRING, why: STRING })),
    exitCode: { enum: [0, 1, 3] },
  };
  return {
    $schema: DIALECT,
    title: 'memtype diff --timeline',
    ...object(properties),
    $defs: { answer: ANSWER, cause: CAUSE, stretch: STRETCH, branch: BRANCH },
  };
}

/** JSON Schema of what `diff --matrix --format json` prints. */
export function matrixSchema(): Json {
  const policy = { enum: [...POLICY_NAMES, ...SVM_ERAS.map(({ id }) => id)] };
  const pair = object({
    a: policy,
    b: policy,
    aIn: text('the kernel that stands for it, and the proposal on it'),
    bIn: STRING,
    differing: { ...COUNT, description: 'points with another effective type' },
    percent: { type: 'number', minimum: 0, maximum: 100 },
  });
  const properties = {
    schemaVersion: { const: MATRIX_SCHEMA_VERSION },
    platform: STRING,
    points: { ...COUNT, description: 'of the whole space, all of them folded for each pair' },
    policies: listOf(
      object({ id: policy, kind: { enum: ['era', 'proposal'] }, title: STRING, ...SOURCE }),
    ),
    pairs: listOf(pair),
    alike: { ...listOf(STRINGS), description: 'eras next to each other without any difference' },
    missing: listOf(object({ id: STRING, why: STRING })),
    exitCode: { enum: [0, 1] },
  };
  return { $schema: DIALECT, title: 'memtype diff --matrix', ...object(properties) };
}
