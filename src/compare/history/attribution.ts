import { must } from '../../base/assert.ts';
import type { SourceId } from '../../cite/sources.ts';
import { type CommitStep, commitsOf } from '../../kvm/commits.ts';
import type { VmxEra } from '../../kvm/decision.ts';
import { ERAS } from '../../kvm/eras/index.ts';
import { GUEST_MTRR_RULES } from '../../kvm/guest-mtrr.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { type Answers, keyOf } from './answer.ts';

/** The parts of the rules that an answer can look at, in the order in which they are named. */
const INGREDIENTS = [
  'vmx',
  'svm',
  'mmio',
  'vmxLoadsGuestPat',
  'guestMtrr',
  'hasCdQuirk',
  'hasPatQuirk',
  'needsRefcountedPages',
  'hasPreFault',
  'shadow',
] as const satisfies readonly (keyof KvmRules)[];

export type Ingredient = (typeof INGREDIENTS)[number];

/** A part of the rules that changed. */
export interface ChangedPart {
  readonly ingredient: Ingredient;
  /** What it is, in the kernel's terms. */
  readonly what: string;
  /** "E8", "4.16"; "yes" and "no" for what is there or not. */
  readonly before: string;
  readonly after: string;
}

/** A commit (where none is known, the code that has it) that changed the answer. */
export interface HistoryCause {
  readonly source: SourceId;
  /** What it changed that mattered. */
  readonly parts: readonly [ChangedPart, ...ChangedPart[]];
}

interface Naming {
  readonly what: string;
  readonly id: (rules: KvmRules) => string;
  /** What brought it, by the later rules. */
  readonly source: (rules: KvmRules) => SourceId;
}

const yesNo = (value: boolean): string => (value ? 'yes' : 'no');

const NAMING: Readonly<Record<Ingredient, Naming>> = {
  vmx: {
    what: 'how VMX types an EPT leaf',
    id: ({ vmx }) => vmx.id,
    source: ({ vmx }) => vmx.sources[0],
  },
  svm: {
    what: 'how SVM types a nested leaf, and g_pat',
    id: ({ svm }) => svm.id,
    source: ({ svm }) => svm.sources[0],
  },
  mmio: {
    what: 'kvm_is_mmio_pfn()',
    id: ({ mmio }) => mmio.id,
    source: ({ mmio }) => mmio.sources[0],
  },
  vmxLoadsGuestPat: {
    what: 'the guest runs with its own PAT',
    id: (rules) => yesNo(rules.vmxLoadsGuestPat),
    source: () => 'kvm/468d472f3f65',
  },
  guestMtrr: {
    what: 'how guest MTRRs are evaluated',
    id: ({ guestMtrr }) => guestMtrr ?? 'not at all',
    source: ({ guestMtrr }) =>
      guestMtrr === null ? 'kvm/0a7b73559b39' : must(GUEST_MTRR_RULES[guestMtrr].sources[0], 'one'),
  },
  hasCdQuirk: {
    what: 'CR0.CD reaches the hardware when the quirk is disabled',
    id: (rules) => yesNo(rules.hasCdQuirk),
    source: () => 'kvm/svm_set_cr0',
  },
  hasPatQuirk: {
    what: 'the VMM can opt out of ignoring the guest PAT',
    id: (rules) => yesNo(rules.hasPatQuirk),
    source: () => 'kvm/c9c1e20b4c7d',
  },
  needsRefcountedPages: {
    what: 'pages without a reference count of their own are refused',
    id: (rules) => yesNo(rules.needsRefcountedPages),
    source: (rules) => (rules.needsRefcountedPages ? 'kvm/f8be156be163' : 'mail/kvm-no-refcount'),
  },
  hasPreFault: {
    what: 'capability 236 is reported',
    id: (rules) => yesNo(rules.hasPreFault),
    source: () => 'crosvm/noncoherent-dma',
  },
  shadow: {
    what: 'how a shadow PTE is typed',
    id: ({ shadow }) => shadow.id,
    source: ({ shadow }) => shadow.sources[0],
  },
};

function subsetsOf<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  if (size === 0) return [[]];
  return items.flatMap((item, i) =>
    subsetsOf(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]),
  );
}

function withParts(rules: KvmRules, later: KvmRules, keys: readonly Ingredient[]): KvmRules {
  return { ...rules, ...Object.fromEntries(keys.map((key) => [key, later[key]])) };
}

/** Every commit after one era up to another, oldest first. */
function commitsBetween(before: VmxEra, after: VmxEra): readonly CommitStep[] {
  const [first, last] = [ERAS.indexOf(before), ERAS.indexOf(after)];
  return ERAS.slice(first + 1, last + 1).flatMap(commitsOf);
}

/**
 * The commits at which the answer moved, the rest of the later rules being there already. What one commit
 * brought and a later one took back is left out.
 */
function vmxSources(answers: Answers, before: KvmRules, after: KvmRules): readonly SourceId[] {
  const keys = [keyOf(answers.under(before))];
  const sources: SourceId[] = [];
  for (const { source, vmx_get_mt_mask } of commitsBetween(before.vmx, after.vmx)) {
    const key = keyOf(answers.under({ ...before, vmx: { ...after.vmx, vmx_get_mt_mask } }));
    const seen = keys.indexOf(key);
    if (seen < 0) {
      keys.push(key);
      sources.push(source);
    } else {
      keys.length = seen + 1;
      sources.length = seen;
    }
  }
  return sources;
}

function sourcesOf(
  answers: Answers,
  before: KvmRules,
  after: KvmRules,
  { ingredient, keys }: { ingredient: Ingredient; keys: readonly Ingredient[] },
): readonly SourceId[] {
  if (ingredient !== 'vmx') return [NAMING[ingredient].source(after)];
  const others = keys.filter((key) => key !== ingredient);
  return vmxSources(answers, withParts(before, after, others), after);
}

function causesOf(
  answers: Answers,
  before: KvmRules,
  after: KvmRules,
  keys: readonly Ingredient[],
): readonly HistoryCause[] {
  const bySource = new Map<SourceId, ChangedPart[]>();
  for (const ingredient of keys) {
    const { what, id } = NAMING[ingredient];
    for (const source of sourcesOf(answers, before, after, { ingredient, keys })) {
      const parts = bySource.get(source) ?? [];
      parts.push({ ingredient, what, before: id(before), after: id(after) });
      bySource.set(source, parts);
    }
  }
  return [...bySource].flatMap(([source, [first, ...rest]]) =>
    first === undefined ? [] : [{ source, parts: [first, ...rest] as const }],
  );
}

/**
 * What made the answer of `before` that of `after`: the fewest parts of the later rules that do it when
 * they are put into the earlier ones. Empty when the answers are the same, and where KVM does not run such
 * a guest under either: that is no change of the rules.
 */
export function attribute(
  answers: Answers,
  before: KvmRules,
  after: KvmRules,
): readonly HistoryCause[] {
  const wanted = keyOf(answers.under(after));
  if (keyOf(answers.under(before)) === wanted) return [];
  if ([before, after].some((rules) => answers.under(rules).refused?.by === 'kvm')) return [];
  const differing = INGREDIENTS.filter((key) => before[key] !== after[key]);
  for (let size = 1; size <= differing.length; size++) {
    const enough = subsetsOf(differing, size).find(
      (keys) => keyOf(answers.under(withParts(before, after, keys))) === wanted,
    );
    if (enough !== undefined) return causesOf(answers, before, after, enough);
  }
  return [];
}
