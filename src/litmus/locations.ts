import { type Cursor, refuseAt } from './lex.ts';
import { registerOf, symbolicRegister } from './registers.ts';
import type { Location, Register, Span, Value } from './test.ts';

const KEYWORDS = [
  'and',
  'exists',
  'false',
  'fault',
  'Fault',
  'filter',
  'final',
  'forall',
  'locations',
  'not',
  'NOP',
  'nop',
  'observed',
  'Observed',
  'true',
  'with',
  '_Atomic',
  'ATOMIC_INIT',
  'PA',
  'PTE',
  'TTD',
  'tag',
  'TAG',
  'attrs',
  'oa',
];

/** Whether the next token is a name and none of herd's words. */
export function atName(cursor: Cursor, ahead = 0): boolean {
  const token = cursor.peek(ahead);
  return token.kind === 'name' && !KEYWORDS.includes(token.text);
}

/** @throws Refused when the next token is no name, or one of herd's words. */
export function expectName(cursor: Cursor, what: string): string {
  return atName(cursor) ? cursor.next().text : cursor.refuse(`expected ${what}`);
}

/** A whole number of herd's, decimal or hexadecimal. */
export function takeNumber(cursor: Cursor): number {
  const token = cursor.expectKind('number', 'a number');
  const value = Number(token.text);
  if (Number.isSafeInteger(value)) return value;
  return refuseAt(cursor.source, token, 'number too large', 'up to 2^53 in magnitude are exact');
}

/** Whether a register of a thread comes next: `0:rax`, `P0:rax`. */
export function atRegister(cursor: Cursor): boolean {
  if (!cursor.looksLike('number', ':') && !cursor.looksLike('proc', ':')) return false;
  return ['name', 'register'].includes(cursor.peek(2).kind);
}

/** `0:rax`: herd7 knows registers by their 64-bit names here. */
export function takeProcRegister(cursor: Cursor): { proc: number; register: Register } {
  const proc = Number(cursor.next().text.replace('P', ''));
  cursor.expect(':');
  const token = cursor.next();
  if (token.kind === 'register') {
    const name = token.text.slice(1);
    return { proc, register: registerOf(name) ?? symbolicRegister(name) };
  }
  const register = registerOf(token.text);
  if (register === null || register.bits < 64) {
    const whole = register?.base ?? 'rax';
    return refuseAt(
      cursor.source,
      token,
      `no 64-bit register: "${token.text}"`,
      `herd7 names whole registers here: ${proc}:${whole}`,
    );
  }
  return { proc, register };
}

function takeIndex(cursor: Cursor): number | null {
  if (!cursor.looksLike('[', 'number', ']')) return null;
  cursor.next();
  const index = takeNumber(cursor);
  cursor.next();
  return index;
}

function takePhysical(cursor: Cursor): { name: string; index: number | null } {
  cursor.next();
  cursor.expect('(');
  const name = expectName(cursor, 'a location');
  const index = takeIndex(cursor);
  cursor.expect(')');
  return { name, index };
}

/** What can be asked of a state: `0:rax`, `x`, `[x]`, `t[1]`, `PA(x)`. @throws Refused */
export function takeLocation(cursor: Cursor): Location {
  const { start } = cursor.peek();
  const at = (): Span => ({ start, end: cursor.previousEnd() });
  if (atRegister(cursor)) {
    const register = takeProcRegister(cursor);
    return { kind: 'register', ...register, at: at() };
  }
  if (cursor.take('[') !== null) {
    const inside = takeLocation(cursor);
    if (inside.kind === 'register') cursor.refuse('expected a location in brackets');
    cursor.expect(']');
    return { ...inside, at: at() };
  }
  if (cursor.looksLike('PA')) {
    const physical = takePhysical(cursor);
    return { kind: 'memory', ...physical, at: at() };
  }
  cursor.take('*');
  const name = expectName(cursor, 'a register (0:rax) or a location (x, [x], t[1], PA(x))');
  const index = takeIndex(cursor);
  return { kind: 'cell', name, index, at: at() };
}

/** A constant: a number, or the address of a location. @throws Refused */
export function takeValue(cursor: Cursor): Value {
  if (cursor.peek().kind === 'number') return takeNumber(cursor);
  const symbol = expectName(cursor, 'a number or the name of a location');
  const index = takeIndex(cursor);
  if (index !== null) {
    return cursor.refuse('addresses of elements are not read here', 'use the address of the array');
  }
  return { symbol, offset: 0 };
}
