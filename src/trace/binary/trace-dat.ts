import { refuse } from '../../base/diagnostic.ts';
import type { EventBatch } from '../batch.ts';
import {
  ChunkPages,
  Chunks,
  compressedSection,
  type Decompressor,
  decompressorOf,
} from './chunks.ts';
import { Clock } from './clock.ts';
import { type BufferPart, type CpuPart, DatOptions, OPTION } from './dat-options.ts';
import { type EventTable, eventTable } from './decode.ts';
import type { EventFormat } from './format.ts';
import { readCmdlines, readEventFormats, readFtraceFormats, readHeaderInfo } from './metadata.ts';
import { CpuRecords, type Pages, PlainPages, windowSize } from './pages.ts';
import { Problems } from './problems.ts';
import { DEFAULT_LAYOUT, type PageLayout } from './ring.ts';
import { type ByteSource, bytesSource, type Codecs, Cursor, Damaged } from './source.ts';
import { NO_THREADS, readThreads, type Threads } from './threads.ts';
import {
  type BinaryTrace,
  noCounts,
  ringBatches,
  sayLacking,
  type TextPart,
  type TraceCounts,
} from './trace.ts';

/** The first ten bytes of a trace.dat. */
export const TRACE_DAT_MAGIC = '\u0017\bDtracing';

/** The head of a trace.dat, and what its options say. */
interface DatFile {
  readonly source: ByteSource;
  readonly version: 6 | 7;
  readonly little: boolean;
  readonly decompressor: Decompressor | null;
  readonly options: DatOptions;
  readonly problems: Problems;
  layout: PageLayout;
  formats: readonly EventFormat[];
  threads: Threads;
}

const SECTION_COMPRESSED = 1;

/** Runs a part of reading whose damage the rest can do without. */
function tolerant(file: DatFile, what: string, part: () => void): void {
  try {
    part();
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    file.problems.add(error.offset, `${what}: ${error.message}`);
  }
}

function takeOption(file: DatFile, id: number, cursor: Cursor): void {
  const { offset } = cursor;
  const size = cursor.u32();
  const bytes = cursor.bytes(size);
  const inner = new Cursor(bytesSource(bytes), 0, offset + 4);
  inner.little = cursor.little;
  tolerant(file, `option ${id}`, () => file.options.take(id, inner, file.version, file.problems));
}

/** The body of a section, decompressed where it is compressed. */
function sectionAt(file: DatFile, offset: number, wanted: number): Cursor {
  const cursor = new Cursor(file.source, offset);
  cursor.little = file.little;
  const id = cursor.u16();
  const flags = cursor.u16();
  if (id !== wanted)
    throw new Damaged(offset, `section ${wanted} is wanted, section ${id} is here`);
  cursor.u32();
  cursor.u64();
  return (flags & SECTION_COMPRESSED) === 0 ? cursor : compressedSection(cursor, file.decompressor);
}

/** The chain of option sections of version 7. */
function readOptionSections(file: DatFile, first: number): void {
  const seen = new Set<number>();
  let offset = first;
  while (offset !== 0) {
    if (seen.has(offset)) throw new Damaged(offset, 'the sections of options go in a circle');
    seen.add(offset);
    if (offset >= file.source.size)
      throw new Damaged(
        file.source.size,
        `the file is cut: they begin at byte ${offset}, and say where the records are`,
      );
    const cursor = sectionAt(file, offset, OPTION.done);
    for (let id = cursor.u16(); id !== OPTION.done; id = cursor.u16()) takeOption(file, id, cursor);
    cursor.u32();
    offset = cursor.u64();
  }
}

function readSections(file: DatFile): void {
  const { options, problems } = file;
  const read = (id: number, what: string, part: (cursor: Cursor) => void): void => {
    const offset = options.sections.get(id);
    if (offset === undefined) problems.add(0, `the file has no ${what}`);
    else tolerant(file, what, () => part(sectionAt(file, offset, id)));
  };
  read(OPTION.headerInfo, 'description of pages', (cursor) => {
    file.layout = readHeaderInfo(cursor) ?? file.layout;
  });
  read(OPTION.ftraceEvents, 'descriptions of the events of ftrace', (cursor) => {
    file.formats = [...file.formats, ...readFtraceFormats(cursor, problems)];
  });
  read(OPTION.eventFormats, 'descriptions of events', (cursor) => {
    file.formats = [...file.formats, ...readEventFormats(cursor, problems)];
  });
  if (!options.sections.has(OPTION.cmdlines)) return;
  read(OPTION.cmdlines, 'names of threads', (cursor) => {
    file.threads = readThreads(readCmdlines(cursor), null);
  });
}

const WORD = 10;

function wordOf(cursor: Cursor): string {
  return cursor.text(WORD).replace(/[ \0]+$/, '');
}

function cpuParts(cursor: Cursor, cpus: number): readonly CpuPart[] {
  const parts: CpuPart[] = [];
  for (let cpu = 0; cpu < cpus; cpu += 1) {
    parts.push({ cpu, offset: cursor.u64(), size: cursor.u64() });
  }
  return parts;
}

/** Version 6 after its compulsory part: "options", and then "flyrecord" or "latency". */
function readVersion6Data(file: DatFile, cursor: Cursor, counted: number): void {
  const { options } = file;
  const start = cursor.offset;
  let word = wordOf(cursor);
  if (word === 'options') {
    for (let id = cursor.u16(); id !== OPTION.done; id = cursor.u16()) takeOption(file, id, cursor);
    word = wordOf(cursor);
  }
  const instances = options.buffers.splice(0);
  const cpus = options.cpus ?? counted;
  const top = { name: '', clock: null, pageSize: null };
  if (word === 'latency') {
    options.buffers.push({ ...top, offset: cursor.offset, cpus: [], isText: true });
    return;
  }
  if (word !== 'flyrecord')
    throw new Damaged(start, 'neither "flyrecord" nor "latency" stands here');
  const { offset } = cursor;
  options.buffers.push({ ...top, offset, cpus: cpuParts(cursor, cpus), isText: false });
  if (options.hasClock) {
    tolerant(file, 'the clock', () => {
      if (counted < cpus) cursor.skip(16);
      options.setClock(cursor.text(Math.min(cursor.u64(), 4096)));
    });
  }
  for (const instance of instances) {
    tolerant(file, `the buffer "${instance.name}"`, () => {
      const inner = new Cursor(file.source, instance.offset);
      inner.little = file.little;
      if (wordOf(inner) !== 'flyrecord')
        throw new Damaged(instance.offset, 'no "flyrecord" is here');
      options.buffers.push({ ...instance, cpus: cpuParts(inner, cpus) });
    });
  }
}

function readVersion6(file: DatFile, cursor: Cursor): void {
  file.layout = readHeaderInfo(cursor) ?? file.layout;
  const ftrace = readFtraceFormats(cursor, file.problems);
  file.formats = [...ftrace, ...readEventFormats(cursor, file.problems)];
  cursor.skip(cursor.u32());
  cursor.skip(cursor.u32());
  file.threads = readThreads(readCmdlines(cursor), null);
  readVersion6Data(file, cursor, cursor.u32());
}

const PAGE_MAX = 1 << 22;

function openHead(source: ByteSource, codecs: Codecs, problems: Problems): DatFile {
  const cursor = new Cursor(source);
  cursor.skip(TRACE_DAT_MAGIC.length);
  const named = cursor.zeroEnded(16);
  const version = named === '6' ? 6 : 7;
  if (named !== '6' && named !== '7') {
    refuse(`version "${named}" of trace.dat is not known; 6 and 7 are`);
  }
  cursor.little = cursor.u8() === 0;
  const { little } = cursor;
  const longSize = cursor.u8() === 4 ? 4 : 8;
  const at = cursor.offset;
  const pageSize = cursor.u32();
  if (pageSize < 64 || pageSize > PAGE_MAX) throw new Damaged(at, `pages of ${pageSize} bytes`);
  const compression = version === 7 ? cursor.zeroEnded(64) : 'none';
  if (version === 7) cursor.zeroEnded(64);
  const file: DatFile = {
    source,
    version,
    little,
    decompressor: decompressorOf(compression, codecs),
    options: new DatOptions(),
    problems,
    layout: { ...DEFAULT_LAYOUT, pageSize, longSize, dataOffset: longSize + 8, little },
    formats: [],
    threads: NO_THREADS,
  };
  if (version === 6) readVersion6(file, cursor);
  else {
    const first = cursor.u64();
    tolerant(file, 'the options', () => readOptionSections(file, first));
    readSections(file);
  }
  return file;
}

function isCompressed(file: DatFile, buffer: BufferPart): boolean {
  if (file.version === 6 || file.decompressor === null) return false;
  const cursor = new Cursor(file.source, buffer.offset);
  cursor.little = file.little;
  cursor.u16();
  return (cursor.u16() & SECTION_COMPRESSED) !== 0;
}

function pagesOf(
  file: DatFile,
  buffer: BufferPart,
  part: CpuPart,
  pageSize: number,
  cpus: number,
): Pages {
  const { source, decompressor, problems, little } = file;
  if (part.offset + part.size > source.size) {
    const missing = part.offset + part.size - Math.max(source.size, part.offset);
    problems.add(
      Math.min(source.size, part.offset),
      `the file is cut: ${missing} of ${part.size} bytes of CPU ${part.cpu} are not there`,
    );
  }
  if (decompressor !== null && isCompressed(file, buffer)) {
    const chunks = new Chunks(source, part.offset, part.size, little, decompressor, problems);
    return new ChunkPages(chunks, part.offset, pageSize);
  }
  return new PlainPages(source, part.offset, part.size, pageSize, windowSize(pageSize, cpus));
}

const WINDOW = 1 << 20;
const SECTION_HEAD = 16;

function textPart(file: DatFile, buffer: BufferPart): TextPart {
  const { source, problems, decompressor, little, version } = file;
  const { offset } = buffer;
  const start = version === 6 ? offset : offset + SECTION_HEAD;
  const end = (): number => {
    if (version === 6) return source.size;
    const cursor = new Cursor(source, offset + 8);
    cursor.little = little;
    return Math.min(source.size, start + cursor.u64());
  };
  return {
    offset: start,
    *pieces() {
      try {
        if (decompressor !== null && isCompressed(file, buffer)) {
          const chunks = new Chunks(source, start, end() - start, little, decompressor, problems);
          while (chunks.next()) yield chunks.bytes;
          return;
        }
        const last = end();
        for (let at = start; at < last; at += WINDOW) {
          yield source.read(at, Math.min(WINDOW, last - at));
        }
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
        problems.add(error.offset, error.message);
      }
    },
  };
}

/** The records of each CPU of a buffer. */
function cpuRecords(file: DatFile, buffer: BufferPart, clock: Clock): readonly CpuRecords[] {
  const { layout, problems } = file;
  const own = buffer.pageSize ?? layout.pageSize;
  const isSane = own >= layout.dataOffset + 8 && own <= PAGE_MAX;
  const pageSize = isSane ? own : layout.pageSize;
  const parts = buffer.cpus.filter((part) => part.size > 0);
  const found: CpuRecords[] = [];
  for (const part of parts) {
    tolerant(file, `CPU ${part.cpu}`, () => {
      const pages = pagesOf(file, buffer, part, pageSize, parts.length);
      found.push(new CpuRecords(pages, { ...layout, pageSize }, part.cpu, clock, problems));
    });
  }
  return found;
}

/** Buffers with the same clock are one stream; times of different clocks cannot be compared. */
function* batchesOf(
  file: DatFile,
  buffers: readonly BufferPart[],
  table: EventTable,
  counts: TraceCounts,
): Generator<EventBatch, void> {
  const { little, problems, options, threads } = file;
  for (const name of new Set(buffers.map((buffer) => buffer.clock))) {
    const clock = new Clock(options.clock(name));
    const streams = buffers
      .filter((buffer) => buffer.clock === name)
      .flatMap((buffer) => cpuRecords(file, buffer, clock));
    yield* ringBatches(streams, { table, little, clock, counts, problems, threads });
  }
}

function sayBuffers(buffers: readonly BufferPart[], problems: Problems): void {
  if (buffers.length < 2) return;
  const clocks = new Set(buffers.map((buffer) => buffer.clock));
  problems.add(
    0,
    `records of ${buffers.length} buffers: an event that two of them recorded is there twice`,
  );
  if (clocks.size > 1)
    problems.add(0, 'the buffers have different clocks: each is in its own order');
}

/** @throws InputError when nothing in it can be read */
function openFile(source: ByteSource, codecs: Codecs): DatFile {
  const problems = new Problems();
  let file: DatFile | null = null;
  try {
    file = openHead(source, codecs, problems);
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    refuse(`damaged trace.dat, at byte ${error.offset}: ${error.message}`);
  }
  if (file.formats.length > 0 || file.options.buffers.some(({ isText }) => isText)) return file;
  const [fault] = problems.list;
  const reason = fault === undefined ? '' : `, at byte ${fault.offset}: ${fault.message}`;
  refuse(`damaged trace.dat: it describes no event${reason}`);
}

/**
 * Opens a trace.dat of trace-cmd, version 6 or 7. Sources: trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5).
 *
 * @throws InputError when nothing in it can be read, with the offset
 */
export function openTraceDat(source: ByteSource, codecs: Codecs): BinaryTrace {
  const file = openFile(source, codecs);
  const { options, problems } = file;
  const buffers = options.buffers.filter(({ isText }) => !isText);
  const texts = options.buffers.filter(({ isText }) => isText).map((part) => textPart(file, part));
  if (buffers.length + texts.length === 0) problems.add(source.size, 'the file names no records');
  const full = buffers.filter(({ cpus }) => cpus.some(({ size }) => size > 0));
  const table = eventTable(file.formats);
  sayLacking(table, problems);
  sayBuffers(full, problems);
  const clock = new Clock(options.clock(full[0]?.clock ?? null));
  const counts = noCounts();
  return {
    about: {
      format: 'trace.dat',
      version: String(file.version),
      recorder: options.recorder,
      system: options.uname,
      clock: clock.name,
      isSeconds: clock.isSeconds,
      cpus: Math.max(0, ...buffers.map(({ cpus }) => cpus.length)),
      buffers: full.map(({ name }) => name),
      compression: file.decompressor?.name ?? null,
    },
    problems,
    counts,
    texts,
    names: file.threads.names,
    batches: () => batchesOf(file, full, table, counts),
  };
}
