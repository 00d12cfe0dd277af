import { refuse } from '../base/diagnostic.ts';
import { SHARDS_MAX, type Shard } from '../doctor/fleet/fleet.ts';
import { chunksOf } from './io.ts';

/** Longer is no file name: Linux allows 4096 bytes. */
const NAME_MAX = 64 * 1024;

function separated(text: string, by: string): { whole: readonly string[]; rest: string } {
  const parts = text.split(by);
  const rest = parts.pop() ?? '';
  return { whole: parts, rest };
}

/**
 * The parts of a text that comes in chunks, each as soon as its end is there. A part is at most `max`
 * characters.
 */
export function* partsOf(
  chunks: Iterable<string>,
  by: string,
  max: number,
  what: string,
): Generator<string> {
  let rest = '';
  for (const chunk of chunks) {
    const found = separated(rest + chunk, by);
    if (found.rest.length > max) refuse(`${what} has more than ${max} characters`);
    rest = found.rest;
    yield* found.whole;
  }
  if (rest !== '') yield rest;
}

/** Chunks of which the first tells how the names are separated. */
function* withFirst(first: string, rest: Iterator<string>): Generator<string> {
  yield first;
  for (let next = rest.next(); next.done !== true; next = rest.next()) yield next.value;
}

/**
 * File names out of a list, one a line, or separated by NUL where the first piece of the list has one.
 *
 * @param path of the list; "-": standard input
 * @throws InputError when the list cannot be read
 */
export function* namesFrom(path: string): Generator<string> {
  const chunks = chunksOf(path)[Symbol.iterator]();
  let first = '';
  while (!/[\0\n]/.test(first) && first.length <= NAME_MAX) {
    const next = chunks.next();
    if (next.done === true) break;
    first += next.value;
  }
  const by = first.includes('\0') ? '\0' : '\n';
  let empty = 0;
  for (const name of partsOf(withFirst(first, chunks), by, NAME_MAX, `a name in ${path}`)) {
    empty = name === '' ? empty + 1 : 0;
    if (empty > NAME_MAX) refuse(`${path} is no list of file names`);
    if (name !== '') yield name === '-' ? './-' : name;
  }
}

/** "0/8" is the first of eight. @throws InputError for anything else */
export function parseShard(text: string): Shard {
  const [, index = '', of = ''] = /^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  if (of === '' || shard.of > SHARDS_MAX || shard.index >= shard.of) {
    refuse(`not a shard: ${text}`, 'I/N with I from 0 to N-1: 0/8 is the first of eight');
  }
  return shard;
}

/** Every N-th name, beginning with that of the index. */
export function* sharded(names: Iterable<string>, shard: Shard | null): Generator<string> {
  let n = 0;
  for (const name of names) {
    if (shard === null || n % shard.of === shard.index) yield name;
    n += 1;
  }
  if (n === 0) refuse('there is no file to look at', 'the list is empty');
}
