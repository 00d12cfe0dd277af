import { printable, refuse } from '../../base/diagnostic.ts';
import { type TraceSource as Opened, openTrace, readTraceText } from '../../host/trace-source.ts';
import { type Damage, markIn, type TraceSource } from '../../report/audit/document.ts';
import type { EventBatch } from '../../trace/batch.ts';
import { openBinaryTrace } from '../../trace/binary/open.ts';
import { type ByteSource, bytesSource } from '../../trace/binary/source.ts';
import type { BinaryTrace } from '../../trace/binary/trace.ts';
import { PROBLEM_KINDS, type ProblemKind } from '../../trace/problems.ts';
import { type ScanTally, TextScanner } from '../../trace/scan.ts';
import type { Io } from '../io.ts';
import { TraceProgress } from '../trace-progress.ts';
import { loadCodecs, rangesOf } from './binary.ts';
import { eventLine } from './event-line.ts';
import { namesInFile, namesInPieces } from './thread-names.ts';
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
  readonly textOf: (wanted: readonly Wanted[]) => readonly (string | null)[];
  readonly close: () => void;
}

export type Take = (batch: EventBatch) => void;
/** Names of threads, which a reader fills before the first event as far as it can. */
export type ThreadNames = Map<number, string>;

const PIECE = 1 << 20;
/** Of what cannot be read again so much is kept, for the lines of findings. */
export const KEPT_MAX = 64 * 2 ** 20;
/** A binary trace that cannot be read in ranges is taken into memory. */
const MEMORY_MAX = 2 ** 30;

/** What follows "1 line", "2 lines". */
const WORDS: Readonly<Record<ProblemKind, readonly [noun: string, what: string]>> = {
  unreadable: ['event', 'whose fields could not be read'],
  interleaved: ['line', 'in which two writers are mixed'],
  raw: ['event', 'printed with the trace options raw or hex, which lose the fields'],
  garbage: ['line', 'with bytes that no text has'],
  long: ['line', 'longer than any event'],
  unended: ['line', 'that is cut: it has no end'],
  noise: ['line', 'that is no event'],
};
/** Nothing is lost with a line that is no event; the others are events, and MT709 says so. */
const NO_LOSS: ReadonlySet<ProblemKind> = new Set(['noise', 'unreadable', 'raw']);

// ---- text -------------------------------------------------------------------------------------

/** What was wrong with a text, in words. */
export function damageOf({ problems }: ScanTally): readonly Damage[] {
  return PROBLEM_KINDS.flatMap((kind) => {
    const count = problems.count(kind);
    if (count === 0) return [];
    const first = problems.first
      .filter((p) => p.kind === kind)
      .map(({ line, column, text }) => ({ place: line, column, text: printable(text) }));
    const [noun, words] = WORDS[kind];
    const what = `${noun}s ${words.replace(/^that is /, 'that are ')}`;
    return [{ what, one: `1 ${noun} ${words}`, count, isLoss: !NO_LOSS.has(kind), first }];
  });
}

function pickFrom(file: ByteSource, marks: readonly Mark[], line: number): string | null {
  const mark = markBefore(marks, line);
  const picker = new LinePicker(new Set([line]), mark.line);
  for (let at = mark.offset; at < file.size && !picker.isDone; at += PIECE)
    picker.push(file.read(at, PIECE));
  picker.end();
  return picker.found.get(line) ?? null;
}

/** The bytes of a pipe, or of what is packed, as far as they are kept. */
async function* keeping(
  chunks: AsyncIterable<Uint8Array>,
  kept: Uint8Array[],
): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size <= KEPT_MAX) kept.push(chunk.slice());
    yield chunk;
  }
}

function refuseNoTrace({ path }: Opened, { isTrace, passed, problems, lines }: ScanTally): void {
  // With the trace option raw it is a trace, and says nothing; one that has only its head is empty.
  if (isTrace || passed === lines || problems.count('raw') > 0) return;
  const name = path === '-' ? 'standard input' : printable(path);
  const count = lines === 1 ? 'its line is no event' : `none of its ${lines} lines is an event`;
  refuse(
    `${name} is no trace: ${count}`,
    'give the text of ftrace, trace-cmd report or perf script, or a trace.dat or perf.data; pages of trace_pipe_raw need --formats',
  );
}

async function readText(
  opened: Opened,
  take: Take,
  shown: TraceProgress,
  names: ThreadNames,
): Promise<ReadTrace> {
  const { fd, size } = opened;
  const marks: Mark[] = [];
  const kept: Uint8Array[] = [];
  const source = fd === null ? { ...opened, chunks: keeping(opened.chunks, kept) } : opened;
  const ranges = fd !== null && size !== null ? rangesOf(fd, size) : null;
  if (ranges !== null) namesInFile(ranges, names);
  const tally = await readTraceText(source, {
    take,
    progress: (offset, lines) => {
      if (fd !== null) marks.push({ line: lines + 1, offset });
      shown.at(offset);
    },
  });
  refuseNoTrace(opened, tally);
  // Too late to tell VMs apart by them, but it can be said that there are several.
  if (ranges === null) namesInPieces(kept, names);
  return {
    source: {
      file: opened.path,
      form: 'text',
      unit: 'line',
      bytes: tally.bytes,
      lines: tally.lines,
      about: [],
      damaged: damageOf(tally),
    },
    textOf(wanted) {
      if (ranges !== null) return wanted.map(({ place }) => pickFrom(ranges, marks, place));
      const picker = new LinePicker(new Set(wanted.map(({ place }) => place)));
      for (const piece of kept) picker.push(piece);
      return wanted.map(({ place }) => picker.found.get(place) ?? null);
    },
    close: opened.close,
  };
}

// ---- binary -----------------------------------------------------------------------------------

function aboutOf({ about }: BinaryTrace): readonly string[] {
  const { recorder, system, clock, isSeconds, cpus, buffers, compression } = about;
  const ticks = isSeconds ? '' : ', which counts ticks and not seconds';
  const machine = [
    // A file that is cut may not say it.
    ...(cpus === 0 ? [] : [`${cpus} CPU${cpus === 1 ? '' : 's'}`]),
    ...(clock === null ? [] : [`clock ${printable(clock)}${ticks}`]),
  ];
  const names = buffers.map((name) => printable(name === '' ? 'top' : name)).join(' ');
  return [
    ...(recorder === null ? [] : [`recorded by ${printable(recorder)}`]),
    ...(system === null ? [] : [`on ${printable(system)}`]),
    ...(machine.length === 0 ? [] : [machine.join(', ')]),
    ...(buffers.length > 1 ? [`buffers: ${names}`] : []),
    ...(compression === null ? [] : [`compressed with ${compression}`]),
  ];
}

function binaryDamage({ problems, counts }: BinaryTrace): readonly Damage[] {
  const many = (noun: string, words: string, count: number): readonly Damage[] => {
    const what = `${noun}s${words}`;
    return count === 0 ? [] : [{ what, one: `1 ${noun}${words}`, count, isLoss: true, first: [] }];
  };
  return [
    ...problems.list.map(({ offset, message }) => ({
      what: message,
      one: message,
      count: 1,
      isLoss: true,
      first: [{ place: offset, column: 1, text: '' }],
    })),
    ...many('further problem', '', problems.unlisted),
    ...many('record', ' whose event is not described', counts.unknown),
  ];
}

/** Events as lines: the trace is read once more, until all are found. */
function eventsAt(
  reopened: () => BinaryTrace | null,
  wanted: readonly Wanted[],
): readonly (string | null)[] {
  const places = new Set(wanted.map(({ place }) => place));
  const found: (string | null)[] = wanted.map(() => null);
  let open = wanted.length;
  for (const batch of open === 0 ? [] : (reopened()?.batches() ?? [])) {
    for (let i = 0; i < batch.count && open > 0; i += 1) {
      if (!places.has(batch.place[i] ?? -1)) continue;
      const line = eventLine(batch, i);
      wanted.forEach(({ place, mark }, n) => {
        if (found[n] !== null || place !== batch.place[i]) return;
        if (mark !== null && markIn(line, mark) < 0) return;
        found[n] = line;
        open -= 1;
      });
    }
    if (open === 0) break;
  }
  return found;
}

/** The bytes of a trace, where they can be read at any offset. */
export async function bytesOf({ path, fd, size, chunks }: Opened): Promise<ByteSource> {
  if (fd !== null && size !== null) return rangesOf(fd, size);
  const all: Uint8Array[] = [];
  let sum = 0;
  for await (const chunk of chunks) {
    sum += chunk.length;
    if (sum > MEMORY_MAX)
      refuse(
        `${printable(path)} is a binary trace of more than 1 GiB that cannot be read in ranges`,
        'give it as a file that is not packed',
      );
    all.push(chunk.slice());
  }
  return bytesSource(Buffer.concat(all));
}

/** A binary trace that can be opened again, to look for what is to be shown. */
export interface BinaryInput {
  readonly file: string;
  readonly bytes: number;
  readonly reopened: () => BinaryTrace | null;
  readonly close: () => void;
}

/** Hands on the events of a binary trace. */
export function takeBinary(
  trace: BinaryTrace,
  { file, bytes, reopened, close }: BinaryInput,
  take: Take,
  shown: TraceProgress,
  names: ThreadNames,
): ReadTrace {
  for (const [tid, name] of trace.names) names.set(tid, name);
  for (const batch of trace.batches()) {
    take(batch);
    // Records of all CPUs in the order of time: the place is about as far as the file is read.
    shown.at(batch.place[batch.count - 1] ?? 0);
  }
  // A latency tracer writes text into the file; what is in it counts as well.
  const inText = trace.texts.flatMap((part) => {
    const scanner = new TextScanner({ emit: take });
    for (const piece of part.pieces()) scanner.push(piece);
    scanner.end();
    return damageOf(scanner.tally);
  });
  const { format, version } = trace.about;
  return {
    source: {
      file,
      form: `${format} ${version}`.trim(),
      unit: 'offset',
      bytes,
      lines: null,
      about: aboutOf(trace),
      damaged: [...binaryDamage(trace), ...inText],
    },
    textOf: (wanted) => eventsAt(reopened, wanted),
    close,
  };
}

async function readBinary(
  opened: Opened,
  take: Take,
  shown: TraceProgress,
  names: ThreadNames,
): Promise<ReadTrace> {
  const bytes = await bytesOf(opened);
  const codecs = await loadCodecs();
  const reopened = (): BinaryTrace | null => openBinaryTrace(bytes, codecs);
  const trace = reopened();
  if (trace === null) return refuse(`${printable(opened.path)} is damaged at its begin`);
  const { path: file, close } = opened;
  return takeBinary(trace, { file, bytes: bytes.size, reopened, close }, take, shown, names);
}

// ---- either -----------------------------------------------------------------------------------

/**
 * Reads a trace and hands on its events.
 *
 * @param path "-": standard input
 * @param take gets each batch, valid until it returns
 * @param names is filled with the names of threads, as far as the trace has them
 * @param io is told how far it is, when somebody watches
 * @throws InputError when it cannot be read, or is no trace
 */
export async function readTrace(
  path: string,
  take: Take,
  io: Io,
  names: ThreadNames = new Map(),
): Promise<ReadTrace> {
  const opened = await openTrace(path);
  const shown = new TraceProgress(io, opened.size);
  try {
    const read =
      opened.form === 'text'
        ? await readText(opened, take, shown, names)
        : await readBinary(opened, take, shown, names);
    if (opened.packing === null) return read;
    const { source } = read;
    const why = opened.cut();
    const what = `end that cannot be unpacked (${why})`;
    const cut: readonly Damage[] =
      why === null ? [] : [{ what, one: `the ${what}`, count: 1, isLoss: true, first: [] }];
    const form = `${source.form}, ${opened.packing}`;
    return { ...read, source: { ...source, form, damaged: [...source.damaged, ...cut] } };
  } catch (error) {
    opened.close();
    throw error;
  } finally {
    shown.end();
  }
}
