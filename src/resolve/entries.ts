import { type Diagnostic, InputError, type Place } from '../base/diagnostic.ts';

/** One thing the user said, with where: a flag's value or a scalar of a case file. */
export interface Entry {
  readonly key: string;
  readonly words: readonly Word[];
  /** Where the key stands, when it is in a file. */
  readonly place?: Place;
  readonly source?: string;
}

export interface Word {
  readonly text: string;
  readonly place?: Place;
  /** The line of the file, for the caret. */
  readonly source?: string;
}

/** @throws InputError at the place of what is wrong. */
export function complain(word: Word | Entry, message: string, help?: string): never {
  const diagnostic: Diagnostic = {
    severity: 'error',
    message,
    ...(word.place ? { place: word.place } : {}),
    ...(word.source === undefined ? {} : { source: word.source }),
    ...(help === undefined ? {} : { help }),
  };
  throw new InputError([diagnostic]);
}

/** Errors of a parser that knows no places, told at the word it was given. */
export function at<T>(word: Word, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const [first] = error.diagnostics;
    complain(word, first?.message ?? error.message, first?.help);
  }
}

export function words(entries: readonly Entry[], key: string): readonly Word[] {
  return entries.filter((e) => e.key === key).flatMap((e) => e.words);
}

export function single(entries: readonly Entry[], key: string): Word | null {
  const all = words(entries, key);
  const [first, second] = all;
  if (second !== undefined) complain(second, `${key} is given twice`, 'say it once');
  return first ?? null;
}
