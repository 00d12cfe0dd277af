import type { U64 } from '../base/u64.ts';

/** A line of a trace text, cut into its parts. Offsets count from 0 into the line. */
export interface TraceLine {
  /** Name of the event without the system before it: "kvm_mmu_set_spte" of "kvmmmu:kvm_mmu_set_spte". */
  readonly event: string;
  /** Where the printed fields begin. */
  readonly payload: number;
  /** Thread that ran, as the column of tasks has it; null where the text has no such column. */
  readonly tid: number | null;
  /** Its process, with the trace option record-tgid; else null. */
  readonly tgid: number | null;
}

const BLANK = 32;
const COLON = 58;
const DASH = 45;
const CLOSE = 93;
/** In brackets of more digits is a time: latency format with the trace option verbose. */
const CPU_DIGITS = 5;

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isNameStart(code: number): boolean {
  return (code >= 97 && code <= 122) || code === 95 || (code >= 65 && code <= 90);
}

function isName(code: number): boolean {
  return isNameStart(code) || isDigit(code);
}

function skipBlanks(line: string, at: number): number {
  let i = at;
  while (line.charCodeAt(i) === BLANK || line.charCodeAt(i) === 9) i += 1;
  return i;
}

/** Index of the first blank at or after `at`, or the end. */
function wordEnd(line: string, at: number): number {
  const end = line.indexOf(' ', at);
  return end < 0 ? line.length : end;
}

/** Index after "[000]", the column of CPUs; -1 when the line has none. */
function afterCpu(line: string): number {
  for (let open = line.indexOf('['); open >= 0; open = line.indexOf('[', open + 1)) {
    let i = open + 1;
    while (isDigit(line.charCodeAt(i))) i += 1;
    const digits = i - open - 1;
    if (digits > 0 && digits <= CPU_DIGITS && line.charCodeAt(i) === CLOSE) return i + 1;
  }
  return -1;
}

function decimal(line: string, start: number, end: number): number | null {
  if (start >= end || end - start > 10) return null;
  let value = 0;
  for (let i = start; i < end; i += 1) {
    const code = line.charCodeAt(i);
    if (!isDigit(code)) return null;
    value = value * 10 + code - 48;
  }
  return value;
}

interface Task {
  readonly tid: number | null;
  readonly tgid: number | null;
}

const NO_TASK: Task = { tid: null, tgid: null };

/**
 * The task of "  CPU 0/KVM-995362 " (ftrace), "qemu-177 (    177) " (record-tgid) and "wcvm 30931 " (perf).
 * A name may hold blanks and dashes, so it is read from its end.
 */
function taskOf(line: string, end: number): Task {
  let stop = end;
  let tgid: number | null = null;
  while (stop > 0 && line.charCodeAt(stop - 1) === BLANK) stop -= 1;
  if (line.charCodeAt(stop - 1) === 41) {
    const open = line.lastIndexOf('(', stop);
    if (open < 0) return NO_TASK;
    tgid = decimal(line, skipBlanks(line, open + 1), stop - 1);
    stop = open;
    while (stop > 0 && line.charCodeAt(stop - 1) === BLANK) stop -= 1;
  }
  let start = stop;
  while (start > 0 && isDigit(line.charCodeAt(start - 1))) start -= 1;
  const before = line.charCodeAt(start - 1);
  if (start === 0 || (before !== DASH && before !== BLANK)) return NO_TASK;
  return { tid: decimal(line, start, stop), tgid };
}

/** The task of a line in latency format, where no bracket is: "  wcvm-30411     0...1. 18747us : ". */
function latencyTask(line: string, colon: number): Task {
  const first = skipBlanks(line, 0);
  for (let i = first; i < colon; i = skipBlanks(line, wordEnd(line, i))) {
    const end = wordEnd(line, i);
    let digits = end;
    while (digits > i && isDigit(line.charCodeAt(digits - 1))) digits -= 1;
    const isTask = digits > i && line.charCodeAt(digits - 1) === DASH;
    const tid = isTask ? decimal(line, digits, end) : null;
    if (tid !== null) return { tid, tgid: null };
  }
  return NO_TASK;
}

/**
 * Cuts a line as ftrace (trace, trace_pipe, with and without context, latency format), trace-cmd report and
 * perf script print it. One pass from the left, no regular expression: traces have millions of lines.
 *
 * @returns null for a header, a comment or anything else that is no event
 */
export function scanTraceLine(line: string): TraceLine | null {
  if (line.charCodeAt(0) === 35) return null;
  const cpu = afterCpu(line);
  const own = cpu < 0 ? NO_TASK : taskOf(line, line.lastIndexOf('[', cpu));
  // A bracket in what is printed is not the column of CPUs: no task stands before it.
  const hasContext = own.tid !== null;
  const from = hasContext ? cpu : 0;
  for (let colon = line.indexOf(':', from); colon >= 0; colon = line.indexOf(':', colon + 1)) {
    const after = line.charCodeAt(colon + 1);
    if (after !== BLANK && !Number.isNaN(after)) continue;
    let start = colon;
    while (start > from && isName(line.charCodeAt(start - 1))) start -= 1;
    if (start === colon || !isNameStart(line.charCodeAt(start))) continue;
    const before = line.charCodeAt(start - 1);
    if (start > 0 && before !== BLANK && before !== COLON && before !== 9) continue;
    return {
      event: line.slice(start, colon),
      payload: skipBlanks(line, colon + 1),
      ...(hasContext ? own : latencyTask(line, start)),
    };
  }
  return null;
}

/**
 * Where the value of a field begins: of "gfn 40000" and of "gfn=0x40000 (262144)" (trace option fields).
 * -1 when there is no such field. Names may have blanks: "as id".
 */
export function fieldAt(line: string, payload: number, name: string): number {
  for (let at = line.indexOf(name, payload); at >= 0; at = line.indexOf(name, at + 1)) {
    const before = line.charCodeAt(at - 1);
    const end = at + name.length;
    const after = line.charCodeAt(end);
    const apart = at === payload || before === BLANK || before === COLON;
    if (apart && (after === BLANK || after === 61 || after === COLON))
      return skipBlanks(line, end + 1);
  }
  return -1;
}

/** Value of a hexadecimal digit; -1 for another character. */
function digitOf(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** The hexadecimal number at an offset, with or without "0x"; null when there is none, or past 64 bits. */
export function hexAt(line: string, at: number): U64 | null {
  const start = line.charCodeAt(at) === 48 && (line.charCodeAt(at + 1) | 32) === 120 ? at + 2 : at;
  let hi = 0;
  let lo = 0;
  let end = start;
  for (
    let digit = digitOf(line.charCodeAt(end));
    digit >= 0;
    digit = digitOf(line.charCodeAt(end))
  ) {
    hi = ((hi << 4) | (lo >>> 28)) >>> 0;
    lo = ((lo << 4) | digit) >>> 0;
    end += 1;
  }
  const stop = line.charCodeAt(end);
  const apart = Number.isNaN(stop) || stop === BLANK || stop === 44 || stop === 13;
  return apart && end > start && end - start <= 16 ? { hi, lo } : null;
}

/** A decimal number at an offset, also in parentheses (trace option fields); null when there is none. */
export function decimalAt(line: string, at: number): number | null {
  const start = line.charCodeAt(at) === 40 ? at + 1 : at;
  let end = start;
  while (isDigit(line.charCodeAt(end))) end += 1;
  return decimal(line, start, end);
}
