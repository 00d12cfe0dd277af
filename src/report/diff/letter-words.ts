import type { Change } from '../../compare/difference.ts';
import { type Effect, shortWords } from './effects.ts';
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

/** What a cause means: a line for each set of changes. */
export function effectItems(effects: readonly Effect[]): readonly string[] {
  const by = new Map<string, string[]>();
  for (const effect of effects) {
    const where = whereWords(effect);
    const details = effect.places.map((p) => p.detail).filter((d) => d !== '');
    const { consequence } = effect;
    const words = consequence === null ? effect.text : shortWords(consequence, details);
    const whom = whomWords(words, consequence?.forWhom ?? null);
    by.set(where, [...(by.get(where) ?? []), words + whom]);
  }
  return [...by].map(([where, words]) => `${where === '' ? '' : `${where}: `}${words.join('; ')}`);
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
