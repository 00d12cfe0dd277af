import type { Category, Difference } from '../../compare/difference.ts';
import { usersWith, userViews } from './gather.ts';
import { counted, KIND_WORDS, KINDS, listed, percent, platformWords } from './words.ts';

/** "6.16 -> host-pat", and the kernel where the name does not say it. */
export function sidesWords({ a, b }: Difference): string {
  return `${a.name} -> ${b.name}`;
}

/** Least and most of the shares of the platforms that differ. */
function shares({ platforms }: Difference): string {
  const differ = platforms.filter((g) => g.differing > 0);
  const by = differ.toSorted((x, y) => x.differing / x.points - y.differing / y.points);
  const [least] = by;
  const most = by.at(-1);
  if (least === undefined || most === undefined) return '0%';
  const [low, high] = [
    percent(least.differing, least.points),
    percent(most.differing, most.points),
  ];
  return low === high ? low : `${low} to ${high}`;
}

export function changedPlatforms({ platforms }: Difference): readonly string[] {
  return platformWords(platforms.filter((g) => g.differing > 0).flatMap((g) => g.platforms));
}

/** Past so many names the verdict only counts them. */
const NAMED = 4;

function where(d: Difference): string {
  const differ = d.platforms.filter((g) => g.differing > 0).flatMap((g) => g.platforms).length;
  const all = d.platforms.reduce((n, g) => n + g.platforms.length, 0);
  if (differ === all && all > 1) return `all ${all} platforms`;
  const names = changedPlatforms(d);
  return names.length > NAMED ? `${differ} of ${all} platforms` : listed(names);
}

export function samePlatforms({ platforms }: Difference): readonly string[] {
  return platformWords(platforms.filter((g) => g.differing === 0).flatMap((g) => g.platforms));
}

const ONLY_WORDS: Readonly<Record<Category, string>> = {
  'guest-visible': 'the guest',
  perf: 'speed',
  coherence: 'coherence',
  mce: 'machine checks',
};

/** How many known users change, and how. */
export function usersSentence(d: Difference): string {
  const views = userViews(d);
  const total = views.length + d.usersUnchanged.length;
  if (total === 0) return '';
  if (views.length === 0) {
    return d.only === null ? `None of the ${total} known users gets another type.` : '';
  }
  const kinds = KINDS.flatMap((kind) => {
    const n = usersWith(kind, views).length;
    return n === 0 ? [] : [`${n} ${KIND_WORDS[kind]}`];
  });
  const of =
    d.only === null
      ? `${views.length} of ${total} known users ${views.length === 1 ? 'gets' : 'get'}`
      : `${counted(views.length, 'known user')} ${views.length === 1 ? 'gets' : 'get'}`;
  return `${of} another type${kinds.length === 0 ? '' : `: ${kinds.join(', ')}`}.`;
}

/** What else differs. */
function besides(d: Difference): string {
  const parts = [
    ...(d.rules.length > 0 ? [`${counted(d.rules.length, 'other rule')}`] : []),
    ...(d.existing.differs ? ['what becomes of mappings that are there already'] : []),
    ...d.families.filter((f) => f.differing > 0).map((f) => f.title),
  ];
  return parts.length === 0 ? '' : `Different beside the type itself: ${listed(parts)}.`;
}

/** What changes, for whom, in a few sentences. */
export function verdictSentences(d: Difference): readonly string[] {
  const only = d.only === null ? '' : `, as far as it matters for ${ONLY_WORDS[d.only]}`;
  const first =
    d.differing === 0
      ? `No guest access gets another memory type${only}.`
      : `Guest accesses get another memory type on ${where(d)}${only}: ` +
        `${shares(d)} of all combinations of the inputs, most of which no machine has.`;
  return [first, usersSentence(d), besides(d)].filter((s) => s !== '');
}

/** What stays on a platform without a change of the kind that was asked for. */
export function sameWords({ only }: Difference): string {
  if (only === null || only === 'guest-visible') return 'everything';
  return `everything that matters for ${ONLY_WORDS[only]}`;
}
