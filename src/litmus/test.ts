import type { PageType } from '../machine/config.ts';
import type { Switches } from '../machine/switches.ts';
import type { MtrrType, PatType, Vendor } from '../x86/types.ts';

/** Characters of the text, `end` not included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A text and what it is called, for messages that point into it. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

/** A register as it is named: `eax` is the lower half of `rax`; symbolic ones (`%r`) are allocated by herd. */
export interface Register {
  readonly name: string;
  /** The 64-bit register that it is a part of; its own name for `xmm0`, `rip`, `cs` and symbolic ones. */
  readonly base: string;
  readonly bits: 8 | 16 | 32 | 64 | 128;
  /** `ah`, `bh`, `ch`, `dh`: bits 15:8. */
  readonly high: boolean;
}

/** The address of a location, `offset` bytes into it. */
export interface Address {
  readonly symbol: string;
  readonly offset: number;
}

/** What a register or a cell can hold. */
export type Value = number | Address;

/** `(x)`; `4(%rax,%rbx,8)`. */
export type MemoryOperand =
  | { readonly kind: 'symbol'; readonly name: string }
  | {
      readonly kind: 'indirect';
      readonly base: Register;
      readonly index?: Register;
      readonly scale: number;
      readonly displacement: number;
    };

/** What is between the commas of an instruction. */
export type Operand =
  | MemoryOperand
  | { readonly kind: 'immediate'; readonly value: number }
  | { readonly kind: 'register'; readonly register: Register }
  /** A label, a flag, or what `remap` makes of a view. */
  | { readonly kind: 'word'; readonly word: string };

export interface Instruction {
  /** Without the letter of its size, in lower case: `mov`, `xchg`, `clflushopt`, `poll`. */
  readonly mnemonic: string;
  /** Size by that letter; null where there is none. */
  readonly bits: 8 | 16 | 32 | 64 | null;
  readonly locked: boolean;
  readonly operands: readonly Operand[];
  readonly at: Span;
}

/** One line of a thread: labels before the instruction, if any; null where the cell is empty after them. */
export interface ProgramLine {
  readonly labels: readonly string[];
  readonly instruction: Instruction | null;
  readonly at: Span;
}

export interface Thread {
  /** Its number: P0, P1 ... */
  readonly proc: number;
  readonly lines: readonly ProgramLine[];
}

/** `uint32_t x=1;`, `0:rax=x;`, `int *p=x;`, `int t[2]={1,2};` */
export interface InitItem {
  readonly location:
    | { readonly kind: 'symbol'; readonly name: string }
    | { readonly kind: 'register'; readonly proc: number; readonly register: Register };
  /** As written, `*` for a pointer whose target has no type; null where there is none. */
  readonly type: string | null;
  /** Elements of an array; null for a scalar. */
  readonly length: number | null;
  readonly values: readonly Value[];
  readonly at: Span;
}

/** What can be asked of a final state. */
export type Location = { readonly at: Span } & (
  | { readonly kind: 'register'; readonly proc: number; readonly register: Register }
  /** The coherent value of a cell: the modified copy of a cache where there is one, else memory. */
  | { readonly kind: 'cell'; readonly name: string; readonly index: number | null }
  /** Memory itself, whatever caches hold: what an agent that snoops nothing reads. Written `PA(x)`. */
  | { readonly kind: 'memory'; readonly name: string; readonly index: number | null }
);

export type Proposition =
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'equals'; readonly left: Location; readonly right: Value; readonly at: Span }
  | { readonly kind: 'same'; readonly left: Location; readonly right: Location; readonly at: Span }
  | { readonly kind: 'not'; readonly of: Proposition }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Proposition[] }
  | { readonly kind: 'implies'; readonly left: Proposition; readonly right: Proposition };

export type Quantifier = 'exists' | 'forall' | '~exists';

export interface Condition {
  readonly quantifier: Quantifier;
  readonly proposition: Proposition;
}

/** What a log of herd7 says of the inner proposition: in no final state, in some, in all. */
export type Word = 'Never' | 'Sometimes' | 'Always';

/** A virtual name: of all cores, or of one where `proc` is not null. */
export interface ViewName {
  readonly proc: number | null;
  readonly name: string;
}

/** The parts that a type is combined from; what is not given is not there. */
export interface TypeParts {
  readonly pat?: PatType;
  /** The MTRR of the machine: with nested paging the host's, which is the only one there is. */
  readonly mtrr?: MtrrType;
  readonly ept?: { readonly memtype: MtrrType; readonly ipat: boolean };
  /** Host PAT type at the nested leaf. */
  readonly npt?: PatType;
}

export interface ViewSetup {
  readonly view: ViewName;
  /** A bare type, or the parts of one. */
  readonly type: PageType | TypeParts;
  readonly at: Span;
}

export interface DeviceSetup {
  readonly proc: number;
  readonly name: string;
  readonly snoop: boolean;
  readonly cache: boolean;
  readonly at: Span;
}

/** A verdict, and the switches under which it is expected: those that are not named are at their defaults. */
export interface Expectation {
  readonly word: Word;
  readonly switches: Partial<Switches>;
}

/** What header lines say beyond herd, and what herd reads of them (types). */
export interface Setup {
  readonly vendor: Vendor;
  /** Sorted by name. */
  readonly views: readonly ViewSetup[];
  /** Second names of a cell. */
  readonly aliases: readonly {
    readonly alias: ViewName;
    readonly of: string;
    readonly at: Span;
  }[];
  /** Locations that are cells of one line, in this order. */
  readonly lines: readonly { readonly cells: readonly string[]; readonly at: Span }[];
  readonly devices: readonly DeviceSetup[];
  /** Lines in a cache at the start: clean, or modified with this value. */
  readonly cached: readonly {
    readonly proc: number;
    readonly name: string;
    readonly value: number | null;
    readonly at: Span;
  }[];
  /** Cores that start with CR0.CD=1. */
  readonly cacheDisable: readonly number[];
  /** Flags outside memory; whether a core that touches one drains its buffers (an exit for MMIO does). */
  readonly flags: readonly {
    readonly name: string;
    readonly serialises: boolean;
    readonly at: Span;
  }[];
  readonly switches: Partial<Switches>;
  readonly caches: 'all' | 'visible';
  readonly storeBuffer: number | null;
  readonly combiningBuffers: number | null;
  readonly expect: readonly Expectation[];
}

export interface HeaderLine {
  readonly key: string;
  readonly value: string;
  readonly keyAt: Span;
  /** Of the value. */
  readonly at: Span;
}

/** A litmus test as it is written. */
export interface LitmusTest {
  readonly source: Source;
  readonly name: string;
  /** The text in double quotes under the name; empty where there is none. */
  readonly doc: string;
  /** Every `Key=value` line, in the order of the file, those of `setup` too. */
  readonly header: readonly HeaderLine[];
  readonly setup: Setup;
  readonly init: readonly InitItem[];
  readonly threads: readonly Thread[];
  readonly locations: readonly Location[];
  readonly filter: Proposition | null;
  readonly condition: Condition;
}
