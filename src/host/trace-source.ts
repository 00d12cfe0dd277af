import {
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  type ReadStream,
  readSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { Readable } from 'node:stream';
import { printable, refuse } from '../base/diagnostic.ts';
import type { EventBatch, Kind } from '../trace/batch.ts';
import { type ScanTally, TextScanner } from '../trace/scan.ts';
import { GzipError, gunzip } from './gunzip.ts';
import { TraceThreads } from './trace-threads.ts';
import { loadZstd, ZstdError } from './zstd.ts';

/** What a trace is written in. */
export type TraceForm = 'text' | 'trace.dat' | 'perf.data';
export type Packing = 'gzip' | 'zstd';

/** A trace that can be read, once. */
export interface TraceSource {
  readonly path: string;
  readonly form: TraceForm;
  readonly packing: Packing | null;
  /** Bytes of the file, packed as they are; null of a pipe. */
  readonly size: number | null;
  /** The descriptor of a file that is read as it is, and can be read at any offset; else null. */
  readonly fd: number | null;
  /** The bytes of the trace, unpacked, from the begin. Ends early where packed data do: see `cut`. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Bytes of the file that were read into `chunks` so far. */
  readonly taken: () => number;
  /** Why `chunks` ended before the trace did; null: it did not. */
  readonly cut: () => string | null;
  readonly close: () => void;
}

const CHUNK = 1 << 20;

const MAGIC: readonly (readonly [string, TraceForm | Packing])[] = [
  ['\u0017\bDtracing', 'trace.dat'],
  ['PERFILE2', 'perf.data'],
  ['\u001f\u008b', 'gzip'],
  ['(\u00b5/\u00fd', 'zstd'],
];
const MAGIC_BYTES = 10;

/** An object of JSON: no name of a task begins a trace like that. */
const JSON_BEGIN = /^(?:\u00ef\u00bb\u00bf)?\s*\{\s*"/;

function formOf(start: Uint8Array, path: string): TraceForm | Packing {
  const text = Buffer.from(start.subarray(0, MAGIC_BYTES)).toString('latin1');
  if (JSON_BEGIN.test(text))
    refuse(
      `${path === '-' ? 'standard input' : printable(path)} is no trace: it is JSON`,
      'a capture is given with --host; what audit prints cannot be audited again',
    );
  return MAGIC.find(([magic]) => text.startsWith(magic))?.[1] ?? 'text';
}

async function* unzstd(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = (await loadZstd()).stream();
  for await (const chunk of packed) yield* stream.push(chunk);
  yield* stream.end();
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

function unreadable(path: string, error: unknown): never {
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) throw error;
  return refuse(`cannot read ${printable(path)}: ${REASONS[code] ?? message}`);
}

/** The chunks of a stream, with the first ones looked at. */
interface Peeked {
  readonly start: Uint8Array;
  readonly chunks: () => AsyncGenerator<Uint8Array>;
}

async function peek(stream: AsyncIterable<Uint8Array>): Promise<Peeked> {
  const iterator = stream[Symbol.asyncIterator]();
  let start: Uint8Array = new Uint8Array();
  // A pipe may begin with a few bytes.
  while (start.length < MAGIC_BYTES) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    start = start.length === 0 ? value : Buffer.concat([start, value]);
  }
  return {
    start,
    chunks: async function* () {
      if (start.length > 0) yield start;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        yield next.value;
      }
    },
  };
}

async function* counted(
  open: () => AsyncIterable<Uint8Array>,
  path: string,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of open()) {
      count(chunk.length);
      yield chunk;
    }
  } catch (error) {
    unreadable(path, error);
  }
}

const UNPACK = { gzip: gunzip, zstd: unzstd };

/** The chunks of packed data as far as they can be unpacked. */
async function* unpacked(
  chunks: AsyncIterable<Uint8Array>,
  failed: (reason: string) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const isOurs = error instanceof ZstdError || error instanceof GzipError;
    if (!isOurs && !/^(?:Z_|ERR_ZLIB)/.test(code)) throw error;
    failed(message);
  }
}

function openFile(path: string): number {
  try {
    const fd = path === '-' ? 0 : openSync(path, 'r');
    if (fstatSync(fd).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    return fd;
  } catch (error) {
    return unreadable(path, error);
  }
}

/**
 * Opens a trace: a file, a pipe, "-" for standard input; plain or packed with gzip or zstd.
 *
 * @throws InputError when it cannot be read, or not unpacked
 */
export async function openTrace(path: string): Promise<TraceSource> {
  const fd = openFile(path);
  const stat = fstatSync(fd);
  // What tracefs has looks like empty files, and standard input may have been read in part: no offsets there.
  const isSeekable = path !== '-' && stat.isFile() && stat.size > 0;
  const size = isSeekable ? stat.size : null;
  let taken = 0;
  let cut: string | null = null;
  let stream: ReadStream | null = null;
  const open = (): ReadStream => {
    stream = createReadStream('', {
      fd,
      highWaterMark: CHUNK,
      ...(isSeekable ? { start: 0 } : {}),
    });
    return stream;
  };
  const close = (): void => {
    // A stream closes its file by itself.
    if (stream === null) closeSync(fd);
    else stream.destroy();
  };
  try {
    const start = Buffer.alloc(MAGIC_BYTES);
    const isPlainFile =
      size !== null &&
      formOf(start.subarray(0, readSync(fd, start, 0, MAGIC_BYTES, 0)), path) === 'text';
    const count = (bytes: number): void => {
      taken += bytes;
    };
    const raw = await peek(isPlainFile ? Readable.from([]) : counted(open, path, count));
    const outer = isPlainFile ? 'text' : formOf(raw.start, path);
    const packing = outer === 'gzip' || outer === 'zstd' ? outer : null;
    const inner =
      packing === null
        ? raw
        : await peek(
            unpacked(UNPACK[packing](raw.chunks()), (reason) => {
              cut = `${packing}: ${reason}`;
            }),
          );
    const form = packing === null ? outer : formOf(inner.start, path);
    if (form === 'gzip' || form === 'zstd') return refuse(`${printable(path)} is packed twice`);
    const chunks = isPlainFile ? counted(open, path, count) : inner.chunks();
    return {
      path,
      form,
      packing,
      size,
      fd: packing === null && size !== null ? fd : null,
      chunks,
      taken: () => taken,
      cut: () => cut,
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

export interface ReadOptions {
  /** Takes a batch; its columns may be used again afterwards. */
  readonly take: (batch: EventBatch) => void;
  /** Kinds that are counted by name and not handed on. */
  readonly skip?: readonly Kind[];
  /** Threads at most; unless given, one for a small file, else as many as there are processors. */
  readonly threads?: number;
  /** Called now and then with the bytes of the file that are done, and with the lines in them, where it is not packed. */
  readonly progress?: (bytes: number, lines: number) => void;
}

/** A file below this is read before a second thread has started. */
const THREADS_FROM = 32 << 20;

/** Reads a trace that is text. Memory does not grow with its length. */
export async function readTraceText(
  source: TraceSource,
  { take, skip = [], threads, progress = () => {} }: ReadOptions,
): Promise<ScanTally> {
  const { fd, size } = source;
  if (fd !== null && size !== null) {
    const most = size < THREADS_FROM ? 1 : availableParallelism();
    return new TraceThreads(fd, size, { take, skip, threads: threads ?? most, progress }).run();
  }
  const scanner = new TextScanner({ skip, emit: take });
  for await (const chunk of source.chunks) {
    scanner.push(chunk);
    progress(source.taken(), 0);
  }
  scanner.end();
  return scanner.tally;
}
