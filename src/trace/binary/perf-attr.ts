import { type Cursor, Damaged } from './source.ts';

/** Bits of `sample_type` (include/uapi/linux/perf_event.h) that stand before what a tracepoint wrote. */
const SAMPLE = {
  ip: 1,
  tid: 2,
  time: 4,
  addr: 8,
  read: 16,
  callchain: 32,
  id: 64,
  cpu: 128,
  period: 256,
  streamId: 512,
  raw: 1024,
  identifier: 65_536,
} as const;

/** What every event of one kind recorded. */
export interface PerfAttr {
  readonly sampleType: number;
  readonly readFormat: number;
  /** Records that are no samples end with thread, time and CPU too. */
  readonly idsAll: boolean;
}

const ATTR_MIN = 48;
const ATTR_MAX = 1024;
const ID_ALL_BIT = 18;

/** perf_event_attr, of as many bytes as it says itself that it has. */
export function readAttr(cursor: Cursor): PerfAttr {
  const start = cursor.at;
  const { offset } = cursor;
  cursor.u32();
  const size = cursor.u32();
  if (size < ATTR_MIN || size > ATTR_MAX) {
    throw new Damaged(offset, `the attributes of an event claim to have ${size} bytes`);
  }
  cursor.skip(16);
  const sampleType = cursor.u32();
  cursor.skip(4);
  const readFormat = cursor.u32();
  cursor.skip(4);
  const bits = cursor.u32();
  cursor.skip(size - (cursor.at - start));
  return { sampleType, readFormat, idsAll: ((bits >>> ID_ALL_BIT) & 1) === 1 };
}

function has(attr: PerfAttr, bit: number): boolean {
  return (attr.sampleType & bit) !== 0;
}

/** An ID of 64 bits as the key of a map. */
export function idKey(hi: number, lo: number): string {
  return `${hi}:${lo}`;
}

/** Where the event's ID stands in a sample, from its first byte; -1: it has none. */
export function idPosition(attr: PerfAttr): number {
  if (has(attr, SAMPLE.identifier)) return 0;
  if (!has(attr, SAMPLE.id)) return -1;
  return (
    8 * [SAMPLE.ip, SAMPLE.tid, SAMPLE.time, SAMPLE.addr].filter((bit) => has(attr, bit)).length
  );
}

/** What stands in a record; numbers that it does not have are -1, a time NaN. */
export interface Sample {
  pid: number;
  tid: number;
  cpu: number;
  hasTime: boolean;
  timeHi: number;
  timeLo: number;
  /** Index of what the tracepoint wrote; -1: nothing. */
  raw: number;
  rawLength: number;
}

export function noSample(): Sample {
  return { pid: -1, tid: -1, cpu: -1, hasTime: false, timeHi: 0, timeLo: 0, raw: -1, rawLength: 0 };
}

function takeTid(view: DataView, at: number, sample: Sample): void {
  sample.pid = view.getInt32(at, true);
  sample.tid = view.getInt32(at + 4, true);
}

function takeTime(view: DataView, at: number, sample: Sample): void {
  sample.hasTime = true;
  sample.timeLo = view.getUint32(at, true);
  sample.timeHi = view.getUint32(at + 4, true);
}

/** Bytes of the values of counters; -1: more than there are. */
function readLength(attr: PerfAttr, view: DataView, at: number, end: number): number {
  const format = attr.readFormat;
  const bit = (n: number): number => (format >>> n) & 1;
  const times = bit(0) + bit(1);
  const each = 1 + bit(2) + bit(4);
  if (bit(3) === 0) return 8 * (each + times);
  if (at + 8 > end) return -1;
  const count = view.getUint32(at, true);
  return count > (end - at) / 8 ? -1 : 8 * (1 + times + count * each);
}

/**
 * Reads a sample between `at` and `end`.
 *
 * @returns false when it does not fit
 */
export function readSample(
  attr: PerfAttr,
  view: DataView,
  at: number,
  end: number,
  sample: Sample,
): boolean {
  let next = at;
  sample.raw = -1;
  sample.hasTime = false;
  sample.cpu = -1;
  sample.pid = -1;
  sample.tid = -1;
  for (const bit of FIXED) {
    if (!has(attr, bit)) continue;
    if (next + 8 > end) return false;
    if (bit === SAMPLE.tid) takeTid(view, next, sample);
    else if (bit === SAMPLE.time) takeTime(view, next, sample);
    else if (bit === SAMPLE.cpu) sample.cpu = view.getInt32(next, true);
    next += 8;
  }
  if (has(attr, SAMPLE.read)) {
    const length = readLength(attr, view, next, end);
    if (length < 0) return false;
    next += length;
  }
  if (has(attr, SAMPLE.callchain)) {
    if (next + 8 > end) return false;
    const count = view.getUint32(next, true);
    if (count > (end - next) / 8) return false;
    next += 8 + 8 * count;
  }
  if (!has(attr, SAMPLE.raw)) return true;
  if (next + 4 > end) return false;
  sample.rawLength = view.getUint32(next, true);
  sample.raw = next + 4;
  return sample.raw + sample.rawLength <= end;
}

const FIXED = [
  SAMPLE.identifier,
  SAMPLE.ip,
  SAMPLE.tid,
  SAMPLE.time,
  SAMPLE.addr,
  SAMPLE.id,
  SAMPLE.streamId,
  SAMPLE.cpu,
  SAMPLE.period,
] as const;
const TRAILING = [
  SAMPLE.tid,
  SAMPLE.time,
  SAMPLE.id,
  SAMPLE.streamId,
  SAMPLE.cpu,
  SAMPLE.identifier,
] as const;

/** Thread, time and CPU at the end of a record that is no sample. */
export function readTrailer(attr: PerfAttr, view: DataView, from: number, end: number): Sample {
  const sample = noSample();
  const bits = TRAILING.filter((bit) => has(attr, bit));
  let next = end - 8 * bits.length;
  if (!attr.idsAll || next < from) return sample;
  for (const bit of bits) {
    if (bit === SAMPLE.tid) takeTid(view, next, sample);
    else if (bit === SAMPLE.time) takeTime(view, next, sample);
    else if (bit === SAMPLE.cpu) sample.cpu = view.getInt32(next, true);
    next += 8;
  }
  return sample;
}
