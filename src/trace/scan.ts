import { type EventBatch, KIND, type Kind } from './batch.ts';
import { EventNames } from './event-names.ts';
import { type ProblemKind, Problems } from './problems.ts';
import { Fields } from './scan-fields.ts';
import { Head } from './scan-head.ts';
import {
  afterMark,
  garbageAt,
  isComment,
  isNop,
  isPassed,
  isRaw,
  lastWord,
  lostEvents,
  overwritten,
  secondHead,
} from './scan-other.ts';
import { FastLines } from './wasm/fast-lines.ts';
import { BATCH_EVENTS } from './wasm/layout.ts';
import { WrappedLine } from './wrapped.ts';

const LINE_FEED = 10;
const RETURN = 13;

/** No kernel prints a longer line: the buffer of ftrace has 8 KiB. The rest of a longer one is skipped. */
export const LINE_MAX = 1 << 16;

/** What a text was, line by line. Every line is in one of the counts. */
export interface ScanTally {
  readonly lines: number;
  readonly bytes: number;
  /** By name, in the order of names: every event that was recognised, also when it was not handed on or read. */
  readonly events: ReadonlyMap<string, number>;
  /** Blank lines, comments, headers of tools, stacks: nothing is lost with them. */
  readonly passed: number;
  /** Lines that say that events were lost. */
  readonly lost: number;
  /** There is a line, up to here, that nothing but a trace has. */
  readonly isTrace: boolean;
  readonly problems: Problems;
}

export interface ScanOptions {
  /** Takes a batch. Its columns are filled again afterwards: use them up, or copy them. */
  readonly emit: (batch: EventBatch) => void;
  /** Kinds that are counted by name and not handed on. */
  readonly skip?: readonly Kind[];
  /** False: every line is read the slow way, as where there is no WebAssembly. */
  readonly fast?: boolean;
}

/**
 * Reads the text of a trace, as ftrace, trace-cmd report and perf script print it, out of bytes as they come:
 * a piece may end anywhere. Memory does not grow with the text.
 *
 * Lines go through `FastLines` as long as it knows them, all others through `Head` and `Fields`; both make the
 * same of a line.
 */
export class TextScanner {
  readonly #emit: ScanOptions['emit'];
  readonly #names = new EventNames();
  readonly #skipped = new Uint8Array(16);
  readonly #head = new Head();
  readonly #fields = new Fields();
  #problems = new Problems();
  readonly #fast: FastLines;
  readonly #window: Uint8Array;
  /** Bytes in the window: the begin of a line whose end has not come yet. */
  #held = 0;
  /** The line in the window is too long; so many bytes of it are gone. */
  #dropped = 0;
  #lines = 0;
  #bytes = 0;
  #passed = 0;
  #lost = 0;
  #isTrace = false;
  /** The line in hand has no end: its last word may be cut. */
  #isUnended = false;
  readonly #wrapped = new WrappedLine();

  constructor({ emit, skip = [], fast = true }: ScanOptions) {
    this.#emit = emit;
    for (const kind of skip) this.#skipped[kind] = 1;
    this.#fast = new FastLines(this.#skipped, fast);
    this.#window = this.#fast.window;
  }

  get tally(): ScanTally {
    this.#fast.addSeen(this.#names);
    const { names, seen } = this.#names;
    return {
      lines: this.#lines,
      bytes: this.#bytes,
      events: new Map(
        names
          .flatMap((name, i) => {
            const count = seen[i] ?? 0;
            return count === 0 ? [] : [[name, count] as const];
          })
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      ),
      passed: this.#passed,
      lost: this.#lost,
      isTrace: this.#isTrace,
      problems: this.#problems,
    };
  }

  /**
   * The tally since the begin or the last call. Numbers of lines and offsets begin anew: for a text that is read
   * in pieces of whole lines, each of them ended with `end`.
   */
  take(): ScanTally {
    const { tally } = this;
    this.#lines = 0;
    this.#bytes = 0;
    this.#passed = 0;
    this.#lost = 0;
    this.#problems = new Problems();
    this.#names.seen.fill(0);
    return tally;
  }

  /** Where the next bytes may be put, for `filled`: a file is read into it without a copy. Never empty. */
  get room(): Uint8Array {
    return this.#window.subarray(this.#held);
  }

  /** So many bytes were put into `room`. */
  filled(length: number): void {
    const window = this.#window;
    const end = this.#held + length;
    const last = window.lastIndexOf(LINE_FEED, end - 1) + 1;
    if (last <= this.#held) {
      this.#held = end;
    } else {
      let start = 0;
      if (this.#dropped > 0) start = this.#longLine();
      this.#block(start, last);
      window.copyWithin(0, last, end);
      this.#held = end - last;
    }
    if (this.#held > LINE_MAX) {
      this.#dropped += this.#held - LINE_MAX;
      this.#held = LINE_MAX;
    }
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const { room } = this;
      const piece = bytes.subarray(at, at + room.length);
      room.set(piece);
      this.filled(piece.length);
      at += piece.length;
    }
  }

  /** There is no more. */
  end(): void {
    const end = this.#held;
    if (end > 0 && this.#dropped > 0) {
      this.#problem('long', 0, LINE_MAX, 0);
      this.#next(end + this.#dropped);
    } else if (end > 0) {
      this.#isUnended = true;
      this.#line(0, end);
      this.#isUnended = false;
      this.#next(end);
    }
    this.#held = 0;
    this.#flush();
  }

  /** Ends a line whose begin is in the window and whose middle was dropped; where the next one begins. */
  #longLine(): number {
    const stop = this.#window.indexOf(LINE_FEED, LINE_MAX);
    this.#problem('long', 0, LINE_MAX, 0);
    this.#next(stop + 1 + this.#dropped);
    this.#dropped = 0;
    return stop + 1;
  }

  /** Whole lines. */
  #block(start: number, end: number): void {
    let at = start;
    while (at < end) {
      const next = this.#fast.run(at, end, this.#lines + 1);
      this.#lines += next.lines;
      this.#bytes += next.at - at;
      at = next.at;
      if (this.#fast.count === BATCH_EVENTS) this.#flush();
      else if (at < end) {
        const stop = this.#window.indexOf(LINE_FEED, at);
        if (stop - at > LINE_MAX) this.#problem('long', at, at + LINE_MAX, 0);
        else this.#line(at, stop);
        this.#next(stop + 1 - at);
        at = stop + 1;
      }
    }
  }

  /** The line of so many bytes, with its end, is done. */
  #next(bytes: number): void {
    this.#lines += 1;
    this.#bytes += bytes;
  }

  #line(first: number, stop: number): void {
    const bytes = this.#window;
    const start = this.#bytes === 0 ? afterMark(bytes, first, stop) : first;
    const end = stop > start && bytes[stop - 1] === RETURN ? stop - 1 : stop;
    if (isComment(bytes, start, end)) this.#comment(start, end);
    else if (this.#head.read(bytes, start, end)) this.#event(start, end);
    else if (!this.#gap(start, end)) this.#noEvent(start, end);
  }

  #comment(start: number, end: number): void {
    this.#passed += 1;
    const lost = overwritten(this.#window, start, end);
    if (lost === 0) return;
    this.#head.clear();
    this.#fields.clear();
    this.#write(KIND.lost, lost);
  }

  #event(start: number, end: number): void {
    const bytes = this.#window;
    const { nameStart, nameEnd, payload, context } = this.#head;
    const index = this.#names.indexOf(bytes, nameStart, nameEnd);
    const kind = this.#names.kinds[index] ?? KIND.other;
    if (kind === KIND.other && context < 0 && isRaw(bytes, start, nameStart)) {
      this.#raw(start, end);
      return;
    }
    if (this.#head.isPlain(bytes, start, kind !== KIND.other)) this.#isTrace = true;
    this.#fast.learn(this.#head, start, index, this.#names);
    this.#names.seen[index] = (this.#names.seen[index] ?? 0) + 1;
    if (this.#head.isTorn) this.#problem('interleaved', start, end, 0);
    if (this.#skipped[kind] === 1) return;
    this.#fields.clear();
    if (kind === KIND.other) {
      this.#write(kind, index);
      return;
    }
    if (kind === KIND.mark) {
      this.#write(kind, this.#names.textOf(bytes, payload, end));
      return;
    }
    const whole = this.#isUnended ? lastWord(bytes, payload, end) : end;
    const second = this.#head.isMixed ? start : secondHead(bytes, payload, end);
    if (second < 0 && this.#fields.read(kind, bytes, payload, whole)) {
      this.#write(kind, this.#fields.key);
      return;
    }
    if (second >= 0 && isNop(bytes, payload, end))
      this.#problem('raw', start, end, payload - start);
    else if (second >= 0) this.#problem('interleaved', start, end, second - start);
    else if (this.#isUnended) this.#problem('unended', start, end, whole - start);
    else {
      this.#problem('unreadable', start, end, payload - start);
      this.#wrapped.keep(this.#lines + 1, kind, bytes.subarray(start, end));
    }
    this.#fields.clear();
    this.#write(KIND.unreadable, index);
  }

  /** Without a name nothing tells which events these are. */
  #raw(start: number, end: number): void {
    this.#problem('raw', start, end, 0);
    this.#fields.clear();
    this.#write(KIND.unreadable, this.#names.unnamed);
  }

  /** The rest of an event whose line a mail program has wrapped: its row, the last one, is written again. */
  #rest(start: number, end: number): boolean {
    const { kind } = this.#wrapped;
    const { count } = this.#fast;
    if (this.#isUnended || count === 0) return false;
    const line = this.#window.subarray(start, end);
    if (!this.#wrapped.read(this.#lines, line, this.#head, this.#fields)) return false;
    this.#problems.retract('unreadable');
    this.#fast.count = count - 1;
    this.#write(kind, this.#fields.key, this.#lines);
    this.#passed += 1;
    return true;
  }

  #write(kind: Kind, key: number, line = this.#lines + 1): void {
    const { columns, count } = this.#fast;
    const { tid, tgid, cpu, time } = this.#head;
    const { level, flags, value, before } = this.#fields;
    columns.kind[count] = kind;
    columns.level[count] = level;
    columns.flags[count] = flags;
    columns.cpu[count] = cpu;
    columns.tid[count] = tid;
    columns.tgid[count] = tgid;
    columns.time[count] = time;
    columns.place[count] = line;
    columns.key[count] = key;
    columns.valueHi[count] = value.hi;
    columns.valueLo[count] = value.lo;
    columns.beforeHi[count] = before.hi;
    columns.beforeLo[count] = before.lo;
    this.#fast.count += 1;
    if (this.#fast.count === BATCH_EVENTS) this.#flush();
  }

  #flush(): void {
    const { columns, count } = this.#fast;
    if (count === 0) return;
    this.#emit({ ...columns, count, names: this.#names.names });
    this.#fast.count = 0;
  }

  /** A line that says that events were lost. */
  #gap(start: number, end: number): boolean {
    const lost = lostEvents(this.#window, start, end);
    if (lost === -2) return false;
    this.#lost += 1;
    this.#head.readCpu(this.#window, start, end);
    this.#fields.clear();
    this.#write(KIND.lost, lost);
    return true;
  }

  #noEvent(start: number, end: number): void {
    const bytes = this.#window;
    if (isPassed(bytes, start, end)) {
      this.#passed += 1;
      return;
    }
    const garbage = garbageAt(bytes, start, end);
    if (garbage >= 0) this.#problem('garbage', start, end, garbage - start);
    else if (isRaw(bytes, start, end)) this.#raw(start, end);
    else if (!this.#rest(start, end))
      this.#problem(this.#isUnended ? 'unended' : 'noise', start, end, 0);
  }

  /** @param at where in the line it is, from 0 */
  #problem(kind: ProblemKind, start: number, end: number, at: number): void {
    const line = this.#lines + 1;
    const problem = { kind, line, offset: this.#bytes, column: at + 1 };
    this.#problems.add(problem, this.#window, start, end);
  }
}
