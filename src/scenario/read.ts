import { didYouMean } from '../facts/words.ts';
import { EXPLAIN_KEYS } from '../resolve/compose.ts';
import { complain, type Entry, type Word } from '../resolve/entries.ts';
import {
  asList,
  asMap,
  asWord,
  type FactsEntry,
  type FactsNode,
  refuseTwice,
  spotOf,
} from '../resolve/facts-tree.ts';
import { EFFECTIVE_TYPES, PAT_TYPES } from '../x86/types.ts';
import { type Cell, type Condition, parseCondition } from './condition.ts';
import { parseInstruction } from './instruction.ts';
import {
  AGENTS,
  type AgentName,
  CLEARED,
  type Line,
  type Memory,
  type Outcome,
  type Part,
  type Program,
  RESULTS,
  type Scenario,
} from './scenario.ts';

/** Keys of a scenario that are no facts. */
export const SCENARIO_KEYS = ['title', 'about', 'url', 'date', 'programs', 'outcomes'] as const;

/** Keys of a program. `with` holds facts. */
export const PROGRAM_KEYS = [
  'title',
  'about',
  'with',
  'blob',
  'ram',
  'cleared',
  ...AGENTS,
  'never',
  'sometimes',
  'granted',
  'effective',
] as const;

function unknownKey(key: Word, what: string, known: readonly string[]): never {
  const near = didYouMean(key.text, known);
  const help = near === null ? 'see memtype schema scenario' : `did you mean ${near}?`;
  return complain(key, `${what} has no key "${key.text}"`, help);
}

// ---- words ------------------------------------------------------------------------------------

function oneOrMore(node: FactsNode, what: string): readonly Word[] {
  return node.kind === 'list' ? node.items.map((item) => asWord(item, what)) : [asWord(node, what)];
}

function factEntry({ key, value }: FactsEntry): Entry {
  return {
    key: key.text,
    words: oneOrMore(value, key.text),
    ...(key.place === undefined ? {} : { place: key.place }),
    ...(key.source === undefined ? {} : { source: key.source }),
  };
}

function oneOf<T extends string>(word: Word, values: readonly T[], what: string): T {
  const found = values.find((v) => v === word.text);
  if (found !== undefined) return found;
  const near = didYouMean(word.text, values);
  const help = `${near === null ? '' : `did you mean ${near}? `}one of ${values.join(' ')}`;
  return complain(word, `no ${what}: "${word.text}"`, help);
}

// ---- programs ---------------------------------------------------------------------------------

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const MOST_INSTRUCTIONS = 64;
const MOST_BYTES = 8;

function linesOf(node: FactsNode | null, seen: Map<string, Word>): readonly Line[] {
  if (node === null) return [];
  return oneOrMore(node, 'a line of the cache').map((word) => {
    const bytes = word.text.split(/\s+/).filter((b) => b !== '');
    if (bytes.length === 0) complain(word, 'a line without bytes', 'name its bytes: [x y, flag]');
    for (const byte of bytes) {
      if (!NAME.test(byte))
        complain(word, `not a name: "${byte}"`, 'a letter, then letters and digits');
      if (seen.has(byte))
        complain(word, `the byte "${byte}" is there twice`, 'give it another name');
      seen.set(byte, word);
    }
    return bytes;
  });
}

function partOf(agent: AgentName, node: FactsNode, bytes: ReadonlyMap<string, Word>): Part {
  const items = asList(node, `the program of ${agent}`);
  if (items.length > MOST_INSTRUCTIONS) {
    complain(spotOf(node), `a program has at most ${MOST_INSTRUCTIONS} instructions`);
  }
  const instructions = items.map((item) => {
    const word = asWord(item, 'an instruction');
    const instruction = parseInstruction(word, agent);
    if ('byte' in instruction && !bytes.has(instruction.byte)) {
      const near = didYouMean(instruction.byte, [...bytes.keys()]);
      complain(
        word,
        `no byte "${instruction.byte}"`,
        near === null ? 'name it under blob or ram' : `did you mean ${near}?`,
      );
    }
    return instruction;
  });
  return { agent, instructions };
}

/** The registers that a part writes. */
export function registersOf(part: Part): readonly string[] {
  const all = part.instructions.flatMap((i) =>
    'register' in i && i.register !== null ? [i.register] : [],
  );
  return [...new Set(all)];
}

function checkCell(
  cell: Cell,
  word: Word,
  parts: readonly Part[],
  bytes: ReadonlyMap<string, Word>,
): void {
  if (cell.owner === 'memory') {
    if (bytes.has(cell.name)) return;
    complain(word, `no byte "${cell.name}"`, `one of ${[...bytes.keys()].join(' ')}`);
  }
  const part = parts.find((p) => p.agent === cell.owner);
  if (part === undefined) {
    const known = [...parts.map((p) => p.agent), 'memory'];
    complain(word, `no agent "${cell.owner}" here`, `one of ${known.join(' ')}`);
  }
  const registers = registersOf(part);
  if (registers.includes(cell.name)) return;
  const near = didYouMean(cell.name, registers);
  const help =
    near === null ? `it loads into ${registers.join(' ') || 'none'}` : `did you mean ${near}?`;
  complain(word, `${cell.owner} has no register "${cell.name}"`, help);
}

function checkFlags(parts: readonly Part[]): void {
  const rung = new Set(
    parts.flatMap((p) => p.instructions.flatMap((i) => (i.op === 'ring' ? [i.flag] : []))),
  );
  for (const i of parts.flatMap((p) => p.instructions)) {
    if (i.op !== 'wait' || rung.has(i.flag)) continue;
    const near = didYouMean(i.flag, [...rung]);
    complain(
      i.word,
      `nobody rings "${i.flag}": this would wait for ever`,
      near === null ? `add: ring ${i.flag}` : `did you mean ${near}?`,
    );
  }
}

type Nodes = (key: string) => FactsNode | null;

function conditionsOf(node: FactsNode | null, what: string): readonly Condition[] {
  return node === null ? [] : oneOrMore(node, what).map(parseCondition);
}

function typesOf<T extends string>(
  node: FactsNode | null,
  values: readonly T[],
): readonly T[] | null {
  if (node === null) return null;
  return oneOrMore(node, 'a memory type').map((word) => oneOf(word, values, 'memory type'));
}

function memoryOf(nodes: Nodes, name: Word): { memory: Memory; bytes: ReadonlyMap<string, Word> } {
  const bytes = new Map<string, Word>();
  const memory = { blob: linesOf(nodes('blob'), bytes), ram: linesOf(nodes('ram'), bytes) };
  if (memory.blob.length === 0) {
    complain(name, `${name.text} has no byte in the blob`, 'for example: blob: [x]');
  }
  if (bytes.size > MOST_BYTES) complain(name, `a program has at most ${MOST_BYTES} bytes`);
  return { memory, bytes };
}

function programOf({ key, value }: FactsEntry): Program {
  const map = asMap(value, `program ${key.text}`);
  if (!NAME.test(key.text)) complain(key, `not a name of a program: "${key.text}"`);
  refuseTwice(map);
  for (const entry of map.entries) {
    if (!(PROGRAM_KEYS as readonly string[]).includes(entry.key.text))
      unknownKey(entry.key, `program ${key.text}`, PROGRAM_KEYS);
  }
  const nodes: Nodes = (name) => map.entries.find((e) => e.key.text === name)?.value ?? null;
  const text = (name: string): string => {
    const node = nodes(name);
    return node === null ? '' : asWord(node, name).text.trim();
  };
  const { memory, bytes } = memoryOf(nodes, key);
  const parts = AGENTS.flatMap((agent) => {
    const node = nodes(agent);
    return node === null ? [] : [partOf(agent, node, bytes)];
  });
  if (parts.length === 0)
    complain(key, `nobody does anything in ${key.text}`, `one of ${AGENTS.join(' ')}`);
  checkFlags(parts);
  const never = conditionsOf(nodes('never'), 'never');
  const sometimes = conditionsOf(nodes('sometimes'), 'sometimes');
  for (const condition of [...never, ...sometimes]) {
    for (const cell of condition.any.flat()) checkCell(cell, condition.word, parts, bytes);
  }
  const withNode = nodes('with');
  const cleared = nodes('cleared');
  return {
    name: key.text,
    title: text('title'),
    about: text('about'),
    facts: withNode === null ? [] : factsOf(asMap(withNode, 'with').entries, 'with'),
    memory,
    cleared: cleared === null ? 'flushed' : oneOf(asWord(cleared, 'cleared'), CLEARED, 'state'),
    parts,
    never,
    sometimes,
    granted: typesOf(nodes('granted'), PAT_TYPES),
    effective: typesOf(nodes('effective'), EFFECTIVE_TYPES),
  };
}

// ---- facts and outcomes -----------------------------------------------------------------------

function factsOf(entries: readonly FactsEntry[], what: string): readonly Entry[] {
  return entries.map((entry) => {
    if (!EXPLAIN_KEYS.includes(entry.key.text)) unknownKey(entry.key, what, EXPLAIN_KEYS);
    return factEntry(entry);
  });
}

function outcomeOf(node: FactsNode, programs: readonly Program[]): Outcome {
  const map = asMap(node, 'an outcome');
  refuseTwice(map);
  const names = programs.map((p) => p.name);
  const facts: Entry[] = [];
  const results: { program: Word; result: Outcome['results'][number]['result'] }[] = [];
  let title = '';
  for (const entry of map.entries) {
    const { key, value } = entry;
    if (key.text === 'title') title = asWord(value, 'title').text;
    else if (names.includes(key.text)) {
      const word = asWord(value, key.text);
      results.push({ program: key, result: oneOf(word, RESULTS, 'result') });
    } else if (EXPLAIN_KEYS.includes(key.text)) facts.push(factEntry(entry));
    else unknownKey(key, 'an outcome', [...names, ...EXPLAIN_KEYS, 'title']);
  }
  if (results.length === 0) {
    complain(spotOf(node), 'an outcome names no program', `for example: ${names[0] ?? 'L1'}: ok`);
  }
  return { title, facts, results };
}

/**
 * A scenario file.
 *
 * @param file its name, for complaints that have no place
 * @throws InputError with the place of what is wrong
 */
export function readScenario(node: FactsNode, file: string): Scenario {
  const map = asMap(node, 'a scenario');
  refuseTwice(map);
  const known = [...SCENARIO_KEYS, ...EXPLAIN_KEYS];
  for (const { key } of map.entries) {
    if (!known.includes(key.text)) unknownKey(key, 'a scenario', known);
  }
  const nodes: Nodes = (name) => map.entries.find((e) => e.key.text === name)?.value ?? null;
  const text = (name: string): string => {
    const found = nodes(name);
    return found === null ? '' : asWord(found, name).text.trim();
  };
  const programNode = nodes('programs');
  if (programNode === null) {
    complain(
      spotOf(node),
      `${file} has no programs`,
      'see docs/run.md, and scenarios/ for examples',
    );
  }
  const programMap = asMap(programNode, 'programs');
  refuseTwice(programMap);
  const programs = programMap.entries.map(programOf);
  if (programs.length === 0) complain(spotOf(programNode), 'programs is empty');
  const outcomes = nodes('outcomes');
  return {
    title: text('title'),
    about: text('about'),
    facts: map.entries.filter(({ key }) => EXPLAIN_KEYS.includes(key.text)).map(factEntry),
    programs,
    outcomes:
      outcomes === null ? [] : asList(outcomes, 'outcomes').map((n) => outcomeOf(n, programs)),
  };
}

/** Facts said later replace those said before; kernel and policy are one. */
export function overlaid(...layers: readonly (readonly Entry[])[]): readonly Entry[] {
  const IS_RULES = (key: string): boolean => key === 'kernel' || key === 'policy';
  return layers.reduce<readonly Entry[]>((below, above) => {
    const keys = new Set(above.map((e) => e.key));
    const rules = above.some((e) => IS_RULES(e.key));
    return [...below.filter((e) => !keys.has(e.key) && !(rules && IS_RULES(e.key))), ...above];
  }, []);
}
