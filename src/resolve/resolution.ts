import { must } from '../base/assert.ts';
import { everyChoice } from '../base/choice.ts';
import { InputError } from '../base/diagnostic.ts';
import { type FactKey, factWord } from '../facts/facts.ts';
import type { Answer } from '../facts/inquiry.ts';
import { MMIO_NONE } from '../kvm/mmio.ts';
import type { EffectiveType } from '../x86/types.ts';
import { EFFECTIVE_TYPES } from '../x86/types.ts';
import { openSets, type Question } from './question.ts';
import type { Step } from './step.ts';
import type { Verdict } from './verdict.ts';
import { resolveWorld, type World } from './world.ts';

/** A fact's name as the user says it: rules of KVM are named by a kernel. */
export type FactName = Exclude<FactKey, 'policy'> | 'kernel';

/** A fact that was not given and taken at the state in which KVM or the hardware starts. */
export interface Assumption {
  readonly fact: FactName;
  readonly value: string;
  readonly why: string;
}

/** One of several possible types, and what goes with it. */
export interface Alternative {
  readonly type: EffectiveType;
  /** For each fact that decides: the values with which this type occurs. */
  readonly when: readonly { readonly fact: FactName; readonly values: readonly string[] }[];
}

/** A verdict over all worlds. */
export interface JudgedVerdict extends Verdict {
  /** It holds in every possible world. */
  readonly certain: boolean;
  /** For a verdict that is not certain: the facts that decide, with the values that bring it about. */
  readonly when: readonly { readonly fact: FactName; readonly values: readonly string[] }[];
}

/** The answer: one object that feeds every output. */
export interface Resolution {
  readonly question: Question;
  /** The possible effective types, in the order UC WC WT WP WB CD WC+. */
  readonly types: readonly EffectiveType[];
  /** Representative world: the steps shown are its. */
  readonly world: World;
  readonly worlds: number;
  /** The architecture or the kernel leaves the result undefined: any of the types may come out. */
  readonly undefined: boolean;
  readonly assumptions: readonly Assumption[];
  readonly alternatives: readonly Alternative[];
  readonly verdicts: readonly JudgedVerdict[];
  /** Facts that would decide between the types, or whether a verdict holds. */
  readonly unknown: readonly FactName[];
  readonly steps: readonly Step[];
  /** Values on which all worlds agree; null where they differ. */
  readonly common: {
    readonly isMmio: boolean | null;
    readonly leaf: string | null;
  };
}

export function factName(key: FactKey): FactName {
  return key === 'policy' ? 'kernel' : key;
}

/** Too much is open to look at every possibility: exit code 3, not an answer. */
export class TooManyWorlds extends InputError {
  override name = 'TooManyWorlds';
}

const MOST_WORLDS = 200_000;

/** All worlds of a question. @throws TooManyWorlds when there are more than can be looked at. */
export function worldsOf(q: Question): readonly World[] {
  const worlds: World[] = [];
  const open = openSets(q);
  everyChoice((choice) => {
    if (worlds.length === MOST_WORLDS) {
      throw new TooManyWorlds([
        {
          severity: 'error',
          message: `undetermined: more than ${MOST_WORLDS} possibilities are open`,
          help: 'say at least the kernel, the paging mode and the backing',
        },
      ]);
    }
    worlds.push(resolveWorld(q, open, choice));
  });
  return worlds;
}

/** Answers a question. @throws TooManyWorlds */
export function resolve(q: Question): Resolution {
  const worlds = worldsOf(q);
  const world = must(worlds[0], 'no world');
  const typeOf = (w: World): string => w.result.type;
  const findings = (w: World): string => w.verdicts.map((v) => v.code).join(' ');
  const byType = decisiveFacts(worlds, typeOf);
  const byFinding = decisiveFacts(worlds, findings);
  const seen = new Set(worlds.map(typeOf));
  return {
    question: q,
    types: EFFECTIVE_TYPES.filter((type) => seen.has(type)),
    world,
    worlds: worlds.length,
    undefined: worlds.some((w) => w.undefinedInput),
    assumptions: assumptionsOf(worlds),
    alternatives: seen.size > 1 ? alternativesOf(worlds, byType) : [],
    verdicts: mergeVerdicts(worlds, byFinding, q.facts.workload !== undefined),
    unknown: [...new Set([...byType, ...byFinding])].map(factName),
    steps: world.steps,
    common: {
      isMmio: agreed(worlds.map((w) => (w.rules.mmio === MMIO_NONE ? null : w.isMmio))),
      leaf: agreed(worlds.map((w) => JSON.stringify(w.result.leaf))),
    },
  };
}

function agreed<T>(values: readonly T[]): T | null {
  const [first] = values;
  return first !== undefined && values.every((v) => v === first) ? first : null;
}

function supposed(world: World): readonly Answer[] {
  return world.answers.filter((a) => a.origin === 'supposed');
}

interface Node {
  readonly key: FactKey;
  readonly children: Map<string, Branch>;
}

interface Branch {
  readonly outcomes: Set<string>;
  next: Node | null;
}

/**
 * The facts whose value changes the outcome: in the tree of suppositions, those with two branches that
 * do not lead to the same set of outcomes. In the order in which they are first asked.
 */
function decisiveFacts(
  worlds: readonly World[],
  outcome: (w: World) => string,
): readonly FactKey[] {
  const decisive = new Set<FactKey>();
  const order: FactKey[] = [];
  let root: Node | null = null;
  for (const world of worlds) {
    const result = outcome(world);
    let attach = (node: Node): void => {
      root = node;
    };
    let at: Node | null = root;
    for (const answer of supposed(world)) {
      if (at === null) {
        at = { key: answer.key, children: new Map() };
        attach(at);
        if (!order.includes(answer.key)) order.push(answer.key);
      }
      const word = factWord(answer.value);
      const child: Branch = at.children.get(word) ?? { outcomes: new Set<string>(), next: null };
      at.children.set(word, child);
      child.outcomes.add(result);
      attach = (node) => {
        child.next = node;
      };
      at = child.next;
    }
  }
  visit(root, decisive);
  return order.filter((key) => decisive.has(key));
}

function visit(node: Node | null, decisive: Set<FactKey>): void {
  if (node === null) return;
  const sets = [...node.children.values()].map((c) => [...c.outcomes].sort().join('|'));
  if (new Set(sets).size > 1) decisive.add(node.key);
  for (const child of node.children.values()) visit(child.next, decisive);
}

function assumptionsOf(worlds: readonly World[]): readonly Assumption[] {
  const found = new Map<FactKey, Assumption>();
  for (const { answers } of worlds) {
    for (const answer of answers) {
      const { key, value, why } = answer;
      if (!isStated(answer)) continue;
      const word = factWord(value);
      const before = found.get(key);
      if (before === undefined)
        found.set(key, { fact: factName(key), value: word, why: why ?? '' });
      else if (answer.origin === 'supposed' && !before.value.split(' or ').includes(word)) {
        found.set(key, { ...before, value: `${before.value} or ${word}` });
      }
    }
  }
  return [...found.values()];
}

/** Nobody said it, and the answer rests on it. Of the plans that a VMM may write: that it writes any. */
function isStated({ key, origin, why }: Answer): boolean {
  if (origin === 'implied') return key === 'self-snoop' || key === 'host-mtrr';
  if (origin === 'supposed') return key === 'firmware' && why !== null;
  return origin === 'initial' || origin === 'assumed';
}

/** Rules of KVM are named by the kernels that have them. */
function valueWord({ key, value }: Answer, worlds: readonly World[]): string {
  if (key !== 'policy') return factWord(value);
  const rules = must(worlds.find((w) => w.rules.id === value)?.rules, 'a world has its rules');
  return rules.id.includes('(reading') ? `rules of ${rules.id}` : `rules of ${rules.kernels}`;
}

/**
 * Whether these worlds are the same ones whatever a fact is: beside each that looks at it stands one for
 * every other value of it, with all else alike.
 */
function isFree(key: FactKey, own: readonly World[], all: readonly World[]): boolean {
  const values = new Set(all.flatMap((w) => w.answers.filter((a) => a.key === key)).map(word));
  const besides = new Map<string, number>();
  for (const world of own) {
    const guesses = supposed(world);
    if (!guesses.some((a) => a.key === key)) continue;
    const rest = guesses
      .filter((a) => a.key !== key)
      .map(word)
      .sort()
      .join();
    besides.set(rest, (besides.get(rest) ?? 0) + 1);
  }
  return [...besides.values()].every((n) => n === values.size);
}

function word({ key, value }: Answer): string {
  return `${key} ${String(value)}`;
}

/** The facts by which some of all worlds differ from the others, with the values that they have there. */
function conditions(
  worlds: readonly World[],
  keys: readonly FactKey[],
  all: readonly World[],
): readonly { readonly fact: FactName; readonly values: readonly string[] }[] {
  return keys.flatMap((key) => {
    if (isFree(key, worlds, all)) return [];
    const answers = worlds.flatMap((w) => w.answers.filter((a) => a.key === key));
    const values = [...new Set(answers.map((a) => valueWord(a, worlds)))];
    return values.length === 0 ? [] : [{ fact: factName(key), values }];
  });
}

function alternativesOf(
  worlds: readonly World[],
  keys: readonly FactKey[],
): readonly Alternative[] {
  return EFFECTIVE_TYPES.flatMap((type) => {
    const own = worlds.filter((w) => w.result.type === type);
    return own.length === 0 ? [] : [{ type, when: conditions(own, keys, worlds) }];
  });
}

const WEIGHT = { error: 0, warning: 1, info: 2 } as const;

const SHOWN_VARIANTS = 3;

/** What a verdict says in every world: the sentence itself where all agree, else the different ones. */
function either(verdicts: readonly Verdict[], part: 'text' | 'fix'): string {
  const variants = [...new Set(verdicts.map((v) => v[part]))];
  const [first = ''] = variants;
  if (variants.length === 1) return first;
  const shown = variants.slice(0, SHOWN_VARIANTS).map((v, i) => `(${i + 1}) ${v}`);
  const more = variants.length - shown.length;
  const rest = more > 0 ? ` And ${more} more, as the open facts may be.` : '';
  return `By what is not known: ${shown.join(' ')}${rest}`;
}

/** @param speed it was said what the guest does there: of what may hold, what would make that slow comes first */
function mergeVerdicts(
  worlds: readonly World[],
  keys: readonly FactKey[],
  speed: boolean,
): readonly JudgedVerdict[] {
  const codes = new Map<string, { verdict: Verdict; worlds: World[] }>();
  for (const world of worlds) {
    for (const verdict of world.verdicts) {
      const entry = codes.get(verdict.code) ?? { verdict, worlds: [] };
      entry.worlds.push(world);
      codes.set(verdict.code, entry);
    }
  }
  return [...codes.values()]
    .map(({ verdict, worlds: own }) => {
      const certain = own.length === worlds.length;
      const said = own.flatMap((w) => w.verdicts.filter((v) => v.code === verdict.code));
      return {
        ...verdict,
        text: either(said, 'text'),
        fix: either(said, 'fix'),
        certain,
        when: certain ? [] : conditions(own, keys, worlds),
      };
    })
    .sort(
      (a, b) =>
        Number(a.severity === 'info') - Number(b.severity === 'info') ||
        Number(b.certain) - Number(a.certain) ||
        WEIGHT[a.severity] - WEIGHT[b.severity] ||
        (speed && !a.certain ? Number(isOfSpeed(b)) - Number(isOfSpeed(a)) : 0) ||
        (a.code < b.code ? -1 : 1),
    );
}

function isOfSpeed({ code }: Verdict): boolean {
  return code.startsWith('MT3');
}

/** 0 nothing wrong, 1 findings, 3 undetermined: never reported as fine. */
export function exitCodeOf(r: Resolution): 0 | 1 | 3 {
  const grave = r.verdicts.filter((v) => v.severity !== 'info');
  if (r.types.length > 1) return 3;
  if (grave.some((v) => v.certain)) return 1;
  return grave.length > 0 ? 3 : 0;
}
