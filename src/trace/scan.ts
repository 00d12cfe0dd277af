import { KIND, type Kind } from './batch.ts';
import { BatchWriter, type Emit } from './batch-writer.ts';
import { EventNames } from './event-names.ts';
import { type ProblemKind, Problems } from './problems.ts';
import { Fields } from './scan-fields.ts';
import { Head } from './scan-head.ts';
import {
  garbageAt,
  isComment,
  isNop,
  isPassed,
  isRaw,
  lostEvents,
  secondHead,
} from './scan-other.ts';

const LINE_FEED = 10;
const RETURN = 13;

/** No kernel prints a longer line: the buffer of ftrace has 8 KiB. The rest of a longer one is skipped. */
export const LINE_MAX = 1 << 16;

/** What a text was, line by line. Every line is in one of the counts. */
export interface ScanTally {
  readonly lines: number;
  readonly bytes: number;
  /** By name: every event that was recognised, also those that were not handed on or could not be read. */
  readonly events: ReadonlyMap<string, number>;
  /** Blank lines, comments, headers of tools, stacks: nothing is lost with them. */
  readonly passed: number;
  /** Lines that say that events were lost. */
  readonly lost: number;
  readonly problems: Problems;
}

export interface ScanOptions {
  readonly emit: Emit;
  /** Kinds that are counted by name and not handed on. */
  readonly skip?: readonly Kind[];
}

/**
 * Reads the text of a trace, as ftrace, trace-cmd report and perf script print it, out of bytes as they come:
 * a piece may end anywhere. Memory does not grow with the text.
 */
export class TextScanner {
  readonly #names = new EventNames();
  readonly #writer: BatchWriter;
  readonly #skipped = new Uint8Array(16);
  readonly #head = new Head();
  readonly #fields = new Fields();
  readonly #problems = new Problems();
  /** The begin of a line whose end has not come yet. */
  readonly #carry = new Uint8Array(LINE_MAX);
  #carried = 0;
  /** Bytes of the line that is being read that were dropped because it is too long. */
  #dropped = 0;
  #lines = 0;
  #bytes = 0;
  #passed = 0;
  #lost = 0;

  constructor({ emit, skip = [] }: ScanOptions) {
    this.#writer = new BatchWriter(this.#names.names, emit);
    for (const kind of skip) this.#skipped[kind] = 1;
  }

  get tally(): ScanTally {
    const { names, seen } = this.#names;
    return {
      lines: this.#lines,
      bytes: this.#bytes,
      events: new Map(
        names.flatMap((name, i) => {
          const count = seen[i] ?? 0;
          return count === 0 ? [] : [[name, count] as const];
        }),
      ),
      passed: this.#passed,
      lost: this.#lost,
      problems: this.#problems,
    };
  }

  push(bytes: Uint8Array): void {
    let start = 0;
    if (this.#carried > 0) {
      const end = bytes.indexOf(LINE_FEED);
      this.#hold(bytes, 0, end < 0 ? bytes.length : end);
      if (end < 0) return;
      this.#heldLine(1);
      start = end + 1;
    }
    const last = bytes.lastIndexOf(LINE_FEED) + 1;
    if (last > start) this.#block(bytes, start, last);
    if (Math.max(start, last) < bytes.length) {
      this.#hold(bytes, Math.max(start, last), bytes.length);
    }
  }

  /** There is no more. */
  end(): void {
    if (this.#carried > 0) {
      this.#problem('unended', this.#carry, 0, this.#carried, this.#carried);
      this.#heldLine(0);
    }
    this.#writer.flush();
  }

  /** Keeps a part of a line until the rest of it comes. */
  #hold(bytes: Uint8Array, start: number, end: number): void {
    const room = Math.min(end - start, LINE_MAX - this.#carried);
    this.#carry.set(bytes.subarray(start, start + room), this.#carried);
    this.#carried += room;
    this.#dropped += end - start - room;
  }

  #heldLine(feed: 0 | 1): void {
    const length = this.#carried;
    const dropped = this.#dropped;
    this.#carried = 0;
    this.#dropped = 0;
    if (dropped > 0) this.#problem('long', this.#carry, 0, length, 0);
    else this.#line(this.#carry, 0, length);
    this.#lines += 1;
    this.#bytes += length + dropped + feed;
  }

  /** Whole lines. */
  #block(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const stop = bytes.indexOf(LINE_FEED, at);
      if (stop - at > LINE_MAX) this.#problem('long', bytes, at, stop, 0);
      else this.#line(bytes, at, stop);
      this.#lines += 1;
      this.#bytes += stop + 1 - at;
      at = stop + 1;
    }
  }

  #line(bytes: Uint8Array, start: number, stop: number): void {
    const end = stop > start && bytes[stop - 1] === RETURN ? stop - 1 : stop;
    if (isComment(bytes, start, end)) this.#passed += 1;
    else if (this.#head.read(bytes, start, end)) this.#event(bytes, start, end);
    else if (!this.#gap(bytes, start, end)) this.#noEvent(bytes, start, end);
  }

  #event(bytes: Uint8Array, start: number, end: number): void {
    const { nameStart, nameEnd, payload, context } = this.#head;
    const index = this.#names.indexOf(bytes, nameStart, nameEnd);
    const kind = this.#names.kinds[index] ?? KIND.other;
    if (kind === KIND.other && context < 0 && isRaw(bytes, start, nameStart)) {
      this.#problem('raw', bytes, start, end, 0);
      return;
    }
    this.#names.seen[index] = (this.#names.seen[index] ?? 0) + 1;
    if (this.#head.isTorn) this.#problem('interleaved', bytes, start, end, 0);
    if (this.#skipped[kind] === 1) return;
    if (kind === KIND.other) {
      this.#write(kind, index);
      return;
    }
    const second = this.#head.isMixed ? start : secondHead(bytes, payload, end);
    if (second < 0 && this.#fields.read(kind, bytes, payload, end)) {
      this.#write(kind, this.#fields.key);
      return;
    }
    if (second < 0) this.#problem('unreadable', bytes, start, end, payload - start);
    else if (isNop(bytes, payload, end)) this.#problem('raw', bytes, start, end, payload - start);
    else this.#problem('interleaved', bytes, start, end, second - start);
    this.#fields.clear();
    this.#write(KIND.unreadable, index);
  }

  #write(kind: Kind, key: number): void {
    const { columns, count } = this.#writer;
    const { tid, tgid, cpu, time } = this.#head;
    const { level, flags, value, before } = this.#fields;
    const isOther = kind === KIND.other || kind === KIND.lost;
    columns.kind[count] = kind;
    columns.level[count] = isOther ? 0 : level;
    columns.flags[count] = isOther ? 0 : flags;
    columns.cpu[count] = cpu;
    columns.tid[count] = tid;
    columns.tgid[count] = tgid;
    columns.time[count] = time;
    columns.place[count] = this.#lines + 1;
    columns.key[count] = key;
    columns.valueHi[count] = isOther ? 0 : value.hi;
    columns.valueLo[count] = isOther ? 0 : value.lo;
    columns.beforeHi[count] = isOther ? 0 : before.hi;
    columns.beforeLo[count] = isOther ? 0 : before.lo;
    this.#writer.next();
  }

  /** A line that says that events were lost. */
  #gap(bytes: Uint8Array, start: number, end: number): boolean {
    const lost = lostEvents(bytes, start, end);
    if (lost === -2) return false;
    this.#lost += 1;
    this.#head.readCpu(bytes, start, end);
    this.#write(KIND.lost, lost);
    return true;
  }

  #noEvent(bytes: Uint8Array, start: number, end: number): void {
    if (isPassed(bytes, start, end)) {
      this.#passed += 1;
      return;
    }
    const garbage = garbageAt(bytes, start, end);
    if (garbage >= 0) this.#problem('garbage', bytes, start, end, garbage - start);
    else this.#problem(isRaw(bytes, start, end) ? 'raw' : 'noise', bytes, start, end, 0);
  }

  /** @param at where in the line it is, from 0 */
  #problem(kind: ProblemKind, bytes: Uint8Array, start: number, end: number, at: number): void {
    const line = this.#lines + 1;
    const problem = { kind, line, offset: this.#bytes, column: at + 1 };
    this.#problems.add(problem, bytes, start, end);
  }
}
