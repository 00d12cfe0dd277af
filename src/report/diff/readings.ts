import type { Difference } from '../../compare/difference.ts';
import { wrap } from '../wrap.ts';
import { usersSentence, verdictSentences } from './verdict.ts';

/** How many readings are printed in full before a line for each takes their place. */
export const FULL_READINGS = 3;

/** Readings that say the same in their first sentences are one. */
function together(ds: readonly Difference[]): ReadonlyMap<string, readonly Difference[]> {
  const groups = new Map<string, Difference[]>();
  for (const d of ds) {
    const key = `${verdictSentences(d)[0] ?? ''} ${usersSentence(d)}`;
    groups.set(key, [...(groups.get(key) ?? []), d]);
  }
  return groups;
}

/**
 * Many readings of one name, a few lines for those that say the same; each in full is another command.
 *
 * @param width of the text, in columns
 */
export function readingsText(ds: readonly Difference[], width: number): string {
  const [first] = ds;
  if (first === undefined) return '';
  const plain = (name: string): string => name.replace(/ \(reading .*/, '');
  const head =
    `${plain(first.a.name)} -> ${plain(first.b.name)}: ${ds.length} pairs of readings. Its number does not ` +
    'say which rules a kernel has: name a version that does, or ask for all of them with --all.';
  const groups = [...together(ds)].flatMap(([sentence, own]) => [
    '',
    ...wrap(`${own.length} of ${ds.length}: ${sentence}`, width, '  '),
    ...own.flatMap((d) => wrap(`  - ${d.a.title} -> ${d.b.title}`, width, '    ')),
  ]);
  return `${[...wrap(head, width), ...groups].join('\n')}\n`;
}
