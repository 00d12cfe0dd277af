import type { ClockFacts, TimeSample, TimeShift } from './clock.ts';
import type { Problems } from './problems.ts';
import { type Cursor, Damaged } from './source.ts';

/** Numbers of options and sections (trace-cmd.dat.v7(5)). */
export const OPTION = {
  done: 0,
  date: 1,
  buffer: 3,
  clock: 4,
  uname: 5,
  offset: 7,
  cpus: 8,
  version: 9,
  timeShift: 12,
  tsc: 14,
  headerInfo: 16,
  ftraceEvents: 17,
  eventFormats: 18,
  cmdlines: 21,
  bufferText: 22,
} as const;

/** Where the records of one CPU stand. */
export interface CpuPart {
  readonly cpu: number;
  readonly offset: number;
  readonly size: number;
}

/** A ring buffer: the top one, or an instance's. */
export interface BufferPart {
  /** "" is the top buffer. */
  readonly name: string;
  /** Of its section (version 7), or of what follows the options in version 6. */
  readonly offset: number;
  readonly clock: string | null;
  readonly pageSize: number | null;
  readonly cpus: readonly CpuPart[];
  readonly isText: boolean;
}

/** What the options of a trace.dat say. */
export class DatOptions {
  uname: string | null = null;
  recorder: string | null = null;
  cpus: number | null = null;
  readonly buffers: BufferPart[] = [];
  /** Offsets of sections by their number. */
  readonly sections = new Map<number, number>();
  #clock: string | null = null;
  #offset = 0n;
  #tsc: ClockFacts['tsc'] = null;
  #shift: TimeShift | null = null;

  get hasClock(): boolean {
    return this.#clock !== null;
  }

  /** Of a buffer that names its own clock, and of any other. */
  clock(own: string | null): ClockFacts {
    return { name: own ?? this.#clock, offset: this.#offset, tsc: this.#tsc, shift: this.#shift };
  }

  setClock(text: string): void {
    this.#clock = /\[([\w-]{1,32})\]/.exec(text)?.[1] ?? this.#clock;
  }

  /**
   * Reads one option; those that say nothing about records are read over.
   *
   * @throws Damaged
   */
  take(id: number, cursor: Cursor, version: 6 | 7, problems: Problems): void {
    const text = (): string => cursor.text(cursor.left).split('\0', 1)[0] ?? '';
    if (id === OPTION.date) this.#offset += nanoseconds(text()) * 1000n;
    else if (id === OPTION.offset) this.#offset += nanoseconds(text());
    else if (id === OPTION.clock) this.setClock(text());
    else if (id === OPTION.uname) this.uname = text();
    else if (id === OPTION.version) this.recorder = text();
    else if (id === OPTION.cpus) this.cpus = cursor.u32();
    else if (id === OPTION.tsc) this.#takeTsc(cursor);
    else if (id === OPTION.timeShift) this.#shift = timeShift(cursor);
    else if (id === OPTION.buffer) this.buffers.push(bufferPart(cursor, version, false, problems));
    else if (id === OPTION.bufferText)
      this.buffers.push(bufferPart(cursor, version, true, problems));
    else if (id === OPTION.cmdlines || (id >= OPTION.headerInfo && id <= OPTION.eventFormats))
      this.sections.set(id, cursor.u64());
  }

  #takeTsc(cursor: Cursor): void {
    const multiplier = BigInt(cursor.u32());
    const shift = BigInt(cursor.u32() & 63);
    this.#tsc = multiplier === 0n ? null : { multiplier, shift };
  }
}

function nanoseconds(text: string): bigint {
  const [, sign, digits] = /^\s*([+-]?)(0[xX][0-9a-fA-F]{1,16}|\d{1,19})/.exec(text) ?? [];
  return digits === undefined ? 0n : BigInt(digits) * (sign === '-' ? -1n : 1n);
}

const INTERPOLATES = 1;

function timeShift(cursor: Cursor): TimeShift {
  cursor.u64();
  const interpolates = (cursor.u32() & INTERPOLATES) !== 0;
  const count = cursor.u32();
  const cpus: TimeSample[][] = [];
  for (let cpu = 0; cpu < count; cpu += 1) {
    const { offset } = cursor;
    const samples = cursor.u32();
    if (samples * 24 > cursor.left)
      throw new Damaged(offset, `${samples} samples of time do not fit`);
    const column = () => Array.from({ length: samples }, () => cursor.i64());
    const times = column();
    const offsets = column();
    const scalings = column();
    cpus.push(
      times.map((time, i) => ({
        time,
        offset: offsets[i] ?? 0n,
        scaling: scalings[i] ?? 1n,
        fraction: 0n,
      })),
    );
  }
  // Written by trace-cmd 3 and later.
  const hasFractions = cursor.left > 0;
  const full = cpus.map((samples) =>
    samples.map((sample) => ({ ...sample, fraction: hasFractions ? cursor.i64() & 63n : 0n })),
  );
  for (const samples of full)
    samples.sort((a, b) => (a.time < b.time ? -1 : Number(a.time > b.time)));
  return {
    interpolates,
    cpus: full.map((all) => all.filter((one, i) => i === 0 || one.time !== all[i - 1]?.time)),
  };
}

function bufferPart(
  cursor: Cursor,
  version: 6 | 7,
  isText: boolean,
  problems: Problems,
): BufferPart {
  const offset = cursor.u64();
  const name = cursor.zeroEnded();
  const none = { name, offset, clock: null, pageSize: null, cpus: [], isText };
  if (version === 6) return none;
  const clock = cursor.zeroEnded();
  if (isText) return { ...none, clock };
  const pageSize = cursor.u32();
  const cpus: CpuPart[] = [];
  for (let left = cursor.u32(); left > 0; left -= 1) {
    if (cursor.left < 20) {
      problems.add(cursor.offset, `the list of CPUs ends ${left} CPUs too early`);
      break;
    }
    cpus.push({ cpu: cursor.u32(), offset: cursor.u64(), size: cursor.u64() });
  }
  return { name, offset, clock, pageSize, cpus, isText };
}
