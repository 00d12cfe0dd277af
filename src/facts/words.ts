import { own } from '../base/own.ts';
import type { FactKey, FactValues } from './facts.ts';
import { FACT_KEYS, factDefinition, factWord } from './facts.ts';

/** Words that say yes and no, beside the words a fact has of its own. */
const YES = new Set(['yes', 'true', '1', 'on']);
const NO = new Set(['no', 'false', '0', 'off']);

/** Names under which a fact was known elsewhere, and the fact. */
export const KEY_ALIASES: Readonly<Record<string, FactKey>> = {
  'guest-type': 'guest',
  'ignore-guest-pat': 'quirk-ignore-guest-pat',
  'cd-nw-cleared': 'quirk-cd-nw-cleared',
};

export type ValueResult<K extends FactKey> =
  | { readonly ok: true; readonly value: FactValues[K] }
  | { readonly ok: false; readonly expected: string };

/** The words that a fact takes, for help and for errors. */
export function vocabulary(key: FactKey): string {
  const { values } = factDefinition(key);
  return values === null ? 'a name' : [...values].map((v) => factWord(v)).join(' ');
}

/** One word to a value of a fact: case does not matter, and 0/1, true/false and on/off are understood. */
export function parseValue<K extends FactKey>(key: K, word: string): ValueResult<K> {
  const { values } = factDefinition(key);
  if (values === null) return { ok: true, value: word as FactValues[K] };
  const low = word.toLowerCase();
  const found = values.find((value) => matches(value, low));
  return found === undefined
    ? { ok: false, expected: vocabulary(key) }
    : { ok: true, value: found };
}

function matches(value: FactValues[FactKey], word: string): boolean {
  if (value === true || value === 'on') return YES.has(word);
  if (value === false || value === 'off') return NO.has(word);
  return value.toLowerCase() === word;
}

/** The fact of a name on the command line or in a case file; null when there is none. */
export function factKeyOf(name: string): FactKey | null {
  return (
    own(KEY_ALIASES, name) ?? FACT_KEYS.find((key) => key === name && key !== 'policy') ?? null
  );
}

/** Edit distance with two neighbours changing places as one edit, for "did you mean". */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? (before[j - 2] ?? 0) + 1 : change;
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** The candidate nearest to a word, when it is near enough to be a slip. */
export function didYouMean(word: string, candidates: readonly string[]): string | null {
  const far = Math.max(1, Math.floor(word.length / 3));
  const ranked = candidates
    .map((c) => ({ c, d: distance(word.toLowerCase().slice(0, 64), c.toLowerCase()) }))
    .sort((x, y) => x.d - y.d || (x.c < y.c ? -1 : 1));
  const [best] = ranked;
  return best !== undefined && best.d <= far ? best.c : null;
}
