import { InputError } from '../../base/diagnostic.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { leafWords } from '../../resolve/leaf-words.ts';
import { type Question, question } from '../../resolve/question.ts';
import {
  type Assumption,
  type FactName,
  type Resolution,
  resolve,
  TooManyWorlds,
} from '../../resolve/resolution.ts';
import { MappingRefused } from '../../resolve/world.ts';
import { EFFECTIVE_TYPES, type EffectiveType } from '../../x86/types.ts';

/** What `explain` answers under some rules, as far as two answers are compared by it. */
export interface TimedAnswer {
  /** Empty where there is no access: see `refused`. */
  readonly types: readonly EffectiveType[];
  /** The architecture or the kernel leaves it undefined. */
  readonly undefined: boolean;
  /** What KVM installs, e.g. "EPT WB+IPAT"; null where the possibilities differ, or there is no access. */
  readonly leaf: string | null;
  /** Codes of the verdicts that hold in every possible world. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Codes of remarks that say what a kernel refuses. */
  readonly refusals: readonly string[];
  /** Facts that would decide between several types. */
  readonly unknown: readonly FactName[];
  /** The line of the decision list that made the leaf, and its reason; null where the possibilities differ. */
  readonly decided: { readonly rule: string; readonly why: string } | null;
  readonly assumptions: readonly Assumption[];
  /** There is no access under these rules: KVM runs no such guest, or the guest maps nothing. Null: there is one. */
  readonly refused: Refusal | null;
}

export interface Refusal {
  readonly by: 'kvm' | 'guest';
  readonly why: string;
}

const NO_ACCESS = {
  types: [],
  undefined: false,
  leaf: null,
  errors: [],
  warnings: [],
  refusals: [],
  unknown: [],
  decided: null,
  assumptions: [],
} as const;

/** KVM refuses pages of a TTM pool: only a remark, because the first page of each block works. */
const REFUSALS = ['MT501'];

const DECIDING = /^(?:vmx_get_mt_mask|svm_g_pat)\/|^kvm\/shadow-leaf$/;

function answerOf(r: Resolution): TimedAnswer {
  const certain = r.verdicts.filter((v) => v.certain);
  const codes = (severity: string): readonly string[] =>
    certain.filter((v) => v.severity === severity).map((v) => v.code);
  const settled = r.common.leaf !== null;
  const step = r.steps.find(({ rule }) => DECIDING.test(rule));
  return {
    types: r.types,
    undefined: r.undefined,
    leaf: settled ? leafWords(r.world.result.leaf) : null,
    errors: codes('error').toSorted(),
    warnings: codes('warning').toSorted(),
    refusals: codes('info').filter((code) => REFUSALS.includes(code)),
    unknown: [...new Set(r.alternatives.flatMap(({ when }) => when.map(({ fact }) => fact)))],
    decided: settled && step !== undefined ? { rule: step.rule, why: step.why } : null,
    assumptions: r.assumptions,
    refused: null,
  };
}

function agreed<T>(values: readonly T[]): T | null {
  const [first] = values;
  return first !== undefined && values.every((v) => v === first) ? first : null;
}

const inAll = (lists: readonly (readonly string[])[]): readonly string[] =>
  (lists[0] ?? []).filter((code) => lists.every((list) => list.includes(code)));

/** It is one of these answers. */
function oneOf(all: readonly TimedAnswer[]): TimedAnswer {
  const types = new Set(all.flatMap((a) => a.types));
  const refusals = new Set(all.map((a) => a.refused?.why));
  return {
    types: EFFECTIVE_TYPES.filter((type) => types.has(type)),
    undefined: all.some((a) => a.undefined),
    leaf: agreed(all.map(({ leaf }) => leaf)),
    errors: inAll(all.map(({ errors }) => errors)),
    warnings: inAll(all.map(({ warnings }) => warnings)),
    refusals: inAll(all.map(({ refusals }) => refusals)),
    unknown: [...new Set(all.flatMap(({ unknown }) => unknown))],
    decided: null,
    assumptions: all.flatMap(({ assumptions }) => assumptions),
    refused: refusals.size === 1 ? (all[0]?.refused ?? null) : null,
  };
}

/** Answers to one question under any rules, each set of rules asked once. */
export class Answers {
  readonly #question: Question;
  readonly #known = new Map<string, TimedAnswer>();
  readonly #ids = new Map<unknown, number>();

  constructor(q: Question) {
    this.#question = q;
  }

  /** @throws TooManyWorlds */
  under(rules: KvmRules): TimedAnswer {
    const name = this.#nameOf(rules);
    const answer = this.#known.get(name) ?? this.#ask(rules);
    this.#known.set(name, answer);
    return answer;
  }

  /** The answer where it is not settled which of the rules hold. */
  underOneOf(rules: readonly KvmRules[]): TimedAnswer {
    const all = rules.map((r) => this.under(r));
    const [first] = all;
    return first !== undefined && this.agree(rules) ? first : oneOf(all);
  }

  /** Whether all of these rules give the same answer. */
  agree(rules: readonly KvmRules[]): boolean {
    return new Set(rules.map((r) => keyOf(this.under(r)))).size === 1;
  }

  /** Rules that are made of the same parts have the same name. */
  #nameOf({ id: _, kernels: __, ...parts }: KvmRules): string {
    return Object.values(parts)
      .map((part) => {
        const id = this.#ids.get(part) ?? this.#ids.size;
        this.#ids.set(part, id);
        return id;
      })
      .join();
  }

  #ask(rules: KvmRules): TimedAnswer {
    const { policy: _, ...facts } = this.#question.facts;
    const asked = { ...this.#question, facts, rules: [rules], subject: null };
    try {
      return answerOf(resolve(question(asked)));
    } catch (error) {
      if (error instanceof TooManyWorlds || !(error instanceof InputError)) throw error;
      const by = error instanceof MappingRefused ? 'guest' : 'kvm';
      return { ...NO_ACCESS, refused: { by, why: error.message } };
    }
  }
}

/** A text that is the same for two answers only when they count as the same. */
export function keyOf(a: TimedAnswer): string {
  const codes = [a.errors, a.warnings, a.refusals];
  return JSON.stringify([a.types, a.undefined, a.leaf, codes, a.refused?.why]);
}
