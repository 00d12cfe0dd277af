import { didYouMean } from '../facts/words.ts';
import { complain, type Word } from '../resolve/entries.ts';
import type { AgentName } from './scenario.ts';

/**
 * One step of a program. `vmm`: on the CPU of the guest, but by the VMM and through its mapping, after a VM
 * exit. Values are small numbers; bytes start at 0.
 */
export type Instruction = { readonly vmm: boolean; readonly word: Word } & (
  | {
      readonly op: 'load' | 'movntdqa';
      readonly byte: string;
      readonly register: string;
    }
  | { readonly op: 'store' | 'movnti'; readonly byte: string; readonly value: number }
  | {
      readonly op: 'xchg';
      readonly byte: string;
      readonly value: number;
      readonly register: string;
    }
  | {
      readonly op: 'add';
      readonly byte: string;
      readonly value: number;
      readonly register: string | null;
    }
  | { readonly op: 'clflush' | 'clflushopt' | 'clwb'; readonly byte: string }
  | { readonly op: 'mfence' | 'sfence' | 'lfence' | 'cpuid' | 'wbinvd' | 'invd' }
  | { readonly op: 'ring' | 'wait'; readonly flag: string }
  | StageInstruction
);

/** What changes the stage itself: KVM hears of it, and the guest's mappings may change. */
export type StageInstruction =
  | { readonly op: 'attach' | 'detach' | 'quirk-off' | 'remap' }
  | { readonly op: 'cd'; readonly on: boolean };

export type Op = Instruction['op'];

interface Notation {
  readonly op: Op;
  /** What follows the name, in words, for help. */
  readonly form: string;
  readonly by: readonly AgentName[];
  /** It can be, or has to be, an act of the VMM on the guest's CPU. */
  readonly vmm: 'no' | 'may' | 'must';
  readonly does: string;
  /** Reads what follows the name. */
  readonly operands: (r: Reading) => object;
}

const CPUS = ['guest', 'host'] as const;
const ALL = ['guest', 'host', 'gpu'] as const;
const GUEST = ['guest'] as const;

const nothing = (): object => ({});
const byte = (r: Reading): object => ({ byte: r.name('a byte') });
const load = (r: Reading): object => ({ byte: r.name('a byte'), register: r.register() });
const store = (r: Reading): object => ({ byte: r.name('a byte'), value: r.value() });
const exchange = (r: Reading): object => ({ ...store(r), register: r.register() });
const addition = (r: Reading): object => ({
  ...store(r),
  register: r.isAtEnd ? null : r.register(),
});
const flag = (r: Reading): object => ({ flag: r.name('a flag') });
const onOrOff = (r: Reading): object => ({ on: r.either('on', 'off') === 'on' });

type Row = readonly [
  op: Op,
  form: string,
  by: readonly AgentName[],
  vmm: Notation['vmm'],
  operands: Notation['operands'],
  does: string,
];

const ROWS: readonly Row[] = [
  ['load', 'BYTE -> REGISTER', ALL, 'may', load, 'a load'],
  ['store', 'BYTE VALUE', ALL, 'may', store, 'a store'],
  ['movnti', 'BYTE VALUE', CPUS, 'may', store, 'a non-temporal store'],
  ['movntdqa', 'BYTE -> REGISTER', CPUS, 'may', load, 'a streaming load, on WC'],
  ['xchg', 'BYTE VALUE -> REGISTER', CPUS, 'may', exchange, 'a locked exchange'],
  ['add', 'BYTE VALUE [-> REGISTER]', CPUS, 'may', addition, 'a locked addition'],
  ['mfence', '', CPUS, 'may', nothing, 'MFENCE'],
  ['sfence', '', CPUS, 'may', nothing, 'SFENCE'],
  ['lfence', '', CPUS, 'may', nothing, 'LFENCE'],
  ['cpuid', '', CPUS, 'no', nothing, 'CPUID: serialises, and in a guest exits'],
  ['clflush', 'BYTE', CPUS, 'may', byte, 'flush of the line from every cache'],
  ['clflushopt', 'BYTE', CPUS, 'may', byte, 'the same, ordered by fences only'],
  ['clwb', 'BYTE', CPUS, 'may', byte, 'write-back of the line'],
  ['wbinvd', '', CPUS, 'may', nothing, 'write-back and loss of all lines of the own cache'],
  ['invd', '', CPUS, 'no', nothing, 'loss of all lines of the own cache'],
  [
    'ring',
    'FLAG',
    ALL,
    'may',
    flag,
    'a doorbell, interrupt or message; of a CPU it drains its buffers',
  ],
  ['wait', 'FLAG', ALL, 'may', flag, 'waits for it'],
  ['attach', '', GUEST, 'must', nothing, 'a VFIO device without enforced snooping joins the VM'],
  ['detach', '', GUEST, 'must', nothing, 'it leaves'],
  ['quirk-off', '', GUEST, 'must', nothing, 'KVM_ENABLE_CAP disables IGNORE_GUEST_PAT'],
  ['remap', '', GUEST, 'must', nothing, 'the VMM maps the same pages anew (MAP_FIXED)'],
  ['cd', 'on|off', GUEST, 'no', onOrOff, 'the guest writes CR0.CD'],
];

/** Every instruction there is. */
export const NOTATION: readonly Notation[] = ROWS.map(
  ([op, form, by, vmm, operands, does]): Notation => ({ op, form, by, vmm, operands, does }),
);

const NAMES = NOTATION.map((n) => n.op);
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const MOST_VALUE = 3;

/** A piece of an instruction as something that a complaint can be made about. */
function piece(word: Word, start: number, length: number): Word {
  const { place, source } = word;
  if (place === undefined || source === undefined) return word;
  // A quoted scalar begins one character later than its place says.
  const quoted = /^["']/.test(source.slice(place.column - 1)) ? 1 : 0;
  const column = place.column + quoted + start;
  return { ...word, place: { ...place, column, length: Math.max(1, length) } };
}

interface Token extends Word {
  readonly at: number;
}

function tokensOf(word: Word): readonly Token[] {
  return [...word.text.matchAll(/\S+/g)].map((m) => ({
    ...piece(word, m.index, m[0].length),
    text: m[0],
    at: m.index,
  }));
}

class Reading {
  readonly #word: Word;
  readonly #tokens: readonly Token[];
  readonly #form: string;
  #next: number;

  constructor(word: Word, tokens: readonly Token[], next: number, form: string) {
    this.#word = word;
    this.#tokens = tokens;
    this.#next = next;
    this.#form = form;
  }

  get #usage(): string {
    return this.#form === '' ? 'it takes nothing' : `write ${this.#form}`;
  }

  take(what: string): Token {
    const token = this.#tokens[this.#next++];
    if (token === undefined) {
      const end = piece(this.#word, this.#word.text.trimEnd().length, 1);
      complain(end, `${what} is missing`, this.#usage);
    }
    return token;
  }

  name(what: string): string {
    const token = this.take(what);
    if (!NAME.test(token.text)) complain(token, `not a name: "${token.text}"`, this.#usage);
    return token.text;
  }

  value(): number {
    const token = this.take('a value');
    const value = Number(token.text);
    if (!/^\d+$/.test(token.text) || value > MOST_VALUE)
      complain(token, `not a value: "${token.text}"`, `a number from 0 to ${MOST_VALUE}`);
    return value;
  }

  register(): string {
    const arrow = this.take('->');
    if (arrow.text !== '->') complain(arrow, `"->" is missing before "${arrow.text}"`, this.#usage);
    return this.name('a register');
  }

  either(a: string, b: string): string {
    const token = this.take(`${a} or ${b}`);
    if (token.text === a || token.text === b) return token.text;
    return complain(token, `neither ${a} nor ${b}: "${token.text}"`, this.#usage);
  }

  get isAtEnd(): boolean {
    return this.#next >= this.#tokens.length;
  }

  end(): void {
    const token = this.#tokens[this.#next];
    if (token !== undefined) complain(token, `unexpected "${token.text}"`, this.#usage);
  }
}

function notationOf(token: Token, agent: AgentName): Notation {
  const found = NOTATION.find((n) => n.op === token.text);
  if (found === undefined) {
    const near = didYouMean(token.text, NAMES);
    const list = NOTATION.filter((n) => n.by.includes(agent)).map((n) => n.op);
    const help = `${near === null ? '' : `did you mean ${near}? `}one of ${list.join(' ')}`;
    complain(token, `no instruction "${token.text}"`, help);
  }
  if (!found.by.includes(agent)) {
    complain(token, `${agent} has no "${token.text}"`, `it is for ${found.by.join(' and ')}`);
  }
  return found;
}

/**
 * "store x 1", "load x -> seen", "vmm load x -> copied".
 *
 * @throws InputError at the word that is wrong
 */
export function parseInstruction(word: Word, agent: AgentName): Instruction {
  const tokens = tokensOf(word);
  const [first] = tokens;
  if (first === undefined) complain(word, 'an instruction is missing here');
  const isVmm = first.text === 'vmm';
  if (isVmm && agent !== 'guest') {
    complain(
      first,
      `"vmm" stands in the program of the guest, not of ${agent}`,
      'the VMM elsewhere is host',
    );
  }
  const name = isVmm ? tokens[1] : first;
  if (name === undefined) complain(first, 'vmm does what?', 'for example: vmm load x -> copied');
  const found = notationOf(name, agent);
  if (isVmm && found.vmm === 'no') complain(name, `${found.op} is for the guest itself`);
  if (!isVmm && found.vmm === 'must') {
    complain(name, `${found.op} is an act of the VMM`, `write: vmm ${word.text}`);
  }
  const form = `${isVmm ? 'vmm ' : ''}${found.op} ${found.form}`.trimEnd();
  const reading = new Reading(word, tokens, isVmm ? 2 : 1, found.form === '' ? '' : form);
  const rest = found.operands(reading);
  reading.end();
  return { op: found.op, vmm: isVmm, word, ...rest } as Instruction;
}
