import { refuseAt } from './lex.ts';
import type { HeaderLine, Source, Span, ViewName } from './test.ts';

/** A word of a header line; `parts` are what stands between its colons. */
export interface HeaderWord extends Span {
  readonly text: string;
  readonly parts: readonly string[];
}

/** A header line that is being read. */
export interface Line {
  readonly source: Source;
  readonly line: HeaderLine;
}

/** The words of a line: blanks and commas part them, blanks around a colon do not (lib/lexScan.mll). */
export function wordsOf({ source, line }: Line): readonly HeaderWord[] {
  const words: HeaderWord[] = [];
  let last = 0;
  for (const match of line.value.matchAll(/[^\s,:]+(?:\s*:\s*[^\s,:]+)*/g)) {
    const between = line.value.slice(last, match.index);
    if (between.includes(':')) break;
    last = match.index + match[0].length;
    const start = line.at.start + match.index;
    const text = match[0];
    words.push({ text, parts: text.split(/\s*:\s*/), start, end: start + text.length });
  }
  const rest = line.value.indexOf(':', last);
  if (rest >= 0) {
    const at = line.at.start + rest;
    refuseAt(source, { start: at, end: at + 1 }, 'a word is missing beside this colon');
  }
  return words;
}

/** The words as pairs `a:b`. @throws Refused at another word, or when there is none. */
export function pairsOf(
  line: Line,
  example: string,
): readonly { readonly word: HeaderWord; readonly left: string; readonly right: string }[] {
  const words = wordsOf(line);
  if (words.length === 0) {
    refuseAt(line.source, line.line.keyAt, `${line.line.key} says nothing`, `write ${example}`);
  }
  return words.map((word) => {
    const [left, right] = word.parts;
    if (left === undefined || right === undefined || word.parts.length !== 2) {
      return refuseAt(line.source, word, `"${word.text}" is no pair`, `write ${example}`);
    }
    return { word, left, right };
  });
}

/** One of a list of words, by its spelling. @throws Refused naming the list. */
export function oneOf<T extends string>(
  source: Source,
  at: Span,
  text: string,
  known: readonly T[],
  what: string,
): T {
  const found = known.find((word) => word === text);
  return found ?? refuseAt(source, at, `not ${what}: "${text}"`, `one of ${known.join(' ')}`);
}

/** The number of `P0`. @throws Refused for another word. */
export function procOf(source: Source, at: Span, text: string): number {
  const digits = /^P(\d{1,4})$/.exec(text)?.[1];
  return digits === undefined
    ? refuseAt(source, at, `no thread: "${text}"`, 'threads are P0, P1 ...')
    : Number(digits);
}

/** `x`, or `P0.x` for the name as one core has it. @throws Refused when it is no name. */
export function viewNameOf(source: Source, at: Span, text: string): ViewName {
  const [, digits, own] = /^P(\d{1,4})\.(.+)$/.exec(text) ?? [];
  const name = own ?? text;
  if (!/^_?[A-Za-z][A-Za-z0-9_/.-]*$/.test(name)) {
    refuseAt(source, at, `no name of a location: "${name}"`);
  }
  return { proc: digits === undefined ? null : Number(digits), name };
}

/** `x`, or `P0.x`. */
export function printView(view: ViewName): string {
  return view.proc === null ? view.name : `P${view.proc}.${view.name}`;
}
