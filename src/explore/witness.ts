import type { Final, Run } from './check.ts';
import { isBefore } from './space.ts';

/** Whether the interesting executions of a test are those that satisfy its proposition: not where all should. */
export function wantedOf({ compiled }: Pick<Run, 'compiled'>): boolean {
  return compiled.test.condition.quantifier !== 'forall';
}

/** The nearest final state that is the answer to the question, or that refutes the claim. Null where none is. */
export function witnessOf(run: Run): Final | null {
  const wanted = wantedOf(run);
  let best: Final | null = null;
  for (const final of run.finals) {
    if (run.compiled.holds(final.outcome) !== wanted) continue;
    const isBetter =
      best === null ||
      final.level < best.level ||
      (final.level === best.level && isBefore(final.state, best.state));
    if (isBetter) best = final;
  }
  return best;
}
