import { must } from '../base/assert.ts';
import type { PageType } from '../machine/config.ts';
import { effectiveType } from './effective.ts';
import {
  bitsOf,
  emit,
  isMemory,
  load,
  numberIn,
  type Run,
  read,
  refuse,
  stored,
  viewOf,
  write,
} from './run.ts';
import { PAGE_TYPES, PART_KEYS, typePart } from './setup.ts';
import { oneOf } from './setup-words.ts';
import { type Content, freshRegister } from './symbolic.ts';
import type { Instruction, Operand, Register } from './test.ts';
import { sameValue } from './values.ts';

type Handler = (run: Run, i: Instruction) => void;

function value(n: number): Content {
  return { kind: 'value', value: n, untouched: false };
}

function two(i: Instruction): readonly [Operand, Operand] {
  const [a, b] = i.operands;
  return [must(a, 'two operands'), must(b, 'two operands')];
}

function one(i: Instruction): Operand {
  return must(i.operands[0], 'an operand');
}

function target(run: Run, i: Instruction, operand: Operand): Register {
  if (operand.kind === 'register') return operand.register;
  return refuse(run, i, 'this cannot be written to');
}

function store(
  run: Run,
  i: Instruction,
  op: 'store' | 'nt-store',
  from: Operand,
  to: Operand,
): void {
  const view = viewOf(run, i, to);
  run.accesses.push({ bits: bitsOf(i), at: i.at });
  emit(run, i.at, { op, view, value: stored(run, i, read(run, i, from)) });
}

function mov(run: Run, i: Instruction): void {
  const [from, to] = two(i);
  if (isMemory(from) && isMemory(to)) refuse(run, i, 'no instruction moves memory to memory');
  if (isMemory(to)) store(run, i, 'store', from, to);
  else if (isMemory(from)) load(run, i, 'load', viewOf(run, i, from), target(run, i, to));
  else write(run, i, target(run, i, to), read(run, i, from));
}

function movnti(run: Run, i: Instruction): void {
  const [from, to] = two(i);
  if (isMemory(to)) store(run, i, 'nt-store', from, to);
  else refuse(run, i, 'movnti stores to memory');
}

function movntdqa(run: Run, i: Instruction): void {
  const [from, to] = two(i);
  if (!isMemory(from)) refuse(run, i, 'movntdqa loads from memory');
  load(run, i, 'movntdqa', viewOf(run, i, from), target(run, i, to));
}

const OPERATIONS: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << (b & 63n),
  inc: (a) => a + 1n,
  dec: (a) => a - 1n,
};

const NOT_LOCKED = 'only with lock, or of a register: what it stores depends on what it loads';

/** Arithmetic on registers whose numbers are known; `xorl %eax,%eax` on any. */
function compute(run: Run, i: Instruction): void {
  const from = i.operands.length === 2 ? i.operands[0] : undefined;
  const to = must(i.operands.at(-1), 'an operand');
  if (isMemory(to) || isMemory(from)) refuse(run, i, `${i.mnemonic} of memory`, NOT_LOCKED);
  const register = target(run, i, to);
  const clears =
    i.mnemonic === 'xor' && from?.kind === 'register' && from.register.name === register.name;
  let result = 0;
  if (!clears) {
    const left = BigInt(numberIn(run, i, read(run, i, to)));
    const right = from === undefined ? 0n : BigInt(numberIn(run, i, read(run, i, from)));
    const operation = must(OPERATIONS[i.mnemonic], 'an operation');
    const exact = BigInt.asIntN(bitsOf(i), operation(left, right));
    result = Number(exact);
    if (!Number.isSafeInteger(result)) refuse(run, i, 'the result is too large');
  }
  write(run, i, register, value(result));
  run.contents = { ...run.contents, flags: { left: value(result), right: value(0) } };
}

/** What a locked operation adds. @throws Refused when it does not add */
function addedBy(run: Run, i: Instruction): number {
  if (i.mnemonic === 'inc') return 1;
  if (i.mnemonic === 'dec') return -1;
  const n = numberIn(run, i, read(run, i, one(i)));
  if (i.mnemonic !== 'add' && i.mnemonic !== 'xadd' && n !== 0) {
    refuse(run, i, `lock ${i.mnemonic} of another number than 0`, 'the machine locks add and xchg');
  }
  return n;
}

function locked(run: Run, i: Instruction): void {
  const to = must(i.operands.at(-1), 'an operand');
  if (!isMemory(to)) refuse(run, i, 'lock needs memory to lock');
  const view = viewOf(run, i, to);
  const added = run.addend(addedBy(run, i));
  run.accesses.push({ bits: bitsOf(i), at: i.at });
  if (i.mnemonic === 'xadd') {
    const register = target(run, i, one(i));
    const name = freshRegister(run.contents, register);
    emit(run, i.at, { op: 'lock-add', view, value: added, to: name });
    write(run, i, register, { kind: 'loaded', register: name });
  } else {
    emit(run, i.at, { op: 'lock-add', view, value: added });
  }
  run.contents = { ...run.contents, flags: null };
}

function arithmetic(run: Run, i: Instruction): void {
  if (i.locked) locked(run, i);
  else compute(run, i);
}

function exchange(run: Run, i: Instruction): void {
  const [a, b] = two(i);
  if (isMemory(a) && isMemory(b)) refuse(run, i, 'one side is a register');
  if (!isMemory(a) && !isMemory(b)) {
    const [left, right] = [read(run, i, a), read(run, i, b)];
    write(run, i, target(run, i, a), right);
    write(run, i, target(run, i, b), left);
    return;
  }
  const [memory, register] = isMemory(a) ? [a, target(run, i, b)] : [b, target(run, i, a)];
  const view = viewOf(run, i, memory);
  const content = read(run, i, { kind: 'register', register });
  run.accesses.push({ bits: bitsOf(i), at: i.at });
  const to = freshRegister(run.contents, register);
  emit(run, i.at, { op: 'xchg', view, value: stored(run, i, content), to });
  write(run, i, register, { kind: 'loaded', register: to });
}

/** herd7's exchange without a lock: a load, then a store. */
function unlockedExchange(run: Run, i: Instruction): void {
  const [a, b] = two(i);
  if (isMemory(a) === isMemory(b)) {
    if (isMemory(a)) refuse(run, i, 'one side is a register');
    exchange(run, i);
    return;
  }
  const [memory, register] = isMemory(a) ? [a, target(run, i, b)] : [b, target(run, i, a)];
  const view = viewOf(run, i, memory);
  const content = read(run, i, { kind: 'register', register });
  if (content.kind === 'loaded') {
    // What is stored has to outlive the load: a second name keeps its register from being reused.
    const kept: Register = { name: '', base: '', bits: 64, high: false };
    write(run, i, kept, content);
  }
  load(run, i, 'load', view, register);
  emit(run, i.at, { op: 'store', view, value: stored(run, i, content) });
}

function compare(run: Run, i: Instruction): void {
  const [right, left] = two(i);
  const side = (operand: Operand): Content => {
    if (!isMemory(operand)) return read(run, i, operand);
    const register: Register = { name: 'cmp', base: 'cmp', bits: 64, high: false };
    const to = freshRegister(run.contents, register);
    run.accesses.push({ bits: bitsOf(i), at: i.at });
    emit(run, i.at, { op: 'load', to, view: viewOf(run, i, operand) });
    return { kind: 'loaded', register: to };
  };
  if (isMemory(left) && isMemory(right)) refuse(run, i, 'one side is a register or a number');
  run.contents = { ...run.contents, flags: null };
  run.contents = { ...run.contents, flags: { left: side(left), right: side(right) } };
}

function fence(run: Run, i: Instruction): void {
  switch (i.mnemonic) {
    case 'mfence':
    case 'sfence':
    case 'lfence':
    case 'cpuid':
    case 'wbinvd':
    case 'invd':
    case 'vmexit':
      emit(run, i.at, { op: i.mnemonic });
      break;
    case 'wbinvd_all':
      emit(run, i.at, { op: 'wbinvd-all' });
      break;
    default:
      refuse(run, i, `no fence: ${i.mnemonic}`);
  }
}

function ofLine(run: Run, i: Instruction): void {
  const memory = one(i);
  if (!isMemory(memory)) refuse(run, i, `${i.mnemonic} needs memory`);
  const view = viewOf(run, i, memory);
  const { mnemonic } = i;
  if (
    mnemonic === 'clflush' ||
    mnemonic === 'clflushopt' ||
    mnemonic === 'clwb' ||
    mnemonic === 'invlpg'
  ) {
    emit(run, i.at, { op: mnemonic, view });
  }
}

/** The address space that a thread changes when it writes the entry of a view: its own where it has one. */
function entryOf(run: Run, view: string): string {
  const own = run.places.views.some((v) => v.name === view && v.core === `P${run.proc}`);
  return own ? `P${run.proc}.${view}` : view;
}

function changedPart(run: Run, i: Instruction, view: string, key: string, text: string): PageType {
  const { test } = run;
  const which = oneOf(test.source, i.at, key, PART_KEYS, 'a part of a type');
  const entry = entryOf(run, view.replace(/\[\d+\]$/, ''));
  const before = run.parts.get(entry);
  if (before === undefined) {
    return refuse(run, i, `the type of ${entry} has no parts`, `give it by parts: PAT=${entry}:WB`);
  }
  const other = run.partsChangedBy.get(entry) ?? run.proc;
  if (other !== run.proc || run.hasLabels) {
    refuse(run, i, `what ${entry} becomes depends on the path`, `remap (${view}),WC`);
  }
  const parts = { ...before, ...typePart(test.source, i.at, which, text) };
  run.parts.set(entry, parts);
  run.partsChangedBy.set(entry, run.proc);
  const type = effectiveType(test.setup.vendor, parts);
  return typeof type === 'string' ? type : refuse(run, i, type.message, type.help);
}

function remap(run: Run, i: Instruction): void {
  const [memory, operand] = two(i);
  const view = viewOf(run, i, memory);
  const word = operand.kind === 'word' ? operand.word : '';
  const [key = '', text] = word.split('=');
  const type =
    text === undefined
      ? oneOf(run.test.source, i.at, word, PAGE_TYPES, 'a memory type, or PAT=, MTRR=, EPT=, NPT=')
      : changedPart(run, i, view, key.trim(), text.trim());
  emit(run, i.at, { op: 'remap', view, type });
}

function poll(run: Run, i: Instruction): void {
  const [wanted, memory] = two(i);
  const view = viewOf(run, i, memory);
  run.accesses.push({ bits: bitsOf(i), at: i.at });
  emit(run, i.at, { op: 'poll', view, value: run.encode(numberIn(run, i, read(run, i, wanted))) });
}

function signal(run: Run, i: Instruction): void {
  const [operand, word] = two(i);
  const name = word.kind === 'word' ? word.word : '';
  const flag = run.test.setup.flags.find((f) => f.name === name);
  const n = numberIn(run, i, read(run, i, operand));
  if (flag === undefined) {
    refuse(run, i, `no flag is called ${name}`, `Flag=${name}:exit or Flag=${name}:plain`);
  }
  if (n < 0 || n > 15) refuse(run, i, 'flags hold 0 to 15');
  const op = i.mnemonic === 'send' ? 'send' : 'await';
  emit(run, i.at, { op, flag: name, value: n, serialises: flag.serialises && !run.isDevice });
}

function setCacheDisable(run: Run, i: Instruction): void {
  const n = numberIn(run, i, read(run, i, one(i)));
  if (n !== 0 && n !== 1) refuse(run, i, 'CR0.CD is 0 or 1');
  emit(run, i.at, { op: 'set-cd', value: n === 0 ? 0 : 1 });
}

const NOT_EXECUTED = 'read as herd7 reads it, but not executed by the machine';

function notExecuted(run: Run, i: Instruction): void {
  refuse(run, i, `${i.mnemonic} is not executed`, NOT_EXECUTED);
}

/** What each instruction does that is no jump. */
export const HANDLERS: Readonly<Record<string, Handler>> = {
  mov,
  movnti,
  movntdqa,
  add: arithmetic,
  and: arithmetic,
  or: arithmetic,
  xor: arithmetic,
  shl: arithmetic,
  inc: arithmetic,
  dec: arithmetic,
  xadd: arithmetic,
  xchg: exchange,
  uxch: unlockedExchange,
  cmp: compare,
  cmpxchg: notExecuted,
  cmovc: notExecuted,
  setnb: notExecuted,
  nop: () => undefined,
  endbr64: () => undefined,
  mfence: fence,
  sfence: fence,
  lfence: fence,
  cpuid: fence,
  vmexit: fence,
  wbinvd: fence,
  wbinvd_all: fence,
  invd: fence,
  clflush: ofLine,
  clflushopt: ofLine,
  clwb: ofLine,
  invlpg: ofLine,
  remap,
  poll,
  send: signal,
  await: signal,
  setcd: setCacheDisable,
  flush: (run, i) => {
    if (!run.isDevice) refuse(run, i, 'flush is of devices', 'cores have wbinvd and clflush');
    emit(run, i.at, { op: 'flush' });
  },
};

/** Whether two contents are equal: known, or a register of the machine against a value. */
export type Equality =
  | { readonly kind: 'known'; readonly equal: boolean }
  | { readonly kind: 'asked'; readonly register: string; readonly value: number };

/** What `je` and `jne` look at. @throws Refused when the machine cannot compare it */
export function equality(run: Run, i: Instruction): Equality {
  const { flags } = run.contents;
  if (flags === null) {
    return refuse(run, i, 'the flags are not known here', 'put a cmp in front of the jump');
  }
  const { left, right } = flags;
  if (left.kind === 'value' && right.kind === 'value') {
    return { kind: 'known', equal: sameValue(left.value, right.value) };
  }
  const [asked, known] = left.kind === 'loaded' ? [left, right] : [right, left];
  if (asked.kind === 'loaded' && known.kind === 'value') {
    return { kind: 'asked', register: asked.register, value: run.encode(known.value) };
  }
  if (asked.kind === 'loaded' && known.kind === 'loaded' && asked.register === known.register) {
    return { kind: 'known', equal: true };
  }
  return refuse(run, i, 'the machine compares what is loaded with constants only');
}
