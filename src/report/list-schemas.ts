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

const VERSION: Json = { const: 1 };

/** JSON Schema of what `conform --format json` prints. */
export function conformSchema(): Json {
  const mismatch = object({ row: COUNT, what: STRING, steps: STRINGS });
  const file = object({
    file: STRING,
    rows: COUNT,
    mismatches: COUNT,
    first: { ...listOf(mismatch), description: 'the first mismatches' },
  });
  const properties = {
    schemaVersion: VERSION,
    files: listOf(file),
    rows: COUNT,
    mismatches: COUNT,
  };
  return { $schema: DIALECT, title: 'memtype conform', ...object(properties) };
}

const PAGE = {
  id: STRING,
  kind: { enum: ['rule', 'decision list', 'backing', 'verdict'] },
  title: STRING,
  sections: listOf({
    ...object({ name: STRING, text: STRING }),
    properties: { name: STRING, text: STRING, table: BOOLEAN },
  }),
  sources: { ...STRINGS, description: 'ids of memtype sources' },
};

/** JSON Schema of what `rule --format json` prints: a page, or without a code all of them. */
export function ruleSchema(): Json {
  return {
    $schema: DIALECT,
    title: 'memtype rule',
    oneOf: [
      object({ schemaVersion: VERSION, ...PAGE, citations: STRINGS }),
      object({ schemaVersion: VERSION, pages: listOf(ref('page')) }),
    ],
    $defs: { page: object(PAGE) },
  };
}

/** JSON Schema of what `policies --format json` prints. */
export function policiesSchema(): Json {
  const rules = {
    vmx: STRING,
    svm: STRING,
    mmio: STRING,
    guestMtrr: nullable('string'),
    hugePage: STRING,
    noncoherent: STRING,
    zap: STRING,
  };
  const properties = {
    schemaVersion: VERSION,
    eras: listOf(object({ id: STRING, kernels: STRING, felt: STRING, sources: STRINGS })),
    proposals: listOf(object({ id: STRING, title: STRING, text: STRING, base: STRING })),
    spans: listOf(object({ from: STRING, to: nullable('string'), rules: listOf(object(rules)) })),
  };
  return { $schema: DIALECT, title: 'memtype policies', ...object(properties) };
}

/** JSON Schema of what `sources --format json` prints. */
export function sourcesSchema(): Json {
  const source = object({ id: STRING, citation: STRING, evidence: STRING });
  const properties = { schemaVersion: VERSION, sources: listOf(source) };
  return { $schema: DIALECT, title: 'memtype sources', ...object(properties) };
}
