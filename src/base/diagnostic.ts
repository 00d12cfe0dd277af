/** Where in a text something stands. Lines and columns count from 1; `length` is in characters. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/** What is wrong with an input, where, and what to do about it. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly place?: Place;
  /** The line of the input that `place` points into, for the caret. */
  readonly source?: string;
  readonly help?: string;
}

/** What a parser made of a text. Nothing is dropped silently: what is not in `value` is in `problems`. */
export interface Parsed<T> {
  readonly value: T;
  readonly problems: readonly Diagnostic[];
}

/** Bad input, to be shown to the user as it stands: exit code 2. */
export class InputError extends Error {
  override name = 'InputError';
  readonly diagnostics: readonly Diagnostic[];
  constructor(diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map((d) => d.message).join('; '));
    this.diagnostics = diagnostics;
  }
}

/** @throws InputError with one diagnostic that has no place in a file. */
export function refuse(message: string, help?: string): never {
  throw new InputError([{ severity: 'error', message, ...(help === undefined ? {} : { help }) }]);
}

const SHOWN_MAX = 96;

/**
 * Control characters, and those of no width that turn the direction of writing or end a line, made visible:
 * a terminal cannot be steered, nor its reader deceived, by an input.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => (c === '\t' ? ' ' : '\ufffd'));
}

const MESSAGE_MAX = 400;

/** A message may echo an input of any length. */
function shortened(text: string): string {
  return text.length <= MESSAGE_MAX ? text : `${text.slice(0, MESSAGE_MAX)}...`;
}

function excerpt(source: string, column: number): { text: string; caret: number } {
  const start = column > SHOWN_MAX ? column - 40 : 1;
  const cut = printable(source.slice(start - 1, start - 1 + SHOWN_MAX));
  const lead = start > 1 ? '...' : '';
  const tail = source.length > start - 1 + SHOWN_MAX ? '...' : '';
  return { text: lead + cut + tail, caret: lead.length + (column - start) };
}

/**
 * One diagnostic as text:
 *
 *     error: not a memory type: "WD"
 *       --> case.yaml:3:8
 *        3 | guest: WD
 *          |        ^^
 *       help: one of UC UC- WC WT WP WB
 */
export function renderDiagnostic(d: Diagnostic): string {
  const lines = [`${d.severity}: ${printable(shortened(d.message))}`];
  if (d.place) {
    lines.push(`  --> ${printable(d.place.file)}:${d.place.line}:${d.place.column}`);
    if (d.source !== undefined) {
      const number = String(d.place.line).padStart(5);
      const { text, caret } = excerpt(d.source, d.place.column);
      const width = Math.max(1, Math.min(d.place.length, text.length - caret));
      lines.push(`${number} | ${text}`);
      lines.push(`${' '.repeat(number.length)} | ${' '.repeat(caret)}${'^'.repeat(width)}`);
    }
  }
  if (d.help !== undefined) lines.push(`  help: ${d.help}`);
  return lines.join('\n');
}
