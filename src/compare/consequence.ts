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

const MEANINGS: readonly Meaning[] = [
  {
    codes: ['MT101', 'MT102'],
    category: 'coherence',
    comes: {
      kind: 'stale',
      text: 'now stale: the caches and a device that does not snoop see different data',
    },
    goes: { kind: 'coherent', text: 'now coherent with a device that does not snoop' },
    source: 'mail/seed',
  },
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
  return MEANINGS.flatMap(({ codes, category, comes, goes, source }) => {
    const had = codes.filter((c) => before.has(c));
    const has = codes.filter((c) => after.has(c));
    if (had.length > 0 === has.length > 0) return [];
    const { kind, text } = has.length > 0 ? comes : goes;
    return [
      { kind, category, text, forWhom, codes: has.length > 0 ? has : had, sources: [source] },
    ];
  });
}

function times(factor: number): string {
  return factor >= 10 ? factor.toFixed(0) : factor.toFixed(1);
}

function storeText(before: EffectiveType, after: EffectiveType, word: string): string {
  const factors = COST_CPUS.map((cpu) => {
    const factor = storeFactor(before, after, cpu);
    return `${times(Math.max(factor, 1 / factor))} times (${cpu})`;
  });
  const amd = [before, after].some((t) => t === 'CD' || t === 'WC+')
    ? '; AMD was not measured'
    : '';
  return `stores ${word}: ${factors.join(', ')}${amd}`;
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

const NOSNOOP = 'a device that does not snoop';

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
  return [...verdicts, ...speedOf(types.before, types.after, device)];
}
