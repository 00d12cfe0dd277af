import { must } from '../base/assert.ts';
import type { Switches } from '../machine/switches.ts';
import type { CompiledTest, Outcome } from './compiled.ts';
import { printSwitches } from './print.ts';
import { printLocation, printProposition, printValue } from './print-parts.ts';
import type { Quantifier, Value, Word } from './test.ts';

/** The answer to a test: its final states over the columns, and how many of them satisfy the proposition. */
export interface Result {
  /** Distinct, in herd's order. */
  readonly states: readonly Outcome[];
  /** States that satisfy the proposition inside the quantifier, and the others. */
  readonly positive: number;
  readonly negative: number;
  /** Speaks about that proposition, whatever the quantifier. */
  readonly word: Word;
  /** Whether the condition with its quantifier holds. */
  readonly ok: boolean;
}

function compareValues(a: Value, b: Value): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'number') return -1;
  if (typeof b === 'number') return 1;
  if (a.symbol !== b.symbol) return a.symbol < b.symbol ? -1 : 1;
  return a.offset - b.offset;
}

function compareOutcomes(a: Outcome, b: Outcome): number {
  for (const [i, value] of a.entries()) {
    const order = compareValues(value, must(b[i], 'outcomes of one test have one length'));
    if (order !== 0) return order;
  }
  return 0;
}

/** As herd: no positive state is Never, no negative one Always; a test without any final state is Never. */
function wordOf(positive: number, negative: number): Word {
  if (positive === 0) return 'Never';
  return negative === 0 ? 'Always' : 'Sometimes';
}

function holdsAs(quantifier: Quantifier, positive: number, negative: number): boolean {
  switch (quantifier) {
    case 'exists':
      return positive > 0;
    case '~exists':
      return positive === 0;
    case 'forall':
      return negative === 0;
  }
}

/** The result of a test from what `observe` said of its final states; repetitions do not matter. */
export function resultOf(test: CompiledTest, outcomes: Iterable<Outcome>): Result {
  const states: Outcome[] = [];
  for (const outcome of [...outcomes].sort(compareOutcomes)) {
    const last = states.at(-1);
    if (last === undefined || compareOutcomes(last, outcome) !== 0) states.push(outcome);
  }
  const positive = states.filter((state) => test.holds(state)).length;
  const negative = states.length - positive;
  return {
    states,
    positive,
    negative,
    word: wordOf(positive, negative),
    ok: holdsAs(test.test.condition.quantifier, positive, negative),
  };
}

const KIND: Readonly<Record<Quantifier, string>> = {
  exists: 'Allowed',
  forall: 'Required',
  '~exists': 'Forbidden',
};

/** One state as herd prints it: `0:rax=0; [x]=1;`. */
export function printOutcome(test: CompiledTest, outcome: Outcome): string {
  return test.columns
    .map((location, i) => `${printLocation(location)}=${printValue(outcome[i] ?? 0)};`)
    .join(' ');
}

/**
 * The block that herd7 prints, which mcompare7 reads. Its counts are executions, ours are states: of a state search
 * only the word can be compared. As in herd, with `~exists` the witnesses are the negative states, and the line
 * Observation speaks about the proposition inside.
 *
 * @param switches are named in a line in front, if there are any: `With selfSnoop=off`
 */
export function printResult(
  test: CompiledTest,
  result: Result,
  switches: Partial<Switches> = {},
): string {
  const { name, condition } = test.test;
  const { quantifier, proposition } = condition;
  const { positive, negative } = result;
  const [witnesses, others] =
    quantifier === '~exists' ? [negative, positive] : [positive, negative];
  const words = printSwitches(switches);
  return [
    ...(words.length === 0 ? [] : [`With ${words.join(' ')}`]),
    `Test ${name} ${KIND[quantifier]}`,
    `States ${result.states.length}`,
    ...result.states.map((state) => printOutcome(test, state)),
    result.ok ? 'Ok' : 'No',
    'Witnesses',
    `Positive: ${witnesses} Negative: ${others}`,
    `Condition ${quantifier} (${printProposition(proposition)})`,
    `Observation ${name} ${result.word} ${positive} ${negative}`,
    '',
  ].join('\n');
}
