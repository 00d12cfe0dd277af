import type { Diagnostic, Parsed } from '../base/diagnostic.ts';
import { Cursor, problemAt, Refused, STATE_SHAPES, tokens, warningAt } from './lex.ts';
import { takeLocation, takeValue } from './locations.ts';
import { printLocation } from './print-parts.ts';
import type { Quantifier, Source, Span, Value, Word } from './test.ts';

/** A final state in a log. */
export interface LoggedState {
  /** How often it was seen; null in logs of herd7, which say only that it is allowed. */
  readonly count: number | null;
  /** Whether the tool says that it satisfies the condition: `*>`; null in logs of herd7. */
  readonly starred: boolean | null;
  /** By location as states print it: `0:rax`, `[x]`. */
  readonly values: ReadonlyMap<string, Value>;
  readonly at: Span;
}

/** What a log says of one test. */
export interface LoggedTest {
  readonly name: string;
  readonly quantifier: Quantifier | null;
  /** `Histogram` of litmus7 and klitmus7: what ran; `States` of herd7: what its model allows. */
  readonly kind: 'histogram' | 'states';
  readonly states: readonly LoggedState[];
  /** As it stands after `Condition`, without what the tool found. */
  readonly condition: string | null;
  readonly observation: {
    readonly word: Word;
    readonly positive: number;
    readonly negative: number;
  } | null;
  readonly hash: string | null;
  readonly at: Span;
}

interface Line extends Span {
  readonly text: string;
}

function linesOf(text: string): readonly Line[] {
  const lines: Line[] = [];
  let start = 0;
  for (const raw of text.split('\n')) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    lines.push({ text: line, start, end: start + line.length });
    start += raw.length + 1;
  }
  return lines;
}

const QUANTIFIERS: Readonly<Record<string, Quantifier>> = {
  Allowed: 'exists',
  Required: 'forall',
  Forbidden: '~exists',
};

/** `0:rax=0; [x]=1;`, from `start` to the end of the line. @throws Refused */
function readValues(source: Source, start: number, end: number): ReadonlyMap<string, Value> {
  const cursor = new Cursor(source, tokens(source, STATE_SHAPES, { start, end }));
  const values = new Map<string, Value>();
  while (cursor.peek().kind !== 'end') {
    const location = takeLocation(cursor);
    cursor.expect('=');
    values.set(printLocation(location), takeValue(cursor));
    cursor.expect(';');
  }
  return values;
}

function readState(source: Source, line: Line, kind: LoggedTest['kind']): LoggedState {
  const counted = /^\s*(\d+)\s*([:*])>/.exec(line.text);
  const [lead = '', digits, sign] = counted ?? [];
  if (kind === 'histogram' && digits === undefined) {
    throw new Refused(
      problemAt(source, line, 'expected a count and a state', '332 *>0:rax=0; 1:rax=0;'),
    );
  }
  return {
    count: digits === undefined ? null : Number(digits),
    starred: sign === undefined ? null : sign === '*',
    values: readValues(source, line.start + lead.length, line.end),
    at: line,
  };
}

/** A test while its lines are read. */
interface Draft {
  readonly name: string;
  readonly quantifier: Quantifier | null;
  readonly at: Span;
  kind: LoggedTest['kind'] | null;
  announced: number | null;
  readonly states: LoggedState[];
  validated: boolean;
  condition: string | null;
  observation: LoggedTest['observation'];
  hash: string | null;
}

const VALIDATION = /^(?:Loop )?(?:Ok|No|Undef|Succeeded|Failed|\?\?)\b/;
const OBSERVATION = /^Observation (\S+) (Never|Sometimes|Always) (\d+) (\d+)/;

function readTail(draft: Draft, text: string): void {
  const condition = /^Condition (.*?)(?: is (?:NOT )?validated)?$/.exec(text)?.[1];
  if (condition !== undefined) draft.condition = condition;
  const hash = /^Hash=(\S+)/.exec(text)?.[1];
  if (hash !== undefined) draft.hash = hash;
  const [, , word, positive, negative] = OBSERVATION.exec(text) ?? [];
  if (word === 'Never' || word === 'Sometimes' || word === 'Always') {
    draft.observation = { word, positive: Number(positive), negative: Number(negative) };
  }
}

function readLine(source: Source, draft: Draft, line: Line): void {
  if (draft.kind === null) {
    const head = /^(?:(Histogram) \((\d+) states\)|(States) (\d+))/.exec(line.text);
    if (head === null) return;
    draft.kind = head[1] === undefined ? 'states' : 'histogram';
    draft.announced = Number(head[2] ?? head[4]);
    return;
  }
  if (draft.validated) {
    readTail(draft, line.text);
  } else if (VALIDATION.test(line.text)) {
    draft.validated = true;
  } else if (line.text.trim() !== '') {
    draft.states.push(readState(source, line, draft.kind));
  }
}

function finish(source: Source, draft: Draft, problems: Diagnostic[]): LoggedTest | null {
  const { name, quantifier, kind, states, condition, observation, hash, at } = draft;
  if (kind === null) {
    problems.push(warningAt(source, at, `${name} has no result`, 'the run failed, or was cut off'));
    return null;
  }
  if (draft.announced !== states.length || !draft.validated) {
    const found = `${states.length} of ${draft.announced ?? 0} states of ${name} are there`;
    problems.push(problemAt(source, at, found, 'the log is cut off, or lines of it are lost'));
    return null;
  }
  return { name, quantifier, kind, states, condition, observation, hash, at };
}

/**
 * Logs of litmus7, klitmus7 and herd7, one or many tests each; what stands between tests is no result and is passed
 * over, as mcompare7 does. A test whose states are not all there is a problem, and left out.
 */
export function readLog(text: string, file: string): Parsed<readonly LoggedTest[]> {
  const source: Source = { file, text };
  const problems: Diagnostic[] = [];
  const tests: LoggedTest[] = [];
  let draft: Draft | null = null;
  const close = (): void => {
    const test = draft === null ? null : finish(source, draft, problems);
    if (test !== null) tests.push(test);
  };
  for (const line of linesOf(text)) {
    const [, name, kind = ''] = /^Test (\S+)(?: (\w+))?\s*$/.exec(line.text) ?? [];
    if (name !== undefined) {
      close();
      draft = {
        name,
        quantifier: QUANTIFIERS[kind] ?? null,
        at: line,
        kind: null,
        announced: null,
        states: [],
        validated: false,
        condition: null,
        observation: null,
        hash: null,
      };
      continue;
    }
    if (draft === null) continue;
    try {
      readLine(source, draft, line);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problems.push(error.diagnostic);
    }
  }
  close();
  if (tests.length === 0 && problems.length === 0) {
    const help = 'a log has "Test NAME ..." and "Histogram (n states)" or "States n"';
    problems.push(problemAt(source, { start: 0, end: 1 }, 'no log of litmus7 or herd7', help));
  }
  return { value: tests, problems };
}
