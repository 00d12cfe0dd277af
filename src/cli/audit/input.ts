import { createGunzip } from 'node:zlib';
import { printable, refuse } from '../../base/diagnostic.ts';
import type { Damage, TraceSource } from '../../report/audit/document.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { binaryForm } from '../../trace/binary/open.ts';
import { type ByteSource, bytesSource } from '../../trace/binary/source.ts';
import type { BinaryTrace } from '../../trace/binary/trace.ts';
import { PROBLEM_KINDS, type ProblemKind } from '../../trace/problems.ts';
import { type ScanTally, TextScanner } from '../../trace/scan.ts';
import { piecesOf } from '../io.ts';
import { binaryOf, type OpenFile, openRanges } from './binary.ts';
import { eventLine } from './event-line.ts';
import { LinePicker, type Mark, markBefore } from './trace-lines.ts';

/** An event that is to be shown. */
export interface Wanted {
  readonly place: number;
  /** Part of its text, which tells it from others at the same place. */
  readonly mark: string | null;
}

/** A trace that was read. */
export interface ReadTrace {
  readonly source: TraceSource;
  /** The text of events, in the order in which they were asked for; null: it was not kept. */
  readonly textOf: (wanted: readonly Wanted[]) => Promise<readonly (string | null)[]>;
}

const PIECE = 1 << 20;
/** Of a pipe so much is kept, for the lines of findings: it cannot be read again. */
export const KEPT_MAX = 64 * 2 ** 20;
/** A binary trace that cannot be read in ranges is taken into memory. */
const MEMORY_MAX = 2 ** 30;

const WORDS: Readonly<Record<ProblemKind, string>> = {
  unreadable: 'events whose fields could not be read',
  interleaved: 'lines in which two writers are mixed',
  raw: 'events printed with the trace options raw or hex, which lose the fields',
  garbage: 'lines with bytes that no text has',
  long: 'lines longer than any event',
  unended: 'line without an end, so that a number may be cut',
  noise: 'lines that are no event',
};
const NO_LOSS: ReadonlySet<ProblemKind> = new Set(['noise', 'unended', 'unreadable']);

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** What comes out of gunzip. A damaged end is said; what came before it counts. */
async function* unzipped(
  pieces: Iterable<Uint8Array>,
  onDamage: (why: string) => void,
): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: PIECE });
  const out = gunzip[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const fill = async (): Promise<void> => {
    for (const piece of pieces) {
      if (gunzip.destroyed) return;
      if (!gunzip.write(Uint8Array.from(piece)))
        await new Promise((done) => {
          gunzip.once('drain', done);
          gunzip.once('close', done);
        });
    }
    gunzip.end();
  };
  const filled = fill();
  try {
    for (let next = await out.next(); next.done !== true; next = await out.next()) yield next.value;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (typeof code !== 'string' || !/^(?:Z_|ERR_)/.test(code)) throw error;
    onDamage(message);
  } finally {
    gunzip.destroy();
  }
  await filled;
}

/** The first bytes of a text, and all of it. */
function* peeked(first: Uint8Array | null, rest: Iterator<Uint8Array>): Generator<Uint8Array> {
  if (first !== null) yield first;
  for (let next = rest.next(); next.done !== true; next = rest.next()) yield next.value;
}

async function collected(pieces: Pieces, path: string): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.length;
    if (size > MEMORY_MAX)
      refuse(`${printable(path)} is larger than 1 GiB and comes from a pipe`, 'give it as a file');
    all.push(Uint8Array.from(piece));
  }
  return Buffer.concat(all);
}

// ---- text -------------------------------------------------------------------------------------

/** What was wrong with a text, in words. */
export function damageOf({ problems }: ScanTally): readonly Damage[] {
  return PROBLEM_KINDS.flatMap((kind) => {
    const count = problems.count(kind);
    if (count === 0) return [];
    const first = problems.first
      .filter((p) => p.kind === kind)
      .map(({ line, column, text }) => ({ place: line, column, text: printable(text) }));
    return [{ what: WORDS[kind], count, isLoss: !NO_LOSS.has(kind), first }];
  });
}

/** The columns of a batch are filled again. */
function handing(take: (batch: EventBatch) => void): (batch: EventBatch) => EventBatch {
  return (batch) => {
    take(batch);
    return batch;
  };
}

/** Asks again for lines: from where they are known to be, of a file; from what was kept, of a pipe. */
interface Again {
  readonly marks: readonly Mark[];
  readonly ranges: (() => ReturnType<typeof openRanges>) | null;
  readonly kept: Pieces | null;
}

async function linesOf(
  numbers: ReadonlySet<number>,
  again: Again,
): Promise<ReadonlyMap<number, string>> {
  if (again.ranges === null) {
    const picker = new LinePicker(numbers);
    for await (const piece of again.kept ?? []) {
      picker.push(piece);
      if (picker.isDone) break;
    }
    return picker.found;
  }
  const file = again.ranges();
  if (file === null) return new Map();
  const found = new Map<number, string>();
  try {
    for (const line of numbers) {
      const mark = markBefore(again.marks, line);
      const picker = new LinePicker(new Set([line]), mark.line);
      for (let at = mark.offset; at < file.size && !picker.isDone; at += PIECE)
        picker.push(file.read(at, PIECE));
      picker.end();
      for (const [number, text] of picker.found) found.set(number, text);
    }
  } finally {
    file.close();
  }
  return found;
}

async function readText(
  path: string,
  pieces: Pieces,
  take: (batch: EventBatch) => void,
  { isPlain, isFile }: { readonly isPlain: boolean; readonly isFile: boolean },
): Promise<ReadTrace> {
  const scanner = new TextScanner({ emit: handing(take) });
  const marks: Mark[] = [];
  const kept: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    scanner.push(piece);
    if (isPlain && isFile) {
      const { lines, bytes } = scanner.tally;
      marks.push({ line: lines + 1, offset: bytes });
    } else if (!isFile && size + piece.length <= KEPT_MAX) kept.push(Uint8Array.from(piece));
    size += piece.length;
  }
  scanner.end();
  const { tally } = scanner;
  if (tally.events.size === 0 && tally.problems.total > 0 && tally.problems.count('raw') === 0) {
    refuse(
      `${printable(path === '-' ? 'standard input' : path)} is no trace: ${tally.lines} lines, and none is an event`,
      'give the text of ftrace, trace-cmd report or perf script, or a trace.dat or perf.data',
    );
  }
  const ranges = isPlain && isFile ? () => openRanges(path) : null;
  const again = (): Pieces => (isFile ? unzipped(piecesOf(path, PIECE), () => undefined) : kept);
  return {
    source: {
      file: path,
      form: 'text',
      unit: 'line',
      bytes: tally.bytes,
      lines: tally.lines,
      about: [],
      damaged: damageOf(tally),
    },
    async textOf(wanted) {
      const numbers = new Set(wanted.map(({ place }) => place));
      const found =
        numbers.size === 0
          ? null
          : await linesOf(numbers, { marks, ranges, kept: ranges === null ? again() : null });
      return wanted.map(({ place }) => found?.get(place) ?? null);
    },
  };
}

// ---- binary -----------------------------------------------------------------------------------

function aboutOf({ about }: BinaryTrace): readonly string[] {
  const { recorder, system, clock, isSeconds, cpus, buffers, compression } = about;
  return [
    ...(recorder === null ? [] : [`recorded by ${printable(recorder)}`]),
    ...(system === null ? [] : [`on ${printable(system)}`]),
    `${cpus} CPUs${clock === null ? '' : `, clock ${printable(clock)}`}${isSeconds ? '' : ', which counts ticks and not seconds'}`,
    ...(buffers.length > 1
      ? [`buffers: ${buffers.map((b) => printable(b === '' ? 'top' : b)).join(' ')}`]
      : []),
    ...(compression === null ? [] : [`compressed with ${compression}`]),
  ];
}

function binaryDamage({ problems, counts }: BinaryTrace): readonly Damage[] {
  const listed = problems.list.map(({ offset, message }) => ({
    what: message,
    count: 1,
    isLoss: true,
    first: [{ place: offset, column: 1, text: '' }],
  }));
  const more = problems.unlisted;
  const unlisted = { what: 'further problems', count: more, isLoss: true, first: [] };
  const unknown = {
    what: 'records whose event is not described',
    count: counts.unknown,
    isLoss: true,
    first: [],
  };
  return [...listed, ...(more > 0 ? [unlisted] : []), ...(counts.unknown > 0 ? [unknown] : [])];
}

/** Events as lines: the trace is read once more, until all are found. */
function eventsAt(source: ByteSource, wanted: readonly Wanted[]): readonly (string | null)[] {
  const places = new Set(wanted.map(({ place }) => place));
  const found: (string | null)[] = wanted.map(() => null);
  let open = wanted.length;
  for (const batch of binaryOf(source)?.batches() ?? []) {
    for (let i = 0; i < batch.count && open > 0; i += 1) {
      if (!places.has(batch.place[i] ?? -1)) continue;
      const line = eventLine(batch, i);
      wanted.forEach(({ place, mark }, n) => {
        if (found[n] !== null || place !== batch.place[i]) return;
        if (mark !== null && !line.includes(mark)) return;
        found[n] = line;
        open -= 1;
      });
    }
    if (open === 0) break;
  }
  return found;
}

async function readBinary(
  path: string,
  source: ByteSource,
  again: () => OpenFile | null,
  take: (batch: EventBatch) => void,
): Promise<ReadTrace | null> {
  const trace = binaryOf(source);
  if (trace === null) return null;
  for (const batch of trace.batches()) take(batch);
  // A latency tracer writes text into the file; what is in it counts as well.
  for (const part of trace.texts) {
    const scanner = new TextScanner({ emit: handing(take) });
    for (const piece of part.pieces()) scanner.push(piece);
    scanner.end();
  }
  const { format, version } = trace.about;
  return {
    source: {
      file: path,
      form: `${format} ${version}`.trim(),
      unit: 'offset',
      bytes: source.size,
      lines: null,
      about: aboutOf(trace),
      damaged: binaryDamage(trace),
    },
    async textOf(wanted) {
      if (wanted.length === 0) return [];
      const bytes = again();
      if (bytes === null) return wanted.map(() => null);
      try {
        return eventsAt(bytes, wanted);
      } finally {
        bytes.close();
      }
    },
  };
}

// ---- either -----------------------------------------------------------------------------------

/**
 * Reads a trace and hands on its events.
 *
 * @param path "-": standard input
 * @param take gets each batch, valid until it returns
 * @throws InputError when it cannot be read, or is no trace
 */
export async function readTrace(
  path: string,
  take: (batch: EventBatch) => void,
): Promise<ReadTrace> {
  const raw = piecesOf(path, PIECE);
  const first = raw.next();
  const start = first.done === true ? new Uint8Array(0) : first.value;
  const file = path === '-' ? null : openRanges(path);
  try {
    const isFile = file !== null;
    const all = peeked(first.done === true ? null : start, raw);
    if (!isGzip(start)) {
      if (binaryForm(start) === null)
        return await readText(path, all, take, { isPlain: true, isFile });
      if (file !== null) raw.return(undefined);
      const source = file ?? bytesSource(await collected(all, path));
      const again = (): OpenFile | null =>
        isFile ? openRanges(path) : { ...source, close: () => undefined };
      const read = await readBinary(path, source, again, take);
      if (read !== null) return read;
    }
    return await readZipped(path, all, take, isFile);
  } finally {
    file?.close();
  }
}

async function readZipped(
  path: string,
  packed: Iterable<Uint8Array>,
  take: (batch: EventBatch) => void,
  isFile: boolean,
): Promise<ReadTrace> {
  const damage: Damage[] = [];
  const pieces = unzipped(packed, (why) => {
    damage.push({
      what: `end of the compressed data is damaged (${why})`,
      count: 1,
      isLoss: true,
      first: [],
    });
  });
  const next = await pieces.next();
  const start = next.done === true ? new Uint8Array(0) : next.value;
  async function* all(): AsyncGenerator<Uint8Array> {
    if (start.length > 0) yield start;
    yield* pieces;
  }
  let read: ReadTrace | null = null;
  if (binaryForm(start) !== null) {
    const source = bytesSource(await collected(all(), path));
    read = await readBinary(path, source, () => ({ ...source, close: () => undefined }), take);
  }
  read ??= await readText(path, all(), take, { isPlain: false, isFile });
  const { source, textOf } = read;
  return {
    source: { ...source, form: `${source.form}, gzip`, damaged: [...source.damaged, ...damage] },
    textOf,
  };
}
