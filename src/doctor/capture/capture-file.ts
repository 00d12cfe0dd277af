import { type Diagnostic, InputError, printable } from '../../base/diagnostic.ts';
import {
  contradiction,
  diagnosticAt,
  type JsonTree,
  locateJson,
  parseJson,
  printJson,
} from '../../base/json.ts';
import type {
  BytesReading,
  Capture,
  LinkReading,
  LinksReading,
  ListReading,
  NamedLink,
  NumberReading,
  Refusal,
  TextReading,
  Uname,
} from '../reading.ts';
import { NOT_READ } from '../reading.ts';

/** The version of the format that is written, and the highest that is read. */
export const CAPTURE_VERSION = 1;

/** Characters of a capture file; a host with a thousand processors has about 3 million. */
export const CAPTURE_MAX = 64 * 2 ** 20;

/** Who wrote a capture file: this program or its shell script. */
export type CaptureWriter = 'node' | 'sh';

/** What a capture file says beside what was read. */
export interface CaptureOrigin {
  /** "memtype 0.1.0". */
  readonly tool: string;
  readonly by: CaptureWriter;
  /** What was masked, in words. */
  readonly masked: readonly string[];
}

export interface CaptureFile {
  readonly capture: Capture;
  /** Null members: the file does not say. */
  readonly origin: { readonly [K in keyof CaptureOrigin]: CaptureOrigin[K] | null };
  /** What of the file is not understood and was read over. */
  readonly notes: readonly Diagnostic[];
}

// ---- writing ----------------------------------------------------------------------------------

/**
 * A text that ends with a line feed is a list of lines, one that ends with NUL (a command line) a list of
 * words, any other the string itself.
 */
function textTree(text: string): JsonTree {
  if (text.endsWith('\n')) return text.slice(0, -1).split('\n');
  if (text.endsWith('\0')) return new Map([['words', text.slice(0, -1).split('\0')]]);
  return text;
}

function refusalTree({ reason, detail }: Refusal): JsonTree {
  return new Map([
    ['refused', reason],
    ['detail', detail],
  ]);
}

function withCut(tree: JsonTree, key: string, cut: boolean): JsonTree {
  if (!cut) return tree;
  const words = key === 'lines' && tree instanceof Map ? [...tree] : [];
  const inside: readonly (readonly [string, JsonTree])[] = words.length > 0 ? words : [[key, tree]];
  return new Map([...inside, ['cut', true]]);
}

function textReadingTree(reading: TextReading): JsonTree {
  return reading.ok ? withCut(textTree(reading.text), 'lines', reading.cut) : refusalTree(reading);
}

/** Names that an object in place of the links has for itself. */
const LINKS_KEYS: ReadonlySet<string> = new Set(['refused', 'detail', 'links', 'cut']);

function linksTree(reading: LinksReading): JsonTree {
  if (!reading.ok) return refusalTree(reading);
  const links = new Map(reading.links.map(({ name, target }) => [name, target]));
  const taken = reading.links.some(({ name }) => LINKS_KEYS.has(name));
  if (taken && !reading.cut) return new Map([['links', links]]);
  return withCut(links, 'links', reading.cut);
}

function mapTree<T>(
  map: ReadonlyMap<string, T>,
  tree: (value: T) => JsonTree,
): ReadonlyMap<string, JsonTree> {
  return new Map([...map].map(([key, value]) => [key, tree(value)]));
}

/** A capture as the text of a capture file: see docs/capture.md. */
export function captureJson(capture: Capture, origin: CaptureOrigin): string {
  const { uname, pid } = capture;
  const tree = new Map<string, JsonTree>([
    ['memtypeCapture', CAPTURE_VERSION],
    ['tool', origin.tool],
    ['by', origin.by],
    ['masked', origin.masked],
    ['uname', new Map(Object.entries(uname) as [string, string][])],
    ['pid', pid],
    ['kvm', mapTree(capture.kvm, (r) => (r.ok ? r.value : refusalTree(r)))],
    ['log', textReadingTree(capture.log)],
    ['texts', mapTree(capture.texts, textReadingTree)],
    [
      'lists',
      mapTree(capture.lists, (r) => (r.ok ? withCut(r.names, 'names', r.cut) : refusalTree(r))),
    ],
    ['links', mapTree(capture.links, (r) => (r.ok ? r.target : refusalTree(r)))],
    ['linkLists', mapTree(capture.linkLists, linksTree)],
    ['bytes', mapTree(capture.bytes, (r) => (r.ok ? r.hex : refusalTree(r)))],
  ]);
  return `${printJson(tree)}\n`;
}

// ---- reading ----------------------------------------------------------------------------------

type Path = readonly (string | number)[];

/** Says where in the file something is wrong. */
export type Locate = (path: Path, message: string, help?: string) => Diagnostic;

type Plain = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const REASONS = ['absent', 'denied', 'timeout', 'error', 'not read'] as const;

/** More than this of what is not understood is counted, not listed. */
const NOTES_MAX = 5;

class ShapeReader {
  readonly notes: Diagnostic[] = [];
  #more = 0;
  readonly #locate: Locate;

  constructor(locate: Locate) {
    this.#locate = locate;
  }

  fail(path: Path, message: string, help?: string): never {
    throw new InputError([this.#locate(path, message, help)]);
  }

  note(path: Path, message: string): void {
    if (this.notes.length >= NOTES_MAX) this.#more += 1;
    else this.notes.push({ ...this.#locate(path, message), severity: 'warning' });
  }

  allNotes(): readonly Diagnostic[] {
    if (this.#more === 0) return this.notes;
    const message = `${this.#more} more keys that this version of memtype does not know`;
    return [...this.notes, { severity: 'warning', message }];
  }

  string(value: unknown, path: Path, what: string): string {
    return typeof value === 'string' ? value : this.fail(path, `${what} is a string`);
  }

  strings(value: unknown, path: Path, what: string): readonly string[] {
    if (!Array.isArray(value)) return this.fail(path, `${what} is a list of strings`);
    const list: readonly unknown[] = value;
    const wrong = list.findIndex((item) => typeof item !== 'string');
    if (wrong >= 0) this.fail([...path, wrong], `${what} is a list of strings`);
    return list as readonly string[];
  }

  /** An object of which only these keys are understood. */
  object(value: unknown, path: Path, what: string, keys: readonly string[]): Plain {
    if (!isObject(value)) return this.fail(path, `${what} is an object`);
    for (const key of Object.keys(value)) {
      if (keys.includes(key)) continue;
      const where = path.length === 0 ? '' : ` of ${path.join(' ')}`;
      this.note([...path, key], `key "${key}"${where} is not known to this version: read over`);
    }
    return value;
  }

  isCut(value: Plain, path: Path): boolean {
    const cut = Object.hasOwn(value, 'cut') ? value['cut'] : false;
    return typeof cut === 'boolean' ? cut : this.fail([...path, 'cut'], '"cut" is true or false');
  }

  /** {"refused": "denied", "detail": "EACCES"}; null when it is something else. */
  refusal(value: unknown, path: Path): Refusal | null {
    if (!isObject(value) || typeof value['refused'] !== 'string') return null;
    const object = this.object(value, path, 'a refusal', ['refused', 'detail']);
    const word = this.string(object['refused'], [...path, 'refused'], '"refused"');
    const said = object['detail'];
    const detail = said === undefined ? '' : this.string(said, [...path, 'detail'], '"detail"');
    const reason = REASONS.find((r) => r === word);
    if (reason !== undefined) return { ok: false, reason, detail };
    this.note([...path, 'refused'], `reason "${word}" is not known to this version`);
    return { ok: false, reason: 'error', detail: detail === '' ? word : `${word}: ${detail}` };
  }

  map<T>(value: unknown, path: Path, read: (value: unknown, path: Path) => T): Map<string, T> {
    const found = new Map<string, T>();
    if (value === undefined) return found;
    if (!isObject(value)) return this.fail(path, `"${path.join(' ')}" is an object`);
    for (const key of Object.keys(value)) found.set(key, read(value[key], [...path, key]));
    return found;
  }
}

const TEXT = 'a text: a string, a list of lines, {"lines": ...} or {"refused": ...}';

function textOf(r: ShapeReader, value: unknown, path: Path): string {
  if (typeof value === 'string') return value;
  const lines = r.strings(value, path, TEXT);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function readText(r: ShapeReader, value: unknown, path: Path): TextReading {
  if (!isObject(value)) return { ok: true, text: textOf(r, value, path), cut: false };
  const refusal = r.refusal(value, path);
  if (refusal !== null) return refusal;
  const object = r.object(value, path, TEXT, ['lines', 'words', 'cut']);
  const cut = r.isCut(object, path);
  if (Object.hasOwn(object, 'words')) {
    const words = r.strings(object['words'], [...path, 'words'], '"words"');
    return { ok: true, text: words.map((word) => `${word}\0`).join(''), cut };
  }
  if (!Object.hasOwn(object, 'lines')) r.fail(path, TEXT);
  return { ok: true, text: textOf(r, object['lines'], [...path, 'lines']), cut };
}

const LIST = 'a directory: a list of names, {"names": [...]} or {"refused": ...}';

function readList(r: ShapeReader, value: unknown, path: Path): ListReading {
  if (!isObject(value)) return { ok: true, names: r.strings(value, path, LIST), cut: false };
  const refusal = r.refusal(value, path);
  if (refusal !== null) return refusal;
  const object = r.object(value, path, LIST, ['names', 'cut']);
  const names = r.strings(object['names'], [...path, 'names'], LIST);
  return { ok: true, names, cut: r.isCut(object, path) };
}

function readLink(r: ShapeReader, value: unknown, path: Path): LinkReading {
  const refusal = r.refusal(value, path);
  if (refusal !== null) return refusal;
  return { ok: true, target: r.string(value, path, 'a link: its target or {"refused": ...};') };
}

const LINKS = 'the links of a directory: {NAME: TARGET}, {"links": {...}} or {"refused": ...}';

function readLinks(r: ShapeReader, value: unknown, path: Path): LinksReading {
  const refusal = r.refusal(value, path);
  if (refusal !== null) return refusal;
  if (!isObject(value)) return r.fail(path, LINKS);
  const wrapped = isObject(value['links']);
  const object = wrapped ? r.object(value, path, LINKS, ['links', 'cut']) : value;
  const inner = wrapped ? [...path, 'links'] : path;
  const targets = r.map(wrapped ? object['links'] : object, inner, (target, at) =>
    r.string(target, at, 'the target of a link'),
  );
  const links = [...targets].map(([name, target]): NamedLink => ({ name, target }));
  return { ok: true, links, cut: wrapped && r.isCut(object, path) };
}

const HEX = /^(?:[0-9a-f]{2})*$/;

function readBytes(r: ShapeReader, value: unknown, path: Path): BytesReading {
  const refusal = r.refusal(value, path);
  if (refusal !== null) return refusal;
  const hex = r.string(value, path, 'bytes: hexadecimal digits or {"refused": ...};');
  if (!HEX.test(hex)) r.fail(path, 'bytes are pairs of lower-case hexadecimal digits');
  return { ok: true, hex };
}

function readNumber(r: ShapeReader, value: unknown, path: Path): NumberReading {
  const refusal = r.refusal(value, path);
  if (refusal !== null) return refusal;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return { ok: true, value };
  return r.fail(path, 'an answer of KVM: an integer or {"refused": ...}');
}

function readUname(r: ShapeReader, value: unknown): Uname {
  const keys = ['sysname', 'release', 'machine'] as const;
  const object = value === undefined ? {} : r.object(value, ['uname'], '"uname"', keys);
  const word = (key: (typeof keys)[number]): string =>
    object[key] === undefined ? '' : r.string(object[key], ['uname', key], `"${key}"`);
  return { sysname: word('sysname'), release: word('release'), machine: word('machine') };
}

function readPid(r: ShapeReader, value: unknown): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  return r.fail(['pid'], '"pid" is null (every process) or the number of the only process read');
}

function readOrigin(r: ShapeReader, value: Plain): CaptureFile['origin'] {
  const { tool, by, masked } = value;
  const writer = by === undefined ? null : r.string(by, ['by'], '"by"');
  return {
    tool: tool === undefined ? null : r.string(tool, ['tool'], '"tool"'),
    by: writer === 'node' || writer === 'sh' ? writer : null,
    masked: masked === undefined ? null : r.strings(masked, ['masked'], '"masked"'),
  };
}

function checkVersion(r: ShapeReader, value: Plain): void {
  const version = value['memtypeCapture'];
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) {
    r.fail(['memtypeCapture'], '"memtypeCapture" is the version of the format, e.g. 1');
  }
  if (version <= CAPTURE_VERSION) return;
  const tool = typeof value['tool'] === 'string' ? `, written by ${printable(value['tool'])}` : '';
  const message = `capture format ${version}${tool}: this version reads up to ${CAPTURE_VERSION}`;
  r.fail(['memtypeCapture'], message, 'run doctor of that version, or a newer one');
}

const KEYS = [
  'memtypeCapture',
  'tool',
  'by',
  'masked',
  'uname',
  'pid',
  'kvm',
  'log',
  'texts',
  'lists',
  'links',
  'linkLists',
  'bytes',
] as const;

/**
 * A capture from what a file holds. What an older version did not write counts as not read; what is not
 * understood is read over and noted.
 *
 * @param locate where in the file a path of keys stands
 * @throws InputError for another shape, or a newer version of the format
 */
export function captureFrom(value: unknown, locate: Locate): CaptureFile {
  const r = new ShapeReader(locate);
  if (!isObject(value)) return r.fail([], 'a capture is an object: {"memtypeCapture": 1, ...}');
  if (!Object.hasOwn(value, 'memtypeCapture')) {
    const help = 'memtype capture writes one: {"memtypeCapture": 1, ...}';
    r.fail([], 'this is no capture: it has no key "memtypeCapture"', help);
  }
  checkVersion(r, value);
  r.object(value, [], 'a capture', KEYS);
  const capture: Capture = {
    uname: readUname(r, value['uname']),
    pid: readPid(r, value['pid']),
    texts: r.map(value['texts'], ['texts'], (v, p) => readText(r, v, p)),
    lists: r.map(value['lists'], ['lists'], (v, p) => readList(r, v, p)),
    links: r.map(value['links'], ['links'], (v, p) => readLink(r, v, p)),
    linkLists: r.map(value['linkLists'], ['linkLists'], (v, p) => readLinks(r, v, p)),
    bytes: r.map(value['bytes'], ['bytes'], (v, p) => readBytes(r, v, p)),
    kvm: r.map(value['kvm'], ['kvm'], (v, p) => readNumber(r, v, p)),
    log: value['log'] === undefined ? NOT_READ : readText(r, value['log'], ['log']),
  };
  return { capture, origin: readOrigin(r, value), notes: r.allNotes() };
}

/**
 * A capture file and what it says of itself.
 *
 * @throws InputError with place and caret when the text is no capture, or of a newer version
 */
export function parseCaptureFile(text: string, file: string): CaptureFile {
  if (text.length > CAPTURE_MAX) {
    const message = `${file} is larger than ${CAPTURE_MAX / 2 ** 20} Mi characters, and no capture is`;
    throw new InputError([{ severity: 'error', message }]);
  }
  const parsed = parseJson(text, file);
  if (!parsed.ok) throw new InputError([parsed.diagnostic]);
  const twice = contradiction(text, parsed.value);
  if (twice !== null) {
    const message = 'this key stands here for the second time, with another value';
    throw new InputError([diagnosticAt(text, file, twice, message, 'remove one of them')]);
  }
  return captureFrom(parsed.value, (path, message, help) =>
    diagnosticAt(text, file, locateJson(text, path), message, help),
  );
}

/** The capture in a capture file. @throws InputError as `parseCaptureFile` */
export function parseCapture(text: string, file: string): Capture {
  return parseCaptureFile(text, file).capture;
}
