import {
  all,
  type Expression,
  isNever,
  isOneOf,
  not,
  type Statement,
} from '../machine/language/expression.ts';
import { interpreted } from '../machine/language/interpret.ts';
import { generated } from '../machine/language/javascript.ts';
import type { Command, System } from '../machine/language/system.ts';
import type { Machine } from '../machine/machine.ts';
import { type Demand, demandOf } from './access.ts';
import { areIndependent } from './commute.ts';
import type { Space } from './space.ts';

// docs/explore.md has the argument why this is right.

/** How a variable may get a value: from a constant or an expression of some values, or as a copy. */
interface Write {
  readonly by: number;
  readonly values: readonly number[] | 'any';
  /** Index of the variable that is copied; null where none is. */
  readonly from: number | null;
}

function writesIn(s: Statement, by: number, into: Map<number, Write[]>): void {
  if (s.kind === 'when') {
    for (const inner of [...s.yes, ...s.no]) writesIn(inner, by, into);
    return;
  }
  const { value, variable } = s;
  const write: Write = {
    by,
    values: value.kind === 'constant' ? [value.value] : 'any',
    from: value.kind === 'variable' ? value.variable.index : null,
  };
  const list = into.get(variable.index);
  if (list === undefined) into.set(variable.index, [write]);
  else list.push(write);
}

/** A fact: a variable has one of its values. */
type Facts = Map<number, Set<number>>;

function has(facts: Facts, variable: number, value: number): boolean {
  return facts.get(variable)?.has(value) ?? false;
}

function enter(facts: Facts, variable: number, value: number): boolean {
  const values = facts.get(variable);
  if (values === undefined) facts.set(variable, new Set([value]));
  else if (values.has(value)) return false;
  else values.add(value);
  return true;
}

/** What is the same for all commands of a system. */
class Analysis {
  readonly commands: readonly Command[];
  readonly demands: readonly (readonly Demand[])[];
  readonly #writes = new Map<number, Write[]>();
  readonly #sizes: readonly number[];

  constructor(system: System) {
    this.commands = system.commands;
    this.demands = system.commands.map((c) => c.guard.map(demandOf).filter((d) => d !== null));
    this.#sizes = system.variables.map((v) => v.size);
    for (const [i, c] of system.commands.entries())
      for (const s of c.effect) writesIn(s, i, this.#writes);
  }

  /** The demand by which a command is told to be impossible: one that contradicts `held` where there is one. */
  #key(command: number, held: readonly Demand[]): Demand | null {
    const demands = this.demands[command] ?? [];
    const contradicts = (d: Demand): boolean =>
      held.some(
        (h) => h.variable.index === d.variable.index && !h.values.some((v) => d.values.includes(v)),
      );
    return demands.find(contradicts) ?? demands[0] ?? null;
  }

  /**
   * Facts none of which holds in a state from which `targets` cannot happen before command `t` does: whoever could bring
   * one of them about needs another one. Null: no such facts are known.
   */
  forbidding(t: number, targets: readonly number[]): Facts | null {
    const held = this.demands[t] ?? [];
    const facts: Facts = new Map();
    const open: { readonly variable: number; readonly value: number }[] = [];
    const want = (variable: number, value: number): void => {
      if (enter(facts, variable, value)) open.push({ variable, value });
    };
    const need = (command: number): boolean => {
      const key = this.#key(command, held);
      if (key === null) return false;
      for (const value of key.values) want(key.variable.index, value);
      return true;
    };
    for (const target of targets) if (!need(target)) return null;
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const write of this.#writes.get(next.variable) ?? []) {
        if (write.by === t) continue;
        if (write.from !== null) {
          if (next.value < (this.#sizes[write.from] ?? 0)) want(write.from, next.value);
        } else if (write.values === 'any' || write.values.includes(next.value)) {
          if (!need(write.by)) return null;
        }
      }
    }
    return facts;
  }

  /** Whether a command can never happen in a final state. */
  isProgress(t: number, final: readonly Demand[]): boolean {
    return (this.demands[t] ?? []).some((d) =>
      final.some(
        (f) => f.variable.index === d.variable.index && !f.values.some((v) => d.values.includes(v)),
      ),
    );
  }

  /** What has to hold for `t` to be enough; null where it never is. */
  condition(t: number, system: System): Expression | null {
    const command = this.commands[t];
    if (command === undefined) return null;
    const rivals = this.commands.flatMap((d, i) =>
      i === t || areIndependent(command, d) ? [] : [i],
    );
    const facts = this.forbidding(t, rivals);
    if (facts === null) return null;
    const held = this.demands[t] ?? [];
    const parts: Expression[] = [];
    for (const [index, values] of facts) {
      const known = held.filter((h) => h.variable.index === index);
      const possible = known.map((h) => h.values);
      const may = (value: number): boolean => possible.every((list) => list.includes(value));
      const open = [...values].filter(may);
      if (open.length === 0) continue;
      const variable = system.variables[index];
      if (variable === undefined) return null;
      parts.push(not(isOneOf({ kind: 'variable', variable }, open, variable.size)));
    }
    const condition = all(...parts);
    const isHopeless = held.some((h) => h.values.every((v) => has(facts, h.variable.index, v)));
    return isNever(condition) || isHopeless ? null : condition;
  }
}

function demandsOf(e: Expression): readonly Demand[] {
  const parts = e.kind === 'all' ? e.of : [e];
  return parts.map(demandOf).filter((d) => d !== null);
}

/** Commands that are enough where their guard holds: nothing else has to be done in such a state. */
export function sufficient(system: System, final: Expression): readonly Command[] {
  const analysis = new Analysis(system);
  const ends = demandsOf(final);
  return system.commands.flatMap((c, t) => {
    if (!analysis.isProgress(t, ends)) return [];
    const condition = analysis.condition(t, system);
    return condition === null ? [] : [{ ...c, guard: [...c.guard, condition] }];
  });
}

/** The machine with fewer states between the first and the final ones; those and their distances are the same. */
export function reduced(machine: Machine): Space {
  const { system, layout, successors } = machine;
  const part = { ...system, commands: sufficient(system, machine.final) };
  const alone = generated(part, layout) ?? interpreted(part, layout);
  return {
    words: machine.words,
    initial: machine.initial,
    maxSuccessors: machine.maxSuccessors,
    isFinal: machine.isFinal,
    successors: (state, at, out, to) =>
      alone(state, at, out, to) > 0 ? 1 : successors(state, at, out, to),
  };
}
