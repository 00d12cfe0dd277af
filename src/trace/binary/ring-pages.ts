import { refuse } from '../../base/diagnostic.ts';
import { Clock, PLAIN_CLOCK } from './clock.ts';
import { DatOptions } from './dat-options.ts';
import { eventTable } from './decode.ts';
import { parseEventFormat } from './format.ts';
import { CpuRecords, PlainPages, windowSize } from './pages.ts';
import { Problems } from './problems.ts';
import { DEFAULT_LAYOUT, parsePageHeader } from './ring.ts';
import type { ByteSource } from './source.ts';
import { readThreads } from './threads.ts';
import { type BinaryTrace, noCounts, ringBatches, sayLacking } from './trace.ts';

/** What was read from per_cpu/cpuN/trace_pipe_raw. */
export interface RingDump {
  readonly source: ByteSource;
  /** -1: not known. */
  readonly cpu: number;
}

/** The files of tracefs that say how to read the pages. */
export interface RingDescriptions {
  /** Texts of events/SYSTEM/NAME/format; the system is "" where it is not known. */
  readonly formats: readonly { readonly system: string; readonly text: string }[];
  /** Text of events/header_page; null: pages of 4 KiB of a 64-bit kernel are assumed. */
  readonly headerPage: string | null;
  /** Text of trace_clock; null: nanoseconds are assumed. */
  readonly clock: string | null;
  /** Text of saved_cmdlines, and of saved_tgids. */
  readonly cmdlines?: string | null;
  readonly tgids?: string | null;
}

/** Dumps as one source, one after the other; a read ends where its dump does. */
function oneAfterAnother(dumps: readonly RingDump[]): {
  readonly source: ByteSource;
  readonly starts: readonly number[];
} {
  const starts: number[] = [];
  let size = 0;
  for (const { source } of dumps) {
    starts.push(size);
    size += source.size;
  }
  const read = (offset: number, length: number): Uint8Array => {
    const at = starts.findLastIndex((start) => start <= offset);
    return dumps[at]?.source.read(offset - (starts[at] ?? 0), length) ?? new Uint8Array(0);
  };
  return { source: { size, read }, starts };
}

/**
 * Opens raw pages of the ring buffer of an x86 kernel, one dump for each CPU. Places are offsets in all dumps, one
 * after the other.
 *
 * @throws InputError when no event is described
 */
export function openRingPages(
  dumps: readonly RingDump[],
  descriptions: RingDescriptions,
): BinaryTrace {
  const problems = new Problems();
  const formats = descriptions.formats.flatMap(({ system, text }) => {
    const format = parseEventFormat(text, system);
    if (format === null) problems.add(0, 'a description of an event cannot be read');
    return format ?? [];
  });
  if (formats.length === 0) {
    refuse(
      'raw pages of a ring buffer, and no description of an event beside them',
      'copy events/kvm/*/format and events/kvmmmu/*/format of the same kernel too',
    );
  }
  const { headerPage } = descriptions;
  const described = headerPage === null ? null : parsePageHeader(headerPage, true);
  if (headerPage !== null && described === null) {
    problems.add(0, 'header_page cannot be read: pages of 4096 bytes are assumed');
  }
  const layout = described ?? DEFAULT_LAYOUT;
  const options = new DatOptions();
  if (descriptions.clock !== null) options.setClock(descriptions.clock);
  const clock = new Clock(descriptions.clock === null ? PLAIN_CLOCK : options.clock(null));
  const table = eventTable(formats);
  sayLacking(table, problems);
  const counts = noCounts();
  const threads = readThreads(descriptions.cmdlines ?? null, descriptions.tgids ?? null);
  return {
    about: {
      format: 'ring-buffer pages',
      version: '',
      recorder: null,
      system: null,
      clock: clock.name,
      isSeconds: clock.isSeconds,
      cpus: dumps.length,
      buffers: [''],
      compression: null,
    },
    problems,
    counts,
    texts: [],
    names: threads.names,
    batches: () => {
      const window = windowSize(layout.pageSize, dumps.length);
      const { source, starts } = oneAfterAnother(dumps);
      const streams = dumps.map((dump, i) => {
        const { cpu } = dump;
        const { size } = dump.source;
        const pages = new PlainPages(source, starts[i] ?? 0, size, layout.pageSize, window);
        return new CpuRecords(pages, layout, cpu, clock, problems);
      });
      return ringBatches(streams, { table, little: true, clock, counts, problems, threads });
    },
  };
}
