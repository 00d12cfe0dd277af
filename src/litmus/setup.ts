import type { Diagnostic } from '../base/diagnostic.ts';
import type { PageType } from '../machine/config.ts';
import { SWITCH_NAMES, type Switches } from '../machine/switches.ts';
import { ACCESS_TYPES } from '../machine/types.ts';
import type { EptLeaf } from '../x86/ept.ts';
import { MTRR_TYPES, PAT_TYPES } from '../x86/types.ts';
import { problemAt, Refused, refuseAt, warningAt } from './lex.ts';
import {
  type HeaderWord,
  type Line,
  oneOf,
  pairsOf,
  printView,
  procOf,
  viewNameOf,
  wordsOf,
} from './setup-words.ts';
import type {
  DeviceSetup,
  Expectation,
  HeaderLine,
  Setup,
  Source,
  Span,
  TypeParts,
  ViewSetup,
  Word,
} from './test.ts';

/** Every type that a view can have, `absent` for none. */
export const PAGE_TYPES: readonly PageType[] = [...ACCESS_TYPES, 'absent'];

/** Keys that other tools write or read and that say nothing about a state search. */
const KEYS_OF_OTHERS = [
  'Align',
  'Author',
  'CacheType',
  'Com',
  'Cycle',
  'Generator',
  'Hash',
  'Mapping',
  'Orig',
  'Prefetch',
  'Relax',
  'Safe',
  'Stable',
  'TTHM',
  'Topology',
  'Variant',
  'el0',
  'user',
];

/** Keys whose text is for readers. */
const TEXT_KEYS = ['Id', 'Authority', 'Source', 'Why'] as const;

interface Draft {
  vendor: Setup['vendor'];
  readonly views: Map<string, ViewSetup>;
  readonly aliases: Setup['aliases'][number][];
  readonly lines: Setup['lines'][number][];
  readonly devices: DeviceSetup[];
  readonly cached: Setup['cached'][number][];
  readonly cacheDisable: number[];
  readonly flags: Setup['flags'][number][];
  readonly switches: { -readonly [K in keyof Switches]?: boolean };
  caches: Setup['caches'];
  storeBuffer: number | null;
  combiningBuffers: number | null;
  readonly expect: Expectation[];
}

type Reader = (draft: Draft, line: Line) => void;

function addType(draft: Draft, line: Line): void {
  for (const { word, left, right } of pairsOf(line, `${line.line.key}=x:WC y:UC`)) {
    const view = viewNameOf(line.source, word, left);
    const key = printView(view);
    if (draft.views.has(key)) refuseAt(line.source, word, `${key} has a type already`);
    if (right === 'UC-') {
      refuseAt(line.source, word, 'UC- is what a PAT says, no type of an access', `PAT=${key}:UC-`);
    }
    const type = oneOf(line.source, word, right, PAGE_TYPES, 'a memory type');
    draft.views.set(key, { view, type, at: word });
  }
}

function eptOf(source: Source, at: Span, text: string): { readonly ept: EptLeaf } {
  const ipat = text.endsWith('+IPAT');
  const type = ipat ? text.slice(0, -'+IPAT'.length) : text;
  return { ept: { memtype: oneOf(source, at, type, MTRR_TYPES, 'a type of an EPT leaf'), ipat } };
}

/** The keys of the parts of a type. */
export const PART_KEYS = ['PAT', 'MTRR', 'EPT', 'NPT'] as const;
export type PartKey = (typeof PART_KEYS)[number];

/** A part of a type from its text: `UC-` of a PAT, `WB+IPAT` of an EPT leaf. @throws Refused */
export function typePart(source: Source, at: Span, key: PartKey, text: string): TypeParts {
  switch (key) {
    case 'PAT':
      return { pat: oneOf(source, at, text, PAT_TYPES, 'a PAT type') };
    case 'NPT':
      return { npt: oneOf(source, at, text, PAT_TYPES, 'a PAT type') };
    case 'MTRR':
      return { mtrr: oneOf(source, at, text, MTRR_TYPES, 'an MTRR type') };
    case 'EPT':
      return eptOf(source, at, text);
  }
}

function addPart(draft: Draft, line: Line, which: PartKey): void {
  for (const { word, left, right } of pairsOf(line, `${line.line.key}=x:WB`)) {
    const view = viewNameOf(line.source, word, left);
    const key = printView(view);
    const before = draft.views.get(key);
    if (typeof before?.type === 'string') {
      refuseAt(line.source, word, `${key} has a type already`, 'give the type or its parts');
    }
    const part = typePart(line.source, word, which, right);
    const [name] = Object.keys(part);
    if (name !== undefined && name in (before?.type ?? {})) {
      refuseAt(line.source, word, `${line.line.key} of ${key} is said twice`);
    }
    draft.views.set(key, { view, type: { ...before?.type, ...part }, at: before?.at ?? word });
  }
}

function addAliases(draft: Draft, line: Line): void {
  for (const { word, left, right } of pairsOf(line, 'Alias=w:x')) {
    const alias = viewNameOf(line.source, word, left);
    const of = viewNameOf(line.source, word, right).name;
    draft.aliases.push({ alias, of, at: word });
  }
}

function addLine(draft: Draft, line: Line): void {
  const words = wordsOf(line);
  if (words.length < 2) {
    refuseAt(line.source, line.line.at, 'a line needs two cells to be worth a name', 'Line=x y');
  }
  const cells = words.map((word) => viewNameOf(line.source, word, word.text).name);
  draft.lines.push({ cells, at: line.line.at });
}

const DEVICE = 'Device=P1:GPU snoop, or nosnoop, or nosnoop cache';

function addDevice(draft: Draft, line: Line): void {
  const [first, ...rest] = wordsOf(line);
  const [proc, name] = first?.parts ?? [];
  if (first === undefined || proc === undefined || name === undefined) {
    refuseAt(line.source, line.line.at, 'expected a thread and the name of a device', DEVICE);
  }
  const said = new Set<string>();
  for (const word of rest) {
    const known = ['snoop', 'nosnoop', 'cache'] as const;
    said.add(oneOf(line.source, word, word.text, known, 'a property of a device'));
  }
  if (said.has('snoop') === said.has('nosnoop')) {
    refuseAt(line.source, line.line.at, 'does it snoop the caches of the cores?', DEVICE);
  }
  draft.devices.push({
    proc: procOf(line.source, first, proc),
    name,
    snoop: said.has('snoop'),
    cache: said.has('cache'),
    at: line.line.at,
  });
}

function addCached(draft: Draft, line: Line): void {
  for (const { word, left, right } of pairsOf(line, 'Cached=P0:x P1:y=2')) {
    const [name = '', value] = right.split('=');
    if (value !== undefined && !/^-?\d+$/.test(value)) {
      refuseAt(line.source, word, `no number: "${value}"`, 'Cached=P1:y=2 is y modified to 2');
    }
    draft.cached.push({
      proc: procOf(line.source, word, left),
      name: viewNameOf(line.source, word, name).name,
      value: value === undefined ? null : Number(value),
      at: word,
    });
  }
}

function addFlags(draft: Draft, line: Line): void {
  for (const { word, left, right } of pairsOf(line, 'Flag=door:exit irq:plain')) {
    const kind = oneOf(line.source, word, right, ['exit', 'plain'] as const, 'a kind of flag');
    const { name } = viewNameOf(line.source, word, left);
    draft.flags.push({ name, serialises: kind === 'exit', at: word });
  }
}

function addCacheDisable(draft: Draft, line: Line): void {
  draft.cacheDisable.push(...wordsOf(line).map((word) => procOf(line.source, word, word.text)));
}

function onOff(source: Source, at: Span, text: string): boolean {
  return oneOf(source, at, text, ['on', 'off'] as const, 'a position of a switch') === 'on';
}

/** Switches as words `name=on`. @throws Refused */
export function switchesOf(source: Source, words: readonly HeaderWord[]): Partial<Switches> {
  const switches: Draft['switches'] = {};
  for (const word of words) {
    const [left = '', right = ''] = word.text.split('=');
    const name = SWITCH_NAMES.find((other) => other.toLowerCase() === left.toLowerCase());
    if (name === undefined) {
      return refuseAt(source, word, `no switch: "${left}"`, `one of ${SWITCH_NAMES.join(' ')}`);
    }
    switches[name] = onOff(source, word, right);
  }
  return switches;
}

const WORDS: readonly Word[] = ['Never', 'Sometimes', 'Always'];

function addExpectation(draft: Draft, line: Line): void {
  const [first, ...rest] = wordsOf(line);
  if (first === undefined) {
    refuseAt(line.source, line.line.keyAt, 'Expect says nothing', 'Expect=Never');
  }
  const word = oneOf(line.source, first, first.text, WORDS, 'an observation');
  draft.expect.push({ word, switches: switchesOf(line.source, rest) });
}

function positive({ source, line }: Line): number {
  const n = Number(line.value.trim());
  return Number.isInteger(n) && n > 0 && n <= 64
    ? n
    : refuseAt(source, line.at, `no number from 1 to 64: "${line.value.trim()}"`);
}

function oneWord<T extends string>(line: Line, known: readonly T[], what: string): T {
  return oneOf(line.source, line.line.at, line.line.value.trim(), known, what);
}

const READERS: Readonly<Record<string, Reader>> = {
  MT: addType,
  MemoryType: addType,
  PAT: (draft, line) => addPart(draft, line, 'PAT'),
  MTRR: (draft, line) => addPart(draft, line, 'MTRR'),
  EPT: (draft, line) => addPart(draft, line, 'EPT'),
  NPT: (draft, line) => addPart(draft, line, 'NPT'),
  Alias: addAliases,
  Line: addLine,
  Device: addDevice,
  Cached: addCached,
  CD: addCacheDisable,
  Flag: addFlags,
  Expect: addExpectation,
  Vendor: (draft, line) => {
    draft.vendor = oneWord(line, ['intel', 'amd'] as const, 'a vendor');
  },
  Caches: (draft, line) => {
    draft.caches = oneWord(line, ['all', 'visible'] as const, 'a choice of caches');
  },
  StoreBuffer: (draft, line) => {
    draft.storeBuffer = positive(line);
  },
  CombiningBuffers: (draft, line) => {
    draft.combiningBuffers = positive(line);
  },
};

/** Every key that something is read from, but for the switches, and those for readers. */
export const KEYS: readonly string[] = [...Object.keys(READERS), ...TEXT_KEYS];

/** Keys that may stand more than once. */
const REPEATED = ['Expect', 'Device', 'Line', 'Source'];

/** A key as we spell it: herd7 reads keys in any case. Null for keys that nobody knows. */
function known(key: string): string | null {
  const all: readonly string[] = [...KEYS, ...SWITCH_NAMES, ...KEYS_OF_OTHERS];
  return all.find((name) => name.toLowerCase() === key.toLowerCase()) ?? null;
}

function readerOf(key: string): Reader | null {
  const name = known(key);
  const position = SWITCH_NAMES.find((other) => other === name);
  if (position !== undefined) {
    return (draft, { source, line }) => {
      draft.switches[position] = onOff(source, line.at, line.value.trim());
    };
  }
  return name !== null && Object.hasOwn(READERS, name) ? (READERS[name] ?? null) : null;
}

/** Whether something is read from lines with this key. */
export function isRead(key: string): boolean {
  return readerOf(key) !== null;
}

/** Whether lines with this key are for readers of the file. */
export function isText(key: string): boolean {
  return TEXT_KEYS.some((name) => name === known(key));
}

function unknownKey(source: Source, { key, keyAt }: HeaderLine): Diagnostic {
  const help = `nothing reads it; keys are ${KEYS.join(' ')} and the switches`;
  return warningAt(source, keyAt, `unknown key "${key}"`, help);
}

/** The rule for lines that contradict each other: herd7 reads one line of a key and drops the others. */
function repeated(source: Source, header: readonly HeaderLine[]): readonly Diagnostic[] {
  const nameOf = (key: string) => (known(key) === 'MemoryType' ? 'MT' : (known(key) ?? key));
  return header.flatMap((line, i) => {
    const name = nameOf(line.key);
    const again = header.slice(0, i).some((other) => nameOf(other.key) === name);
    if (!again || REPEATED.includes(name) || readerOf(line.key) === null) return [];
    return [problemAt(source, line.keyAt, `${line.key} is said twice`, 'put it into one line')];
  });
}

/** What header lines say, and what is wrong with them. */
export function readSetup(
  source: Source,
  header: readonly HeaderLine[],
): { readonly setup: Setup; readonly problems: readonly Diagnostic[] } {
  const draft: Draft = {
    vendor: 'intel',
    views: new Map(),
    aliases: [],
    lines: [],
    devices: [],
    cached: [],
    cacheDisable: [],
    flags: [],
    switches: {},
    caches: 'all',
    storeBuffer: null,
    combiningBuffers: null,
    expect: [],
  };
  const problems: Diagnostic[] = [...repeated(source, header)];
  for (const line of header) {
    const reader = readerOf(line.key);
    if (reader === null) {
      if (known(line.key) === null) problems.push(unknownKey(source, line));
      continue;
    }
    try {
      reader(draft, { source, line });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problems.push(error.diagnostic);
    }
  }
  const views = [...draft.views].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, view]) => view);
  return { setup: { ...draft, views }, problems };
}
