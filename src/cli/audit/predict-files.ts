import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { capturedFacts, capturedKind } from '../../audit/captured-facts.ts';
import { type PredictFacts, parsePredictFacts } from '../../audit/predict-facts.ts';
import { printable, refuse } from '../../base/diagnostic.ts';
import type { FactsNode } from '../../resolve/facts-tree.ts';
import { readFactsTree } from '../facts-tree.ts';
import { readText } from '../io.ts';

function treeOf(path: string): FactsNode {
  return readFactsTree(readText(path), path);
}

/** The files that a name stands for: a folder stands for the two that a capture program writes into it. */
function filesOf(path: string): readonly string[] {
  if (!existsSync(path) || !statSync(path).isDirectory()) return [path];
  return ['meta.json', 'regions.json'].map((name) => join(path, name));
}

/**
 * Facts for a prediction: one file in the format of docs/audit.md; or the host and its memslots in two, as a
 * program writes them that makes VMs, or the folder of these two.
 *
 * @throws InputError with the place of what is wrong
 */
export function readPredictFacts(paths: readonly string[]): PredictFacts {
  const trees = paths.flatMap(filesOf).map((path) => ({ path, tree: treeOf(path) }));
  const meta = trees.find(({ tree }) => capturedKind(tree) === 'meta');
  const regions = trees.find(({ tree }) => capturedKind(tree) === 'regions');
  if (meta !== undefined && regions !== undefined && trees.length === 2)
    return capturedFacts({ meta: meta.tree, regions: regions.tree });
  const [only] = trees;
  if (only === undefined || trees.length > 1)
    refuse(
      '--predict takes one file of facts',
      'or two: the host (meta), and its memslots (regions)',
    );
  if (meta !== undefined)
    refuse(
      `${printable(only.path)} names the host, and not its memslots`,
      'give the file of memslots by another --predict',
    );
  if (regions !== undefined)
    refuse(
      `${printable(only.path)} names memslots, and not the host`,
      'give the file of the host by another --predict',
    );
  return parsePredictFacts(only.tree);
}
