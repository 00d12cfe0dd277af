/** A request to the helper process, one JSON text a line. */
export interface HelperRequest {
  readonly op: 'text' | 'bytes' | 'list' | 'link' | 'links' | 'log';
  readonly path: string;
  readonly offset?: number;
  /** Bytes, or entries of a directory. */
  readonly limit: number;
}

/** What it answers, one JSON text a line; `error` is the system's word, e.g. "EACCES". */
export type HelperAnswer =
  | { readonly value: unknown; readonly cut: boolean }
  | { readonly error: string };

// The functions below are the program of the helper process: they are handed to it as source text, so
// they may name one another and what Node has, and nothing else of this file.

function readWhole(fd: number, limit: number): { bytes: Buffer; cut: boolean } {
  const { readSync } = process.getBuiltinModule('node:fs');
  const parts: Buffer[] = [];
  let left = limit + 1;
  while (left > 0) {
    const part = Buffer.alloc(Math.min(left, 1 << 16));
    const got = readSync(fd, part, 0, part.length, null);
    if (got === 0) break;
    parts.push(part.subarray(0, got));
    left -= got;
  }
  return { bytes: Buffer.concat(parts).subarray(0, limit), cut: left <= 0 };
}

/** Records "priority,sequence,time,flags;message", until there is none left to read. */
function readRecords(fd: number, limit: number): HelperAnswer {
  const { readSync } = process.getBuiltinModule('node:fs');
  const record = Buffer.alloc(1 << 14);
  let value = '';
  while (value.length <= limit) {
    let got = 0;
    try {
      got = readSync(fd, record, 0, record.length, null);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'EPIPE') continue;
      if (code === 'EAGAIN') return { value, cut: false };
      throw error;
    }
    if (got === 0) return { value, cut: false };
    const [line = ''] = record.toString('utf8', 0, got).split('\n');
    value += `${line.slice(line.indexOf(';') + 1)}\n`;
  }
  return { value, cut: true };
}

function readLinks(directory: string, limit: number): HelperAnswer {
  const { readdirSync, readlinkSync } = process.getBuiltinModule('node:fs');
  const names = readdirSync(directory);
  let denied: unknown = null;
  const value = names.slice(0, limit).flatMap((name): [string, string][] => {
    try {
      return [[name, readlinkSync(`${directory}/${name}`)]];
    } catch (error) {
      if (/^(?:EACCES|EPERM)$/.test((error as { code?: string }).code ?? '')) denied = error;
      return [];
    }
  });
  // A process that may not be traced lists its descriptors and shows none of them.
  if (denied !== null && value.length === 0) throw denied;
  return { value, cut: names.length > limit };
}

function answer({ op, path, offset = 0, limit }: HelperRequest): HelperAnswer {
  const fs = process.getBuiltinModule('node:fs');
  if (op === 'link') return { value: fs.readlinkSync(path), cut: false };
  if (op === 'links') return readLinks(path, limit);
  if (op === 'list') {
    const names = fs.readdirSync(path);
    return { value: names.slice(0, limit), cut: names.length > limit };
  }
  const wait = op === 'log' ? fs.constants.O_NONBLOCK : 0;
  const fd = fs.openSync(path, fs.constants.O_RDONLY | wait);
  try {
    if (op === 'log') return readRecords(fd, limit);
    if (op === 'bytes') {
      const bytes = Buffer.alloc(limit);
      const got = fs.readSync(fd, bytes, 0, limit, offset);
      return { value: bytes.toString('hex', 0, got), cut: false };
    }
    const { bytes, cut } = readWhole(fd, limit);
    return { value: bytes.toString('utf8'), cut };
  } finally {
    fs.closeSync(fd);
  }
}

function serve(): void {
  let waiting = '';
  process.stdin.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (waiting + chunk).split('\n');
    waiting = lines.pop() ?? '';
    for (const line of lines) {
      let result: HelperAnswer;
      try {
        result = answer(JSON.parse(line) as HelperRequest);
      } catch (error) {
        result = { error: (error as { code?: string }).code ?? String(error) };
      }
      process.stdout.write(`${JSON.stringify(result)}\n`);
    }
  });
}

/** For `node --eval`. */
export const HELPER_SOURCE = `${[readWhole, readRecords, readLinks, answer, serve].join('\n')}\nserve();`;
