import type { Location, Proposition, Value } from './test.ts';

/** A value as herd writes it: `-1`, `x`, `t+4`. */
export function printValue(value: Value): string {
  if (typeof value === 'number') return String(value);
  return value.offset === 0 ? value.symbol : `${value.symbol}+${value.offset}`;
}

/** A location as herd writes it between the brackets of `locations`: `0:rax`, `x`, `t[1]`, `PA(x)`. */
export function printPlainLocation(location: Location): string {
  const text = printLocation(location);
  return text.startsWith('[') ? text.slice(1, -1) : text;
}

/** A location as herd writes it in a condition and in states: `0:rax`, `[x]`, `t[1]`, `[PA(x)]`. */
export function printLocation(location: Location): string {
  if (location.kind === 'register') {
    return `${location.proc}:${location.register.base}`;
  }
  if (location.index !== null) {
    const element = `${location.name}[${location.index}]`;
    return location.kind === 'cell' ? element : `PA(${element})`;
  }
  return location.kind === 'cell' ? `[${location.name}]` : `[PA(${location.name})]`;
}

type Place = 'top' | 'and' | 'or' | 'implies';

/** Whether herd puts parentheses around `inside` where it stands in `around`. */
function parenthesised(around: Place, inside: 'and' | 'or' | 'implies'): boolean {
  switch (around) {
    case 'top':
      return false;
    case 'implies':
      return inside !== 'implies';
    case 'and':
      return inside !== 'and';
    case 'or':
      return inside === 'implies';
  }
}

function print(p: Proposition, around: Place): string {
  switch (p.kind) {
    case 'constant':
      return String(p.value);
    case 'equals':
      return `${printLocation(p.left)}=${printValue(p.right)}`;
    case 'same':
      return `${printLocation(p.left)}=${printLocation(p.right)}`;
    case 'not':
      return `not (${print(p.of, 'top')})`;
    case 'and':
    case 'or': {
      const text = p.of.map((q) => print(q, p.kind)).join(p.kind === 'and' ? ' /\\ ' : ' \\/ ');
      return parenthesised(around, p.kind) ? `(${text})` : text;
    }
    case 'implies': {
      // herd7 leaves out the parentheses of an implication on the left, which it reads differently then.
      const left =
        p.left.kind === 'implies' ? `(${print(p.left, 'top')})` : print(p.left, 'implies');
      const text = `${left} => ${print(p.right, 'implies')}`;
      return parenthesised(around, 'implies') ? `(${text})` : text;
    }
  }
}

/** A proposition as herd prints it in the line Condition. */
export function printProposition(p: Proposition): string {
  return print(p, 'top');
}
