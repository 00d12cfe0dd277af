import type { Diagnostic, Parsed } from '../base/diagnostic.ts';
import { type Final, readFinal } from './condition.ts';
import { readInit } from './init.ts';
import { commentEnd, Refused, refuseAt, warningAt } from './lex.ts';
import { readProgram } from './program.ts';
import { readSetup } from './setup.ts';
import type { HeaderLine, LitmusTest, Source, Span } from './test.ts';

/** The parts of a file, as lib/splitter.mll of herdtools7 cuts it. */
interface Parts {
  readonly name: string;
  readonly doc: string;
  readonly header: readonly HeaderLine[];
  readonly init: Span;
  readonly program: Span;
  readonly final: Span;
}

const FIRST_LINE =
  /[ \t\r]*(?<arch>\w+)[ \t\r]+(?<name>[A-Za-z0-9_/.+[\]-]+)[ \t\r]*(?:\([A-Za-z][A-Za-z0-9_/.-]*\)[ \t\r]*)?(?:\n?[ \t\r]*"(?<doc>[^"]*)"[ \t\r]*)?;?/y;

function readFirstLine(source: Source): { name: string; doc: string; end: number } {
  FIRST_LINE.lastIndex = 0;
  const found = FIRST_LINE.exec(source.text);
  const { arch = '', name = '', doc = '' } = found?.groups ?? {};
  if (found === null) {
    const newline = source.text.indexOf('\n');
    const line = { start: 0, end: newline < 0 ? source.text.length : newline };
    return refuseAt(source, line, 'no litmus test: the first line is wrong', 'X86_64 NAME');
  }
  if (arch !== 'X86_64') {
    const start = source.text.indexOf(arch);
    const at = { start, end: start + arch.length };
    return refuseAt(source, at, `a test for ${arch}`, 'X86_64 is the only architecture here');
  }
  return { name: name === '--' ? baseName(source.file) : name, doc, end: found[0].length };
}

/** herd7 takes the name of the file for a test that is called `--`. */
function baseName(file: string): string {
  const base = file.slice(file.lastIndexOf('/') + 1);
  return base.includes('.') ? base.slice(0, base.lastIndexOf('.')) : base;
}

const KEY_LINE = /(?<key>[A-Za-z][A-Za-z0-9_/.-]*)[ \t\r]*=[ \t\r]*(?<value>[^\n\r]*)\r?\n/dy;

function keyLineAt(source: Source, at: number): { line: HeaderLine; end: number } | null {
  KEY_LINE.lastIndex = at;
  const found = KEY_LINE.exec(source.text);
  const { key, value } = found?.groups ?? {};
  const [start, end] = found?.indices?.groups?.['value'] ?? [0, 0];
  if (found === null || key === undefined || value === undefined) return null;
  return {
    line: { key, value, keyAt: { start: at, end: at + key.length }, at: { start, end } },
    end: at + found[0].length,
  };
}

/**
 * Header lines up to the brace. herd7 skips what is no `Key=value` at the start of a line, comments or not; what is
 * no comment and skipped is said.
 */
function readHeader(
  source: Source,
  from: number,
): { header: readonly HeaderLine[]; brace: number; problems: readonly Diagnostic[] } {
  const { text } = source;
  const header: HeaderLine[] = [];
  const problems: Diagnostic[] = [];
  let comment = -1;
  for (let at = from; at < text.length; ) {
    const found = keyLineAt(source, at);
    const newline = text.indexOf('\n', at);
    const brace = text.indexOf('{', at);
    const end = newline < 0 ? text.length : newline;
    if (found !== null) {
      header.push(found.line);
      at = found.end;
    } else if (text.startsWith('(*\n', at)) {
      at = commentEnd(source, at, text.length);
    } else if (brace >= 0 && brace < end) {
      return { header, brace, problems };
    } else {
      const skipped = text.slice(at, end).trim();
      if (skipped.startsWith('(*')) comment = at;
      const commented = comment >= 0 && !text.slice(comment, at).includes('*)');
      if (skipped !== '' && !commented && comment !== at) {
        const help = 'a key begins in the first column: Key=value';
        problems.push(warningAt(source, { start: at, end }, 'herd7 skips this line', help));
      }
      at = end + 1;
    }
  }
  return refuseAt(source, { start: text.length, end: text.length }, 'no initial state', 'write {}');
}

/** The braces around the initial state; those of arrays are inside. */
function braces(source: Source, start: number): Span {
  let depth = 0;
  for (let at = start; at < source.text.length; at++) {
    const character = source.text.charAt(at);
    if (character === '{') depth++;
    if (character === '}') depth--;
    if (depth === 0) return { start: start + 1, end: at };
  }
  return refuseAt(source, { start, end: start + 1 }, 'this brace is not closed');
}

const FINAL_WORDS =
  /(?:final|forall|exists|cases|observed|Observed|locations|filter)(?![A-Za-z0-9_/.-])|~[ \t\r]*exists/y;
const NAME = /[A-Za-z][A-Za-z0-9_/.-]*/y;

/** Where the table ends: the first word that begins a condition, outside of comments. */
function programEnd(source: Source, from: number): number {
  const { text } = source;
  for (let at = from; at < text.length; ) {
    if (text.startsWith('(*', at)) {
      at = commentEnd(source, at, text.length);
      continue;
    }
    FINAL_WORDS.lastIndex = at;
    if (FINAL_WORDS.test(text)) return at;
    NAME.lastIndex = at;
    at += NAME.exec(text)?.[0].length ?? 1;
  }
  return text.length;
}

function split(source: Source): { parts: Parts; problems: readonly Diagnostic[] } {
  const first = readFirstLine(source);
  const { header, brace, problems } = readHeader(source, first.end);
  const init = braces(source, brace);
  const end = programEnd(source, init.end + 1);
  const config = source.text.indexOf('<<', end);
  const rest = { start: config, end: source.text.length };
  const ignored = config < 0 ? [] : [warningAt(source, rest, 'herd7 reads nothing from "<<" on')];
  return {
    parts: {
      name: first.name,
      doc: first.doc,
      header,
      init,
      program: { start: init.end + 1, end },
      final: { start: end, end: config < 0 ? source.text.length : config },
    },
    problems: [...problems, ...ignored],
  };
}

/** What `read` gives; what it refuses becomes a problem. */
function attempt<T>(problems: Diagnostic[], read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    problems.push(error.diagnostic);
    return null;
  }
}

/**
 * A test in herd's language for X86_64 with our header lines: docs/litmus.md. Null beside at least one error when
 * something in it cannot be read; every part is read for its own problems all the same.
 *
 * @param file how the text is called in messages
 */
export function parseLitmus(text: string, file: string): Parsed<LitmusTest | null> {
  const source: Source = { file, text };
  const problems: Diagnostic[] = [];
  const found = attempt(problems, () => split(source));
  if (found === null) return { value: null, problems };
  const { parts } = found;
  problems.push(...found.problems);
  const setup = readSetup(source, parts.header);
  problems.push(...setup.problems);
  const init = attempt(problems, () => readInit(source, parts.init));
  const program = attempt(problems, () => readProgram(source, parts.program));
  problems.push(...(program?.problems ?? []));
  const final: Final | null = attempt(problems, () => readFinal(source, parts.final));
  const failed = problems.some((problem) => problem.severity === 'error');
  if (failed || init === null || program === null || final === null) {
    return { value: null, problems };
  }
  const { name, doc, header } = parts;
  const value = { source, name, doc, header, setup: setup.setup, init, threads: program.threads };
  return { value: { ...value, ...final }, problems };
}
