import type { Place } from '../base/diagnostic.ts';
import { complain, type Word } from './entries.ts';

interface Spot {
  readonly place?: Place;
  /** The line of the file, for the caret. */
  readonly source?: string;
}

/** A file of YAML or JSON with the place of each value; who reads files makes it. */
export type FactsNode =
  | ({ readonly kind: 'word'; readonly text: string } & Spot)
  | ({ readonly kind: 'list'; readonly items: readonly FactsNode[] } & Spot)
  | ({ readonly kind: 'map'; readonly entries: readonly FactsEntry[] } & Spot);

export interface FactsEntry {
  readonly key: Word;
  readonly value: FactsNode;
}

export type FactsMap = Extract<FactsNode, { kind: 'map' }>;

/** A node as something that a complaint can be made about. */
export function spotOf(node: FactsNode): Word {
  return {
    text: node.kind === 'word' ? node.text : '',
    ...(node.place === undefined ? {} : { place: node.place }),
    ...(node.source === undefined ? {} : { source: node.source }),
  };
}

export function asMap(node: FactsNode, what: string): FactsMap {
  if (node.kind === 'map') return node;
  return complain(spotOf(node), `${what} is a map of keys to values`);
}

export function asList(node: FactsNode, what: string): readonly FactsNode[] {
  if (node.kind === 'list') return node.items;
  return complain(spotOf(node), `${what} is a list`);
}

export function asWord(node: FactsNode, what: string): Word {
  if (node.kind === 'word') return spotOf(node);
  return complain(spotOf(node), `${what} is one word or number`);
}

export function nodeOf(map: FactsMap, key: string): FactsNode | null {
  return map.entries.find((entry) => entry.key.text === key)?.value ?? null;
}

export function wordOf(map: FactsMap, key: string): Word | null {
  const value = nodeOf(map, key);
  return value === null ? null : asWord(value, key);
}

/** @throws InputError at a key that is said twice. */
export function refuseTwice(map: FactsMap): void {
  const seen = new Set<string>();
  for (const { key } of map.entries) {
    if (seen.has(key.text)) complain(key, `"${key.text}" is said twice`, 'say it once');
    seen.add(key.text);
  }
}
