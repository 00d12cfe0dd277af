/** What `explain` can print. */
export const EXPLAIN_FORMATS = ['text', 'json', 'svg', 'mail'] as const;

export type ExplainFormat = (typeof EXPLAIN_FORMATS)[number];
