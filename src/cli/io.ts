import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { type Diagnostic, InputError, renderDiagnostic } from '../base/diagnostic.ts';

/** Where a command writes: stdout is the result, stderr everything else. */
export interface Io {
  readonly write: (text: string) => void;
  readonly error: (text: string) => void;
  /** A result that is no text. */
  readonly writeBytes?: (bytes: Uint8Array) => void;
  /** Somebody watches stderr, and stdout goes elsewhere. */
  readonly watched?: boolean;
  /** Nobody reads stdout any more. */
  readonly isAbandoned?: () => boolean;
  /** Size of the terminal that stdout is; null: it is none. */
  readonly terminal?: () => { readonly columns: number; readonly rows: number } | null;
}

/** The output cannot be written: not the fault of the program, nor of its input. */
export class OutputError extends Error {
  override name = 'OutputError';
}

const PAUSE_MS = 5;

/** For a file descriptor that is not ready: another process has made a shared pipe non-blocking. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
}

const abandoned = new Set<number>();

/**
 * Writes all of it, also into a slow pipe. When the reader has gone away nothing more is written, and the
 * command ends with the exit code it would have had.
 *
 * @throws OutputError e.g. when the disk is full
 */
function put(fd: 1 | 2, data: string | Uint8Array): void {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  let at = 0;
  while (at < bytes.length && !abandoned.has(fd)) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') pause();
      else if (code === 'EPIPE') abandoned.add(fd);
      else throw new OutputError(`cannot write the output: ${message}`);
    }
  }
}

export const PROCESS_IO: Io = {
  write: (text) => put(1, text),
  error: (text) => put(2, text),
  writeBytes: (bytes) => put(1, bytes),
  watched: isatty(2) && !isatty(1),
  isAbandoned: () => abandoned.has(1),
  terminal() {
    if (!isatty(1)) return null;
    // A terminal that was never told its size has 0.
    const { columns, rows } = process.stdout;
    return { columns: columns > 0 ? columns : 80, rows: rows > 0 ? rows : 24 };
  },
};

/** Prints what is wrong with an input. */
export function complainTo(io: Io, diagnostics: readonly Diagnostic[]): void {
  io.error(`${diagnostics.map(renderDiagnostic).join('\n')}\n`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
};

/** How a file is read, and how much of it. */
export interface Reading {
  /** "case": what no file of this size is. */
  readonly what: string;
  /** Bytes. */
  readonly max: number;
  readonly open: (path: string) => number;
  /** How long nobody may write to a named pipe that was opened without waiting for a writer, ms. */
  readonly patience?: number;
}

/** A case is a page of text. What fits in here is parsed or refused within two seconds, whatever it is. */
const CASE: Reading = { what: 'case file', max: 256 * 1024, open: (path) => openSync(path, 'r') };

class TooLarge extends Error {
  constructor({ what, max }: Reading) {
    const size = max < 2 ** 20 ? `${max / 1024} KiB` : `${max / 2 ** 20} MiB`;
    super(`it is larger than ${size}, and no ${what} is`);
  }
}

/** Bytes from `fd` into `buffer`, 0 at the end. */
function readSome(fd: number, buffer: Uint8Array): number {
  for (;;) {
    try {
      return readSync(fd, buffer);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      pause();
    }
  }
}

class Unwritten extends Error {
  constructor(patience: number) {
    super(`it is a pipe, and nobody wrote to it within ${patience / 1000} s`);
  }
}

/** What comes first out of a pipe: 0 bytes may mean that its writer is still to come. */
function firstOf(fd: number, buffer: Uint8Array, patience: number): number {
  const ends = performance.now() + patience;
  for (;;) {
    const count = readSome(fd, buffer);
    if (count > 0) return count;
    if (performance.now() >= ends) throw new Unwritten(patience);
    pause();
  }
}

const CHUNK = 64 * 1024;

/** Used for one file after the other: of ten thousand, each would leave its own behind. */
let room = Buffer.alloc(CHUNK);

/**
 * All there is, valid until the next call. A pipe or a device does not say how much will come, or never ends.
 */
function readAll(fd: number, reading: Reading): Buffer {
  const stat = fstatSync(fd);
  if (stat.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
  if (stat.isFile() && stat.size > reading.max) throw new TooLarge(reading);
  const { patience = 0 } = reading;
  const waits = fd !== 0 && patience > 0 && stat.isFIFO();
  let length = 0;
  for (;;) {
    if (room.length - length < CHUNK) {
      const larger = Buffer.alloc(Math.max(room.length * 2, stat.size + CHUNK));
      room.copy(larger, 0, 0, length);
      room = larger;
    }
    const next = room.subarray(length, length + CHUNK);
    const count = length === 0 && waits ? firstOf(fd, next, patience) : readSome(fd, next);
    if (count === 0) return room.subarray(0, length);
    length += count;
    if (length > reading.max) throw new TooLarge(reading);
  }
}

function unreadable(path: string, error: unknown): InputError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (path === '')
    return new InputError([{ severity: 'error', message: 'the name of a file is empty' }]);
  const isLost = code === 'ENOENT' && path.includes('\ufffd');
  const why = isLost
    ? 'its name is not UTF-8: such names are not read'
    : (REASONS[code] ?? message);
  return new InputError([{ severity: 'error', message: `cannot read ${path}: ${why}` }]);
}

/**
 * The text of a file, "-" for standard input.
 *
 * @throws InputError when it cannot be read as UTF-8 text, or is larger than `reading` allows
 */
export function readText(path: string, reading: Reading = CASE): string {
  let fd: number | null = null;
  try {
    fd = path === '-' ? 0 : reading.open(path);
    return new TextDecoder('utf-8', { fatal: true }).decode(readAll(fd, reading));
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    if (fd !== null && fd !== 0) closeSync(fd);
  }
}

/**
 * The text of a file of any length as it comes, "-" for standard input. What is not UTF-8 becomes U+FFFD.
 *
 * @throws InputError when it cannot be read
 */
export function* chunksOf(path: string): Generator<string> {
  let fd: number | null = null;
  const decoder = new TextDecoder();
  const buffer = Buffer.alloc(64 * 1024);
  try {
    fd = path === '-' ? 0 : openSync(path, 'r');
    for (let n = readSome(fd, buffer); n > 0; n = readSome(fd, buffer)) {
      yield decoder.decode(buffer.subarray(0, n), { stream: true });
    }
  } catch (error) {
    throw error instanceof InputError ? error : unreadable(path, error);
  } finally {
    if (fd !== null && fd !== 0) closeSync(fd);
  }
}
