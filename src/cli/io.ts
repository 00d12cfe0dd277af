import { readFileSync, writeSync } from 'node:fs';
import { type Diagnostic, InputError, renderDiagnostic } from '../base/diagnostic.ts';

/** Where a command writes: stdout is the result, stderr everything else. */
export interface Io {
  readonly write: (text: string) => void;
  readonly error: (text: string) => void;
}

/** Writes all of it, also into a slow pipe; a reader that has gone away ends the program quietly. */
function put(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EAGAIN') continue;
      if (code === 'EPIPE') process.exit(fd === 1 ? 0 : 2);
      throw error;
    }
  }
}

export const PROCESS_IO: Io = {
  write: (text) => put(1, text),
  error: (text) => put(2, text),
};

/** Prints what is wrong with an input. */
export function complainTo(io: Io, diagnostics: readonly Diagnostic[]): void {
  io.error(`${diagnostics.map(renderDiagnostic).join('\n')}\n`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

const MAX_BYTES = 64 * 1024 * 1024;

/** The text of a file, "-" for standard input. @throws InputError when it cannot be read as UTF-8 text. */
export function readText(path: string): string {
  try {
    const bytes = readFileSync(path === '-' ? 0 : path);
    if (bytes.length > MAX_BYTES) throw new RangeError(`larger than ${MAX_BYTES} bytes`);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const why =
      code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
        ? 'it is not UTF-8 text'
        : (REASONS[code] ?? String((error as Error).message));
    throw new InputError([{ severity: 'error', message: `cannot read ${path}: ${why}` }]);
  }
}
