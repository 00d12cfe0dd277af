import {
  ascii,
  BLANK,
  byteAt,
  decimalAt,
  isAt,
  isDigit,
  skipBlanks,
  wordEnd,
} from './scan-bytes.ts';

// What stands in a trace beside events.

const HASH = 35;
const TAB = 9;
const SLASH = 47;
const CPU = ascii('CPU:');
const LOST = ascii(' [LOST ');
const EVENTS = ascii('EVENTS');
const DROPPED = ascii('EVENTS DROPPED]');
const PERF_LOST = ascii('PERF_RECORD_LOST');
const OPEN = 91;
const NOP = ascii('type: ');

/** A comment of ftrace ("# tracer: nop", "##### CPU 1 buffer started ####"), or nothing. */
export function isComment(bytes: Uint8Array, start: number, end: number): boolean {
  return start === end || bytes[start] === HASH || skipBlanks(bytes, start, end) === end;
}

const BYTE_ORDER_MARK = Uint8Array.of(0xef, 0xbb, 0xbf);

/** Where a text begins behind the mark that editors of Windows put before it. */
export function afterMark(bytes: Uint8Array, start: number, end: number): number {
  return isAt(bytes, start, end, BYTE_ORDER_MARK) ? start + BYTE_ORDER_MARK.length : start;
}

const IN_BUFFER = ascii('# entries-in-buffer/entries-written:');
/** The same in latency format: "# latency: 0 us, #152/152, CPU#0 | (M:server VP:0, ...)". */
const LATENCY = ascii('# latency:');
const OF_LATENCY = ascii(' #');

/**
 * How many events the head of ftrace says were overwritten before the buffer was read: "entries-in-buffer/
 * entries-written: 453/99999". Source: print_event_info() and print_trace_header(), kernel/trace/trace.c.
 */
export function overwritten(bytes: Uint8Array, start: number, end: number): number {
  let at = start + IN_BUFFER.length;
  if (isAt(bytes, start, end, LATENCY)) {
    at = indexOf(bytes, start, end, OF_LATENCY) + OF_LATENCY.length;
    if (at < start + LATENCY.length) return 0;
  } else if (!isAt(bytes, start, end, IN_BUFFER)) return 0;
  const first = skipBlanks(bytes, at, end);
  const slash = decimalsEnd(bytes, first, end);
  if (slash === first || bytes[slash] !== SLASH) return 0;
  const kept = decimalAt(bytes, first, end);
  return Math.max(0, decimalAt(bytes, slash + 1, end) - kept);
}

/** Where the last word of a line begins. */
export function lastWord(bytes: Uint8Array, start: number, end: number): number {
  let i = end;
  while (i > start && bytes[i - 1] !== BLANK) i -= 1;
  return i;
}

/**
 * How many events a line says were lost: "CPU:0 [LOST 12 EVENTS]" (ftrace), "CPU:0 [12 EVENTS DROPPED]"
 * (trace-cmd report), "... PERF_RECORD_LOST lost 12" (perf script --show-lost-events).
 *
 * @returns -1: it does not say how many; -2: it is no such line
 */
export function lostEvents(bytes: Uint8Array, start: number, end: number): number {
  if (!isAt(bytes, start, end, CPU)) return lostOfPerf(bytes, start, end);
  let at = start + CPU.length;
  while (at < end && isDigit(byteAt(bytes, at))) at += 1;
  if (isAt(bytes, at, end, LOST)) {
    const count = at + LOST.length;
    return isAt(bytes, count, end, EVENTS) ? -1 : decimalAt(bytes, count, end);
  }
  const open = at + 1;
  if (byteAt(bytes, at) !== BLANK || byteAt(bytes, open) !== OPEN) return -2;
  if (isAt(bytes, open + 1, end, DROPPED)) return -1;
  return indexOf(bytes, open, end, DROPPED) < 0 ? -2 : decimalAt(bytes, open + 1, end);
}

function lostOfPerf(bytes: Uint8Array, start: number, end: number): number {
  const at = indexOf(bytes, start, end, PERF_LOST);
  if (at < 0) return -2;
  const word = skipBlanks(bytes, at + PERF_LOST.length, end);
  return decimalAt(bytes, skipBlanks(bytes, wordEnd(bytes, word, end), end), end);
}

function indexOf(bytes: Uint8Array, start: number, end: number, word: Uint8Array): number {
  const [first] = word;
  for (let at = start; at + word.length <= end; at += 1) {
    if (bytes[at] === first && isAt(bytes, at, end, word)) return at;
  }
  return -1;
}

const ARROW = ascii(' => ');
const PASSED = [
  // The print of an event that the trace option `fields` cannot do: trace_marker.
  'UNKNOWN TYPE ',
  '<stack trace>',
  '<user stack trace>',
].map(ascii);
const TOOL = ['cpus=', 'version = ', 'trace-cmd version '].map(ascii);
const EMPTY = ascii(' is empty');
const CPU_WORD = ascii('CPU ');

/** Lines without an event in which nothing is lost: stacks, what tools say of the file. */
export function isPassed(bytes: Uint8Array, start: number, end: number): boolean {
  if (isAt(bytes, start, end, ARROW)) return true;
  if (TOOL.some((word) => isAt(bytes, start, end, word))) return true;
  if (isAt(bytes, start, end, CPU_WORD) && indexOf(bytes, start, end, EMPTY) > 0) return true;
  if (PASSED.some((word) => indexOf(bytes, start, end, word) >= 0)) return true;
  return isPerfFrame(bytes, start, end);
}

/** perf: "\tffffffff81498b1a kvm_mmu_map+0x1a ([kernel.kallsyms])" */
function isPerfFrame(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] !== TAB) return false;
  const word = skipBlanks(bytes, start, end);
  const stop = wordEnd(bytes, word, end);
  return stop - word >= 4 && stop - word <= 16 && isHex(bytes, word, stop) && stop < end;
}

function isHex(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i += 1) {
    const lower = byteAt(bytes, i) | 32;
    if (!isDigit(byteAt(bytes, i)) && (lower < 97 || lower > 102)) return false;
  }
  return end > start;
}

/** Of the trace option `hex`: four bytes. */
const HEX_WORD = 8;

/**
 * A line of the trace options `raw` ("30386 0 1611593613606 type: 128") and `hex`: thread, processor and time
 * as three bare numbers, then no name of an event.
 */
export function isRaw(bytes: Uint8Array, start: number, end: number): boolean {
  let at = skipBlanks(bytes, start, end);
  for (let word = 0; word < 3; word += 1) {
    const stop = wordEnd(bytes, at, end);
    const isNumber = stop > at && decimalsEnd(bytes, at, stop) === stop;
    if (!isNumber && (stop - at < HEX_WORD || !isHex(bytes, at, stop))) return false;
    at = skipBlanks(bytes, stop, end);
  }
  return true;
}

function decimalsEnd(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end && isDigit(byteAt(bytes, i))) i += 1;
  return i;
}

/** "type: 128": the kernel has no better print of an event. */
export function isNop(bytes: Uint8Array, payload: number, end: number): boolean {
  return isAt(bytes, payload, end, NOP);
}

/** Where a byte is that no trace has: a control character, or one past ASCII; -1 without such. */
export function garbageAt(bytes: Uint8Array, start: number, end: number): number {
  for (let i = start; i < end; i += 1) {
    const code = byteAt(bytes, i);
    if ((code < BLANK && code !== TAB) || code > 126) return i;
  }
  return -1;
}

/** Where ": " is, -1 without: in the printed fields of an event that is read it begins another. */
export function secondHead(bytes: Uint8Array, start: number, end: number): number {
  for (let i = start; i + 1 < end; i += 1) {
    if (bytes[i] === 58 && bytes[i + 1] === BLANK) return i;
  }
  return -1;
}
