import { composeQuestions } from '../resolve/compose.ts';
import type { Entry, Word } from '../resolve/entries.ts';
import { overlaid } from './read.ts';
import { run } from './run.ts';
import type { Outcome, Program, Result, Scenario } from './scenario.ts';

/** One cell of the table of outcomes: one set of facts and one program. */
export interface CheckedOutcome {
  readonly outcome: Outcome;
  /** The facts that the outcome says, each with one value. */
  readonly facts: readonly Entry[];
  readonly program: Program;
  readonly expected: Result;
  readonly got: Result;
}

/** Every combination of the values said. */
export function combinations(entries: readonly Entry[]): readonly (readonly Entry[])[] {
  return entries.reduce<readonly (readonly Entry[])[]>(
    (sets, entry) =>
      sets.flatMap((set) =>
        entry.words.map((word: Word): readonly Entry[] => [...set, { ...entry, words: [word] }]),
      ),
    [[]],
  );
}

/**
 * Runs what the file says of outcomes. A fact with several values stands for a run with each of them.
 *
 * @param said facts that replace those of the file
 * @throws Undetermined, InputError
 */
export function checkOutcomes(
  scenario: Scenario,
  said: readonly Entry[],
): readonly CheckedOutcome[] {
  return scenario.outcomes.flatMap((outcome) =>
    outcome.results.flatMap(({ program: name, result: expected }) => {
      const program = scenario.programs.find((p) => p.name === name.text);
      if (program === undefined) return [];
      return combinations(outcome.facts).flatMap((facts) => {
        const entries = overlaid(scenario.facts, program.facts, facts, said);
        return composeQuestions(entries).map((question) => {
          const got = run(question, program, { seed: 0 }).result;
          return { outcome, facts, program, expected, got };
        });
      });
    }),
  );
}
