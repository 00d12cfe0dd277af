import { u64Bits } from '../base/u64.ts';
import type { SpteField } from '../kvm/spte-fields.ts';
import type { SpteReading } from '../kvm/spte-reading.ts';

/** A field, or the part of it that one row of 32 bits shows. */
export interface DiagramPart {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  readonly field: SpteField;
  /** Binary digits, the highest first. */
  readonly bits: string;
}

/** The two halves of an entry: bits 63:32, and below them 31:0. */
export function diagramRows({ fields, value }: SpteReading): readonly (readonly DiagramPart[])[] {
  return [
    [63, 32],
    [31, 0],
  ].map(([top = 0, bottom = 0]) =>
    fields
      .filter(({ high, low }) => low <= top && high >= bottom)
      .map((field) => {
        const high = Math.min(field.high, top);
        const low = Math.max(field.low, bottom);
        const width = high - low + 1;
        const isWhole = high === field.high && low === field.low;
        const bits = u64Bits(value, high, low).toString(2).padStart(width, '0');
        const name = isWhole ? field.name : `${field.name} (${high}:${low})`;
        return { high, low, name, field, bits };
      }),
  );
}

const INDENT = 2;

/** Column of a bit in its row: two characters for each. */
function columnOf(bit: number): number {
  return INDENT + 1 + (31 - (bit % 32)) * 2;
}

/** Characters put at columns of an empty line. */
function placed(marks: readonly (readonly [number, string])[]): string {
  let line = '';
  for (const [column, text] of marks) line = line.padEnd(column) + text;
  return line;
}

function numberLines(parts: readonly DiagramPart[]): readonly string[] {
  const bits = parts.flatMap(({ high, low }) => (high === low ? [high] : [high, low]));
  const digits = (of: (bit: number) => string) =>
    placed(bits.map((bit) => [columnOf(bit), of(bit)]));
  const tens = digits((bit) => (bit < 10 ? ' ' : String(Math.floor(bit / 10))));
  return [tens.trimEnd(), digits((bit) => String(bit % 10))].filter((line) => line !== '');
}

function boxLines(parts: readonly DiagramPart[]): readonly string[] {
  const lead = ' '.repeat(INDENT);
  const rule = `${lead}+${parts.map(({ bits }) => '-'.repeat(bits.length * 2 - 1)).join('+')}+`;
  return [rule, `${lead}|${parts.map(({ bits }) => [...bits].join(' ')).join('|')}|`, rule];
}

/** Each name at the end of a line from its field, the rightmost first. */
function nameLines(parts: readonly DiagramPart[]): readonly string[] {
  return parts.map((_, i) => {
    const at = parts.length - 1 - i;
    const marks = parts.slice(0, at).map(({ high }) => [columnOf(high), '|'] as const);
    const part = parts[at];
    return placed(
      part === undefined ? marks : [...marks, [columnOf(part.high), `'- ${part.name}`]],
    );
  });
}

/** The entry as a manual draws it: bit numbers above, bits in boxes, names below. 80 columns. */
export function diagramLines(reading: SpteReading): readonly string[] {
  return diagramRows(reading).flatMap((parts, i) => [
    ...(i === 0 ? [] : ['']),
    ...numberLines(parts),
    ...boxLines(parts),
    ...nameLines(parts),
  ]);
}
