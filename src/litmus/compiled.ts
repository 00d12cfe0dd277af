import type { MachineConfig } from '../machine/config.ts';
import type { Machine } from '../machine/machine.ts';
import type { LitmusTest, Location, Value } from './test.ts';
import type { Encoding } from './values.ts';

/** What the final state holds in each of the `columns`, in their order. */
export type Outcome = readonly Value[];

/** Where a final state holds what a location is asked for. */
export type Holder =
  /** Known before the test runs. */
  | { readonly kind: 'known'; readonly value: Value }
  | { readonly kind: 'register'; readonly agent: string; readonly register: string }
  /** The coherent value of a cell, or memory itself. */
  | { readonly kind: 'cell' | 'memory'; readonly line: string; readonly cell: number };

/** A test as a machine, and how its final states answer the condition. */
export interface CompiledTest {
  readonly test: LitmusTest;
  readonly config: MachineConfig;
  /** What a number in the machine stands for. */
  readonly decode: (code: number) => Value;
  /** What `locations` and the condition name, in herd's order: registers by thread, then locations by name. */
  readonly columns: readonly Location[];
  /** @throws InternalError for a location that nothing in the test names */
  readonly holderOf: (location: Location) => Holder;
  readonly encoding: Encoding;
  /** What a final state of a machine of `config` holds in them; null where `filter` drops the state. */
  readonly observe: (machine: Machine, state: Int32Array, at: number) => Outcome | null;
  /** The proposition inside the quantifier. */
  readonly holds: (outcome: Outcome) => boolean;
}
