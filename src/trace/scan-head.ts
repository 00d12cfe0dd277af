import {
  ascii,
  BLANK,
  byteAt,
  CLOSE,
  COLON,
  DASH,
  decimalAt,
  decimalBetween,
  digitsBefore,
  isAt,
  isDigit,
  isName,
  isNameStart,
  OPEN,
  skipBlanks,
  wordEnd,
} from './scan-bytes.ts';
import { lastWord } from './scan-other.ts';

const TAB = 9;
const DOT = 46;
const US = ascii('us');
const CPU = ascii('CPU:');
/** More processors than five digits count has no machine; in brackets of more is a time (trace option verbose). */
const CPU_DIGITS = 5;
/** TASK_COMM_LEN, with the zero that ends it; perf and trace-cmd print the same. */
const COMM_MAX = 16;

/** What stands before the printed fields of a line, as it was read last. */
export class Head {
  /** The name of the event, without the system before it. */
  nameStart = 0;
  nameEnd = 0;
  /** Where the printed fields begin. */
  payload = 0;
  /** -1: not printed. */
  tid = -1;
  tgid = -1;
  cpu = -1;
  /** Seconds, or the counts of a clock that has no seconds; NaN: not printed. */
  time = Number.NaN;
  /** One past the column of CPUs, where there is one; else -1. All of `tid`, `tgid` and `cpu` stand before it. */
  context = -1;
  /** The name of the task is longer than a kernel prints it: before it are the remains of another line. */
  isTorn = false;
  /** A second column of CPUs: whose the event is cannot be told. */
  isMixed = false;

  /**
   * Reads the line between two offsets, as ftrace (`trace`, `trace_pipe`, with and without context, latency
   * format), trace-cmd report and perf script print it.
   *
   * @returns false when it has no event
   */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.clear();
    this.context = this.#readContext(bytes, start, end);
    const from = this.context < 0 ? start : this.context;
    if (!this.#findName(bytes, from, end)) return false;
    if (this.context < 0) this.#readLatency(bytes, start, this.nameStart);
    else this.isMixed = hasBracket(bytes, from, this.nameStart);
    this.#readTime(bytes, from, this.nameStart);
    return true;
  }

  /**
   * Nothing but a trace has such a line: the time of the event or its columns, or the name of an event alone.
   *
   * @param isKnown its name is of an event that is read
   */
  isPlain(bytes: Uint8Array, start: number, isKnown: boolean): boolean {
    if (this.isTorn) return false;
    if (this.context >= 0 || !Number.isNaN(this.time)) return true;
    return isKnown && skipBlanks(bytes, start, this.nameEnd) === this.nameStart;
  }

  /** Of a line without an event: "CPU:0 [LOST 12 EVENTS]", or the columns before what perf says. */
  readCpu(bytes: Uint8Array, start: number, end: number): void {
    this.clear();
    if (isAt(bytes, start, end, CPU)) {
      this.cpu = decimalAt(bytes, start + CPU.length, end);
      if (this.cpu > 0x7fff) this.cpu = -1;
    } else this.context = this.#readContext(bytes, start, end);
  }

  clear(): void {
    this.tid = -1;
    this.tgid = -1;
    this.cpu = -1;
    this.time = Number.NaN;
    this.isTorn = false;
    this.isMixed = false;
  }

  /** The columns "name-tid (tgid) [cpu]" of ftrace, "name tid [cpu]" of perf; -1 when they are not there. */
  #readContext(bytes: Uint8Array, start: number, end: number): number {
    for (let open = start; open < end; open += 1) {
      if (bytes[open] !== OPEN) continue;
      let i = open + 1;
      while (i < end && isDigit(byteAt(bytes, i))) i += 1;
      const digits = i - open - 1;
      if (digits === 0 || digits > CPU_DIGITS || i >= end || bytes[i] !== CLOSE) continue;
      this.cpu = Math.min(decimalBetween(bytes, open + 1, i), 0x7fff);
      // A bracket in what is printed is not the column of CPUs: no task stands before it.
      if (this.#readTask(bytes, start, open)) return i + 1;
      this.clear();
      return -1;
    }
    return -1;
  }

  /** A name may hold blanks and dashes, so the task is read from its end. */
  #readTask(bytes: Uint8Array, start: number, end: number): boolean {
    let stop = trimmed(bytes, start, end);
    if (stop > start && bytes[stop - 1] === 41) {
      let open = stop - 1;
      while (open >= start && bytes[open] !== 40) open -= 1;
      if (open < start) return false;
      this.tgid = decimalBetween(bytes, skipBlanks(bytes, open + 1, end), stop - 1);
      stop = trimmed(bytes, start, open);
    }
    const digits = digitsBefore(bytes, start, stop);
    const before = bytes[digits - 1];
    this.isTorn = digits - skipBlanks(bytes, start, digits) > COMM_MAX + 1;
    if (digits === start || (before !== DASH && before !== BLANK)) return false;
    this.tid = decimalBetween(bytes, digits, stop);
    return this.tid >= 0 && this.tid <= 0x7fffffff;
  }

  /** The first name between a blank and ": ". */
  #findName(bytes: Uint8Array, from: number, end: number): boolean {
    for (let colon = from; colon < end; colon += 1) {
      if (bytes[colon] !== COLON) continue;
      if (colon + 1 < end && bytes[colon + 1] !== BLANK) continue;
      let start = colon;
      while (start > from && isName(byteAt(bytes, start - 1))) start -= 1;
      if (start === colon || !isNameStart(byteAt(bytes, start))) continue;
      const before = bytes[start - 1];
      const isFirst = start === from && this.context < 0;
      if (!isFirst && before !== BLANK && before !== COLON && before !== TAB) continue;
      this.nameStart = start;
      this.nameEnd = colon;
      this.payload = skipBlanks(bytes, colon + 1, end);
      return true;
    }
    return false;
  }

  /** Latency format, where no bracket is: "  wcvm-30411     0...1. 18747us : ". */
  #readLatency(bytes: Uint8Array, start: number, stop: number): void {
    for (let i = skipBlanks(bytes, start, stop); i < stop; ) {
      const end = wordEnd(bytes, i, stop);
      const digits = digitsBefore(bytes, i, end);
      const tid =
        digits > i && bytes[digits - 1] === DASH ? decimalBetween(bytes, digits, end) : -1;
      i = skipBlanks(bytes, end, stop);
      if (tid < 0 || tid > 0x7fffffff) continue;
      this.tid = tid;
      let cpuEnd = i;
      while (cpuEnd < stop && isDigit(byteAt(bytes, cpuEnd))) cpuEnd += 1;
      if (cpuEnd - i <= CPU_DIGITS) this.cpu = Math.min(decimalBetween(bytes, i, cpuEnd), 0x7fff);
      return;
    }
  }

  /** The last word before the name: "1611.893737:", "161237:", "18747us :", "18754us#:". */
  #readTime(bytes: Uint8Array, from: number, name: number): void {
    let stop = name;
    if (stop > from && bytes[stop - 1] === COLON) {
      // perf has the system before the name: "1645.165596:   kvmmmu:kvm_mmu_set_spte:".
      stop -= 1;
      while (stop > from && isName(byteAt(bytes, stop - 1))) stop -= 1;
    }
    stop = trimmed(bytes, from, stop);
    if (stop <= from || bytes[stop - 1] !== COLON) return;
    stop = trimmed(bytes, from, stop - 1);
    const start = lastWord(bytes, from, stop);
    let dot = start;
    while (dot < stop && isDigit(byteAt(bytes, dot))) dot += 1;
    if (dot === start || dot - start > 20) return;
    const whole = amount(bytes, start, dot);
    if (dot === stop) this.time = whole;
    else if (isAt(bytes, dot, stop, US)) this.time = whole / 1e6;
    else if (bytes[dot] === DOT) {
      let last = dot + 1;
      while (last < stop && isDigit(byteAt(bytes, last))) last += 1;
      const digits = last - dot - 1;
      if (last === stop && digits > 0 && digits <= 9) {
        // One rounding: the same number as when all digits are read at once.
        const scale = 10 ** digits;
        this.time = (whole * scale + amount(bytes, dot + 1, last)) / scale;
      }
    }
  }
}

function hasBracket(bytes: Uint8Array, from: number, end: number): boolean {
  for (let i = from; i < end; i += 1) if (bytes[i] === OPEN) return true;
  return false;
}

function trimmed(bytes: Uint8Array, from: number, end: number): number {
  let i = end;
  while (i > from && bytes[i - 1] === BLANK) i -= 1;
  return i;
}

function amount(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i += 1) value = value * 10 + byteAt(bytes, i) - 48;
  return value;
}
