import type { Parsed } from '../../base/diagnostic.ts';
import type { MtrrType } from '../../x86/types.ts';
import {
  type Fields,
  type Form,
  type Format,
  type Line,
  MTRR_WORDS,
  Problems,
  readLines,
  readRow,
} from './common.ts';

/** One variable range in force. Registers that are not in use do not appear. */
export interface MtrrRange {
  readonly reg: number;
  /** Bytes. */
  readonly base: number;
  /** Bytes; as printed, so it may be nonsense where the register holds a mask with holes. */
  readonly size: number;
  readonly type: MtrrType;
  /** How often drivers asked for this range. */
  readonly count: number;
  readonly line: number;
}

/**
 * What /proc/mtrr says: the variable ranges and nothing else. It never shows the default type, the
 * fixed ranges, TOM2, or whether MTRRs are on; an empty list is as normal as one of UC ranges only.
 */
export interface MtrrList {
  /** In the order of the file. */
  readonly ranges: readonly MtrrRange[];
}

const FORMAT: Format = {
  name: '/proc/mtrr',
  shape: 'reg00: base=0x000000000 (    0MB), size= 2048MB, count=1: write-back',
  refusals: {
    'Input/output error':
      'the running kernel has MTRRs disabled (see "MTRRs disabled" in dmesg), so it lists none; ' +
      'this does not say what the registers hold',
    'No such file or directory':
      'the CPU, or the virtual CPU, has no MTRRs, or the kernel was built without CONFIG_MTRR',
    'No such device or address': 'the MTRR driver of this CPU cannot list its ranges',
  },
};

/** Since 2.6.28. */
const COUNT_FIRST =
  /^reg(?<reg>\w+): base=0x(?<base>\w+) \( *(?<mb>\w+)MB\), size= *(?<size>\d+)(?<unit>\w)B, count=(?<count>\w+): (?<type>.+)$/d;
const TYPE_FIRST =
  /^reg(?<reg>\w+): base=0x(?<base>\w+) \( *(?<mb>\w+)MB\), size= *(?<size>\d+)(?<unit>\w)B: (?<type>.+), count=(?<count>\w+)$/d;

const MB = 2 ** 20;
const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: MB };
const TOP = 2 ** 52;

function readType(f: Fields): MtrrType {
  if (f.text('type') === '?') {
    const help =
      'the register holds 2, 3 or a number above 6, which the CPU reserves: read the MSR';
    f.fail('type', 'the kernel knows no such memory type', help);
    return 'UC';
  }
  return f.word('type', MTRR_WORDS);
}

function readSize(f: Fields): number {
  const size = f.decimal('size') * f.word('unit', UNITS);
  if (!f.failed && !Number.isSafeInteger(size)) {
    f.fail('size', 'the size does not fit 53 bits', 'the line is damaged: capture it again');
  }
  return size;
}

function isPowerOfTwo(n: number): boolean {
  return n > 0 && Number.isInteger(Math.log2(n));
}

/** The kernel derives the size from the mask and prints whatever comes out. */
function checkShape(f: Fields, range: MtrrRange): void {
  if (!isPowerOfTwo(range.size)) {
    const help = 'the mask has holes, or the kernel misread it: trust the registers, not this size';
    f.warn('size', 'the size is no power of two', help);
  } else if (range.base % range.size !== 0) {
    const help =
      'the manuals leave such a register undefined: what it covers is not base..base+size';
    f.warn('base', 'the base is no multiple of the size', help);
  }
  if (range.base + range.size > TOP) {
    f.warn('size', 'the range ends above 2^52', 'no physical address is that high');
  }
  if (Math.floor(range.base / MB) !== f.decimal('mb')) {
    f.warn('mb', 'the base in MB differs from the base', 'the line was edited or damaged');
  }
}

function readRange(f: Fields): MtrrRange {
  const range: MtrrRange = {
    reg: f.decimal('reg'),
    base: f.hex('base'),
    size: readSize(f),
    type: readType(f),
    count: f.decimal('count'),
    line: f.line.number,
  };
  if (!f.failed) checkShape(f, range);
  return range;
}

const FORMS: readonly Form<MtrrRange>[] = [
  { pattern: COUNT_FIRST, read: readRange },
  { pattern: TYPE_FIRST, read: readRange },
];

/** Numbers may leave gaps, but the kernel prints them in order. */
function checkOrder(
  previous: MtrrRange | undefined,
  next: MtrrRange,
  line: Line,
  to: Problems,
): void {
  if (previous === undefined || previous.reg < next.reg) return;
  const help = 'the text joins two lists, or was sorted by hand: keep one list per file';
  to.warning(line, `register ${next.reg} comes after register ${previous.reg}`, help);
}

/** Both wordings of /proc/mtrr: arch/x86/kernel/cpu/mtrr/if.c, `mtrr_seq_show`. */
export function parseMtrr(text: string, file: string): Parsed<MtrrList> {
  const problems = new Problems(file, FORMAT);
  const ranges: MtrrRange[] = [];
  for (const line of readLines(text, problems)) {
    const range = readRow(line, FORMS, problems);
    if (range === null) continue;
    checkOrder(ranges.at(-1), range, line, problems);
    ranges.push(range);
  }
  return { value: { ranges }, problems: problems.list };
}
