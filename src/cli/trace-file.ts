import { createReadStream } from 'node:fs';
import { printable, refuse } from '../base/diagnostic.ts';
import { KVMMMU_EVENTS } from '../trace/events.ts';
import { TraceReducer } from '../trace/reduce.ts';

const LINE_FEED = 10;
/** No event is longer; what is, is no text. */
const LINE_MAX = 1 << 16;

/** Binary forms by their first bytes, and what makes text of them. */
const BINARY: readonly (readonly [string, string])[] = [
  ['\u0017\bDtracing', 'trace-cmd report -i FILE > trace.txt'],
  ['PERFILE2', 'perf script -i FILE > trace.txt'],
  ['\u001f\u008b', 'gunzip it'],
];

function refuseBinary(start: string, path: string): void {
  const [, remedy] = BINARY.find(([magic]) => start.startsWith(magic)) ?? [];
  if (remedy !== undefined) refuse(`${printable(path)} is no text`, `make text of it: ${remedy}`);
}

/**
 * Reads a trace of any size, a piece at a time, and keeps what doctor looks at.
 *
 * @returns the reduced text, see `TraceReducer`
 * @throws InputError when the file cannot be read, is binary, or has no event of page-table entries
 */
export async function readTrace(path: string): Promise<string> {
  const reducer = new TraceReducer();
  let rest: Buffer = Buffer.alloc(0);
  let isFirst = true;
  const push = (bytes: Buffer): void => {
    const end = bytes.at(-1) === 13 ? bytes.length - 1 : bytes.length;
    reducer.push(bytes.toString('latin1', 0, end));
  };
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      if (isFirst) refuseBinary(chunk.toString('latin1', 0, 16), path);
      isFirst = false;
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
        push(bytes.subarray(start, end));
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length > LINE_MAX) refuse(`${printable(path)} is no text`, `its lines end nowhere`);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code !== 'string' || !code.startsWith('E')) throw error;
    refuse(`cannot read ${printable(path)}: ${code}`, 'give a file with the text of a trace');
  }
  if (rest.length > 0) push(rest);
  if (reducer.counts.events === 0) {
    refuse(
      `${printable(path)} has no event of page-table entries`,
      `record these: ${KVMMMU_EVENTS.join(', ')}`,
    );
  }
  return reducer.text;
}
