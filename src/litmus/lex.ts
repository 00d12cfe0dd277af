import { must } from '../base/assert.ts';
import type { Diagnostic } from '../base/diagnostic.ts';
import { diagnosticAt } from '../base/json.ts';
import type { Source, Span } from './test.ts';

/** Something that cannot be read; whoever can go on after it puts the diagnostic among the problems. */
export class Refused extends Error {
  override name = 'Refused';
  readonly diagnostic: Diagnostic;
  constructor(diagnostic: Diagnostic) {
    super(diagnostic.message);
    this.diagnostic = diagnostic;
  }
}

/** @throws Refused, with the place. */
export function refuseAt(source: Source, span: Span, message: string, help?: string): never {
  throw new Refused(problemAt(source, span, message, help));
}

/** An error with its place. */
export function problemAt(source: Source, span: Span, message: string, help?: string): Diagnostic {
  const extent = { at: span.start, length: span.end - span.start };
  return diagnosticAt(source.text, source.file, extent, message, help);
}

/** What does not change the meaning but may not be what was meant. */
export function warningAt(source: Source, span: Span, message: string, help?: string): Diagnostic {
  return { ...problemAt(source, span, message, help), severity: 'warning' };
}

export type TokenKind =
  | 'name'
  | 'number'
  /** `$1` of an instruction. */
  | 'immediate'
  /** `P0`. */
  | 'proc'
  /** `%eax`, without the sign. */
  | 'register'
  | 'punctuation'
  | 'end';

export interface Token extends Span {
  readonly kind: TokenKind;
  readonly text: string;
}

/** How the tokens of a section look, longest first where one begins like another. */
type Shapes = readonly (readonly [TokenKind, RegExp])[];

/** Instructions: lib/X86_64Lexer.mll of herdtools7 7.57. */
export const PROGRAM_SHAPES: Shapes = [
  ['number', /-?[0-9]+/y],
  ['immediate', /\$-?[0-9]+/y],
  ['register', /%_?[A-Za-z][A-Za-z0-9_/.-]*/y],
  ['proc', /P[0-9]+(?![A-Za-z0-9_/.-])/y],
  ['name', /_?[A-Za-z][A-Za-z0-9_/.-]*/y],
  ['punctuation', /[;,|()[\]:]/y],
];

/** Initial state and condition: lib/stateLexer.mll. */
export const STATE_SHAPES: Shapes = [
  ['number', /0[xX][0-9a-fA-F]+|-?[0-9]+/y],
  ['proc', /P-?[0-9]+(?![A-Za-z0-9_/.-])/y],
  ['register', /%[A-Za-z_.$][A-Za-z0-9_/.-]*/y],
  ['name', /_?[A-Za-z_.$][A-Za-z0-9_/.-]*/y],
  ['punctuation', /\/\\|\\\/|=>|==|!=|<>|[=,&;:+[\](){}~*]/y],
];

/** Past blanks and comments, which nest. @throws Refused when a comment does not end. */
function skip(source: Source, from: number, end: number): number {
  let at = from;
  for (;;) {
    while (at < end && ' \t\r\n'.includes(source.text.charAt(at))) at++;
    if (!source.text.startsWith('(*', at) || at >= end) return at;
    at = commentEnd(source, at, end);
  }
}

/** Past the comment that begins at `start`. @throws Refused when it does not end. */
export function commentEnd(source: Source, start: number, end: number): number {
  let depth = 0;
  for (let at = start; at < end; ) {
    const two = source.text.slice(at, at + 2);
    if (two === '(*') depth++;
    if (two === '*)') depth--;
    at += two === '(*' || two === '*)' ? 2 : 1;
    if (depth === 0) return at;
  }
  return refuseAt(
    source,
    { start, end: start + 2 },
    'this comment does not end',
    'close it with *)',
  );
}

function tokenAt(source: Source, shapes: Shapes, at: number): Token {
  for (const [kind, shape] of shapes) {
    shape.lastIndex = at;
    const text = shape.exec(source.text)?.[0];
    if (text !== undefined) return { kind, text, start: at, end: at + text.length };
  }
  const character = String.fromCodePoint(source.text.codePointAt(at) ?? 0);
  return refuseAt(source, { start: at, end: at + 1 }, `unexpected character "${character}"`);
}

/** The tokens of a part of the text, without comments, with one of kind `end` behind them. */
export function tokens(source: Source, shapes: Shapes, part: Span): readonly Token[] {
  const found: Token[] = [];
  for (;;) {
    const at = skip(source, found.at(-1)?.end ?? part.start, part.end);
    if (at >= part.end)
      return [...found, { kind: 'end', text: '', start: part.end, end: part.end }];
    found.push(tokenAt(source, shapes, at));
  }
}

/** A place among tokens. */
export class Cursor {
  readonly source: Source;
  private readonly list: readonly Token[];
  private index = 0;

  constructor(source: Source, list: readonly Token[]) {
    this.source = source;
    this.list = list;
  }

  peek(ahead = 0): Token {
    const last = must(this.list.at(-1), 'a list of tokens has an end');
    return this.list[this.index + ahead] ?? last;
  }

  /** Whether the next tokens are of these kinds, or are this punctuation or these words. */
  looksLike(...shapes: readonly string[]): boolean {
    return shapes.every((shape, i) => {
      const token = this.peek(i);
      return token.kind === shape || (token.kind !== 'end' && token.text === shape);
    });
  }

  next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.index++;
    return token;
  }

  /** Where the last token taken ends. */
  previousEnd(): number {
    return this.list[this.index - 1]?.end ?? this.peek().start;
  }

  /** The next token when its text is this; null otherwise, and nothing is taken. */
  take(text: string): Token | null {
    return this.peek().text === text && this.peek().kind !== 'end' ? this.next() : null;
  }

  /** @throws Refused when the next token is of another kind. */
  expectKind(kind: TokenKind, what: string, help?: string): Token {
    return this.peek().kind === kind ? this.next() : this.refuse(`expected ${what}`, help);
  }

  /** @throws Refused when the next token is another. */
  expect(text: string, help?: string): Token {
    return this.take(text) ?? this.refuse(`expected "${text}"`, help);
  }

  /** @throws Refused at the next token, with what stands there. */
  refuse(message: string, help?: string): never {
    const token = this.peek();
    const found = token.kind === 'end' ? 'the end of this part' : `"${token.text}"`;
    return refuseAt(this.source, token, `${message}, found ${found}`, help);
  }

  /** Moves to the first of these punctuation marks, or to the end. */
  skipTo(...texts: readonly string[]): void {
    while (this.peek().kind !== 'end' && !texts.includes(this.peek().text)) this.index++;
  }

  /** To the token that begins at or after this character. */
  skipToCharacter(at: number): void {
    while (this.peek().kind !== 'end' && this.peek().start < at) this.index++;
  }
}
