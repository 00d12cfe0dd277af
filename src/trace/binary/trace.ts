import type { EventBatch } from '../batch.ts';
import type { Clock } from './clock.ts';
import { BatchWriter, type EventTable, numberAt } from './decode.ts';
import { type CpuRecords, merged } from './pages.ts';
import type { Problems } from './problems.ts';
import type { Threads } from './threads.ts';

/** A part of a file that is the text of a trace. */
export interface TextPart {
  readonly offset: number;
  /** Its bytes, a piece at a time. */
  readonly pieces: () => Generator<Uint8Array, void>;
}

/** What a binary trace says about itself. */
export interface TraceAbout {
  readonly format: 'trace.dat' | 'ring-buffer pages' | 'perf.data';
  /** Of the format: "6", "7", "2". */
  readonly version: string;
  /** What recorded it, where it says. */
  readonly recorder: string | null;
  /** `uname`, or the release alone; null: it does not say. */
  readonly system: string | null;
  /** Null: it does not say. */
  readonly clock: string | null;
  /** False: its clock counts ticks, and the column of times has them. */
  readonly isSeconds: boolean;
  readonly cpus: number;
  /** Of buffers with records; "" is the top one. */
  readonly buffers: readonly string[];
  /** "zstd", "zlib"; null: none. */
  readonly compression: string | null;
}

/** Grows while batches are read. */
export interface TraceCounts {
  /** Rows written. */
  events: number;
  /** Of them: events whose fields could not be read. */
  unreadable: number;
  /** Records of other systems than kvm and kvmmmu, not passed on. */
  foreign: number;
  /** Records whose event has no description, not passed on. */
  unknown: number;
}

/** A trace in a binary form. */
export interface BinaryTrace {
  readonly about: TraceAbout;
  readonly problems: Problems;
  readonly counts: TraceCounts;
  /** Traces that are text inside (latency tracers): to be read as text. */
  readonly texts: readonly TextPart[];
  /** Names of threads, where it has them. */
  readonly names: ReadonlyMap<number, string>;
  /** Its events in the order of time. To be asked for once. */
  readonly batches: () => Generator<EventBatch, void>;
}

export function noCounts(): TraceCounts {
  return { events: 0, unreadable: 0, foreign: 0, unknown: 0 };
}

/** What a reader of records needs to fill batches. */
export interface Reading {
  readonly table: EventTable;
  readonly little: boolean;
  readonly clock: Clock;
  readonly counts: TraceCounts;
  readonly problems: Problems;
  readonly threads: Threads;
}

const UNKNOWN_LISTED = 8;

/** Says what a table of events lacks. */
export function sayLacking(table: EventTable, problems: Problems): void {
  for (const { event, field } of table.lacking) {
    problems.add(0, `the description of ${event} has no field ${field}: its events are unreadable`);
  }
}

/** Records of ring buffers, merged, as batches. */
export function* ringBatches(
  streams: readonly CpuRecords[],
  { table, little, clock, counts, problems, threads }: Reading,
): Generator<EventBatch, void> {
  const writer = new BatchWriter(table.names, little);
  const origin = { cpu: 0, tid: -1, tgid: -1, time: 0, place: 0 };
  const unknown = new Set<number>();
  const { processes } = threads;
  const tally = (): void => {
    counts.events += writer.events;
    counts.unreadable += writer.unreadable;
    writer.events = 0;
    writer.unreadable = 0;
  };
  for (const stream of merged(streams)) {
    const { view, at, length } = stream;
    origin.cpu = stream.cpu;
    origin.time = clock.value(stream.timeHi, stream.timeLo);
    origin.place = stream.place;
    origin.tid = numberAt(view, at, length, table.pid, little, -1);
    if (processes.size > 0) origin.tgid = processes.get(origin.tid) ?? -1;
    if (stream.lost !== 0) {
      writer.lost(stream.lost, { ...origin, tid: -1 });
      if (writer.isFull) yield writer.batch();
    }
    if (length < 2) continue;
    const id = view.getUint16(at, little);
    const reader = table.readers.get(id);
    if (reader === undefined) {
      counts.unknown += 1;
      if (unknown.size < UNKNOWN_LISTED && !unknown.has(id)) {
        unknown.add(id);
        problems.add(stream.place, `event ID ${id} has no description: its records are not read`);
      }
      continue;
    }
    if (reader.isForeign) counts.foreign += 1;
    else writer.record(reader, view, at, length, origin);
    if (writer.isFull) {
      tally();
      yield writer.batch();
    }
  }
  tally();
  if (!writer.isEmpty) yield writer.batch();
}
