import { must } from '../base/assert.ts';
import { cite } from '../cite/sources.ts';
import { buildHardware } from './build.ts';
import type { MachineConfig, PageType } from './config.ts';
import {
  type Ask,
  asker,
  drainedExpression,
  faultsOf,
  finalExpression,
  flushTlb,
  outcomeOf,
  pokeMemory,
  pokeView,
  readState,
} from './edges.ts';
import type { Expression } from './language/expression.ts';
import { evaluate, interpreted, isEnabled, perform } from './language/interpret.ts';
import { generated, generatedPredicate } from './language/javascript.ts';
import { type Layout, layOut, pack } from './language/layout.ts';
import type { Command, System } from './language/system.ts';
import type { PendingFlush } from './state.ts';

/** One step that a state allows. */
export interface Step {
  /** Id of the rule, in the register of rules. */
  readonly rule: string;
  /** The agent whose instruction or hardware it is. */
  readonly agent: string;
  /** What happens, with the values that it happens to: `X=1 goes to the cache`. */
  readonly text: string;
  /** Citations of the rule. */
  readonly sources: readonly string[];
  /** Index of the instruction that it executes; null for what hardware does by itself. */
  readonly instruction: number | null;
}

/** A line in a cache: one value a cell. */
export interface CachedLine {
  readonly state: 'clean' | 'modified';
  readonly values: readonly number[];
}

export interface CoreState {
  readonly pc: number;
  readonly done: boolean;
  readonly registers: Readonly<Record<string, number>>;
  /** Oldest first, by physical line: `X=1`, `X[1]=2 (WC)`, `sfence`, `clflush X`. */
  readonly storeBuffer: readonly string[];
  /** Per line what waits in its write-combining buffer; null for a cell without a store. */
  readonly combining: Readonly<Record<string, readonly (number | null)[]>>;
  /** The same of buffers that are closed and on their way out, where wcReopens is on. */
  readonly leaving: Readonly<Record<string, readonly (number | null)[]>>;
  readonly pendingFlushes: Readonly<Record<string, readonly (keyof PendingFlush)[]>>;
  readonly streaming: Readonly<Record<string, readonly number[]>>;
  readonly cache: Readonly<Record<string, CachedLine>>;
  /** Per view what the TLB holds; `absent`: nothing, the next access walks the page tables. */
  readonly tlb: Readonly<Record<string, PageType>>;
  readonly cacheDisable: boolean;
}

export interface DeviceState {
  readonly pc: number;
  readonly done: boolean;
  readonly registers: Readonly<Record<string, number>>;
  /** Per line its own cached cells; null where it has none. */
  readonly cache: Readonly<Record<string, readonly ({ value: number; dirty: boolean } | null)[]>>;
}

/** A state as an object. Records have the order of the configuration; what is empty is not in them. */
export interface StateView {
  readonly memory: Readonly<Record<string, readonly number[]>>;
  /** The modified copy where there is one, else memory. */
  readonly coherent: Readonly<Record<string, readonly number[]>>;
  readonly cores: Readonly<Record<string, CoreState>>;
  readonly devices: Readonly<Record<string, DeviceState>>;
  readonly flags: Readonly<Record<string, number>>;
  /** Per view (`name`, or `core.name` of a core's own) what the page tables say. */
  readonly pageTable: Readonly<Record<string, PageType>>;
}

/** An access that waits for a page-table entry. */
export interface Fault {
  readonly agent: string;
  readonly view: string;
  readonly access: 'load' | 'store';
  readonly instruction: number;
}

/**
 * States are `words` 32-bit words somewhere in an Int32Array (`state`, from index `at`). Bit 31 of the first word is
 * always 0: a table of states can mark its slots with it.
 */
export interface Machine {
  readonly config: MachineConfig;
  /** How `successors` is computed: generated code, or the interpreter where code cannot be generated. */
  readonly engine: 'generated' | 'interpreted';
  /** The rules as data, and where their variables stand: for other back ends. */
  readonly system: System;
  readonly layout: Layout;
  readonly words: number;
  /** No state has more next states than this: `out` needs room for as many. */
  readonly maxSuccessors: number;
  readonly initial: Int32Array;
  /**
   * Writes the next states to `out`, one after the other from index `to` (0 unless given), in the order of the rules.
   * Their number. Bit 31 of the first word is taken over as it stands.
   */
  readonly successors: (state: Int32Array, at: number, out: Int32Array, to?: number) => number;
  /** What leads to the i-th of them. @throws InternalError when there are not so many. */
  readonly stepAt: (state: Int32Array, at: number, i: number) => Step;
  readonly read: (state: Int32Array, at: number) => StateView;
  /** `isFinal` as data. */
  readonly final: Expression;
  /** Programs done; store buffers, write-combining buffers and pending flushes empty. */
  readonly isFinal: (state: Int32Array, at: number) => boolean;
  /** Registers of each agent, in the order of the configuration. */
  readonly outcome: (
    state: Int32Array,
    at: number,
  ) => Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Accesses that wait because neither TLB nor page tables have their view: somebody has to `poke`. */
  readonly faults: (state: Int32Array, at: number) => readonly Fault[];
  /**
   * Writes a page-table entry in place, as a hypervisor does; TLBs keep what they hold.
   * @param view `name`, or `core.name` of a core's own
   * @throws InputError when there is no such view or it cannot become this
   */
  readonly poke: (state: Int32Array, at: number, view: string, type: PageType) => void;
  /** Empties the TLB of a core, or its entry for one view. Draining its buffers is the caller's affair. */
  readonly flushTlb: (state: Int32Array, at: number, core: string, view?: string) => void;
  /** Whether a core has nothing in store buffer, write-combining buffers and pending flushes. */
  readonly isDrained: (state: Int32Array, at: number, core: string) => boolean;
  /** Writes into memory in place, as somebody outside of the machine does: no cache is looked into. */
  readonly pokeMemory: (
    state: Int32Array,
    at: number,
    line: string,
    cell: number,
    value: number,
  ) => void;
}

function textOf(
  layout: Layout,
  c: Command,
  state: Int32Array,
  at: number,
  after: Int32Array,
): string {
  return c.text
    .map((part) => {
      if (typeof part === 'string') return part;
      return 'before' in part
        ? evaluate(layout, part.before, state, at)
        : evaluate(layout, part.after, after, 0);
    })
    .join('');
}

function stepOf(layout: Layout, c: Command, state: Int32Array, at: number): Step {
  const after = new Int32Array(layout.words);
  perform(layout, c, state, at, after, 0);
  return {
    rule: c.rule.id,
    agent: c.agent,
    text: textOf(layout, c, state, at, after),
    sources: c.rule.sources.map(cite),
    instruction: c.instruction,
  };
}

/**
 * The machine of a configuration.
 * @param engine `interpreted` where code must not be generated; generated code is tried first otherwise
 * @throws InputError when the configuration is wrong
 */
export function makeMachine(
  config: MachineConfig,
  engine: 'generated' | 'interpreted' = 'generated',
): Machine {
  const hw = buildHardware(config);
  const { system } = hw.builder;
  const layout = layOut(system.variables);
  const code = engine === 'generated' ? generated(system, layout) : null;
  const final = finalExpression(hw);
  const ask = (state: Int32Array, at: number): Ask => asker(layout, state, at);
  return {
    config,
    engine: code === null ? 'interpreted' : 'generated',
    system,
    layout,
    words: layout.words,
    maxSuccessors: system.commands.length,
    initial: pack(layout, system.initial),
    successors: code ?? interpreted(system, layout),
    stepAt: (state, at, i) => {
      const enabled = system.commands.filter((c) => isEnabled(layout, c, state, at));
      return stepOf(layout, must(enabled[i], `no step ${i}`), state, at);
    },
    read: (state, at) => readState(hw, ask(state, at)),
    final,
    isFinal:
      (code === null ? null : generatedPredicate(final, layout)) ??
      ((state, at) => ask(state, at)(final) === 1),
    outcome: (state, at) => outcomeOf(hw, ask(state, at)),
    faults: (state, at) => faultsOf(hw, ask(state, at)),
    poke: (state, at, view, type) => pokeView(hw, layout, state, at, view, type),
    flushTlb: (state, at, core, view) => flushTlb(hw, layout, state, at, core, view),
    isDrained: (state, at, core) => ask(state, at)(drainedExpression(hw, core)) === 1,
    pokeMemory: (state, at, line, cell, value) =>
      pokeMemory(hw, layout, state, at, line, cell, value),
  };
}
