import { must } from '../base/assert.ts';
import { compileLitmus } from '../litmus/compile.ts';
import type { CompiledTest, Outcome } from '../litmus/compiled.ts';
import { printOutcome, type Result, resultOf } from '../litmus/result.ts';
import type { LitmusTest, Word } from '../litmus/test.ts';
import { type Machine, makeMachine } from '../machine/machine.ts';
import type { Switches } from '../machine/switches.ts';
import { reduced } from './reduce.ts';
import { type Search, type SearchOptions, search } from './search.ts';
import { isBefore, stateAt } from './space.ts';
import { type Found, StateTable } from './table.ts';

/** A test under one setting of the switches, and the verdict that is expected then; null where none is. */
export interface Setting {
  readonly switches: Partial<Switches>;
  readonly expected: Word | null;
}

/** Final states with one outcome. */
export interface Final {
  readonly outcome: Outcome;
  /** States of the machine. */
  readonly count: number;
  /** Steps to the nearest of them. */
  readonly level: number;
  /** Of the nearest ones the first by its words: the same however the search went. */
  readonly state: Int32Array;
}

/** A test, searched under one setting. */
export interface Run {
  readonly setting: Setting;
  readonly compiled: CompiledTest;
  readonly machine: Machine;
  readonly search: Search;
  /** Its states, until the next search. */
  readonly found: Found;
  /** One for each state of the result, in its order; those found so far where the search was cut. */
  readonly finals: readonly Final[];
  readonly result: Result;
}

/**
 * `pass`, `fail`: what is expected, or else what the condition claims; `exists` alone is a question and passes.
 * `cut`: not every state was seen, and what was seen does not decide.
 */
export type Verdict = 'pass' | 'fail' | 'cut';

function sameSwitches(a: Partial<Switches>, b: Partial<Switches>): boolean {
  const keys = [...Object.keys(a), ...Object.keys(b)] as (keyof Switches)[];
  return keys.every((key) => a[key] === b[key]);
}

/**
 * What a test is run under: the switches that are given; else each setting for which it expects something; else the
 * defaults.
 */
export function settingsOf(test: LitmusTest, given: Partial<Switches> | null): readonly Setting[] {
  const { expect } = test.setup;
  if (given !== null) {
    const same = expect.find((e) => sameSwitches(e.switches, given));
    return [{ switches: given, expected: same?.word ?? null }];
  }
  if (expect.length === 0) return [{ switches: {}, expected: null }];
  return expect.map(({ word, switches }) => ({ switches, expected: word }));
}

/** Collects outcomes of final states. */
class Finals {
  readonly #compiled: CompiledTest;
  readonly #machine: Machine;
  readonly #found = new Map<string, Final>();

  constructor(compiled: CompiledTest, machine: Machine) {
    this.#compiled = compiled;
    this.#machine = machine;
  }

  add(states: Int32Array, at: number, level: number): void {
    const outcome = this.#compiled.observe(this.#machine, states, at);
    if (outcome === null) return;
    const key = printOutcome(this.#compiled, outcome);
    const known = this.#found.get(key);
    const state = stateAt(states, at, this.#machine.words);
    const better =
      known === undefined ||
      level < known.level ||
      (level === known.level && isBefore(state, known.state));
    this.#found.set(key, {
      outcome,
      count: (known?.count ?? 0) + 1,
      level: better ? level : known.level,
      state: better ? state : known.state,
    });
  }

  /** In the order of a result. */
  sorted(result: Result): readonly Final[] {
    return result.states.map((outcome) =>
      must(this.#found.get(printOutcome(this.#compiled, outcome)), 'an outcome was lost'),
    );
  }

  get outcomes(): readonly Outcome[] {
    return [...this.#found.values()].map((f) => f.outcome);
  }
}

/** Tables of states by their words, used again for one test after the other. */
export class Tables {
  readonly #bytes: number;
  readonly #byWords = new Map<number, StateTable>();

  /** @param bytes what one table may take */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** An empty table, and the one that was given last time is no longer in use. */
  take(words: number): StateTable {
    const known = this.#byWords.get(words);
    if (known !== undefined) {
      known.clear();
      return known;
    }
    const table = new StateTable(words, this.#bytes);
    this.#byWords.set(words, table);
    return table;
  }
}

/** How a machine is searched, and what it is told of final states. */
export type Searcher = (
  machine: Machine,
  onFinal: NonNullable<SearchOptions['onFinal']>,
) => Promise<{ readonly search: Search; readonly found: Found }>;

/** A search by this thread. */
export function searchHere(
  tables: Tables,
  options: Omit<SearchOptions, 'onFinal'> & { readonly reduce?: boolean } = {},
): Searcher {
  return (machine, onFinal) => {
    const found = tables.take(machine.words);
    const space = options.reduce === true ? reduced(machine) : machine;
    return Promise.resolve({ search: search(space, found, { ...options, onFinal }), found });
  };
}

/** Searches a test under one setting. @throws InputError where the machine cannot execute it */
export async function runTest(
  test: LitmusTest,
  setting: Setting,
  searcher: Searcher,
): Promise<Run> {
  const compiled = compileLitmus(test, setting.switches);
  const machine = makeMachine(compiled.config);
  const finals = new Finals(compiled, machine);
  const { search: searched, found } = await searcher(machine, (states, at, level) =>
    finals.add(states, at, level),
  );
  const result = resultOf(compiled, finals.outcomes);
  return {
    setting,
    compiled,
    machine,
    search: searched,
    found,
    finals: finals.sorted(result),
    result,
  };
}

/** What is known of a cut search: one state that satisfies or refutes the proposition is enough for some verdicts. */
function isDecided({ search: { cut }, result }: Run, expected: Word | null): boolean {
  return cut === null || (expected === 'Sometimes' && result.word === 'Sometimes');
}

/** Whether a run is as it should be. */
export function verdictOf(run: Run): Verdict {
  const { setting, result, compiled, search: searched } = run;
  const { expected } = setting;
  if (expected !== null) {
    if (isDecided(run, expected)) return result.word === expected ? 'pass' : 'fail';
    const refuted =
      (expected === 'Never' && result.positive > 0) ||
      (expected === 'Always' && result.negative > 0);
    return refuted ? 'fail' : 'cut';
  }
  const { quantifier } = compiled.test.condition;
  if (searched.cut === null) return quantifier === 'exists' || result.ok ? 'pass' : 'fail';
  if (quantifier === 'exists') return result.positive > 0 ? 'pass' : 'cut';
  return result.ok ? 'cut' : 'fail';
}
