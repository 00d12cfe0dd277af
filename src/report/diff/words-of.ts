import type { Consequence, DecidedBy } from '../../compare/difference.ts';
import type { Effect, Place } from './effects.ts';
import { type UserRow, withoutConsequence } from './gather.ts';
import { pairsWords, somePlatforms, whomWords } from './words.ts';

function notes({ codes, sources }: Consequence): string {
  const all = [...codes, ...sources];
  return all.length === 0 ? '' : ` [${all.join(', ')}]`;
}

/** A consequence: for whom, by which verdicts, from where. */
export function effectWords({ consequence, text }: Omit<Effect, 'places'>): string {
  if (consequence === null) return text;
  return `${text}${whomWords(text, consequence.forWhom)}${notes(consequence)}`;
}

/** Where in a cause: changes, and kinds of page where not all; what is particular to it. */
export function placeWords({ changes, scope, detail }: Place): string {
  const of = `${pairsWords(changes)}${scope === '' ? '' : ` of ${scope}`}`;
  return detail === '' ? of : `${of}: ${detail}`;
}

/** "EPT WB+IPAT: why [source]". */
export function decidedWords({ leaf, why, source }: DecidedBy): string {
  return `${leaf}: ${why} [${source}]`;
}

/** What becomes of a known user. */
export function userWords(row: UserRow): readonly string[] {
  const { effects, platforms } = row;
  if (effects.length === 0) return [withoutConsequence(row)];
  return effects.map(({ consequence, on }) => {
    const where = on === null ? '' : ` (${somePlatforms(on, platforms)})`;
    return effectWords({ consequence, text: consequence.text }) + where;
  });
}

export function rowWords({ before, after }: UserRow): string {
  return `${before.join(' or ')} -> ${after.join(' or ')}`;
}
