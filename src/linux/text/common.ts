import { must } from '../../base/assert.ts';
import type { Diagnostic } from '../../base/diagnostic.ts';
import { type U64, u64, u64FromHex } from '../../base/u64.ts';
import type { MtrrType, PatType } from '../../x86/types.ts';

/** One line of a text that is not blank. Readers look at `text`; problems point into `source`. */
export interface Line {
  /** Counts from 1, blank lines included. */
  readonly number: number;
  /** The whole line without its line end. */
  readonly source: string;
  /** `source` without the blanks at both ends and without a log prefix. */
  readonly text: string;
  /** How many characters of `source` stand before `text`. */
  readonly offset: number;
}

/** Columns count from 1. */
interface Span {
  readonly column: number;
  readonly length: number;
}

/** The ways in which reading one of these files is refused, in the words of libc. */
const REFUSALS = [
  'Input/output error',
  'No such file or directory',
  'No such device or address',
  'No such device',
  'Permission denied',
  'Operation not permitted',
  'Invalid argument',
] as const;
type Refusal = (typeof REFUSALS)[number];

/** What the problems of one kind of file have to say. */
export interface Format {
  /** Where the text comes from, as a user names it. */
  readonly name: string;
  /** One line as it should look. */
  readonly shape: string;
  /** What a refused read of this file means, and what to do. */
  readonly refusals: Readonly<Partial<Record<Refusal, string>>>;
}

const REFUSAL_MEANS: Readonly<Record<Refusal, string>> = {
  'Input/output error': 'the kernel refused the read: nothing is known from this file',
  'No such file or directory': 'this kernel does not have the file: nothing is known from it',
  'No such device or address': 'the kernel has no driver behind the file: nothing is known from it',
  'No such device': 'the kernel has no driver behind the file: nothing is known from it',
  'Permission denied': 'capture it again as root',
  'Operation not permitted': 'capture it again as root; kernel lockdown refuses root, too',
  'Invalid argument': 'the kernel refused the read: nothing is known from this file',
};

/** The longest line that any of these formats prints is a path of 4096 characters, all escaped. */
const LINE_MAX = 20_000;

const QUOTED_MAX = 40;

/** A piece of the input inside a message. */
export function quote(text: string): string {
  return text.length > QUOTED_MAX ? `"${text.slice(0, QUOTED_MAX)}..."` : `"${text}"`;
}

/** The words of libc that a line ends with, as `cat` and our capture print them; null when none. */
export function refusalIn(text: string): Refusal | null {
  const end = text.endsWith(')') ? text.slice(0, -1) : text;
  return REFUSALS.find((words) => end.endsWith(`: ${words}`)) ?? null;
}

/** Collects what is wrong with one text. */
export class Problems {
  readonly list: Diagnostic[] = [];
  readonly file: string;
  readonly format: Format;

  constructor(file: string, format: Format) {
    this.file = file;
    this.format = format;
  }

  /** The line, or the part of it that is meant, did not go into the value. */
  error(line: Line, message: string, help: string, span: Span = wholeText(line)): void {
    this.add('error', line, message, help, span);
  }

  /** The line went into the value, but something about it is odd. */
  warning(line: Line, message: string, help: string, span: Span = wholeText(line)): void {
    this.add('warning', line, message, help, span);
  }

  private add(
    severity: Diagnostic['severity'],
    line: Line,
    message: string,
    help: string,
    span: Span,
  ): void {
    const place = { file: this.file, line: line.number, ...span };
    this.list.push({ severity, message, place, source: line.source, help });
  }

  /** A line that is no line of the format: refused read, binary data, cut, or of another file. */
  stranger(line: Line, shape: string = this.format.shape): void {
    const refusal = refusalIn(line.text);
    if (refusal !== null) {
      const means = this.format.refusals[refusal] ?? REFUSAL_MEANS[refusal];
      this.error(line, `${this.format.name} could not be read: ${refusal}`, means);
      return;
    }
    const nul = line.source.indexOf('\0');
    if (nul >= 0) {
      const help = 'the file was damaged or copied as a sparse file: capture it again with cat';
      this.error(line, 'NUL byte in a text file', help, { column: nul + 1, length: 1 });
      return;
    }
    const help = `such a line looks like this: ${shape}`;
    this.error(line, `not a line of ${this.format.name}: ${quote(line.text)}`, help);
  }
}

/** The span of `text` in its line. */
function wholeText(line: Line): Span {
  return { column: line.offset + 1, length: Math.max(1, line.text.length) };
}

function withoutCarriageReturns(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 13) end -= 1;
  return text.slice(0, end);
}

function splitLines(pieces: readonly string[]): Line[] {
  return pieces.flatMap((piece, index) => {
    const source = withoutCarriageReturns(piece);
    const tail = source.trimStart();
    if (tail === '') return [];
    const offset = source.length - tail.length;
    return [{ number: index + 1, source, text: tail.trimEnd(), offset }];
  });
}

const NOTHING_BUT_NUL = /^[\0\s]+$/;
/** A UTF-16 byte-order mark as UTF-8 and as Latin-1 decoders show it. */
const DECODED_MARK = /^(?:\ufffd\ufffd|\u00ff\u00fe|\u00fe\u00ff)/;
const SWAPPED_UTF16 = /^\ufffe/;
const EVERY_SECOND_IS_NUL = /^(?:[^\0]\0){4,}|^(?:\0[^\0]){4,}/;

/** A place for problems of the text as a whole. */
export function startOf(text: string): Line {
  const source = text.slice(0, QUOTED_MAX);
  return { number: 1, source, text: source, offset: 0 };
}

/** What is wrong with the text as a whole, so that no line of it can be read; null when nothing is. */
function wholeTextProblem(text: string): { message: string; help: string } | null {
  const head = text.slice(0, 256);
  if (SWAPPED_UTF16.test(head) || EVERY_SECOND_IS_NUL.test(head.replace(DECODED_MARK, ''))) {
    return {
      message: 'this is UTF-16 text; nothing of it was read',
      help: 'convert it first: iconv -f UTF-16 -t UTF-8',
    };
  }
  if (head.includes('\0') && NOTHING_BUT_NUL.test(text)) {
    return {
      message: 'there are only NUL bytes in this file',
      help: 'it was copied by size, and files of /proc have none: capture it again with cat',
    };
  }
  return null;
}

function isOfRealLength(line: Line, problems: Problems): boolean {
  if (line.text.length <= LINE_MAX) return true;
  const help = `no line of ${problems.format.name} is that long: the file is damaged, or another file`;
  problems.error(line, `a line of ${line.text.length} characters`, help);
  return false;
}

/**
 * The lines of a text that a reader should look at. A byte-order mark and carriage returns are taken
 * off; UTF-16, a file of NUL bytes and lines beyond any real length become problems here, and so does
 * a last line without line end: a number or a list of words that was cut still looks like one.
 */
export function readLines(text: string, problems: Problems): Line[] {
  const whole = wholeTextProblem(text);
  if (whole !== null) {
    problems.error(startOf(text), whole.message, whole.help);
    return [];
  }
  const pieces = (text.charCodeAt(0) === 0xfeff ? text.slice(1) : text).split('\n');
  const lines = splitLines(pieces);
  const last = lines.at(-1);
  if (last !== undefined && last.number === pieces.length) {
    const help = 'capture it again; when it is whole, add the line end';
    problems.warning(last, 'the last line has no line end: it may be cut', help);
  }
  return lines.filter((line) => isOfRealLength(line, problems));
}

/** Adds the problem of a text without a single line, in a format that always has some. */
export function reportEmpty(problems: Problems, help: string): void {
  problems.error(startOf(''), `nothing in ${problems.format.name}`, help);
}

const HEXADECIMAL = /^[0-9a-fA-F]+$/;

/** From hexadecimal digits without 0x; null when it is none, or does not fit 64 bits. */
function hexU64(text: string): U64 | null {
  return HEXADECIMAL.test(text) ? u64FromHex(text) : null;
}

/** From hexadecimal digits without 0x; null when it is none, or not below 2^53. */
export function hexNumber(text: string): number | null {
  const value = hexU64(text);
  return value === null || value.hi > 0x1fffff ? null : value.hi * 0x1_0000_0000 + value.lo;
}

const DECIMAL = /^0*(\d{1,16})$/;

/** From decimal digits; null when it is no number, or not below 2^53. */
export function decimalNumber(text: string): number | null {
  const value = Number(DECIMAL.exec(text)?.[1] ?? Number.NaN);
  return Number.isSafeInteger(value) ? value : null;
}

const NUMBER_HELP =
  'physical addresses have at most 52 bits: the line is damaged, or not from an x86 kernel';

/**
 * The named groups of one matched line. A getter that finds no sense in its group adds the problem,
 * marks the row as failed and answers with a placeholder; the caller throws the row away then.
 */
export class Fields {
  failed = false;
  readonly line: Line;
  private readonly match: RegExpExecArray;
  private readonly problems: Problems;

  constructor(problems: Problems, line: Line, match: RegExpExecArray) {
    this.problems = problems;
    this.line = line;
    this.match = match;
  }

  /** The text of a group; '' when the group took no part in the match. */
  text(group: string): string {
    return this.match.groups?.[group] ?? '';
  }

  hex(group: string): number {
    return this.number(group, hexNumber(this.text(group)), 'hexadecimal');
  }

  decimal(group: string): number {
    return this.number(group, decimalNumber(this.text(group)), 'decimal');
  }

  private number(group: string, value: number | null, what: string): number {
    if (value !== null) return value;
    this.fail(
      group,
      `${group}: no ${what} number below 2^53: ${quote(this.text(group))}`,
      NUMBER_HELP,
    );
    return 0;
  }

  u64(group: string): U64 {
    const value = hexU64(this.text(group));
    if (value !== null) return value;
    const help = 'the line is damaged: capture it again';
    this.fail(group, `${group}: no 64-bit hexadecimal number: ${quote(this.text(group))}`, help);
    return u64(0, 0);
  }

  word<T>(group: string, words: Readonly<Record<string, T>>): T {
    const text = this.text(group);
    const value = Object.hasOwn(words, text) ? words[text] : undefined;
    if (value !== undefined) return value;
    this.fail(
      group,
      `${group}: unknown word ${quote(text)}`,
      `one of: ${Object.keys(words).join(', ')}`,
    );
    return must(Object.values(words)[0], 'an empty list of words');
  }

  /** The row stays out of the value because of this group. */
  fail(group: string, message: string, help: string): void {
    this.failed = true;
    this.problems.error(this.line, message, help, this.span(group));
  }

  /** The row stays in the value; this group is odd. */
  warn(group: string, message: string, help: string): void {
    this.problems.warning(this.line, message, help, this.span(group));
  }

  private span(group: string): Span {
    const [start, end] = this.match.indices?.groups?.[group] ?? [0, this.line.text.length];
    return { column: this.line.offset + start + 1, length: Math.max(1, end - start) };
  }
}

const ORDER_HELP = 'the line is damaged, or printed from a damaged table: capture it again';

/** The groups `start` and `end` of a wording that prints the last byte. */
export function inclusiveRange(
  f: Fields,
  endInclusive: number = f.hex('end'),
): { start: number; endInclusive: number } {
  const start = f.hex('start');
  if (!f.failed && endInclusive < start)
    f.fail('end', 'the range ends before it begins', ORDER_HELP);
  return { start, endInclusive };
}

/** The groups `start` and `end` of a wording that prints the byte after the last one. */
export function exclusiveRange(
  f: Fields,
  end: number = f.hex('end'),
): { start: number; end: number } {
  const start = f.hex('start');
  if (!f.failed && end <= start) f.fail('end', 'the range ends before it begins', ORDER_HELP);
  return { start, end };
}

/** One wording of a line: a pattern with named groups and the flag d, and what to make of them. */
export interface Form<T> {
  readonly pattern: RegExp;
  readonly read: (fields: Fields) => T;
}

/** What the first form that matches makes of a line; null, and a problem, when there is none. */
export function readRow<T>(
  line: Line,
  forms: readonly Form<T>[],
  problems: Problems,
  shape?: string,
): T | null {
  for (const form of forms) {
    const match = form.pattern.exec(line.text);
    if (match === null) continue;
    const fields = new Fields(problems, line, match);
    const row = form.read(fields);
    return fields.failed ? null : row;
  }
  problems.stranger(line, shape);
  return null;
}

/** Types as `mtrr_attrib_to_str` of the kernel prints them; it prints "?" for any other number. */
export const MTRR_WORDS: Readonly<Record<string, MtrrType>> = {
  uncachable: 'UC',
  'write-combining': 'WC',
  'write-through': 'WT',
  'write-protect': 'WP',
  'write-back': 'WB',
};

/** Types as `cattr_name` of the kernel prints them; it prints "broken" for any other number. */
export const PAT_WORDS: Readonly<Record<string, PatType>> = {
  uncached: 'UC',
  'uncached-minus': 'UC-',
  'write-combining': 'WC',
  'write-through': 'WT',
  'write-protected': 'WP',
  'write-back': 'WB',
};
