/** One row of a golden table, as read from JSON. */
export type Row = Readonly<Record<string, unknown>>;

/** A field in which the model and the golden row differ. */
export interface Difference {
  readonly field: string;
  readonly want: unknown;
  readonly got: unknown;
}

/** What the model says of one row: where it differs, and the steps that led there. */
export interface Replayed {
  readonly differences: readonly Difference[];
  readonly steps: readonly string[];
}

/**
 * Replays one row. @throws RowError when the row does not have the shape of its table, so that a file
 * of another layout is never counted as conforming.
 */
export type Replay = (row: Row) => Replayed;

/** A row that is not of its table's shape. */
export class RowError extends Error {
  override name = 'RowError';
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value);
}

export function numberField(row: Row, field: string): number {
  const value = row[field];
  if (typeof value !== 'number')
    throw new RowError(`"${field}" must be a number, is ${shown(value)}`);
  return value;
}

/** An integer field. */
export function integerField(row: Row, field: string, least: number, most: number): number {
  const value = numberField(row, field);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RowError(`"${field}" must be an integer from ${least} to ${most}, is ${shown(value)}`);
}

/** A 0/1 field. */
export function bitField(row: Row, field: string): boolean {
  const value = row[field];
  if (value === true || value === 1) return true;
  if (value === false || value === 0) return false;
  throw new RowError(`"${field}" must be 0 or 1, is ${shown(value)}`);
}

export function stringField(row: Row, field: string): string {
  const value = row[field];
  if (typeof value !== 'string')
    throw new RowError(`"${field}" must be a string, is ${shown(value)}`);
  return value;
}

export function arrayField(row: Row, field: string): readonly unknown[] {
  const value = row[field];
  if (!Array.isArray(value)) throw new RowError(`"${field}" must be an array, is ${shown(value)}`);
  return value;
}

/** A string field with a closed vocabulary. */
export function wordField<T extends string>(row: Row, field: string, words: readonly T[]): T {
  const value = row[field];
  const found = words.find((word) => word === value);
  if (found === undefined) {
    throw new RowError(`"${field}" must be one of ${words.join(' ')}, is ${shown(value)}`);
  }
  return found;
}

/** Compares computed fields with those of the row. Booleans equal 0/1. */
export function compare(row: Row, got: Row, steps: readonly string[] = []): Replayed {
  const plain = (v: unknown): unknown => (typeof v === 'boolean' ? Number(v) : v);
  const differences = Object.keys(got)
    .filter((field) => JSON.stringify(plain(row[field])) !== JSON.stringify(plain(got[field])))
    .map((field) => ({ field, want: row[field], got: got[field] }));
  return { differences, steps };
}
