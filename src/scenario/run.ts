import { must } from '../base/assert.ts';
import { seededChoice } from '../base/random.ts';
import { type Machine, makeMachine, type StateView } from '../machine/machine.ts';
import type { Question } from '../resolve/question.ts';
import { storesFast } from '../x86/cost.ts';
import type { EffectiveType, PatType } from '../x86/types.ts';
import { type Backdrop, type Compiled, compile } from './compile.ts';
import { type Condition, holds } from './condition.ts';
import { type MachineEvent, type StageEvent, tell } from './happening.ts';
import type { Program, Result } from './scenario.ts';
import {
  explore,
  finalStates,
  MOST_STATES,
  type Move,
  type StateGraph,
  scheduleTo,
  stuckStates,
} from './search.ts';
import { effectiveOf } from './stage/effective.ts';
import { Known } from './stage/known.ts';
import { Refusal, type Stage, setStage } from './stage/stage.ts';

/** Why a run does not hold. */
export interface Violation {
  readonly kind: 'never' | 'sometimes' | 'stuck' | 'granted' | 'effective' | 'refused';
  readonly text: string;
}

/** What is shown of one event: of the deciders, or of the machine. */
export type RunEvent =
  | ({ readonly kind: 'stage' } & StageEvent)
  | ({ readonly kind: 'machine' } & MachineEvent);

/** A scenario's program, run under one set of facts. */
export interface Run {
  readonly question: Question;
  readonly program: Program;
  readonly seed: number;
  readonly stage: Stage;
  readonly result: Result;
  readonly violations: readonly Violation[];
  /** Null: the states were too many to look at all, and no violation was among those looked at. */
  readonly holds: boolean | null;
  readonly events: readonly RunEvent[];
  /** By agent of the program, the registers at the end of the schedule that is shown. */
  readonly outcome: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Effective types of the guest's accesses to the blob, in the order of the program. */
  readonly types: readonly EffectiveType[];
  /** Null: nothing ran. */
  readonly searched: {
    readonly states: number;
    readonly steps: number;
    readonly isComplete: boolean;
  } | null;
  /** The machine at the end; null: nothing ran. */
  readonly final: StateView | null;
}

export interface RunOptions {
  /** 0: the shortest schedule. */
  readonly seed: number;
  readonly mostStates?: number;
}

function reads(state: StateView, { bytes }: Compiled): Parameters<typeof holds>[1] {
  return ({ owner, name }) => {
    if (owner === 'memory') {
      const at = must(bytes.get(name), `no byte ${name}`);
      return state.memory[at.line]?.[at.cell] ?? 0;
    }
    const agents = {
      guest: state.cores['cpu0'],
      host: state.cores['cpu1'],
      gpu: state.devices['gpu'],
    };
    return must(agents[owner as 'guest'], `no agent ${owner}`).registers[name] ?? 0;
  };
}

/** The final states that a condition holds in. */
function endsWith(graph: StateGraph, compiled: Compiled, condition: Condition): readonly number[] {
  const { machine } = graph;
  return finalStates(graph, (state, at) =>
    holds(condition, reads(machine.read(state, at), compiled)),
  );
}

interface Judged {
  readonly violations: readonly Violation[];
  /** Final states that show what is wrong, or, where nothing is, any. */
  readonly goals: readonly number[];
  /** A condition that no state met may still be met by one that was not looked at. */
  readonly isSettled: boolean;
}

function judge(program: Program, compiled: Compiled, graph: StateGraph): Judged {
  const violations: Violation[] = [];
  const goals: number[] = [];
  for (const condition of program.never) {
    const bad = endsWith(graph, compiled, condition);
    if (bad.length === 0) continue;
    violations.push({ kind: 'never', text: condition.text });
    goals.push(...bad);
  }
  const stuck = stuckStates(graph);
  if (stuck.length > 0) {
    violations.push({ kind: 'stuck', text: 'everybody waits' });
    goals.push(...stuck);
  }
  const missing = program.sometimes.filter((c) => endsWith(graph, compiled, c).length === 0);
  if (graph.isComplete)
    violations.push(...missing.map((c) => ({ kind: 'sometimes' as const, text: c.text })));
  const shown = goals.length > 0 ? goals : finalStates(graph, () => true);
  return { violations, goals: shown, isSettled: graph.isComplete || goals.length > 0 };
}

function eventsOf(
  machine: Machine,
  graph: StateGraph,
  moves: readonly Move[],
  compiled: Compiled,
  snoops: boolean,
) {
  const events: RunEvent[] = [];
  const { states } = graph;
  let before = machine.read(states, 0);
  for (const { from, to, index } of moves) {
    const after = machine.read(states, to * machine.words);
    const step = machine.stepAt(states, from * machine.words, index);
    const told = tell(step, before, after, { ...compiled, snoops });
    if (told !== null) events.push({ kind: 'machine', ...told });
    const origin =
      step.instruction === null ? null : compiled.origins[step.agent]?.[step.instruction];
    for (const event of origin?.events ?? []) events.push({ kind: 'stage', ...event });
    before = after;
  }
  return { events, final: before };
}

function staged(events: readonly StageEvent[]): readonly RunEvent[] {
  return events.map((e) => ({ kind: 'stage', ...e }));
}

function typeViolations(
  program: Program,
  granted: PatType | null,
  types: readonly EffectiveType[],
): readonly Violation[] {
  const found: Violation[] = [];
  if (program.granted !== null && granted !== null && !program.granted.includes(granted)) {
    found.push({ kind: 'granted', text: `the guest kernel grants ${granted}` });
  }
  const other = types.find((t) => program.effective?.includes(t) === false);
  if (other !== undefined)
    found.push({ kind: 'effective', text: `the guest's accesses are ${other}` });
  return found;
}

function resultOf(violations: readonly Violation[], types: readonly EffectiveType[]): Result {
  if (violations.length > 0) return 'x';
  return types.every(storesFast) ? 'ok' : 'slow';
}

/** There is no run: somebody on the stage refuses. */
function refusedRun(
  question: Question,
  program: Program,
  seed: number,
  stage: Stage,
  why: string,
): Run {
  return {
    question,
    program,
    seed,
    stage,
    result: 'refused',
    violations: [{ kind: 'refused', text: why }],
    holds: false,
    events: staged(stage.events),
    outcome: {},
    types: [],
    searched: null,
    final: null,
  };
}

/**
 * Runs a program: sets the stage, looks at every schedule of the machine, and shows one. Where some schedule
 * violates what must hold, the one that is shown does.
 *
 * @throws Undetermined when a fact that somebody looks at has no single value
 */
export function run(question: Question, program: Program, options: RunOptions): Run {
  const { seed } = options;
  const stage = setStage(new Known(question), program);
  if (stage.backdrop === null) {
    return refusedRun(question, program, seed, stage, stage.refused ?? 'refused');
  }
  const compiled = compiledOrRefused(program, stage.backdrop);
  if (compiled instanceof Refusal) {
    return refusedRun(question, program, seed, stage, compiled.message);
  }
  const machine = makeMachine(compiled.config);
  const graph = explore(machine, options.mostStates ?? MOST_STATES);
  const judged = judge(program, compiled, graph);
  const types = [
    ...new Set(
      (compiled.origins['cpu0'] ?? []).flatMap(({ by, type, instruction }) =>
        by === 'guest' && type !== null && isInBlob(compiled, instruction)
          ? [effectiveOf(type)]
          : [],
      ),
    ),
  ];
  const violations = [
    ...judged.violations,
    ...typeViolations(program, stage.mapping?.granted ?? null, types),
  ];
  const choice = seed === 0 ? null : seededChoice(seed);
  const moves = judged.goals.length === 0 ? [] : scheduleTo(graph, judged.goals, choice);
  const told = eventsOf(machine, graph, moves, compiled, stage.backdrop.snoop);
  return {
    question,
    program,
    seed,
    stage,
    result: resultOf(violations, types),
    violations,
    holds: judged.isSettled ? violations.length === 0 : violations.length > 0 ? false : null,
    events: [...staged(stage.events), ...told.events, ...staged(stage.backdrop.end())],
    outcome: outcomeOf(told.final, program),
    types,
    searched: { states: graph.count, steps: graph.steps, isComplete: graph.isComplete },
    final: told.final,
  };
}

/** While the program runs, too, an access may fail. */
function compiledOrRefused(program: Program, backdrop: Backdrop): Compiled | Refusal {
  try {
    return compile(program, backdrop);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function isInBlob({ bytes }: Compiled, instruction: { op: string } | null): boolean {
  if (instruction === null || !('byte' in instruction)) return false;
  return bytes.get(instruction.byte as string)?.region === 'blob';
}

function outcomeOf(state: StateView, program: Program): Run['outcome'] {
  const agents = {
    guest: state.cores['cpu0'],
    host: state.cores['cpu1'],
    gpu: state.devices['gpu'],
  };
  return Object.fromEntries(
    program.parts.map(({ agent }) => [agent, agents[agent]?.registers ?? {}]),
  );
}
