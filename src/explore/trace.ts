import { refuse } from '../base/diagnostic.ts';
import type { Machine, StateView, Step } from '../machine/machine.ts';
import { type Copies, copiesOf } from './copies.ts';
import type { Path } from './path.ts';

/** A state of an execution. */
export interface Moment {
  readonly view: StateView;
  readonly copies: Copies;
}

/** One step of an execution, and what is the case after it. */
export interface TracedStep extends Moment {
  /** Which of so many steps that were possible. */
  readonly choice: number;
  readonly choices: number;
  readonly step: Step;
}

/** An execution, step by step. */
export interface Trace {
  readonly path: Path;
  readonly initial: Moment;
  readonly steps: readonly TracedStep[];
  /** The last state. */
  readonly last: Int32Array;
  readonly isFinal: boolean;
}

function momentOf(machine: Machine, state: Int32Array): Moment {
  const view = machine.read(state, 0);
  return { view, copies: copiesOf(view) };
}

/** The execution along a path. @throws InputError where there is no such step */
export function traceAlong(machine: Machine, path: Path): Trace {
  const { words } = machine;
  const out = new Int32Array(machine.maxSuccessors * words);
  const steps: TracedStep[] = [];
  let state = machine.initial;
  for (const [i, choice] of path.entries()) {
    const choices = machine.successors(state, 0, out, 0);
    if (choice >= choices) {
      const help = choices === 0 ? 'nothing happens any more' : `one of 0 to ${choices - 1}`;
      refuse(`step ${i + 1} of the path: there is no choice ${choice}`, help);
    }
    const step = machine.stepAt(state, 0, choice);
    state = out.slice(choice * words, (choice + 1) * words);
    steps.push({ choice, choices, step, ...momentOf(machine, state) });
  }
  return {
    path,
    initial: momentOf(machine, machine.initial),
    steps,
    last: state,
    isFinal: machine.isFinal(state, 0),
  };
}
