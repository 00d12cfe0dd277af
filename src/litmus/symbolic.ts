import type { Register, Value } from './test.ts';
import { sameValue } from './values.ts';

/** What a register of the thread is known to hold at a point of its program. */
export type Content =
  /** `untouched` where it is what the register started with. */
  | { readonly kind: 'value'; readonly value: Value; readonly untouched: boolean }
  /** What a register of the machine holds: a load put it there. */
  | { readonly kind: 'loaded'; readonly register: string }
  /** It depends on the path by which the point is reached, or on arithmetic that the machine does not do. */
  | { readonly kind: 'unknown'; readonly why: string };

/** The two sides of the last comparison, for the jump that follows. */
export interface Flags {
  readonly left: Content;
  readonly right: Content;
}

/** Registers of a thread by their 64-bit names; those that are not in it hold 0. */
export interface Contents {
  readonly registers: ReadonlyMap<string, Content>;
  readonly flags: Flags | null;
}

const ZERO: Content = { kind: 'value', value: 0, untouched: true };

export function contentOf(contents: Contents, register: Register): Content {
  return contents.registers.get(register.base) ?? ZERO;
}

export function withContent(contents: Contents, register: Register, content: Content): Contents {
  return {
    ...contents,
    registers: new Map([...contents.registers, [register.base, content]]),
  };
}

function same(a: Content, b: Content): boolean {
  if (a.kind === 'value' && b.kind === 'value') return sameValue(a.value, b.value);
  if (a.kind === 'loaded' && b.kind === 'loaded') return a.register === b.register;
  return a.kind === b.kind;
}

/** A register of the machine that nothing was loaded into is 0, as one of the thread that nothing wrote. */
function isUnloaded(content: Content, register: string, loaded: Content): boolean {
  return (
    content.kind === 'value' &&
    content.untouched &&
    content.value === 0 &&
    loaded.kind === 'loaded' &&
    loaded.register === register
  );
}

function joinOne(register: string, a: Content, b: Content): Content {
  if (same(a, b)) return a;
  if (isUnloaded(a, register, b)) return b;
  if (isUnloaded(b, register, a)) return a;
  return { kind: 'unknown', why: 'it depends on the path taken' };
}

/** What is known where two paths meet. */
export function join(a: Contents, b: Contents): Contents {
  const names = new Set([...a.registers.keys(), ...b.registers.keys()]);
  const registers = [...names].map((name): [string, Content] => [
    name,
    joinOne(name, a.registers.get(name) ?? ZERO, b.registers.get(name) ?? ZERO),
  ]);
  const flagsAgree =
    a.flags !== null &&
    b.flags !== null &&
    same(a.flags.left, b.flags.left) &&
    same(a.flags.right, b.flags.right);
  return { registers: new Map(registers), flags: flagsAgree ? a.flags : null };
}

/** Whether two contents say the same of every register. */
export function agree(a: Contents, b: Contents): boolean {
  const names = [...a.registers.keys(), ...b.registers.keys()];
  const registers = names.every((name) =>
    same(a.registers.get(name) ?? ZERO, b.registers.get(name) ?? ZERO),
  );
  return registers && (a.flags === null) === (b.flags === null);
}

/** A register of the machine for what is loaded into `register`: one that nothing else still refers to. */
export function freshRegister(contents: Contents, register: Register): string {
  const flags = contents.flags === null ? [] : [contents.flags.left, contents.flags.right];
  const others = [...contents.registers].filter(([name]) => name !== register.base);
  const used = [...others.map(([, content]) => content), ...flags].flatMap((content) =>
    content.kind === 'loaded' ? [content.register] : [],
  );
  for (let n = 0; ; n++) {
    const name = n === 0 ? register.base : `${register.base}.${n}`;
    if (!used.includes(name)) return name;
  }
}
