import type { EventBatch } from '../batch.ts';
import { Clock, PLAIN_CLOCK } from './clock.ts';
import { BatchWriter, type EventTable, type Origin } from './decode.ts';
import {
  idKey,
  idPosition,
  noSample,
  type PerfAttr,
  readSample,
  readTrailer,
  type Sample,
} from './perf-attr.ts';
import { aligned, PerfRecords, RECORD } from './perf-records.ts';
import type { Problems } from './problems.ts';
import type { ByteSource, Codecs } from './source.ts';
import type { TraceCounts } from './trace.ts';

/** Where the data of a perf.data stand, and what is needed to read them. */
export interface PerfData {
  readonly source: ByteSource;
  readonly problems: Problems;
  readonly attrs: readonly PerfAttr[];
  /** By what `idKey` makes of the ID that samples carry. */
  readonly byId: ReadonlyMap<string, PerfAttr>;
  readonly dataFrom: number;
  readonly dataEnd: number;
}

/** A record that waits for its turn. */
interface Waiting {
  readonly hi: number;
  readonly lo: number;
  readonly view: DataView;
  readonly at: number;
  readonly length: number;
  readonly pid: number;
  readonly tid: number;
  readonly cpu: number;
  readonly time: number;
  readonly place: number;
  /** Not 0: events were lost, and there is no record. */
  readonly lost: number;
}

function byTime(a: Waiting, b: Waiting): number {
  return a.hi - b.hi || a.lo - b.lo;
}

/** No recording has so many events between two of its marks; without marks it is the most that are sorted at once. */
const WAITING_MAX = 1 << 19;

/** Brings records into the order of time. perf marks in its file up to where they can be sorted. */
class Sorter {
  ready: readonly Waiting[] = [];
  #waiting: Waiting[] = [];
  #maxHi = 0;
  #maxLo = 0;
  #flushHi = -1;
  #flushLo = 0;

  add(one: Waiting): void {
    this.#waiting.push(one);
    if (one.hi > this.#maxHi || (one.hi === this.#maxHi && one.lo > this.#maxLo)) {
      this.#maxHi = one.hi;
      this.#maxLo = one.lo;
    }
    if (this.#waiting.length >= WAITING_MAX) {
      this.#waiting.sort(byTime);
      this.ready = this.#waiting.splice(0, WAITING_MAX >> 1);
    }
  }

  /** A mark: what is not later than the latest record before the mark before can go. */
  round(): void {
    this.#waiting.sort(byTime);
    const first = this.#waiting.findIndex(
      ({ hi, lo }) => hi > this.#flushHi || (hi === this.#flushHi && lo > this.#flushLo),
    );
    this.ready = this.#waiting.splice(0, first < 0 ? this.#waiting.length : first);
    this.#flushHi = this.#maxHi;
    this.#flushLo = this.#maxLo;
  }

  end(): void {
    this.#waiting.sort(byTime);
    this.ready = this.#waiting;
    this.#waiting = [];
  }
}

function attrOf(file: PerfData, position: number, records: PerfRecords): PerfAttr | undefined {
  const [first] = file.attrs;
  if (file.attrs.length < 2 || position < 0) return first;
  const at = records.at + 8 + position;
  if (at + 8 > records.at + records.size) return first;
  const { view } = records;
  return file.byId.get(idKey(view.getUint32(at + 4, true), view.getUint32(at, true))) ?? first;
}

/** Goes through the data once. */
export class PerfEvents {
  readonly #file: PerfData;
  readonly #table: EventTable;
  readonly #counts: TraceCounts;
  readonly #writer: BatchWriter;
  readonly #sorter = new Sorter();
  readonly #sample = noSample();
  readonly #clock = new Clock(PLAIN_CLOCK);
  readonly #unknown = new Set<number>();
  #sawLost = false;

  constructor(file: PerfData, table: EventTable, counts: TraceCounts) {
    this.#file = file;
    this.#table = table;
    this.#counts = counts;
    this.#writer = new BatchWriter(table.names, true);
  }

  *batches(codecs: Codecs): Generator<EventBatch, void> {
    const { source, dataFrom, dataEnd, problems, attrs } = this.#file;
    const records = new PerfRecords(source, dataFrom, dataEnd, codecs, problems);
    const [first] = attrs;
    const position = first === undefined ? -1 : idPosition(first);
    while (records.next()) {
      this.#take(records, position);
      if (this.#sorter.ready.length > 0) yield* this.#ready();
    }
    this.#sorter.end();
    yield* this.#ready();
    if (records.isCut) {
      this.#writer.lost(-1, { cpu: -1, tid: -1, tgid: -1, time: Number.NaN, place: records.place });
    }
    this.#tally();
    if (!this.#writer.isEmpty) yield this.#writer.batch();
  }

  #take(records: PerfRecords, position: number): void {
    const { type, view, at, size } = records;
    if (type === RECORD.sample) this.#takeSample(records, attrOf(this.#file, position, records));
    else if (type === RECORD.round) this.#sorter.round();
    else if (type === RECORD.lost && size >= 24) {
      this.#sawLost = true;
      this.#takeLost(records, view.getUint32(at + 16, true));
    } else if (type === RECORD.lostSamples && size >= 16 && !this.#sawLost) {
      this.#takeLost(records, view.getUint32(at + 8, true));
    } else if (type === RECORD.auxtrace && size >= 16) records.skip(view.getUint32(at + 8, true));
    else if (type === RECORD.tracingData && size >= 12) {
      records.skip(aligned(view.getUint32(at + 8, true)));
    }
  }

  #takeLost(records: PerfRecords, lost: number): void {
    const [attr] = this.#file.attrs;
    if (attr === undefined || lost === 0) return;
    const { view, at, size, place } = records;
    const trailer = readTrailer(attr, view, at + 16, at + size);
    this.#add(trailer, view, 0, 0, place, lost);
  }

  #takeSample(records: PerfRecords, attr: PerfAttr | undefined): void {
    const { view, at, size, place } = records;
    const sample = this.#sample;
    if (attr === undefined || !readSample(attr, view, at + 8, at + size, sample)) {
      this.#file.problems.add(place, 'a sample does not fit its record');
      this.#add(noSample(), view, 0, 0, place, -1);
      return;
    }
    if (sample.raw >= 0) this.#add(sample, view, sample.raw, sample.rawLength, place, 0);
  }

  #add(
    from: Sample,
    view: DataView,
    at: number,
    length: number,
    place: number,
    lost: number,
  ): void {
    const { timeHi: hi, timeLo: lo, pid, tid, cpu, hasTime } = from;
    const time = hasTime ? this.#clock.value(hi, lo) : Number.NaN;
    this.#sorter.add({ hi, lo, view, at, length, pid, tid, cpu, time, place, lost });
  }

  *#ready(): Generator<EventBatch, void> {
    const { ready } = this.#sorter;
    this.#sorter.ready = [];
    for (const one of ready) {
      const { cpu, tid, pid: tgid, time, place } = one;
      const origin = { cpu, tid, tgid, time, place };
      if (one.lost !== 0) this.#writer.lost(one.lost, origin);
      else this.#event(one, origin);
      if (this.#writer.isFull) {
        this.#tally();
        yield this.#writer.batch();
      }
    }
  }

  #event(one: Waiting, origin: Origin): void {
    if (one.length < 2) return;
    const id = one.view.getUint16(one.at, true);
    const reader = this.#table.readers.get(id);
    if (reader === undefined) {
      this.#counts.unknown += 1;
      if (this.#unknown.has(id) || this.#unknown.size >= 8) return;
      this.#unknown.add(id);
      const message = `event ID ${id} has no description: its records are not read`;
      this.#file.problems.add(one.place, message);
    } else if (reader.isForeign) this.#counts.foreign += 1;
    else this.#writer.record(reader, one.view, one.at, one.length, origin);
  }

  #tally(): void {
    this.#counts.events += this.#writer.events;
    this.#counts.unreadable += this.#writer.unreadable;
    this.#writer.events = 0;
    this.#writer.unreadable = 0;
  }
}
