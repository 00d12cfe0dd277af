import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { type Diagnostic, InputError, type Place } from '../base/diagnostic.ts';
import type { Entry, Word } from '../resolve/compose.ts';

/** Keys of a case file that describe the case and are no facts. */
export const DESCRIPTION_KEYS = ['title', 'about', 'url', 'date', 'expect'] as const;

/** Far more than there are facts, and few enough that each can be complained about. */
const MOST_KEYS = 1000;
const MOST_VALUES = 1000;

interface Reader {
  readonly file: string;
  readonly lines: readonly string[];
  readonly counter: LineCounter;
}

/**
 * Comments as JSON with comments has them, blanked out so that every place stays the same. What is not
 * closed runs on to the end: looking for its end again from every character would take quadratic time.
 */
function withoutJsonComments(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"?|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g, (part) =>
    part.startsWith('"') ? part : part.replace(/[^\n]/g, ' '),
  );
}

function placeAt(reader: Reader, start: number, length: number): { place: Place; source: string } {
  const { line, col } = reader.counter.linePos(start);
  const place = { file: reader.file, line, column: col, length: Math.max(1, length) };
  return { place, source: reader.lines[line - 1] ?? '' };
}

function nodePlace(reader: Reader, node: Node): { place: Place; source: string } {
  const [start, end] = node.range ?? [0, 1];
  return placeAt(reader, start, end - start);
}

function fail(reader: Reader, node: Node, message: string, help?: string): never {
  const diagnostic: Diagnostic = {
    severity: 'error',
    message,
    ...nodePlace(reader, node),
    ...(help === undefined ? {} : { help }),
  };
  throw new InputError([diagnostic]);
}

function wordOf(reader: Reader, node: Node): Word {
  if (!isScalar(node)) fail(reader, node, 'a value must be a word or a list of words');
  const { value, source } = node;
  if (value === null) fail(reader, node, 'a value is missing here');
  const text = typeof value === 'string' ? value : (source ?? String(value));
  return { text, ...nodePlace(reader, node) };
}

function wordsOf(reader: Reader, node: Node | null): readonly Word[] {
  if (node === null) return [];
  if (isAlias(node))
    fail(reader, node, 'aliases are not read in a case file', 'write the value out');
  if (isSeq(node) && node.items.length > MOST_VALUES) {
    fail(reader, node, `a list has at most ${MOST_VALUES} values`);
  }
  if (isSeq(node)) return node.items.map((item) => wordOf(reader, item as Node));
  return [wordOf(reader, node)];
}

/**
 * A case file (YAML, or JSON with comments) as what the user said, each word with its place.
 *
 * @throws InputError with place and caret when it is not a map of keys to words.
 */
export function readCaseFile(text: string, file: string): readonly Entry[] {
  const json = /^\s*(?:\/\/|\/\*|\{)/.test(text);
  const counter = new LineCounter();
  const document = parseDocument(json ? withoutJsonComments(text) : text, {
    lineCounter: counter,
    prettyErrors: false,
    // Looked at below: the parser compares every key with every other.
    uniqueKeys: false,
    maxAliasCount: 0,
  } as Parameters<typeof parseDocument>[1]);
  const reader: Reader = { file, lines: text.split('\n'), counter };
  if (document.errors.length > 0) {
    throw new InputError(
      document.errors.slice(0, 5).map((error) => ({
        severity: 'error',
        message: error.message,
        ...placeAt(reader, error.pos[0], error.pos[1] - error.pos[0]),
      })),
    );
  }
  const { contents } = document;
  if (contents === null) throw new InputError([{ severity: 'error', message: `${file} is empty` }]);
  if (!isMap(contents))
    fail(
      reader,
      contents as Node,
      'a case file is a map of keys to values',
      'for example: guest: WC',
    );
  if (contents.items.length > MOST_KEYS) {
    fail(reader, contents, `a case file has at most ${MOST_KEYS} keys`);
  }
  const seen = new Map<string, Word>();
  return contents.items.flatMap((pair) => {
    const key = wordOf(reader, pair.key);
    const before = seen.get(key.text);
    if (before !== undefined) {
      const line = before.place === undefined ? '' : ` (line ${before.place.line})`;
      fail(
        reader,
        pair.key,
        `"${key.text}" is said twice${line}`,
        'several values are a list: [WC, WB]',
      );
    }
    seen.set(key.text, key);
    if ((DESCRIPTION_KEYS as readonly string[]).includes(key.text)) return [];
    const words = wordsOf(reader, pair.value);
    return [
      {
        key: key.text,
        words,
        ...(key.place ? { place: key.place } : {}),
        ...(key.source === undefined ? {} : { source: key.source }),
      },
    ];
  });
}
