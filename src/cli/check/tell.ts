import { causesOf } from '../../explore/cause.ts';
import type { Run, Tables } from '../../explore/check.ts';
import { type Path, pathTo } from '../../explore/path.ts';
import { repairsOf } from '../../explore/repair.ts';
import { traceAlong } from '../../explore/trace.ts';
import { wantedOf, witnessOf } from '../../explore/witness.ts';
import { type Subject, type Told, titleOf, valueWords } from '../../report/check/told.ts';

/** What a telling goes by. */
export interface TellOptions {
  readonly tables: Tables;
  readonly maxStates: number;
  /** Whether causes and repairs are searched for. */
  readonly why: boolean;
}

/** The shortest execution that answers a test. Null where none was found. */
export function tellWitness(run: Run, { tables, maxStates, why }: TellOptions): Told | null {
  const final = witnessOf(run);
  if (final === null) return null;
  const { compiled, machine, search, setting, found } = run;
  const trace = traceAlong(machine, pathTo(machine, found, search, final.state, final.level));
  const wanted = wantedOf(run);
  const { switches } = setting;
  return {
    run,
    trace,
    title: titleOf(run, trace, true),
    why: why
      ? {
          causes: causesOf(compiled, machine, tables, wanted, maxStates),
          repairs: repairsOf(compiled.test, { switches, tables, wanted, maxStates }),
        }
      : null,
    values: valueWords(run),
  };
}

/** An execution that somebody chose. @throws InputError where it does not exist */
export function tellPath(run: Subject, path: Path): Told {
  const trace = traceAlong(run.machine, path);
  return { run, trace, title: titleOf(run, trace, false), why: null, values: valueWords(run) };
}
