import { InputError } from '../base/diagnostic.ts';
import { FACT_KEYS, type FactKey, type Facts, factDefinition, factWord } from '../facts/facts.ts';
import { SPANS, type Span } from '../kvm/timeline.ts';
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
        hostLayout: q.hostLayout,
        cpuModel: q.cpuModel,
        quirkOffered: q.quirkOffered,
      }),
    );
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

/** The paging mode that stands for the same thing on the other vendor's CPU. */
const OTHER_VENDOR = { ept: 'npt', npt: 'ept', shadow: 'shadow' } as const;

/** Every other value of one fact that would change a determined answer. */
function flipsOf(r: Resolution, key: FactKey): readonly Flip[] {
  const { facts } = r.question;
  const answer = r.world.answers.find((a) => a.key === key);
  const { values } = factDefinition(key);
  if (answer === undefined || values === null) return [];
  if (answer.origin !== 'given' && answer.origin !== 'initial') return [];
  return values.flatMap((value) => {
    if (value === answer.value) return [];
    const { policy: _, ...kept } = facts;
    const moved = key === 'cpu' ? { paging: [OTHER_VENDOR[r.world.paging]] } : {};
    const after = asked(r.question, { ...kept, ...moved, [key]: [value] });
    const change = after === null ? null : changeOf(r, after);
    if (change === null) return [];
    const from = factWord(answer.value);
    return [{ fact: factName(key), from, to: factWord(value), ...change }];
  });
}

/** What the answer would be under the rules of a span, with other facts beside. */
function under(r: Resolution, span: Span, more: Facts): Omit<Flip, 'fact' | 'from' | 'to'> | null {
  const { policy: _, ...facts } = r.question.facts;
  try {
    const q = question({
      ...r.question,
      facts: { ...facts, ...more },
      rules: span.rules,
      subject: null,
    });
    return changeOf(r, resolve(q));
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

/** The nearest earlier and later kernels with another answer, and the first with which the VMM could opt out. */
function kernelFlips(r: Resolution): readonly Flip[] {
  const { question: q, world } = r;
  const own = SPANS.findIndex((span) => span.rules.some((rules) => rules.id === world.rules.id));
  if (own < 0 || q.rules.size !== 1) return [];
  const from = q.subject(world.rules);
  const nearest = (spans: readonly Span[]): readonly Flip[] => {
    for (const span of spans.filter((candidate) => candidate.rules.length === 1)) {
      const change = under(r, span, {});
      if (change !== null) return [{ fact: 'kernel', from, to: kernelsOf(span), ...change }];
    }
    return [];
  };
  return [
    ...nearest(SPANS.slice(0, own).reverse()),
    ...nearest(SPANS.slice(own + 1)),
    ...optOut(r, from, SPANS.slice(own + 1)),
  ];
}

function kernelsOf(span: Span): string {
  return span.rules[0]?.kernels ?? span.from.text;
}

function optOut(r: Resolution, from: string, later: readonly Span[]): readonly Flip[] {
  if (r.world.rules.hasPatQuirk || r.world.paging !== 'ept') return [];
  const span = later.find((s) => s.to === null);
  if (span === undefined) return [];
  const change = under(r, span, { 'quirk-ignore-guest-pat': ['off'] });
  const to = `${kernelsOf(span)}, with quirk-ignore-guest-pat off`;
  return change === null ? [] : [{ fact: 'kernel', from, to, ...change }];
}

/**
 * "Would change if": each single fact, changed alone, that gives another type or other findings. Empty
 * while the answer itself is not determined.
 */
export function flips(r: Resolution): readonly Flip[] {
  if (r.types.length !== 1) return [];
  return [...FACT_KEYS.flatMap((key) => flipsOf(r, key)), ...kernelFlips(r)];
}
