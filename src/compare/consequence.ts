import type { SourceId } from '../cite/sources.ts';
import type { FactKey, Facts, FactValues } from '../facts/facts.ts';
import type { BackingClass } from '../linux/backing.ts';
import { question } from '../resolve/question.ts';
import { type Resolution, resolve } from '../resolve/resolution.ts';
import { COST_CPUS, loadsCached, storeFactor, storesFast } from '../x86/cost.ts';
import type { EffectiveType } from '../x86/types.ts';
import type { Consequence, ConsequenceKind, Side } from './difference.ts';
import type { PointFacts, PointPair } from './kinds.ts';

/** A verdict of `explain`, and what it means when it comes or goes with a change of policy. */
interface Meaning {
  readonly codes: readonly string[];
  readonly category: Consequence['category'];
  readonly comes: { readonly kind: ConsequenceKind; readonly text: string };
  readonly goes: { readonly kind: ConsequenceKind; readonly text: string };
  readonly source: SourceId;
}

/** How stale: not, in what the guest reads (MT102), in what the device reads too (MT101). */
function staleness(codes: ReadonlySet<string>): 0 | 1 | 2 {
  if (codes.has('MT101')) return 2;
  return codes.has('MT102') ? 1 : 0;
}

/** What becomes of the data that a guest shares with a device that does not snoop. */
function byStaleness(
  before: ReadonlySet<string>,
  after: ReadonlySet<string>,
): readonly Omit<Consequence, 'forWhom'>[] {
  const [was, is] = [staleness(before), staleness(after)];
  if (was === is) return [];
  const say = (kind: ConsequenceKind, text: string): readonly Omit<Consequence, 'forWhom'>[] => [
    {
      kind,
      text,
      category: 'coherence',
      codes: [Math.max(was, is) === 2 ? 'MT101' : 'MT102'],
      sources: ['mail/seed'],
    },
  ];
  if (is === 0) return say('coherent', 'now coherent with a device that does not snoop');
  if (was === 0) {
    return say(
      'stale',
      'now stale: the caches and a device that does not snoop see different data',
    );
  }
  return is === 2
    ? say(
        'stale',
        "now stale for a device that does not snoop, too: the guest's stores stay in the cache",
      )
    : say(
        'coherent',
        "a device that does not snoop sees the guest's stores now; the guest may still read old data",
      );
}

const MEANINGS: readonly Meaning[] = [
  {
    codes: ['MT103', 'MT104'],
    category: 'coherence',
    comes: {
      kind: 'alias',
      text: "now an alias of the VMM's mapping that the CPU need not keep coherent",
    },
    goes: { kind: 'alias-gone', text: "no longer a dangerous alias of the VMM's mapping" },
    source: 'sdm/alias',
  },
  {
    codes: ['MT401'],
    category: 'mce',
    comes: {
      kind: 'machine-check',
      text: 'now a cacheable access to device memory: machine-check risk',
    },
    goes: { kind: 'machine-check-gone', text: 'no machine-check risk any more' },
    source: 'kvm/606decd67049',
  },
];

/** Facts for the resolver: one value each. */
function asFacts(point: PointFacts, more: Facts): Facts {
  const facts: Partial<Record<FactKey, readonly FactValues[FactKey][]>> = {};
  for (const [key, value] of point) facts[key] = [value];
  return { ...(facts as Facts), ...more };
}

/** What `explain` answers at a point under the rules of a side. */
export function resolvedAt(point: PointFacts, { rules }: Side, more: Facts = {}): Resolution {
  return resolve(question({ facts: asFacts(point, more), rules: [rules], subject: null }));
}

function codesOf(r: Resolution): ReadonlySet<string> {
  return new Set(r.verdicts.filter((v) => v.certain).map((v) => v.code));
}

/** Verdicts that come or go between two answers. */
function byVerdicts(
  before: ReadonlySet<string>,
  after: ReadonlySet<string>,
  forWhom: string | null,
): readonly Consequence[] {
  const stale = byStaleness(before, after).map((c) => ({ ...c, forWhom }));
  const others = MEANINGS.flatMap(({ codes, category, comes, goes, source }) => {
    const had = codes.filter((c) => before.has(c));
    const has = codes.filter((c) => after.has(c));
    if (had.length > 0 === has.length > 0) return [];
    const { kind, text } = has.length > 0 ? comes : goes;
    return [
      { kind, category, text, forWhom, codes: has.length > 0 ? has : had, sources: [source] },
    ];
  });
  return [...stale, ...others];
}

function times(factor: number): string {
  return factor >= 10 ? factor.toFixed(0) : factor.toFixed(1);
}

function storeText(before: EffectiveType, after: EffectiveType, word: string): string {
  const factors = COST_CPUS.flatMap((cpu) => {
    const factor = storeFactor(before, after, cpu);
    return factor === null ? [] : [`${times(Math.max(factor, 1 / factor))} times (${cpu})`];
  });
  if (factors.length === 0) return `stores ${word}, by how much was not measured`;
  return `stores ${word}: ${factors.join(', ')}`;
}

/**
 * Slower or faster, by class: whether stores are buffered, and whether loads may hit the cache.
 *
 * @param device the page is device memory, on which the factors were not measured
 */
export function speedOf(
  before: EffectiveType,
  after: EffectiveType,
  device: boolean,
): readonly Consequence[] {
  const found: Consequence[] = [];
  const add = (kind: 'slower' | 'faster', text: string, source: SourceId): void => {
    found.push({ kind, category: 'perf', text, forWhom: null, codes: [], sources: [source] });
  };
  if (storesFast(before) !== storesFast(after)) {
    const kind = storesFast(after) ? 'faster' : 'slower';
    const onBus = kind === 'faster' ? 'stores are combined' : 'each store goes out alone';
    add(kind, device ? onBus : storeText(before, after, kind), 'perf/yan-2024-09-05');
  }
  if (loadsCached(before) !== loadsCached(after)) {
    const kind = loadsCached(after) ? 'faster' : 'slower';
    const text =
      kind === 'faster' ? 'loads may be served by the cache' : 'loads go to memory alone';
    add(kind, device ? text.replace('memory', 'the device') : text, 'sdm/types');
  }
  return found;
}

function isUncached(type: EffectiveType): boolean {
  return type === 'UC' || type === 'CD';
}

function combines(type: EffectiveType): boolean {
  return type === 'WC' || type === 'WC+';
}

/**
 * What a change means by the types alone: whether stores stay in order, and whether write combining looks
 * into the caches.
 *
 * @param asked how many of the accesses asked for an uncached type: they count on the order
 */
export function orderOf(
  before: EffectiveType,
  after: EffectiveType,
  asked: 'all' | 'some' | 'none',
): readonly Consequence[] {
  const found: Consequence[] = [];
  const add = (
    kind: ConsequenceKind,
    text: string,
    whom: string | null,
    source: SourceId,
  ): void => {
    found.push({ kind, category: 'coherence', text, forWhom: whom, codes: [], sources: [source] });
  };
  const whom = asked === 'some' ? 'where the guest asked UC- or UC' : null;
  if (asked !== 'none' && isUncached(before) && combines(after)) {
    const text = 'stores are combined and no longer in order: a doorbell may overtake its data';
    add('order-lost', text, whom, 'sdm/types');
  }
  if (asked !== 'none' && combines(before) && isUncached(after)) {
    add('order-kept', 'stores are in order now', whom, 'sdm/types');
  }
  if (before === 'WC+' && after === 'WC') {
    add('unsnooped', 'write combining no longer looks into the caches', null, 'apm/t15-20');
  }
  if (before === 'WC' && after === 'WC+') {
    add('snooped', 'write combining looks into the caches now', null, 'apm/t15-20');
  }
  return found;
}

/** For whom staleness matters. */
export const NOSNOOP = 'a device that does not snoop';

/** What a change means at a point whose page is of a class. */
export function consequencesAt(
  point: PointPair,
  backing: BackingClass,
  a: Side,
  b: Side,
  types: { readonly before: EffectiveType; readonly after: EffectiveType },
): readonly Consequence[] {
  const under = (device: FactValues['device']): [ReadonlySet<string>, ReadonlySet<string>] => [
    codesOf(resolvedAt(point.a, a, { device: [device] })),
    codesOf(resolvedAt(point.b, b, { device: [device] })),
  ];
  const anyway = byVerdicts(...under('snoop'), null);
  if (backing.page.device) return [...anyway, ...speedOf(types.before, types.after, true)];
  const nosnoop = byVerdicts(...under('nosnoop'), NOSNOOP).filter(
    (c) => !anyway.some((other) => other.kind === c.kind),
  );
  return [...nosnoop, ...anyway, ...speedOf(types.before, types.after, false)];
}

/** What a change means for somebody whose device is known. */
export function consequencesFor(
  point: PointFacts,
  device: boolean,
  a: Side,
  b: Side,
  types: { readonly before: EffectiveType; readonly after: EffectiveType },
): readonly Consequence[] {
  const verdicts = byVerdicts(codesOf(resolvedAt(point, a)), codesOf(resolvedAt(point, b)), null);
  const guest = point.get('guest');
  const asked = guest === 'UC' || guest === 'UC-' ? 'all' : 'none';
  return [
    ...verdicts,
    ...orderOf(types.before, types.after, asked),
    ...speedOf(types.before, types.after, device),
  ];
}
