import type { Change, Consequence, ConsequenceKind } from '../../compare/difference.ts';
import { ordered, pagesOf, type Scope, scopeOf } from './pages.ts';
import { KINDS } from './words.ts';

/** Where a consequence holds within a cause. */
export interface Place {
  readonly changes: readonly Change[];
  /** Kinds of page in words; empty: every kind that gets into these changes. */
  readonly scope: string;
  /** What is particular to these changes, e.g. by how much; empty: nothing. */
  readonly detail: string;
}

export interface Effect {
  /** Null: none is known. */
  readonly consequence: Consequence | null;
  readonly text: string;
  /** None: it holds for all changes and all their kinds of page. */
  readonly places: readonly Place[];
}

export function worstFirst<T extends { readonly consequence: Consequence | null }>(
  effects: readonly T[],
): readonly T[] {
  const rank = ({ consequence }: T): number =>
    consequence === null ? KINDS.length : KINDS.indexOf(consequence.kind);
  return effects.toSorted((x, y) => rank(x) - rank(y));
}

/** The same consequence by further verdicts. */
export function withMore(a: Consequence, b: Consequence): Consequence {
  return {
    ...a,
    codes: [...new Set([...a.codes, ...b.codes])].toSorted(),
    sources: [...new Set([...a.sources, ...b.sources])],
  };
}

const FACTORS = /^([^:]+): (.* times .*)$/;

/** "stores slower" and by how much. */
function parts(text: string): readonly [head: string, detail: string] {
  const [, head, detail] = FACTORS.exec(text) ?? [];
  return head === undefined || detail === undefined ? [text, ''] : [head, detail];
}

/** By how much; empty: the text does not say. */
export function detailOf(text: string): string {
  return parts(text)[1];
}

// ---- where --------------------------------------------------------------------------------------

type Pages = ReadonlyMap<Change, { readonly detail: string; readonly pages: readonly string[] }>;

interface Found {
  consequence: Consequence;
  readonly head: string;
  readonly pages: Map<Change, { readonly detail: string; readonly pages: readonly string[] }>;
}

function found(changes: readonly Change[]): readonly Found[] {
  const all = new Map<string, Found>();
  for (const change of changes) {
    for (const { backings, consequences } of change.kinds) {
      for (const consequence of consequences) {
        const [head, detail] = parts(consequence.text);
        const key = JSON.stringify([consequence.kind, head, consequence.forWhom]);
        const f = all.get(key) ?? { consequence, head, pages: new Map() };
        all.set(key, f);
        f.consequence = withMore(f.consequence, consequence);
        const before = f.pages.get(change)?.pages ?? [];
        f.pages.set(change, { detail, pages: ordered([...before, ...backings]) });
      }
    }
  }
  return [...all.values()];
}

/** Changes with the same kinds of page, and the same detail, together. */
function placesOf(pages: Pages): readonly Place[] {
  const scope: Scope = scopeOf(
    [...pages].map(([change, { pages: own }]) => [own, pagesOf(change)]),
  );
  const places = new Map<string, { changes: Change[]; scope: string; detail: string }>();
  for (const [change, { detail, pages: own }] of pages) {
    const words = scope(own, pagesOf(change));
    const place = places.get(`${detail} ${words}`);
    if (place === undefined)
      places.set(`${detail} ${words}`, { changes: [change], scope: words, detail });
    else place.changes.push(change);
  }
  return [...places.values()];
}

/** No places where it holds everywhere; details that are all the same go into the text. */
function effectOf(
  consequence: Consequence | null,
  head: string,
  pages: Pages,
  whole: number,
): Effect {
  const places = placesOf(pages);
  const [detail = '', ...more] = new Set(places.map((p) => p.detail));
  if (more.length > 0) return { consequence, text: head, places };
  const everywhere = pages.size === whole && places.every(({ scope }) => scope === '');
  const text = detail === '' ? head : `${head}: ${detail}`;
  return { consequence, text, places: everywhere ? [] : places.map((p) => ({ ...p, detail: '' })) };
}

/** Changes that mean nothing for some kinds of page, as far as is known. */
function withoutEffect(changes: readonly Change[]): readonly Effect[] {
  const pages: Found['pages'] = new Map();
  for (const change of changes) {
    const none = change.kinds.filter(({ consequences }) => consequences.length === 0);
    const own = ordered(none.flatMap((k) => k.backings));
    if (own.length > 0) pages.set(change, { detail: '', pages: own });
  }
  return pages.size === 0 ? [] : [effectOf(null, 'no consequence known', pages, changes.length)];
}

/** The consequences of some changes, each once, with where it holds. */
export function effectsOf(changes: readonly Change[]): readonly Effect[] {
  const effects = found(changes).map((f) =>
    effectOf(f.consequence, f.head, f.pages, changes.length),
  );
  return [...worstFirst(effects), ...withoutEffect(changes)];
}

// ---- in short -----------------------------------------------------------------------------------

const FACTOR = /^([\d.]+) times \((.*)\)$/;

/** "23x to 30x (Sapphire Rapids)": the least and the most of some factors, by processor. */
export function rangeWords(details: readonly string[]): string {
  const by = new Map<string, string[]>();
  for (const part of details.flatMap((detail) => detail.split(', '))) {
    const [, factor, cpu] = FACTOR.exec(part) ?? [];
    if (factor !== undefined && cpu !== undefined) by.set(cpu, [...(by.get(cpu) ?? []), factor]);
  }
  return [...by]
    .map(([cpu, factors]) => {
      const sorted = factors.toSorted((x, y) => Number(x) - Number(y));
      const [least] = sorted;
      const most = sorted.at(-1);
      return `${least === most ? `${least}x` : `${least}x to ${most}x`} (${cpu})`;
    })
    .join(', ');
}

const SHORT: Readonly<Partial<Record<ConsequenceKind, string>>> = {
  'machine-check': 'machine-check risk',
  alias: "conflicting alias of the VMM's mapping",
  'machine-check-gone': 'no machine-check risk any more',
  'alias-gone': "no conflicting alias of the VMM's mapping any more",
  'order-lost': 'stores combined, out of order',
  'order-kept': 'stores in order',
};

const SHORT_SPEED: Readonly<Record<string, string>> = {
  'now coherent with a device that does not snoop': 'coherent with a device that does not snoop',
  'now stale: the caches and a device that does not snoop see different data':
    'caches and a device that does not snoop see different data',
  'loads go to memory alone': 'loads uncached',
  'loads go to the device alone': 'loads uncached',
  'loads may be served by the cache': 'loads cached',
  'each store goes out alone': 'stores not combined',
};

/** A consequence in a few words. */
export function shortWords({ kind, text }: Consequence): string {
  const [head, detail] = parts(text);
  const range = rangeWords([detail]);
  if (range !== '') return `${head} ${range}`;
  return SHORT[kind] ?? SHORT_SPEED[text] ?? text;
}
