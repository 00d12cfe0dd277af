import { InputError } from '../base/diagnostic.ts';
import { FACT_KEYS, type FactKey, type Facts, factDefinition, factWord } from '../facts/facts.ts';
import { SPANS } from '../kvm/timeline.ts';
import { type Question, question } from './question.ts';
import { type FactName, factName, type Resolution, resolve } from './resolution.ts';

/** A single change of the facts that changes the answer. */
export interface Flip {
  readonly fact: FactName;
  readonly from: string;
  readonly to: string;
  /** The effective types then. */
  readonly types: readonly string[];
  /** Errors and warnings that go away, and that appear. */
  readonly cured: readonly string[];
  readonly brought: readonly string[];
}

const grave = (r: Resolution): readonly string[] =>
  r.verdicts.filter((v) => v.severity !== 'info' && v.certain).map((v) => v.code);

function changeOf(
  before: Resolution,
  after: Resolution,
): Omit<Flip, 'fact' | 'from' | 'to'> | null {
  const cured = grave(before).filter((code) => !grave(after).includes(code));
  const brought = grave(after).filter((code) => !grave(before).includes(code));
  const sameTypes = before.types.join() === after.types.join();
  if (sameTypes && cured.length + brought.length === 0) return null;
  return { types: after.types, cured, brought };
}

function asked(q: Question, facts: Facts): Resolution | null {
  try {
    return resolve(
      question({
        facts,
        rules: [...q.rules.values()],
        subject: null,
        layout: q.layout,
        cpuModel: q.cpuModel,
      }),
    );
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

/** Every other value of one fact that would change a determined answer. */
function flipsOf(r: Resolution, key: FactKey): readonly Flip[] {
  const { facts } = r.question;
  const answer = r.world.answers.find((a) => a.key === key);
  const { values } = factDefinition(key);
  if (answer === undefined || values === null || answer.origin === 'supposed') return [];
  return (values as readonly (string | boolean)[]).flatMap((value) => {
    if (value === answer.value) return [];
    const { policy: _, paging, ...rest } = facts;
    const kept = key === 'cpu' ? rest : { ...rest, ...(paging ? { paging } : {}) };
    const after = asked(r.question, { ...kept, [key]: [value] } as Facts);
    const change = after === null ? null : changeOf(r, after);
    if (change === null) return [];
    const from = factWord(answer.value);
    return [{ fact: factName(key), from, to: factWord(value as never), ...change }];
  });
}

/** The nearest earlier and later kernels with another answer. */
function kernelFlips(r: Resolution): readonly Flip[] {
  const { question: q, world } = r;
  const own = SPANS.findIndex((span) => span.rules.some((rules) => rules.id === world.rules.id));
  if (own < 0 || q.rules.size !== 1) return [];
  const nearest = (step: -1 | 1): readonly Flip[] => {
    for (let i = own + step; i >= 0 && i < SPANS.length; i += step) {
      const span = SPANS[i];
      if (span === undefined) return [];
      const { policy: _, ...facts } = q.facts;
      const after = resolve(question({ ...q, facts, rules: span.rules, subject: null }));
      const change = changeOf(r, after);
      if (change === null) continue;
      const to = span.rules[0]?.kernels ?? span.from.text;
      return [{ fact: 'kernel', from: q.subject(world.rules), to, ...change }];
    }
    return [];
  };
  return [...nearest(-1), ...nearest(1)];
}

/**
 * "Would change if": each single fact, changed alone, that gives another type or other findings. Empty
 * while the answer itself is not determined.
 */
export function flips(r: Resolution): readonly Flip[] {
  if (r.types.length !== 1) return [];
  return [...FACT_KEYS.flatMap((key) => flipsOf(r, key)), ...kernelFlips(r)];
}
