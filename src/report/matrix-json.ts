import { exitCodeOfMatrix, type Matrix } from '../compare/history/matrix.ts';
import { sourceJson } from './timeline-json.ts';

/** Version of the JSON that `diff --matrix` prints; it grows when a field changes its meaning or goes. */
export const MATRIX_SCHEMA_VERSION = 1;

/** A matrix as a plain object, field order fixed. The schema is printed by `memtype schema matrix`. */
export function matrixJson(m: Matrix): object {
  return {
    schemaVersion: MATRIX_SCHEMA_VERSION,
    platform: m.platform.id,
    points: m.points,
    policies: m.sides.map(({ id, kind, title, source }) => ({
      id,
      kind,
      title,
      ...sourceJson(source),
    })),
    pairs: m.cells.map(({ column, row, columnIn, rowIn, differing }) => ({
      a: column,
      b: row,
      aIn: columnIn,
      bIn: rowIn,
      differing,
      percent: Math.round((differing * 1e6) / m.points) / 1e4,
    })),
    alike: m.alike,
    missing: m.missing,
    exitCode: exitCodeOfMatrix(m),
  };
}
