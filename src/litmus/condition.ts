import { Cursor, STATE_SHAPES, tokens } from './lex.ts';
import { atRegister, takeLocation, takeValue } from './locations.ts';
import type { Condition, Location, Proposition, Source, Span } from './test.ts';

/** What stands after the table. */
export interface Final {
  readonly locations: readonly Location[];
  readonly filter: Proposition | null;
  readonly condition: Condition;
}

function equality(cursor: Cursor): Proposition {
  const { start } = cursor.peek();
  const left = takeLocation(cursor);
  const negated = cursor.take('!=') ?? cursor.take('<>');
  if (negated === null && cursor.take('==') === null) cursor.expect('=');
  // `0:rax=x` asks for the address of x, `0:rax=*x`, `[x]=[y]` and `0:rax=1:rbx` for what is there.
  const ofState =
    cursor.looksLike('[') || cursor.looksLike('*') || cursor.looksLike('PA') || atRegister(cursor);
  if (cursor.looksLike('{')) cursor.refuse('arrays are asked for element by element', 't[0]=1');
  const right = ofState ? takeLocation(cursor) : takeValue(cursor);
  const at = { start, end: cursor.previousEnd() };
  const atom: Proposition =
    typeof right === 'object' && 'kind' in right
      ? { kind: 'same', left, right, at }
      : { kind: 'equals', left, right, at };
  return negated === null ? atom : { kind: 'not', of: atom };
}

function unary(cursor: Cursor): Proposition {
  if (cursor.take('~') !== null || cursor.take('not') !== null) {
    return { kind: 'not', of: unary(cursor) };
  }
  if (cursor.take('true') !== null) return { kind: 'constant', value: true };
  if (cursor.take('false') !== null) return { kind: 'constant', value: false };
  if (cursor.looksLike('fault') || cursor.looksLike('Fault')) {
    cursor.refuse('faults are not asked for', 'no access of these tests faults');
  }
  if (cursor.take('(') === null) return equality(cursor);
  const inside = disjunction(cursor);
  cursor.expect(')');
  return inside;
}

/** herd7 lets `=>` bind tighter than `/\` and `\/`, and to the right (lib/stateParser.mly). */
function implication(cursor: Cursor): Proposition {
  const left = unary(cursor);
  if (cursor.take('=>') === null) return left;
  return { kind: 'implies', left, right: implication(cursor) };
}

function joined(
  cursor: Cursor,
  kind: 'and' | 'or',
  sign: string,
  part: (cursor: Cursor) => Proposition,
): Proposition {
  const first = part(cursor);
  const of = [first];
  while (cursor.take(sign) !== null) of.push(part(cursor));
  // A group of the same kind within is the same as its parts, and is printed as they are.
  const flat = of.flatMap((p) => (p.kind === kind ? p.of : [p]));
  return of.length === 1 ? first : { kind, of: flat };
}

function conjunction(cursor: Cursor): Proposition {
  return joined(cursor, 'and', '/\\', implication);
}

function disjunction(cursor: Cursor): Proposition {
  return joined(cursor, 'or', '\\/', conjunction);
}

function readLocations(cursor: Cursor): readonly Location[] {
  if (cursor.take('locations') === null) return [];
  cursor.expect('[', 'locations [x; 0:rax;]');
  const locations: Location[] = [];
  while (cursor.take(']') === null) {
    if (cursor.looksLike('[')) cursor.refuse('no brackets here', 'herd7 wants locations [x; y;]');
    locations.push(takeLocation(cursor));
    // Types only tell herd7 how to print.
    if (cursor.peek().kind === 'name') cursor.next();
    cursor.take('*');
    if (!cursor.looksLike(']')) cursor.expect(';');
  }
  return locations;
}

const QUANTIFIERS = 'exists (...), forall (...) or ~exists (...)';

function readCondition(cursor: Cursor): Condition {
  if (cursor.peek().kind === 'end') {
    // herd7: no condition is one that all states satisfy.
    return { quantifier: 'forall', proposition: { kind: 'constant', value: true } };
  }
  if (cursor.looksLike('observed') || cursor.looksLike('Observed')) {
    cursor.refuse('observed is not read', `write ${QUANTIFIERS}`);
  }
  if (cursor.take('forall') !== null) {
    return { quantifier: 'forall', proposition: disjunction(cursor) };
  }
  if (cursor.take('~') !== null || cursor.take('not') !== null) {
    cursor.expect('exists', QUANTIFIERS);
    return { quantifier: '~exists', proposition: disjunction(cursor) };
  }
  if (cursor.take('exists') === null && cursor.take('final') === null && !cursor.looksLike('(')) {
    cursor.refuse('expected a condition', QUANTIFIERS);
  }
  return { quantifier: 'exists', proposition: disjunction(cursor) };
}

/** `locations`, `filter` and the condition. @throws Refused */
export function readFinal(source: Source, part: Span): Final {
  const cursor = new Cursor(source, tokens(source, STATE_SHAPES, part));
  const locations = readLocations(cursor);
  const filter = cursor.take('filter') === null ? null : disjunction(cursor);
  const condition = readCondition(cursor);
  cursor.take(';');
  if (cursor.looksLike('with')) {
    cursor.refuse(
      '"with" (verdicts per model) is not read',
      'header lines say what is expected: Expect=Never',
    );
  }
  if (cursor.peek().kind !== 'end') cursor.refuse('expected the end of the condition');
  return { locations, filter, condition };
}
