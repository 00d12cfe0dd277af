import type { CoreInstruction } from '../machine/config.ts';
import { refuseAt } from './lex.ts';
import { cellAt, type Places } from './places.ts';
import { type Content, type Contents, contentOf, freshRegister, withContent } from './symbolic.ts';
import type {
  Instruction,
  LitmusTest,
  MemoryOperand,
  Operand,
  Register,
  Span,
  TypeParts,
  Value,
} from './test.ts';

/** An instruction of the machine, or the fence of a device, and where the test says it. */
export interface Emitted {
  readonly instruction: CoreInstruction | { readonly op: 'flush' };
  readonly at: Span;
}

/** An access of a size, for the check that all values fit. */
export interface Access {
  readonly bits: number;
  readonly at: Span;
}

/** What a compilation has in common over its threads. */
export interface Shared {
  readonly test: LitmusTest;
  readonly places: Places;
  readonly encode: (value: Value) => number;
  readonly addend: (value: number) => number;
  readonly accesses: Access[];
  /** Which thread changes parts of the type of a view. */
  readonly partsChangedBy: Map<string, number>;
}

/** A thread while its program is walked. */
export interface Run extends Shared {
  readonly proc: number;
  readonly isDevice: boolean;
  readonly hasLabels: boolean;
  /** Parts of types as this thread has changed them. */
  readonly parts: Map<string, TypeParts>;
  readonly emitted: Emitted[];
  /** Instructions that jump to a label. */
  readonly jumps: { readonly from: number; readonly label: string; readonly at: Span }[];
  contents: Contents;
}

/** @throws Refused at the instruction */
export function refuse(run: Run, i: Instruction, message: string, help?: string): never {
  return refuseAt(run.test.source, i.at, message, help);
}

export function emit(run: Run, at: Span, instruction: Emitted['instruction']): void {
  run.emitted.push({ instruction, at });
}

/** The size of an access: by the letter, else by the register, else 64 bits. */
export function bitsOf(i: Instruction): number {
  if (i.bits !== null) return i.bits;
  const register = i.operands.find((o) => o.kind === 'register');
  return register?.kind === 'register' ? Math.min(64, register.register.bits) : 64;
}

function addressPart(run: Run, i: Instruction, register: Register): Value {
  const content = contentOf(run.contents, register);
  if (content.kind === 'value') return content.value;
  const help = 'addresses are known before the test runs: constants, not what was loaded';
  return refuse(run, i, `%${register.name} holds no known address`, help);
}

/** The view that a memory operand names, as this thread has it. @throws Refused */
export function viewOf(run: Run, i: Instruction, operand: Operand): string {
  const { test, places } = run;
  let view: string;
  if (operand.kind === 'symbol') {
    view = cellAt(test, places, { symbol: operand.name, offset: 0 }, i.at);
  } else if (operand.kind === 'indirect') {
    const base = addressPart(run, i, operand.base);
    const index = operand.index === undefined ? 0 : addressPart(run, i, operand.index);
    if (typeof base === 'number' || typeof index !== 'number') {
      return refuse(run, i, `%${operand.base.name} holds no address`, `{ ${run.proc}:rax=x; }`);
    }
    const offset = base.offset + operand.displacement + index * operand.scale;
    view = cellAt(test, places, { symbol: base.symbol, offset }, i.at);
  } else {
    return refuse(run, i, 'expected memory');
  }
  const known = places.views.some(
    (v) => v.name === view && (v.core === undefined || v.core === `P${run.proc}`),
  );
  if (!known && !run.isDevice) {
    refuse(run, i, `P${run.proc} has no name ${view}`, `Alias=P${run.proc}.${view}:...`);
  }
  return view;
}

export function isMemory(operand: Operand | undefined): operand is MemoryOperand {
  return operand?.kind === 'symbol' || operand?.kind === 'indirect';
}

/** What an operand that is no memory holds, as wide as the instruction looks at it. */
export function read(run: Run, i: Instruction, operand: Operand): Content {
  if (operand.kind === 'immediate') {
    return { kind: 'value', value: operand.value, untouched: false };
  }
  if (operand.kind !== 'register') return refuse(run, i, 'expected a register or a number');
  const { register } = operand;
  const content = contentOf(run.contents, register);
  const bits = Math.min(bitsOf(i), register.bits);
  if (bits >= 32) return content;
  if (content.kind === 'value' && typeof content.value === 'number') {
    const shifted = register.high ? Math.floor(content.value / 256) : content.value;
    const value = Number(BigInt.asUintN(bits, BigInt(shifted)));
    return { kind: 'value', value, untouched: false };
  }
  if (register.high) return refuse(run, i, `%${register.name} of a loaded value is not known`);
  run.accesses.push({ bits, at: i.at });
  return content;
}

/** Whether a register holds nothing above its lower `bits`, so that a write to them sets all of it. */
function upperIsZero(content: Content, bits: number): boolean {
  if (content.kind !== 'value' || typeof content.value !== 'number') return false;
  return content.value >= 0 && content.value < 2 ** bits;
}

/** Puts something into a register, or into the part of it that is named. */
export function write(run: Run, i: Instruction, register: Register, content: Content): void {
  const before = contentOf(run.contents, register);
  let whole = content;
  if (register.bits < 32) {
    if (register.high || !upperIsZero(before, register.bits)) {
      refuse(
        run,
        i,
        `%${register.name} keeps the other bits of %${register.base}`,
        'write it whole',
      );
    }
    run.accesses.push({ bits: register.bits, at: i.at });
  }
  if (whole.kind === 'value') whole = { ...whole, untouched: false };
  run.contents = withContent(run.contents, register, whole);
}

/** Loads into a register. */
export function load(
  run: Run,
  i: Instruction,
  op: 'load' | 'movntdqa',
  view: string,
  register: Register,
): void {
  const to = freshRegister(run.contents, register);
  run.accesses.push({ bits: Math.min(bitsOf(i), 64), at: i.at });
  emit(run, i.at, { op, to, view });
  write(run, i, register, { kind: 'loaded', register: to });
}

/** What the machine stores for a content. @throws Refused when it is not known */
export function stored(
  run: Run,
  i: Instruction,
  content: Content,
): number | { readonly register: string } {
  switch (content.kind) {
    case 'value':
      return run.encode(content.value);
    case 'loaded':
      return { register: content.register };
    case 'unknown':
      return refuse(run, i, `the value is not known: ${content.why}`);
  }
}

/** A content that is a number. @throws Refused for another */
export function numberIn(run: Run, i: Instruction, content: Content): number {
  if (content.kind === 'value' && typeof content.value === 'number') return content.value;
  const help = 'the machine moves and compares what it loads, it does not compute with it';
  return refuse(run, i, 'this needs a number that is known before the test runs', help);
}
