import { refuse } from '../../base/diagnostic.ts';
import { eventTable } from './decode.ts';
import type { EventFormat } from './format.ts';
import { readEventFormats, readFtraceFormats, readHeaderInfo } from './metadata.ts';
import { idKey, type PerfAttr, readAttr } from './perf-attr.ts';
import { type PerfData, PerfEvents } from './perf-events.ts';
import { aligned, PerfRecords, RECORD } from './perf-records.ts';
import { Problems } from './problems.ts';
import { type ByteSource, bytesSource, type Codecs, Cursor, Damaged } from './source.ts';
import { type BinaryTrace, noCounts, sayLacking, type TraceAbout } from './trace.ts';

/** The first eight bytes of a perf.data; of a big-endian machine's. */
export const PERF_MAGIC = 'PERFILE2';
export const PERF_MAGIC_BIG = '2ELIFREP';

/** Numbers of features (tools/perf/Documentation/perf.data-file-format.txt). */
const FEATURE = { tracingData: 1, release: 4, version: 5, cpus: 7, compressed: 27, clock: 29 };
const FEATURES = 64;
const FILE_HEAD = 104;
const PIPE_HEAD = 16;
const SECTION = 16;

/** Clocks of perf record -k (include/uapi/linux/time.h). */
const CLOCKS: Readonly<Record<number, string>> = {
  0: 'realtime',
  1: 'mono',
  4: 'mono_raw',
  7: 'boot',
  11: 'tai',
};

interface PerfFile extends PerfData {
  readonly attrs: PerfAttr[];
  readonly byId: Map<string, PerfAttr>;
  formats: readonly EventFormat[];
  release: string | null;
  recorder: string | null;
  cpus: number;
  clock: string;
  isCompressed: boolean;
  dataFrom: number;
  dataEnd: number;
  isPipe: boolean;
}

/** perf's string: its length, and then it, ended by zeros. */
function perfString(cursor: Cursor): string {
  const length = cursor.u32();
  if (length > 4096) throw new Damaged(cursor.offset, `a text claims to have ${length} bytes`);
  return cursor.text(length).split('\0', 1)[0] ?? '';
}

const TRACING_MAGIC = 10;

/** What trace-cmd has at the head of its file stands here as perf writes it. */
function readTracingData(cursor: Cursor, problems: Problems): readonly EventFormat[] {
  const { offset } = cursor;
  if (cursor.text(TRACING_MAGIC) !== '\u0017\bDtracing') {
    throw new Damaged(offset, 'no tracing data stands here');
  }
  cursor.zeroEnded(16);
  cursor.little = cursor.u8() === 0;
  cursor.u8();
  cursor.u32();
  readHeaderInfo(cursor);
  return [...readFtraceFormats(cursor, problems), ...readEventFormats(cursor, problems)];
}

function tolerant(file: PerfFile, what: string, part: () => void): void {
  try {
    part();
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    file.problems.add(error.offset, `${what}: ${error.message}`);
  }
}

function takeFeature(file: PerfFile, number: number, cursor: Cursor): void {
  if (number === FEATURE.tracingData) {
    file.formats = readTracingData(cursor, file.problems);
  } else if (number === FEATURE.release) file.release = perfString(cursor);
  else if (number === FEATURE.version) file.recorder = `perf ${perfString(cursor)}`;
  else if (number === FEATURE.cpus) file.cpus = cursor.u32();
  else if (number === FEATURE.compressed) file.isCompressed = true;
  else if (number === FEATURE.clock) {
    cursor.u32();
    file.clock = CLOCKS[cursor.u32()] ?? file.clock;
  }
}

function addAttr(file: PerfFile, attr: PerfAttr, ids: Cursor, count: number): void {
  file.attrs.push(attr);
  for (let left = Math.min(count, Math.floor(ids.left / 8)); left > 0; left -= 1) {
    const lo = ids.u32();
    file.byId.set(idKey(ids.u32(), lo), attr);
  }
}

const ATTRS_MAX = 1 << 16;

function readAttrs(file: PerfFile, offset: number, size: number, each: number): void {
  const count = each < 64 ? 0 : Math.min(ATTRS_MAX, Math.floor(size / each));
  for (let index = 0; index < count; index += 1) {
    const cursor = new Cursor(file.source, offset + index * each);
    const attr = readAttr(cursor);
    const ids = new Cursor(file.source, offset + (index + 1) * each - SECTION);
    const at = ids.u64();
    const bytes = ids.u64();
    addAttr(file, attr, new Cursor(file.source, at), bytes / 8);
  }
}

function readFileHead(file: PerfFile): void {
  const cursor = new Cursor(file.source, 16);
  const attrSize = cursor.u64();
  const attrs = { offset: cursor.u64(), size: cursor.u64() };
  file.dataFrom = cursor.u64();
  const size = cursor.u64();
  cursor.skip(SECTION);
  const flags = [cursor.u32(), cursor.u32()];
  tolerant(file, 'the attributes of events', () =>
    readAttrs(file, attrs.offset, attrs.size, attrSize),
  );
  if (size === 0) {
    file.problems.add(40, 'perf record did not end: its data are read up to the end of the file');
    file.dataEnd = file.source.size;
    return;
  }
  file.dataEnd = file.dataFrom + size;
  if (file.dataEnd > file.source.size) {
    const missing = file.dataEnd - file.source.size;
    file.problems.add(file.source.size, `the file is cut: ${missing} bytes of data are not there`);
  }
  const sections = new Cursor(file.source, file.dataEnd);
  for (let number = 0; number < FEATURES; number += 1) {
    if ((((flags[number >> 5] ?? 0) >>> (number & 31)) & 1) === 0) continue;
    tolerant(file, `feature ${number}`, () => {
      const at = sections.u64();
      sections.u64();
      takeFeature(file, number, new Cursor(file.source, at));
    });
  }
}

/** In a pipe's form the head comes as records; they stand before the first sample. */
function takeHeadRecord(file: PerfFile, records: PerfRecords): void {
  const { view, at, size, type, place } = records;
  const body = (from: number): Cursor => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at + from, size - from);
    return new Cursor(bytesSource(bytes), 0, place + from);
  };
  tolerant(file, `record ${type}`, () => {
    if (type === RECORD.attr) {
      const cursor = body(8);
      const attr = readAttr(cursor);
      addAttr(file, attr, cursor, ATTRS_MAX);
    } else if (type === RECORD.feature && size >= 16) {
      const cursor = body(8);
      takeFeature(file, cursor.u64(), cursor);
    } else if (type === RECORD.tracingData && size >= 12) {
      const length = view.getUint32(at + 8, true);
      const from = records.skip(aligned(length));
      file.formats = readTracingData(new Cursor(file.source, from), file.problems);
    }
  });
}

function readPipeHead(file: PerfFile, codecs: Codecs): void {
  file.isPipe = true;
  file.dataFrom = PIPE_HEAD;
  file.dataEnd = file.source.size;
  // Compressed records hold no head, and their stream can be read once only.
  const none = { ...codecs, zstdStream: null };
  const records = new PerfRecords(file.source, PIPE_HEAD, file.dataEnd, none, new Problems());
  while (records.next() && records.type !== RECORD.sample) passHead(file, records);
}

function passHead(file: PerfFile, records: PerfRecords): void {
  if (records.type === RECORD.auxtrace && records.size >= 16) {
    records.skip(records.view.getUint32(records.at + 8, true));
  } else takeHeadRecord(file, records);
}

function aboutOf(file: PerfFile): TraceAbout {
  return {
    format: 'perf.data',
    version: file.isPipe ? '2, as through a pipe' : '2',
    recorder: file.recorder,
    system: file.release,
    clock: file.clock,
    isSeconds: true,
    cpus: file.cpus,
    buffers: [''],
    compression: file.isCompressed ? 'zstd' : null,
  };
}

function openHead(source: ByteSource, codecs: Codecs): PerfFile {
  const cursor = new Cursor(source);
  if (cursor.text(8) === PERF_MAGIC_BIG) {
    refuse('a perf.data of a big-endian machine: no x86 KVM wrote it');
  }
  const headSize = cursor.u64();
  const file: PerfFile = {
    source,
    problems: new Problems(),
    attrs: [],
    byId: new Map(),
    formats: [],
    release: null,
    recorder: null,
    cpus: 0,
    clock: 'perf',
    isCompressed: false,
    dataFrom: 0,
    dataEnd: 0,
    isPipe: false,
  };
  if (headSize === PIPE_HEAD) readPipeHead(file, codecs);
  else if (headSize >= FILE_HEAD) readFileHead(file);
  else throw new Damaged(8, `its head claims to have ${headSize} bytes`);
  return file;
}

/**
 * Opens a perf.data, of a file or as it came through a pipe.
 *
 * @throws InputError when nothing in it can be read, with the offset
 */
export function openPerfData(source: ByteSource, codecs: Codecs): BinaryTrace {
  let file: PerfFile;
  try {
    file = openHead(source, codecs);
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    refuse(`damaged perf.data, at byte ${error.offset}: ${error.message}`);
  }
  const { problems, formats, attrs } = file;
  if (formats.length === 0 || attrs.length === 0) {
    const [fault] = problems.list;
    const reason = fault === undefined ? '' : `, at byte ${fault.offset}: ${fault.message}`;
    refuse(
      `this perf.data describes no tracepoint${reason}`,
      fault === undefined
        ? "record tracepoints: perf record -a -e 'kvmmmu:*' -e kvm:kvm_msr"
        : 'they are described behind the data: give the file as a whole',
    );
  }
  const table = eventTable(formats);
  sayLacking(table, problems);
  const counts = noCounts();
  return {
    about: aboutOf(file),
    problems,
    counts,
    texts: [],
    // Every record has its process.
    names: new Map(),
    batches: () => new PerfEvents(file, table, counts).batches(codecs),
  };
}
