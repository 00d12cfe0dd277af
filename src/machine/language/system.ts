import { assert } from '../../base/assert.ts';
import type { Rule } from '../../cite/rule.ts';
import {
  all,
  constant,
  type Expression,
  isNever,
  type Place,
  type Statement,
  type Variable,
} from './expression.ts';

/** A piece of the text of a step: words, or a number asked of the state before or after it. */
export type TextPart = string | { readonly before: Expression } | { readonly after: Expression };

/** One rule for one agent, line, instruction: where `guard` holds it may happen, and `effect` is what happens. */
export interface Command {
  readonly rule: Rule;
  readonly agent: string;
  /** Index of the instruction that it executes; null for what hardware does by itself. */
  readonly instruction: number | null;
  readonly text: readonly TextPart[];
  /** All of them hold. The first is the most telling one, usually the program counter. */
  readonly guard: readonly Expression[];
  readonly effect: readonly Statement[];
}

/** A machine as data: back ends need nothing else. */
export interface System {
  readonly variables: readonly Variable[];
  readonly initial: readonly number[];
  readonly commands: readonly Command[];
}

/** Collects variables and commands. */
export class SystemBuilder {
  readonly #variables: Variable[] = [];
  readonly #initial: number[] = [];
  readonly #commands: Command[] = [];

  /** A variable of `size` values, or, if there is only one, that constant. */
  variable(name: string, size: number, initial = 0): Place {
    assert(initial < size, `${name}: no room for ${initial}`);
    if (size === 1) return constant(0);
    const variable = { index: this.#variables.length, name, size };
    this.#variables.push(variable);
    this.#initial.push(initial);
    return { kind: 'variable', variable };
  }

  /** Enters a command, unless its guard can never hold. */
  command(c: Command): void {
    const guard = all(...c.guard);
    if (isNever(guard)) return;
    this.#commands.push({ ...c, guard: guard.kind === 'all' ? guard.of : [guard] });
  }

  get system(): System {
    return { variables: this.#variables, initial: this.#initial, commands: this.#commands };
  }
}
