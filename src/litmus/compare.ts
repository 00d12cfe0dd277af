import type { CompiledTest, Outcome } from './compiled.ts';
import type { LoggedState, LoggedTest } from './log.ts';
import { printLocation } from './print-parts.ts';
import type { Result } from './result.ts';
import type { Value } from './test.ts';
import { sameValue } from './values.ts';

/** A log against the model. Either the log asks for what the test does not name, or the states are compared. */
export type Comparison =
  | { readonly kind: 'incomparable'; readonly missing: readonly string[] }
  | {
      readonly kind: 'compared';
      /** In the log, and not among the final states of the model: seen on hardware, this refutes the model. */
      readonly forbidden: readonly LoggedState[];
      /** Final states of the model that the log does not have: that proves nothing. */
      readonly unseen: readonly Outcome[];
      /** Whether the model has the log's verdict; null where the log has none. */
      readonly sameWord: boolean | null;
    };

/** Compares what a log says of a test with the states that the model reaches. */
export function compareWithLog(test: CompiledTest, result: Result, log: LoggedTest): Comparison {
  const columns = test.columns.map(printLocation);
  const logged = [...new Set(log.states.flatMap((state) => [...state.values.keys()]))];
  const missing = logged.filter((name) => !columns.includes(name));
  if (missing.length > 0) return { kind: 'incomparable', missing };
  const agrees = (outcome: Outcome, state: LoggedState): boolean =>
    [...state.values].every(([name, value]) => {
      const ours: Value | undefined = outcome[columns.indexOf(name)];
      return ours !== undefined && sameValue(ours, value);
    });
  return {
    kind: 'compared',
    forbidden: log.states.filter(
      (state) => state.count !== 0 && !result.states.some((outcome) => agrees(outcome, state)),
    ),
    unseen: result.states.filter((outcome) => !log.states.some((state) => agrees(outcome, state))),
    sameWord: log.observation === null ? null : log.observation.word === result.word,
  };
}
