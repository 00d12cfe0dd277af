import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { InputError, type Place } from '../base/diagnostic.ts';
import type { FactsNode } from '../resolve/facts-tree.ts';

interface Reader {
  readonly file: string;
  readonly lines: readonly string[];
  readonly counter: LineCounter;
  /** Nodes that were read: a file of facts is small. */
  nodes: number;
}

const MOST_NODES = 100_000;
const DEEPEST = 16;

function spot(reader: Reader, start: number, end: number): { place: Place; source: string } {
  const { line, col } = reader.counter.linePos(start);
  const source = reader.lines[line - 1] ?? '';
  const length = Math.max(1, Math.min(end - start, source.length - col + 1));
  return { place: { file: reader.file, line, column: col, length }, source };
}

function nodeSpot(reader: Reader, node: Node | null): { place: Place; source: string } {
  const [start, end] = node?.range ?? [0, 1];
  return spot(reader, start, end);
}

function fail(reader: Reader, node: Node | null, message: string): never {
  throw new InputError([{ severity: 'error', message, ...nodeSpot(reader, node) }]);
}

function treeOf(reader: Reader, node: Node | null, depth: number): FactsNode {
  reader.nodes += 1;
  if (reader.nodes > MOST_NODES) fail(reader, node, `more than ${MOST_NODES} values`);
  if (depth > DEEPEST) fail(reader, node, `deeper than ${DEEPEST} levels`);
  const at = nodeSpot(reader, node);
  if (node === null || isAlias(node)) fail(reader, node, 'a value is missing here');
  if (isSeq(node)) {
    const items = node.items.map((item) => treeOf(reader, item as Node, depth + 1));
    return { kind: 'list', items, ...at };
  }
  if (isMap(node)) {
    const entries = node.items.map(({ key, value }) => {
      if (!isScalar(key)) fail(reader, key as Node, 'a key is one word');
      const text = typeof key.value === 'string' ? key.value : (key.source ?? '');
      const word = { text, ...nodeSpot(reader, key) };
      return { key: word, value: treeOf(reader, value as Node | null, depth + 1) };
    });
    return { kind: 'map', entries, ...at };
  }
  if (!isScalar(node)) fail(reader, node, 'a value is a word, a list or a map');
  const { value, source } = node;
  const text = typeof value === 'string' ? value : (source ?? String(value));
  return { kind: 'word', text, ...at };
}

/**
 * A file of facts, YAML or JSON, with the place of each value.
 *
 * @throws InputError with place and caret when it is neither
 */
export function readFactsTree(text: string, file: string): FactsNode {
  const counter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: counter,
    prettyErrors: false,
    uniqueKeys: false,
  });
  const reader: Reader = { file, lines: text.split('\n'), counter, nodes: 0 };
  if (document.errors.length > 0)
    throw new InputError(
      document.errors.slice(0, 5).map((error) => ({
        severity: 'error',
        message: error.message,
        ...spot(reader, error.pos[0], error.pos[1]),
      })),
    );
  if (document.contents === null)
    throw new InputError([{ severity: 'error', message: `${file} is empty` }]);
  return treeOf(reader, document.contents, 0);
}
