import { Cursor, STATE_SHAPES, tokens } from './lex.ts';
import {
  atName,
  atRegister,
  expectName,
  takeNumber,
  takeProcRegister,
  takeValue,
} from './locations.ts';
import type { InitItem, Source, Span, Value } from './test.ts';

/** Bytes of a type; the names are those that herd7 and litmus7 share. */
export const TYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ['char', 1],
  ['int8_t', 1],
  ['uint8_t', 1],
  ['short', 2],
  ['int16_t', 2],
  ['uint16_t', 2],
  ['int', 4],
  ['int32_t', 4],
  ['uint32_t', 4],
  ['long', 8],
  ['int64_t', 8],
  ['uint64_t', 8],
  ['intptr_t', 8],
  ['uintptr_t', 8],
]);

/** `int`, `int *`, `*`: null when the item begins with its location. */
function takeType(cursor: Cursor): string | null {
  if (cursor.take('*') !== null) return '*';
  cursor.take('_Atomic');
  if (!atName(cursor)) return null;
  const follows = cursor.peek(1);
  const typed =
    follows.text === '*' ||
    atName(cursor, 1) ||
    follows.kind === 'number' ||
    follows.kind === 'proc' ||
    (follows.text === '[' && cursor.peek(2).kind === 'name');
  if (!typed) return null;
  const token = cursor.peek();
  if (!TYPE_BYTES.has(token.text)) {
    cursor.refuse('unknown type', `types are ${[...TYPE_BYTES.keys()].join(' ')}`);
  }
  cursor.next();
  return cursor.take('*') === null ? token.text : `${token.text}*`;
}

function takeLocation(cursor: Cursor): InitItem['location'] {
  if (atRegister(cursor)) return { kind: 'register', ...takeProcRegister(cursor) };
  const bracket = cursor.take('[') !== null;
  if (cursor.looksLike('PTE') || cursor.looksLike('PA') || cursor.looksLike('TTD')) {
    cursor.refuse('page tables are not written here', 'header lines give types: MT=x:WC');
  }
  const name = expectName(cursor, 'a location');
  if (bracket) cursor.expect(']');
  return { kind: 'symbol', name };
}

function takeLength(cursor: Cursor, typed: boolean): number | null {
  if (!cursor.looksLike('[', 'number', ']')) return null;
  if (!typed) cursor.refuse('an array needs a type', 'int t[2]={1,2};');
  cursor.next();
  const length = takeNumber(cursor);
  cursor.next();
  return length >= 1 && length <= 64 ? length : cursor.refuse('an array has 1 to 64 elements');
}

function takeValues(cursor: Cursor, length: number | null): readonly Value[] {
  if (cursor.take('=') === null) return Array.from({ length: length ?? 1 }, () => 0);
  if (length === null) {
    cursor.take('&');
    return [takeValue(cursor)];
  }
  const start = cursor.expect('{', 'the elements of an array: {1,2}');
  const values: Value[] = [];
  do values.push(takeValue(cursor));
  while (cursor.take(',') !== null);
  cursor.expect('}');
  if (values.length !== length) {
    cursor.refuse(`${length} elements were declared, ${values.length} given from ${start.text}`);
  }
  return values;
}

function takeItem(cursor: Cursor): InitItem {
  const { start } = cursor.peek();
  const type = takeType(cursor);
  const location = takeLocation(cursor);
  const length = takeLength(cursor, type !== null);
  const values = takeValues(cursor, length);
  return { location, type, length, values, at: { start, end: cursor.previousEnd() } };
}

/** The items between the braces. @throws Refused */
export function readInit(source: Source, part: Span): readonly InitItem[] {
  const cursor = new Cursor(source, tokens(source, STATE_SHAPES, part));
  const items: InitItem[] = [];
  while (cursor.peek().kind !== 'end') {
    if (cursor.take(';') !== null) continue;
    items.push(takeItem(cursor));
    if (cursor.peek().kind !== 'end') cursor.expect(';');
  }
  return items;
}
