import { constants, openSync } from 'node:fs';
import { InputError } from '../base/diagnostic.ts';
import {
  CAPTURE_MAX,
  type CaptureFile,
  captureFrom,
  type Locate,
  parseCaptureFile,
} from '../doctor/capture/capture-file.ts';
import { readText } from './io.ts';

/** A case file is a page of text, and reading YAML takes longer. */
const YAML_MAX = 256 * 1024;

/** For the writer of a named pipe to come. */
const PATIENCE_MS = 3000;

// A named pipe that nobody writes to must not keep a run over many files waiting for ever.
const open = (path: string): number => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);

/** The parser and its reader call themselves for each level of nesting. */
function isTooDeep(error: unknown): boolean {
  return error instanceof RangeError;
}

async function fromCase(text: string, file: string): Promise<CaptureFile> {
  try {
    return await fromYaml(text, file);
  } catch (error) {
    if (!isTooDeep(error)) throw error;
    throw new InputError([{ severity: 'error', message: `${file} is nested too deeply` }]);
  }
}

function noCapture(file: string): never {
  const message = `${file} is neither a capture (JSON) nor a case file with the key "capture"`;
  const help = 'memtype capture writes one; memtype explain reads case files with facts';
  throw new InputError([{ severity: 'error', message, help }]);
}

async function fromYaml(text: string, file: string): Promise<CaptureFile> {
  if (text.length > YAML_MAX) {
    const message = `${file} is no JSON, and no case file is larger than ${YAML_MAX / 1024} KiB`;
    throw new InputError([{ severity: 'error', message }]);
  }
  const { isNode, LineCounter, parseDocument, visit } = await import('yaml');
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    // It compares every key with every other.
    uniqueKeys: false,
  });
  if (!text.split('\n').some((line) => /^["']?capture["']?\s*:/.test(line))) noCapture(file);
  const lines = text.split('\n');
  const at = (start: number, end: number) => {
    const { line, col } = lineCounter.linePos(start);
    const source = lines[line - 1] ?? '';
    const length = Math.max(1, Math.min(end - start, source.length - col + 1));
    return { place: { file, line, column: col, length }, source };
  };
  const [error] = document.errors;
  if (error?.message.includes('call stack') === true) throw new RangeError(error.message);
  if (error !== undefined) {
    const place = at(error.pos[0], error.pos[1]);
    throw new InputError([{ severity: 'error', message: error.message, ...place }]);
  }
  visit(document, {
    Alias(_, { range }) {
      const message = 'aliases are not read in a case file';
      const help = 'write the value out';
      const found = at(range?.[0] ?? 0, range?.[1] ?? 1);
      throw new InputError([{ severity: 'error', message, help, ...found }]);
    },
  });
  const locate: Locate = (path, message, help) => {
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(['capture', ...path.slice(0, length)], true);
      const [start, end] = (isNode(node) ? node.range : null) ?? [];
      if (start === undefined || end === undefined) continue;
      return {
        severity: 'error',
        message,
        ...at(start, end),
        ...(help === undefined ? {} : { help }),
      };
    }
    return { severity: 'error', message, ...(help === undefined ? {} : { help }) };
  };
  if (!document.has('capture')) noCapture(file);
  const value: unknown = (document.toJS() as { capture: unknown }).capture;
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  return captureFrom(isMap ? { memtypeCapture: 1, ...value } : value, locate);
}

/**
 * A capture file, or a case file (YAML) that holds the same under its key `capture`; "-" for standard input.
 *
 * @throws InputError with place and caret when it is neither, larger than 64 MiB, or of a newer version
 */
export async function readCaptureFile(file: string): Promise<CaptureFile> {
  const text = readText(file, { what: 'capture', max: CAPTURE_MAX, open, patience: PATIENCE_MS });
  return /^\s*[{[]/.test(text) ? parseCaptureFile(text, file) : await fromCase(text, file);
}
