import { InputError } from '../../base/diagnostic.ts';
import { type FactKey, type FactValues, factDefinition, factWord } from '../../facts/facts.ts';
import { vocabulary } from '../../facts/words.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import type { Question } from '../../resolve/question.ts';

/** A run needs one value of each fact that somebody looks at: exit code 3, not an answer. */
export class Undetermined extends InputError {
  override name = 'Undetermined';
}

function undetermined(message: string, help: string): never {
  throw new Undetermined([{ severity: 'error', message: `undetermined: ${message}`, help }]);
}

/** A fact that was taken at the state in which KVM or the hardware starts. */
export interface Assumed {
  readonly key: FactKey;
  readonly value: string;
  readonly why: string;
}

/** The facts of a run, asked where a rule looks at them: each has one value, or there is no run. */
export class Known {
  readonly question: Question;
  readonly #assumed = new Map<FactKey, Assumed>();

  constructor(question: Question) {
    this.question = question;
  }

  /** What was not said, and taken at its initial state. */
  get assumed(): readonly Assumed[] {
    return [...this.#assumed.values()];
  }

  isGiven(key: FactKey): boolean {
    return this.question.facts[key] !== undefined;
  }

  /** @throws Undetermined when nothing or several things were said of it */
  ask<K extends FactKey>(key: K): FactValues[K] {
    const given: readonly FactValues[K][] | undefined = this.question.facts[key];
    const { initial } = factDefinition(key);
    if (given === undefined && initial !== undefined) {
      const { value, why } = initial;
      this.#assumed.set(key, { key, value: factWord(value), why });
      return value;
    }
    const [value, other] = given ?? [];
    if (value === undefined) {
      return undetermined(
        `${key} is not said, and the run depends on it`,
        `one of ${vocabulary(key)}`,
      );
    }
    if (other !== undefined) {
      const words = (given ?? []).map((v) => factWord(v));
      return undetermined(
        `${key} is ${words.join(' or ')}, and the run depends on it`,
        'say one of them',
      );
    }
    return value;
  }

  /** As said; null: nothing was. */
  said<K extends FactKey>(key: K): FactValues[K] | null {
    return this.isGiven(key) ? this.ask(key) : null;
  }

  /** The rules of KVM. @throws Undetermined when several may hold */
  rules(): KvmRules {
    const [rules, other] = [...this.question.rules.values()];
    if (rules !== undefined && other === undefined) return rules;
    return undetermined(
      'several sets of KVM rules may hold',
      'name one kernel (--kernel), whose rules are settled, or a policy',
    );
  }
}
