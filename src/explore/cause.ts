import { allRules, type Rule } from '../cite/rule.ts';
import type { CompiledTest } from '../litmus/compiled.ts';
import { interpreted } from '../machine/language/interpret.ts';
import { generated } from '../machine/language/javascript.ts';
import type { Command } from '../machine/language/system.ts';
import type { Machine } from '../machine/machine.ts';
import type { Tables } from './check.ts';
import { search } from './search.ts';
import type { Space } from './space.ts';

/**
 * What makes an outcome possible. `late`: it is impossible where this rule, whenever it can happen, happens before
 * anything else. `happens`: it is impossible without this rule.
 */
export interface Cause {
  readonly rule: Rule;
  readonly how: 'late' | 'happens';
}

type Successors = Space['successors'];

function stepping({ system, layout }: Machine, commands: readonly Command[]): Successors {
  const part = { ...system, commands };
  const code = generated(part, layout) ?? interpreted(part, layout);
  return (state, at, out, to) => code(state, at, out, to);
}

/** Whether final states remain, and whether one of them has the proposition as `wanted` says. */
export function ends(
  compiled: CompiledTest,
  machine: Machine,
  successors: Successors,
  tables: Tables,
  wanted: boolean,
  maxStates: number,
): 'with' | 'without' | 'none' | 'cut' {
  let found = false;
  let some = false;
  const { words, initial, maxSuccessors, isFinal } = machine;
  const { cut } = search(
    { words, initial, maxSuccessors, successors, isFinal },
    tables.take(words),
    {
      maxStates,
      onFinal: (states, at) => {
        const outcome = found ? null : compiled.observe(machine, states, at);
        some ||= outcome !== null;
        found ||= outcome !== null && compiled.holds(outcome) === wanted;
      },
    },
  );
  if (found) return 'with';
  if (cut !== null) return 'cut';
  return some ? 'without' : 'none';
}

/**
 * The rules of the hardware without which no execution ends as asked: each is held back, and each is hurried, and the
 * search run again. Rules that every execution needs to end are not among those that are held back.
 *
 * @param wanted whether the executions asked about satisfy the proposition
 */
export function causesOf(
  compiled: CompiledTest,
  machine: Machine,
  tables: Tables,
  wanted: boolean,
  maxStates: number,
): readonly Cause[] {
  const { commands } = machine.system;
  const ids = [...new Set(commands.filter((c) => c.instruction === null).map((c) => c.rule.id))];
  const run = (successors: Successors): string =>
    ends(compiled, machine, successors, tables, wanted, maxStates);
  return ids.flatMap((id): readonly Cause[] => {
    const rule = allRules().find((r) => r.id === id);
    if (rule === undefined) return [];
    const own = commands.filter((c) => c.rule.id === id && c.instruction === null);
    const others = stepping(
      machine,
      commands.filter((c) => !own.includes(c)),
    );
    if (run(others) === 'without') return [{ rule, how: 'happens' }];
    const hurried = stepping(machine, own);
    const first: Successors = (state, at, out, to) => {
      const n = hurried(state, at, out, to);
      return n > 0 ? n : others(state, at, out, to);
    };
    return run(first) === 'without' ? [{ rule, how: 'late' }] : [];
  });
}
