import type { Change } from '../../compare/difference.ts';
import { detailOf, type Effect, rangeWords, shortWords } from './effects.ts';
import { type UserRow, withoutConsequence } from './gather.ts';
import { pairsWords, somePlatforms, whomWords } from './words.ts';

/** Where an effect holds, whatever its details are. */
function whereWords({ places }: Effect): string {
  const by = new Map<string, Change[]>();
  for (const { scope, changes } of places) by.set(scope, [...(by.get(scope) ?? []), ...changes]);
  return [...by]
    .map(([scope, changes]) => `${pairsWords(changes)}${scope === '' ? '' : ` of ${scope}`}`)
    .join('; ');
}

function detailsOf({ consequence, places }: Effect): readonly string[] {
  const details = places.map((p) => p.detail).filter((d) => d !== '');
  return details.length > 0 || consequence === null ? details : [detailOf(consequence.text)];
}

/** Loads or stores, as far as the text says which; else what it says. */
function accessOf({ text }: Effect): string {
  if (text.startsWith('loads')) return 'loads';
  return /^(?:stores|each store)\b/.test(text) ? 'stores' : text;
}

function storesFirst(x: string, y: string): number {
  return Number(y === 'stores') - Number(x === 'stores');
}

/** What gets slower, or faster, in one line: loads and stores of which changes, and by how much. */
function speedItem(kind: 'slower' | 'faster', effects: readonly Effect[]): readonly string[] {
  const own = effects.filter((e) => e.consequence?.kind === kind);
  const parts = [...new Set(own.map(accessOf))].toSorted(storesFirst).map((access) => {
    const some = own.filter((e) => accessOf(e) === access);
    const all = some.some((e) => e.places.length === 0);
    const pairs = pairsWords(some.flatMap((e) => e.places.flatMap((p) => p.changes)));
    const by = rangeWords(some.flatMap(detailsOf));
    return `${access}${all ? '' : ` of ${pairs}`}${by === '' ? '' : ` by ${by}`}`;
  });
  return parts.length === 0 ? [] : [`${kind}: ${parts.join('; ')}`];
}

function isSpeed({ consequence }: Effect): boolean {
  return consequence?.kind === 'slower' || consequence?.kind === 'faster';
}

/** What a cause means: a line for each set of changes, then what is slower and what is faster. */
export function effectItems(effects: readonly Effect[]): readonly string[] {
  const by = new Map<string, string[]>();
  for (const effect of effects.filter((e) => !isSpeed(e))) {
    const where = whereWords(effect);
    const { consequence } = effect;
    const words = consequence === null ? effect.text : shortWords(consequence);
    const whom = whomWords(words, consequence?.forWhom ?? null);
    by.set(where, [...(by.get(where) ?? []), words + whom]);
  }
  return [
    ...[...by].map(([where, words]) => `${where === '' ? '' : `${where}: `}${words.join('; ')}`),
    ...speedItem('slower', effects),
    ...speedItem('faster', effects),
  ];
}

/** What becomes of a known user, in few words. */
export function userItems(row: UserRow): readonly string[] {
  const { effects, platforms } = row;
  if (effects.length === 0) return [withoutConsequence(row)];
  return effects.map(({ consequence, on }) =>
    on === null
      ? shortWords(consequence)
      : `${shortWords(consequence)} (${somePlatforms(on, platforms)})`,
  );
}
