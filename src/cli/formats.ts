/** What `explain` can print. */
export const EXPLAIN_FORMATS = ['text', 'json', 'svg', 'mail'] as const;

export type ExplainFormat = (typeof EXPLAIN_FORMATS)[number];

/** What `doctor` can print. */
export const DOCTOR_FORMATS = ['text', 'mail', 'json', 'markdown', 'sarif', 'prometheus'] as const;

export type DoctorFormat = (typeof DOCTOR_FORMATS)[number];

/** What `diff` can print. */
export const DIFF_FORMATS = ['text', 'md', 'mail', 'json', 'svg', 'html'] as const;

export type DiffFormat = (typeof DIFF_FORMATS)[number];

/** What `spte` can print. */
export const SPTE_FORMATS = ['text', 'json', 'svg'] as const;

export type SpteFormat = (typeof SPTE_FORMATS)[number];

/** What `audit` can print. */
export const AUDIT_FORMATS = [
  'text',
  'json',
  'jsonl',
  'csv',
  'sarif',
  'perfetto',
  'svg',
  'parquet',
] as const;

export type AuditFormat = (typeof AUDIT_FORMATS)[number];

/** What `check` can print. */
export const CHECK_FORMATS = ['text', 'json', 'svg', 'mermaid', 'itf'] as const;

export type CheckFormat = (typeof CHECK_FORMATS)[number];

/** What `run` can print. */
export const RUN_FORMATS = ['text', 'json', 'jsonl', 'svg', 'perfetto'] as const;

export type RunFormat = (typeof RUN_FORMATS)[number];

/** What there is a JSON Schema of: three kinds of file that are read, and what commands print. */
export const SCHEMA_NAMES = [
  'case',
  'scenario',
  'capture',
  'explain',
  'diff',
  'timeline',
  'matrix',
  'doctor',
  'fleet',
  'spte',
  'run',
  'audit',
  'audit-region',
  'check',
  'conform',
  'rule',
  'policies',
  'sources',
] as const;

export type SchemaName = (typeof SCHEMA_NAMES)[number];
