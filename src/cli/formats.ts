/** What `explain` can print. */
export const EXPLAIN_FORMATS = ['text', 'json', 'svg', 'mail'] as const;

export type ExplainFormat = (typeof EXPLAIN_FORMATS)[number];

/** What `doctor` can print. */
export const DOCTOR_FORMATS = ['text', 'mail', 'json', 'markdown', 'sarif', 'prometheus'] as const;

export type DoctorFormat = (typeof DOCTOR_FORMATS)[number];
