import type { Entry, Word } from '../resolve/entries.ts';
import type { EffectiveType, PatType } from '../x86/types.ts';
import type { Condition } from './condition.ts';
import type { Instruction } from './instruction.ts';

/**
 * Who runs a program. `guest`: the vCPU, on CPU 0, through the guest's mapping. `host`: the render server, or
 * another thread of the VMM, on CPU 1, through the VMM's mapping. `gpu`: the device behind the blob.
 */
export const AGENTS = ['guest', 'host', 'gpu'] as const;
export type AgentName = (typeof AGENTS)[number];

/** Bytes that share a cache line. */
export type Line = readonly string[];

/** Where the bytes of a program lie: in the blob, or in ordinary RAM of the guest. */
export interface Memory {
  readonly blob: readonly Line[];
  readonly ram: readonly Line[];
}

export const CLEARED = ['flushed', 'dirty'] as const;
export type Cleared = (typeof CLEARED)[number];

export interface Part {
  readonly agent: AgentName;
  readonly instructions: readonly Instruction[];
}

/** A small concurrent program over a blob, and what must hold of it. */
export interface Program {
  readonly name: string;
  readonly title: string;
  /** What was said of it besides; may be empty. */
  readonly about: string;
  /** Facts that this program sets beside those of the scenario. */
  readonly facts: readonly Entry[];
  readonly memory: Memory;
  /** The host cleared the pages with cached stores; `dirty`: and did not flush them, so that CPU 1 holds them. */
  readonly cleared: Cleared;
  readonly parts: readonly Part[];
  /** No schedule may end like this. */
  readonly never: readonly Condition[];
  /** Some schedule must end like this: so that `never` does not hold for want of anything happening. */
  readonly sometimes: readonly Condition[];
  /** The types that the guest kernel may grant; null: not said. */
  readonly granted: readonly PatType[] | null;
  /** The types that the guest's accesses to the blob may have; null: not said. */
  readonly effective: readonly EffectiveType[] | null;
}

/**
 * How a run ends: it holds; it holds, with stores or loads of the guest that cost a multiple; some schedule
 * violates it; somebody refuses, so that there is no run.
 */
export const RESULTS = ['ok', 'slow', 'x', 'refused'] as const;
export type Result = (typeof RESULTS)[number];

/** A row of expectations: with these facts, these programs end so. */
export interface Outcome {
  readonly title: string;
  readonly facts: readonly Entry[];
  readonly results: readonly { readonly program: Word; readonly result: Result }[];
}

/** A scenario file, read and checked. */
export interface Scenario {
  readonly title: string;
  readonly about: string;
  readonly facts: readonly Entry[];
  /** In the order of the file, at least one. */
  readonly programs: readonly Program[];
  readonly outcomes: readonly Outcome[];
}
