import type { Instruction, MemoryOperand, Operand, ProgramLine, Register } from './test.ts';

/** A loop that loads until it reads a value. */
export interface Spin {
  readonly memory: MemoryOperand;
  readonly value: Operand;
  /** What holds the value afterwards, if the loop loads into a register. */
  readonly register: Register | null;
  /** Lines of the program that it takes. */
  readonly length: number;
}

function isMemory(operand: Operand | undefined): operand is MemoryOperand {
  return operand?.kind === 'symbol' || operand?.kind === 'indirect';
}

function jumpsTo(line: ProgramLine | undefined, labels: readonly string[]): boolean {
  const { mnemonic, operands } = line?.instruction ?? { mnemonic: '', operands: [] };
  const [target] = operands;
  const back = target?.kind === 'word' && labels.includes(target.word);
  return mnemonic === 'jne' && back && line?.labels.length === 0;
}

function comparison(i: Instruction | null | undefined): { left: Operand; right: Operand } | null {
  const [right, left] = i?.operands ?? [];
  if (i?.mnemonic !== 'cmp' || left === undefined || right?.kind !== 'immediate') return null;
  return { left, right };
}

function sameRegister(a: Operand | undefined, b: Operand | undefined): Register | null {
  if (a?.kind !== 'register' || b?.kind !== 'register') return null;
  return a.register.base === b.register.base && a.register.bits >= 32 ? a.register : null;
}

/**
 * The loop that begins at a line: `L: cmpl $1,(x); jne L`, or `L: movl (x),%eax; cmpl $1,%eax; jne L`. As one
 * instruction it reads until the value is there, with no bound; herd7 unrolls such loops twice and warns.
 */
export function spinAt(lines: readonly ProgramLine[], index: number): Spin | null {
  const [first, second, third] = lines.slice(index, index + 3);
  if (first === undefined || first.labels.length === 0) return null;
  const direct = comparison(first.instruction);
  if (direct !== null && isMemory(direct.left) && jumpsTo(second, first.labels)) {
    return { memory: direct.left, value: direct.right, register: null, length: 2 };
  }
  const [from, to] = first.instruction?.operands ?? [];
  const compared = second?.labels.length === 0 ? comparison(second.instruction) : null;
  const register = sameRegister(to, compared?.left);
  const loads = first.instruction?.mnemonic === 'mov' && isMemory(from);
  if (!loads || compared === null || register === null || !jumpsTo(third, first.labels)) {
    return null;
  }
  return { memory: from, value: compared.right, register, length: 3 };
}
