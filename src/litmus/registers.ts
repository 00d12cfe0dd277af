import type { Register } from './test.ts';

/** The 64-bit registers in the order in which herd7 prints them (X86_64Base.ml). */
const GENERAL: readonly string[] = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

/** herd7 has eight, and takes %xmm6 for %xmm7. */
const XMM_COUNT = 8;

function partsOf(base: string): readonly Register[] {
  const register = (name: string, bits: Register['bits'], high = false): Register => ({
    name,
    base,
    bits,
    high,
  });
  const whole = register(base, 64);
  if (/^r\d/.test(base)) {
    return [
      whole,
      register(`${base}d`, 32),
      register(`${base}w`, 16),
      // As herd7 spells it; assemblers know r8l, too.
      register(`${base}b`, 8),
    ];
  }
  const short = base.slice(1);
  const halves = [whole, register(`e${short}`, 32), register(short, 16)];
  if (!short.endsWith('x')) return [...halves, register(`${short}l`, 8)];
  const letter = short.charAt(0);
  return [...halves, register(`${letter}l`, 8), register(`${letter}h`, 8, true)];
}

const NAMED: ReadonlyMap<string, Register> = new Map(
  [
    ...GENERAL.flatMap(partsOf),
    ...['rip', 'cs'].map((name): Register => ({ name, base: name, bits: 64, high: false })),
    ...Array.from({ length: XMM_COUNT }, (_, i): Register => {
      const name = `xmm${i}`;
      return { name, base: name, bits: 128, high: false };
    }),
  ].map((register) => [register.name, register]),
);

/** A register by its name, in any case; null for another name. */
export function registerOf(name: string): Register | null {
  return NAMED.get(name.toLowerCase()) ?? null;
}

/** A register that only has a name, for which herd picks a free one. */
export function symbolicRegister(name: string): Register {
  return { name: `%${name}`, base: `%${name}`, bits: 64, high: false };
}

/** The part of `register` that is `bits` wide; itself where there is none. */
export function registerPart(register: Register, bits: number): Register {
  for (const candidate of NAMED.values()) {
    if (candidate.base === register.base && candidate.bits === bits && !candidate.high) {
      return candidate;
    }
  }
  return register;
}

/** Where herd7 puts a register among the others of its thread. */
export function registerOrder(base: string): number {
  const index = GENERAL.indexOf(base);
  return index < 0 ? GENERAL.length : index;
}
