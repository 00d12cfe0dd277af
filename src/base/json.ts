import type { Diagnostic } from './diagnostic.ts';

/** A JSON value with its keys in the order of the map: an object would put "10" before "9a". */
export type JsonTree =
  | string
  | number
  | boolean
  | null
  | readonly JsonTree[]
  | ReadonlyMap<string, JsonTree>;

/** A value of at most so many characters stands on one line. */
const ONE_LINE = 96;

function isMap(tree: JsonTree): tree is ReadonlyMap<string, JsonTree> {
  return tree instanceof Map;
}

function broken(open: string, items: readonly string[], close: string, indent: string): string {
  const inner = `${indent} `;
  return `${open}\n${items.map((item) => inner + item).join(',\n')}\n${indent}${close}`;
}

function joinItems(open: string, items: readonly string[], close: string, indent: string): string {
  const length = items.reduce((sum, item) => sum + item.length + 2, indent.length + 2);
  const short = length <= ONE_LINE && !items.some((item) => item.includes('\n'));
  return short ? open + items.join(', ') + close : broken(open, items, close, indent);
}

/** JSON text for people: short values on one line, a blank more of indentation for each level. */
export function printJson(tree: JsonTree, indent = ''): string {
  if (isMap(tree)) {
    const items = [...tree].map(
      ([key, value]) => `${JSON.stringify(key)}: ${printJson(value, `${indent} `)}`,
    );
    return indent === '' && items.length > 0
      ? broken('{', items, '}', indent)
      : joinItems('{', items, '}', indent);
  }
  if (typeof tree !== 'object' || tree === null) return JSON.stringify(tree);
  const items = tree.map((item) => printJson(item, `${indent} `));
  return joinItems('[', items, ']', indent);
}

// ---- where it is wrong ------------------------------------------------------------------------

/** Characters of a text: from `at`, `length` of them. */
export interface Extent {
  readonly at: number;
  readonly length: number;
}

const BLANK = /[ \t\n\r]*/y;
const PLAIN = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const WORD = /[^\s,:[\]{}"]{1,40}|[\s\S]/y;

function skipBlank(text: string, at: number): number {
  BLANK.lastIndex = at;
  BLANK.exec(text);
  return BLANK.lastIndex;
}

function matchLength(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}

/** What is wrong inside of the string that begins at `at`; else where it ends. */
function scanString(text: string, at: number): number | Wrong {
  for (let i = at + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) return i + 1;
    if (c < 0x20) return { at: i, length: 1, message: 'a control character stands in a string' };
    if (c !== 0x5c) continue;
    const sequence = /^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(text.slice(i, i + 6))?.[0];
    if (sequence === undefined)
      return { at: i, length: 2, message: 'no escape of JSON begins like this' };
    i += sequence.length - 1;
  }
  return { at, length: 1, message: 'this string has no end: the file is cut' };
}

interface Wrong extends Extent {
  readonly message: string;
}

type Wanted = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or }' | ', or ]' | 'end';

const PHRASES: Readonly<Record<Wanted, string>> = {
  value: 'a value',
  'value or ]': 'a value or "]"',
  key: 'a key in quotation marks',
  'key or }': 'a key in quotation marks or "}"',
  ':': '":"',
  ', or }': '"," or "}"',
  ', or ]': '"," or "]"',
  end: 'the end of the file',
};

function unexpected(text: string, at: number, wanted: Wanted): Wrong {
  const phrase = PHRASES[wanted];
  if (at >= text.length) return { at, length: 1, message: `the file ends where ${phrase} stands` };
  return { at, length: Math.max(1, matchLength(WORD, text, at)), message: `here stands ${phrase}` };
}

function afterValue(open: readonly string[]): Wanted {
  const last = open.at(-1);
  if (last === undefined) return 'end';
  return last === '{' ? ', or }' : ', or ]';
}

/** The first error of a text that JSON.parse refuses; its own messages do not always say where. */
function firstError(text: string): Wrong | null {
  const open: string[] = [];
  let wanted: Wanted = 'value';
  let at = 0;
  for (;;) {
    at = skipBlank(text, at);
    const c = text[at];
    if (c === undefined) return wanted === 'end' ? null : unexpected(text, at, wanted);
    if (c === '"' && /^(?:key|value)/.test(wanted)) {
      const end = scanString(text, at);
      if (typeof end !== 'number') return end;
      at = end;
      wanted = wanted.startsWith('key') ? ':' : afterValue(open);
    } else if (wanted.startsWith('value') && (c === '{' || c === '[')) {
      open.push(c);
      wanted = c === '{' ? 'key or }' : 'value or ]';
      at += 1;
    } else if (wanted !== ':' && wanted !== 'end' && wanted.endsWith(c) && /[\]}]/.test(c)) {
      open.pop();
      wanted = afterValue(open);
      at += 1;
    } else if (c === ',' && wanted.startsWith(',')) {
      wanted = wanted === ', or }' ? 'key' : 'value';
      at += 1;
    } else if (c === ':' && wanted === ':') {
      wanted = 'value';
      at += 1;
    } else {
      const length = wanted.startsWith('value') ? matchLength(PLAIN, text, at) : 0;
      if (length === 0) return unexpected(text, at, wanted);
      at += length;
      wanted = afterValue(open);
    }
  }
}

/** The end of the value that begins at `at`, in a text that is JSON. */
function valueEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; ) {
    const c = text[i];
    if (c === '"') {
      const end = scanString(text, i);
      i = typeof end === 'number' ? end : text.length;
    } else {
      if (c === '{' || c === '[') depth += 1;
      else if (c === '}' || c === ']') depth -= 1;
      const length = depth === 0 && c !== '}' && c !== ']' ? matchLength(PLAIN, text, i) : 1;
      i += Math.max(1, length);
    }
    if (depth === 0) return i;
  }
  return text.length;
}

/** Where the member `step` of the object or list at `at` begins; of a key said twice, the last. */
function member(text: string, at: number, step: string | number): number | null {
  const isObject = text[at] === '{';
  let i = skipBlank(text, at + 1);
  let found: number | null = null;
  for (let n = 0; i < text.length && text[i] !== '}' && text[i] !== ']'; n++) {
    let key: string | number = n;
    if (isObject) {
      const end = valueEnd(text, i);
      key = JSON.parse(text.slice(i, end)) as string;
      i = skipBlank(text, skipBlank(text, end) + 1);
    }
    if (key === step) found = i;
    i = skipBlank(text, valueEnd(text, i));
    if (text[i] === ',') i = skipBlank(text, i + 1);
  }
  return found;
}

/** Where the value at a path of keys and indices stands, in a text that is JSON. */
export function locateJson(text: string, path: readonly (string | number)[]): Extent {
  let at = skipBlank(text, 0);
  for (const step of path) {
    const found = member(text, at, step);
    if (found === null) break;
    at = found;
  }
  return { at, length: Math.max(1, valueEnd(text, at) - at) };
}

/** The end of the string that begins at `at`, in a text that is JSON: `scanString` without its checks. */
function stringEnd(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
  return text.length;
}

function keysWritten(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at >= 0; ) {
    const end = stringEnd(text, at);
    if (text[skipBlank(text, end)] === ':') count += 1;
    at = text.indexOf('"', end);
  }
  return count;
}

function keysRead(value: unknown): number {
  let count = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const members = Object.values(next) as readonly unknown[];
    if (!Array.isArray(next)) count += members.length;
    for (const member of members) if (typeof member === 'object') open.push(member);
  }
  return count;
}

/** A capture is less deep; below this, keys are not compared. */
const DEPTH_MAX = 8;

/**
 * The first key that an object has twice with two values, of which JSON.parse keeps the last; null: there is
 * none.
 *
 * @param value what JSON.parse makes of `text`
 */
export function contradiction(text: string, value: unknown): Extent | null {
  // All but always so, and much faster than to look at each.
  if (keysWritten(text) === keysRead(value)) return null;
  const open: Map<string, string>[] = [];
  for (let at = 0; at < text.length; ) {
    const c = text[at];
    if (c === '{' || c === '[') open.push(new Map());
    else if (c === '}' || c === ']') open.pop();
    if (c !== '"') {
      at += 1;
      continue;
    }
    const end = stringEnd(text, at);
    const colon = skipBlank(text, end);
    if (text[colon] === ':' && open.length <= DEPTH_MAX) {
      const key = JSON.parse(text.slice(at, end)) as string;
      const begin = skipBlank(text, colon + 1);
      const said = text.slice(begin, valueEnd(text, begin));
      const before = open.at(-1)?.get(key);
      if (before !== undefined && before !== said) return { at, length: end - at };
      open.at(-1)?.set(key, said);
    }
    at = end;
  }
  return null;
}

/** A diagnostic with the place of an extent; what spans lines is marked to the end of the first. */
export function diagnosticAt(
  text: string,
  file: string,
  { at, length }: Extent,
  message: string,
  help?: string,
): Diagnostic {
  const start = text.lastIndexOf('\n', at - 1) + 1;
  const newline = text.indexOf('\n', start);
  const source = text.slice(start, newline < 0 ? text.length : newline);
  const line = text.slice(0, start).split('\n').length;
  const column = at - start + 1;
  const shown = Math.max(1, Math.min(length, source.length - column + 1));
  return {
    severity: 'error',
    message,
    place: { file, line, column, length: shown },
    source,
    ...(help === undefined ? {} : { help }),
  };
}

export type ParsedJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly diagnostic: Diagnostic };

/** JSON.parse, with the place where the text is none. */
export function parseJson(text: string, file: string): ParsedJson {
  try {
    return { ok: true, value: JSON.parse(text) as unknown };
  } catch (error) {
    const wrong = firstError(text);
    if (wrong === null) throw error;
    const diagnostic = diagnosticAt(text, file, wrong, `no JSON: ${wrong.message}`);
    return { ok: false, diagnostic };
  }
}
