import type { Difference, Side } from '../../compare/difference.ts';

/** Version of the JSON that `diff` prints; it grows when a field changes its meaning or goes. */
export const DIFF_SCHEMA_VERSION = 1;

/** A side without its rules, which are functions. */
function sideJson({ name, kernel, title, notes }: Side): object {
  return { name, kernel, title, notes };
}

function differenceJson({ a, b, ...rest }: Difference): object {
  return { a: sideJson(a), b: sideJson(b), ...rest };
}

/** Differences as a plain object, everything that they hold. The schema is printed by `memtype schema diff`. */
export function diffJson(differences: readonly Difference[]): object {
  return {
    schemaVersion: DIFF_SCHEMA_VERSION,
    differences: differences.map(differenceJson),
  };
}
