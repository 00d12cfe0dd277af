import type { Change, Consequence } from '../../compare/difference.ts';
import { ordered, pagesOf } from './pages.ts';
import { KINDS } from './words.ts';

/** Where a consequence holds within a cause. */
export interface Place {
  readonly changes: readonly Change[];
  /** Null: for every kind of page that gets into these changes. */
  readonly pages: readonly string[] | null;
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

interface Found {
  consequence: Consequence;
  readonly head: string;
  readonly pages: Map<Change, { readonly detail: string; pages: readonly string[] }>;
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

function placesOf(pages: Found['pages']): readonly Place[] {
  const places = new Map<
    string,
    { changes: Change[]; pages: readonly string[] | null; detail: string }
  >();
  for (const [change, { detail, pages: own }] of pages) {
    const every = own.join() === pagesOf(change).join();
    const key = `${detail} ${every ? '' : own.join()}`;
    const place = places.get(key);
    if (place === undefined)
      places.set(key, { changes: [change], pages: every ? null : own, detail });
    else place.changes.push(change);
  }
  return [...places.values()];
}

/** The places of an effect that does not hold everywhere; details that are all the same go into its text. */
function effectOf(f: Found, whole: number): Effect {
  const places = placesOf(f.pages);
  const details = [...new Set(places.map((p) => p.detail))];
  const [detail = ''] = details;
  const everywhere = f.pages.size === whole && places.every((p) => p.pages === null);
  if (details.length > 1) return { consequence: f.consequence, text: f.head, places };
  const text = detail === '' ? f.head : `${f.head}: ${detail}`;
  const { consequence } = f;
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
  if (pages.size === 0) return [];
  const places = placesOf(pages);
  const everywhere = pages.size === changes.length && places.every((p) => p.pages === null);
  return [{ consequence: null, text: 'no consequence known', places: everywhere ? [] : places }];
}

/** The consequences of some changes, each once, with where it holds; the worst first. */
export function effectsOf(changes: readonly Change[]): readonly Effect[] {
  const effects = found(changes).map((f) => effectOf(f, changes.length));
  return [...worstFirst(effects), ...withoutEffect(changes)];
}

const FACTOR = /^([\d.]+) times \((.*)\)$/;

/** "23 to 30 times (Sapphire Rapids)": the least and the most of some details, by processor. */
export function rangeWords(places: readonly Place[]): string {
  const by = new Map<string, string[]>();
  for (const { detail } of places) {
    for (const part of detail.split(', ')) {
      const [, factor, cpu] = FACTOR.exec(part) ?? [];
      if (factor !== undefined && cpu !== undefined) by.set(cpu, [...(by.get(cpu) ?? []), factor]);
    }
  }
  return [...by]
    .map(([cpu, factors]) => {
      const sorted = factors.toSorted((x, y) => Number(x) - Number(y));
      const [least] = sorted;
      const most = sorted.at(-1);
      return `${least === most ? least : `${least} to ${most}`} times (${cpu})`;
    })
    .join(', ');
}
