import { type Diagnostic, InputError, type Parsed } from '../base/diagnostic.ts';
import { type Fact, known, refused, unknown } from './fact.ts';
import type { Refusal, TextReading } from './reading.ts';

/** So many problems of one file are kept; the rest is counted. */
const KEPT = 5;

/**
 * What errors mean for the value: `whole`: with a line missing it would say something false;
 * `partial`: what was understood still holds.
 */
export type Trust = 'whole' | 'partial';

/** Collects what the parsers did not understand while facts are gathered. */
export class Gathering {
  readonly problems: Diagnostic[] = [];

  /** A text as a fact. */
  fact<T>(
    reading: TextReading,
    file: string,
    parser: (text: string, file: string) => Parsed<T>,
    trust: Trust,
    remedies: Partial<Record<Refusal['reason'], string>> = {},
  ): Fact<T> {
    if (!reading.ok) return refused(file, reading, remedies);
    const { value, problems } = parser(reading.text, file);
    const errors = problems.filter((p) => p.severity === 'error');
    this.#keep(errors, file);
    const odd = problems.filter((p) => p.severity === 'warning');
    this.#keep(odd, file);
    if (reading.cut) this.cut(file);
    if (trust === 'whole' && (errors.length > 0 || reading.cut)) {
      const lines = errors.length === 1 ? '1 line' : `${errors.length} lines`;
      const why = reading.cut ? 'only its beginning was read' : `${lines} could not be understood`;
      return unknown(`${file}: ${why}`, 'look at the file; it may be damaged');
    }
    return known(value, file);
  }

  /** Lines of a file that its parser warned of. */
  oddLines(file: string): readonly number[] {
    const odd = this.problems.filter((p) => p.severity === 'warning' && p.place?.file === file);
    return odd.flatMap((p) => (p.place === undefined ? [] : [p.place.line]));
  }

  /** Problems of a text that was read elsewhere. */
  keep(problems: readonly Diagnostic[]): void {
    for (const file of new Set(problems.map((p) => p.place?.file ?? ''))) {
      this.#keep(
        problems.filter((p) => (p.place?.file ?? '') === file),
        file,
      );
    }
  }

  cut(file: string): void {
    const message = `${file} is larger than doctor reads: only its beginning was looked at`;
    this.problems.push({ severity: 'warning', message });
  }

  #keep(errors: readonly Diagnostic[], file: string): void {
    this.problems.push(...errors.slice(0, KEPT));
    const left = errors.length - KEPT;
    if (left <= 0) return;
    this.problems.push({ severity: 'warning', message: `${file}: ${left} more such lines` });
  }
}

/** What a reader of input gives, or null where it refuses the input. */
export function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}
