import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { printable, refuse } from '../../base/diagnostic.ts';
import { openTrace } from '../../host/trace-source.ts';
import {
  openRingPages,
  type RingDescriptions,
  type RingDump,
} from '../../trace/binary/ring-pages.ts';
import { type ByteSource, bytesSource } from '../../trace/binary/source.ts';
import type { Io } from '../io.ts';
import { TraceProgress } from '../trace-progress.ts';
import { bytesOf, type ReadTrace, type Take, type ThreadNames, takeBinary } from './input.ts';

// What was read from per_cpu/cpuN/trace_pipe_raw does not say how to read it: the files that do are given beside it.

/** No description is longer. */
const TEXT_MAX = 1 << 20;

function textOf(path: string): string | null {
  try {
    const stat = statSync(path);
    return stat.isFile() && stat.size <= TEXT_MAX ? readFileSync(path, 'latin1') : null;
  } catch {
    return null;
  }
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** events/SYSTEM/NAME/format; and files put into one directory, whatever their names. */
function formatsIn(events: string): RingDescriptions['formats'] {
  return entriesOf(events).flatMap((system) => {
    const path = join(events, system);
    const flat = textOf(path);
    if (flat !== null) return flat.startsWith('name: ') ? [{ system: '', text: flat }] : [];
    return entriesOf(path).flatMap((event) => {
      const text = textOf(join(path, event, 'format'));
      return text === null ? [] : [{ system, text }];
    });
  });
}

/**
 * What a copy of tracefs, or of its directory "events", says about records.
 *
 * @throws InputError when it is no directory
 */
function descriptionsIn(directory: string): RingDescriptions {
  if (!existsSync(directory) || !statSync(directory).isDirectory())
    refuse(
      `--formats ${printable(directory)} is no directory`,
      'give /sys/kernel/tracing/events of the kernel that was traced, or a copy of it',
    );
  const inside = join(directory, 'events');
  const events = existsSync(inside) ? inside : directory;
  const besides = (name: string): string | null =>
    textOf(join(directory, name)) ?? textOf(join(dirname(events), name));
  return {
    formats: formatsIn(events),
    headerPage: textOf(join(events, 'header_page')),
    clock: besides('trace_clock'),
    cmdlines: besides('saved_cmdlines'),
    tgids: besides('saved_tgids'),
  };
}

const HEAD = 64;
const BASE64 = /^[A-Za-z0-9+/=\r\n-]+$/;

/** Pages as `base64` prints them: each for itself, with a line "-" between them, or all at once. */
function decoded(source: ByteSource): ByteSource {
  const head = Buffer.from(source.read(0, Math.min(HEAD, source.size))).toString('latin1');
  if (!BASE64.test(head)) return source;
  const text = Buffer.from(source.read(0, source.size)).toString('latin1');
  const pages = text.split(/^-\r?$/m).map((page) => Buffer.from(page, 'base64'));
  return bytesSource(Buffer.concat(pages));
}

/** The number of a CPU in a path: per_cpu/cpu3/trace_pipe_raw, cpu3.raw; -1: it has none. */
function cpuOf(path: string): number {
  const found = [...path.matchAll(/cpu(\d{1,5})(?!\d)/g)].at(-1)?.[1];
  return found === undefined ? -1 : Number(found);
}

async function dumpOf(path: string): Promise<RingDump & { readonly close: () => void }> {
  const opened = await openTrace(path);
  try {
    if (opened.form !== 'text')
      refuse(
        `${printable(path)} is a ${opened.form}, which says itself how to read it`,
        'leave out --formats',
      );
    return { source: decoded(await bytesOf(opened)), cpu: cpuOf(path), close: opened.close };
  } catch (error) {
    opened.close();
    throw error;
  }
}

/**
 * Reads raw pages of the ring buffer, a file for each CPU, as one trace.
 *
 * @param directory tracefs of the kernel that was traced, its directory "events", or a copy
 * @throws InputError when a file cannot be read, or no event is described
 */
export async function readRawPages(
  paths: readonly string[],
  directory: string,
  take: Take,
  io: Io,
  names: ThreadNames,
): Promise<ReadTrace> {
  const descriptions = descriptionsIn(directory);
  const dumps: Awaited<ReturnType<typeof dumpOf>>[] = [];
  const close = (): void => {
    for (const dump of dumps) dump.close();
  };
  const bytes = (): number => dumps.reduce((sum, { source }) => sum + source.size, 0);
  try {
    for (const path of paths) dumps.push(await dumpOf(path));
    const shown = new TraceProgress(io, bytes());
    const reopened = () => openRingPages(dumps, descriptions);
    const input = { file: rawName(paths), bytes: bytes(), reopened, close };
    try {
      return takeBinary(reopened(), input, take, shown, names);
    } finally {
      shown.end();
    }
  } catch (error) {
    close();
    throw error;
  }
}

/** What a trace in several files is called. */
export function rawName(paths: readonly string[]): string {
  const [first = '-'] = paths;
  return paths.length > 1 ? `${first} and ${paths.length - 1} more` : first;
}
