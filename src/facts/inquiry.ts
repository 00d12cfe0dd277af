import { must } from '../base/assert.ts';
import type { Choice } from '../base/choice.ts';
import { type FactKey, type Facts, type FactValues, factDefinition } from './facts.ts';

/** Where the value of a fact in one world came from. */
export type Origin =
  | 'given'
  /** One of several that are possible: this world's guess. */
  | 'supposed'
  /** The state in which KVM or the hardware starts. */
  | 'initial'
  /** Follows from other facts. */
  | 'implied'
  /** Follows from other facts and from something that nobody said, and that the answer states. */
  | 'assumed';

export interface Answer {
  readonly key: FactKey;
  readonly value: FactValues[FactKey];
  readonly origin: Origin;
  /** Why, for what was not given. */
  readonly why: string | null;
}

/** Values for facts with an open set, when nothing at all is known of them. */
export type OpenSets = { readonly [K in FactKey]?: readonly FactValues[K][] };

/**
 * One world: a consistent set of answers. A fact is asked for only when a rule looks at it; where
 * several values are possible the choice decides, so that running over every choice visits every world
 * in which the rules could go differently.
 */
export class Inquiry {
  readonly #facts: Facts;
  readonly #open: OpenSets;
  readonly #choice: Choice;
  readonly #answers = new Map<FactKey, Answer>();

  constructor(facts: Facts, open: OpenSets, choice: Choice) {
    this.#facts = facts;
    this.#open = open;
    this.#choice = choice;
  }

  /** Everything asked so far, in the order of the asking. */
  get answers(): readonly Answer[] {
    return [...this.#answers.values()];
  }

  /** Whether the user said anything about a fact. */
  isGiven(key: FactKey): boolean {
    return this.#facts[key] !== undefined;
  }

  /** The value of a fact in this world. */
  ask<K extends FactKey>(key: K): FactValues[K] {
    const known = this.#answers.get(key);
    if (known !== undefined) return known.value as FactValues[K];
    const given: readonly FactValues[K][] | undefined = this.#facts[key];
    const { initial, values } = factDefinition(key);
    if (given === undefined && initial !== undefined) {
      return this.#enter(key, initial.value, 'initial', initial.why);
    }
    const possible = must(given ?? this.#open[key] ?? values, `no values for ${key}`);
    if (possible.length === 1) return this.#enter(key, must(possible[0], key), 'given', null);
    return this.#enter(
      key,
      must(possible[this.#choice.pick(possible.length)], key),
      'supposed',
      null,
    );
  }

  /**
   * Narrows a fact to the values that others leave it, unless it was given or asked before. One value
   * settles it, several are guessed between; none at all leaves the fact as open as it was.
   */
  among<K extends FactKey>(key: K, values: readonly FactValues[K][], why: string): FactValues[K] {
    const [first, second] = values;
    if (this.isGiven(key) || this.#answers.has(key) || first === undefined) return this.ask(key);
    if (second === undefined) return this.#enter(key, first, 'implied', why);
    const picked = must(values[this.#choice.pick(values.length)], key);
    return this.#enter(key, picked, 'supposed', why);
  }

  /** Settles a fact that follows from others, unless it was given or asked before. */
  imply<K extends FactKey>(key: K, value: FactValues[K], why: string): FactValues[K] {
    if (this.isGiven(key) || this.#answers.has(key)) return this.ask(key);
    return this.#enter(key, value, 'implied', why);
  }

  /** Settles a fact that follows from others and from what `why` takes for granted, unless it was given or asked. */
  assume<K extends FactKey>(key: K, value: FactValues[K], why: string): FactValues[K] {
    if (this.isGiven(key) || this.#answers.has(key)) return this.ask(key);
    return this.#enter(key, value, 'assumed', why);
  }

  #enter<K extends FactKey>(
    key: K,
    value: FactValues[K],
    origin: Origin,
    why: string | null,
  ): FactValues[K] {
    this.#answers.set(key, { key, value, origin, why });
    return value;
  }
}
