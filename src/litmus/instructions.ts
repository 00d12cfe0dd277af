import type { Instruction } from './test.ts';

/** What may stand in the place of an operand. */
export type Slot =
  /** A register, or memory: `(x)`, `[x]`, `(%rax)`, `4(%rax,%rbx,8)`. */
  | 'place'
  /** A place, or a number: `$1`, `1`. */
  | 'operand'
  | 'register'
  | 'xmm'
  | 'memory'
  | 'immediate'
  | 'label'
  | 'flag'
  /** The rest of the cell, as it stands. */
  | 'type';

/** One way to write an instruction. */
export interface Form {
  /** Without the letter of the size. */
  readonly mnemonic: string;
  /** Letters of sizes that it may end in; '' for none. */
  readonly letters: readonly string[];
  readonly slots: readonly Slot[];
  /** Whether herd7 7.57 reads it. */
  readonly herd: boolean;
  /** Only with `lock` in front. */
  readonly onlyLocked?: boolean;
}

const ALL = ['', 'b', 'w', 'l', 'q'];
const NONE = [''];

function forms(
  herd: boolean,
  mnemonics: string,
  letters: readonly string[],
  slots: readonly Slot[],
): readonly Form[] {
  return mnemonics.split(' ').map((mnemonic) => ({ mnemonic, letters, slots, herd }));
}

/**
 * What is read. The first part is lib/X86_64Parser.mly of herdtools7 7.57, with its own ideas: `cmpxchg` has the
 * address first, `uxch` is an exchange without a lock, `movl 1,%eax` has an immediate.
 */
export const FORMS: readonly Form[] = [
  ...forms(true, 'mov add xor or cmp', ALL, ['operand', 'place']),
  ...forms(true, 'and shl', NONE, ['operand', 'place']),
  ...forms(true, 'mov', ['q', 'd'], ['xmm', 'register']),
  ...forms(true, 'movnti', ['', 'l', 'q'], ['register', 'place']),
  ...forms(true, 'movntdqa', NONE, ['place', 'xmm']),
  ...forms(true, 'inc dec', ALL, ['place']),
  ...forms(true, 'setnb', NONE, ['place']),
  ...forms(true, 'xchg uxch', ALL, ['place', 'place']),
  ...forms(true, 'cmpxchg', ALL, ['place', 'register']),
  ...forms(true, 'cmovc', ALL, ['register', 'place']),
  ...forms(true, 'jmp je jne jle jlt jge jgt js jns', NONE, ['label']),
  ...forms(true, 'ret', ['', 'q'], []),
  ...forms(true, 'nop endbr64 mfence sfence lfence', NONE, []),
  ...forms(true, 'nop', ['l', 'w'], ['place']),
  ...forms(true, 'clflush clflushopt', NONE, ['place']),

  ...forms(false, 'clwb invlpg', NONE, ['memory']),
  ...forms(false, 'cpuid wbinvd wbinvd_all invd vmexit flush', NONE, []),
  ...forms(false, 'setcd', NONE, ['immediate']),
  ...forms(false, 'poll', ALL, ['immediate', 'memory']),
  ...forms(false, 'send await', NONE, ['immediate', 'flag']),
  ...forms(false, 'remap', NONE, ['memory', 'type']),
  ...forms(false, 'xadd', ALL, ['register', 'memory']).map((form) => ({
    ...form,
    onlyLocked: true,
  })),
];

/** What `lock` may stand in front of; of `or` only with zero, which the machine can execute. */
export const LOCKABLE: readonly string[] = [
  'add',
  'xor',
  'or',
  'inc',
  'dec',
  'xchg',
  'cmpxchg',
  'xadd',
];

/** What herd7 accepts `lock` in front of (herd/X86_64Sem.ml; `or`, `and` and `xadd` are not in it). */
export const HERD_LOCKABLE: readonly string[] = [
  'add',
  'xor',
  'inc',
  'dec',
  'xchg',
  'uxch',
  'cmpxchg',
];

const BITS: Readonly<Record<string, Instruction['bits']>> = {
  '': null,
  b: 8,
  w: 16,
  l: 32,
  d: 32,
  q: 64,
};

const BY_NAME: ReadonlyMap<string, readonly Form[]> = new Map(
  [...new Set(FORMS.flatMap((f) => f.letters.map((letter) => f.mnemonic + letter)))].map((name) => [
    name,
    FORMS.filter((f) => f.letters.some((letter) => f.mnemonic + letter === name)),
  ]),
);

/** Whether herd7 reads the name in this case: all lower or all upper; `endbr64` in lower case only. */
function inCase(name: string): boolean {
  if (name === 'ENDBR64') return false;
  return name === name.toLowerCase() || name === name.toUpperCase();
}

/** The forms of a name with its letter of size; none for what is no instruction. */
export function formsOf(name: string): readonly Form[] {
  return inCase(name) ? (BY_NAME.get(name.toLowerCase()) ?? []) : [];
}

/** The size that a name says: `movl` is 32; null where it says none. */
export function bitsOf(form: Form, name: string): Instruction['bits'] {
  return BITS[name.toLowerCase().slice(form.mnemonic.length)] ?? null;
}

const SPELLING: readonly (readonly [Instruction['bits'], string])[] = [
  [null, ''],
  [8, 'b'],
  [16, 'w'],
  [32, 'l'],
  [64, 'q'],
];

/** The name of an instruction with its letter: `movl`, `movd` from an XMM register, `nopw`. */
export function spelling({ mnemonic, bits, operands }: Instruction): string {
  const [first] = operands;
  const fromXmm = first?.kind === 'register' && first.register.bits === 128;
  if (mnemonic === 'mov' && fromXmm && bits === 32) return 'movd';
  return mnemonic + (SPELLING.find(([size]) => size === bits)?.[1] ?? '');
}

/** The names to show somebody who wrote another one. */
export const ACCEPTED: string = [...new Set(FORMS.map((f) => f.mnemonic))].join(' ');
