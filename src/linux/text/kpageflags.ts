import type { Parsed } from '../../base/diagnostic.ts';
import { type U64, u64 } from '../../base/u64.ts';
import type { PatType } from '../../x86/types.ts';
import {
  exclusiveRange,
  type Fields,
  type Form,
  type Format,
  Problems,
  readLines,
  readRow,
} from './common.ts';

/** The types that the kernel can track for a page of RAM. */
export type RamMemtype = Extract<PatType, 'WB' | 'WC' | 'UC-' | 'WT'>;

export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
}

/** What one entry of /proc/kpageflags says. */
export interface PageFlags {
  /** Null when the version leaves it open, or when there is no page. */
  readonly memtype: RamMemtype | null;
  /** Every type that the entry may stand for; empty when there is no page. */
  readonly possible: readonly RamMemtype[];
  /** A hole: the frame has no struct page. */
  readonly noPage: boolean;
  readonly reserved: boolean;
  readonly zeroPage: boolean;
  readonly compoundHead: boolean;
  readonly compoundTail: boolean;
  readonly hugetlb: boolean;
  readonly thp: boolean;
  readonly anonymous: boolean;
  readonly mapped: boolean;
  readonly slab: boolean;
  readonly buddy: boolean;
  readonly hwpoison: boolean;
  readonly offline: boolean;
  readonly pageTable: boolean;
}

/** include/uapi/linux/kernel-page-flags.h, and from 32 on include/linux/kernel-page-flags.h. */
const KPF = {
  slab: 7,
  buddy: 10,
  mapped: 11,
  anonymous: 12,
  compoundHead: 15,
  compoundTail: 16,
  hugetlb: 17,
  hwpoison: 19,
  noPage: 20,
  thp: 22,
  offline: 23,
  zeroPage: 24,
  pageTable: 26,
  reserved: 32,
  arch: 38,
  uncached: 39,
  arch2: 41,
} as const;

function bit(flags: U64, index: number): boolean {
  return ((index < 32 ? flags.lo >>> index : flags.hi >>> (index - 32)) & 1) === 1;
}

function isAtLeast(kernel: KernelVersion, major: number, minor: number): boolean {
  return kernel.major > major || (kernel.major === major && kernel.minor >= minor);
}

/**
 * The bits that may say "uncached", together with `arch`: KPF_UNCACHED up to 6.8, KPF_ARCH_2 from 6.12
 * (commit 7a87225ae2c6, "x86: remove PG_uncached"). Versions between were not read.
 */
function uncachedBits(kernel: KernelVersion): readonly number[] {
  if (isAtLeast(kernel, 6, 12)) return [KPF.arch2];
  return isAtLeast(kernel, 6, 9) ? [KPF.uncached, KPF.arch2] : [KPF.uncached];
}

/**
 * `get_page_memtype`. Before "Add WT support to set_page_memtype()" of June 2015 (4.2, inferred) both
 * bits together meant WB, but no kernel set them.
 */
function typesOf(arch: boolean, uncached: boolean, kernel: KernelVersion): readonly RamMemtype[] {
  if (arch && uncached) return isAtLeast(kernel, 4, 2) ? ['WT'] : ['WB', 'WT'];
  if (arch) return ['WC'];
  return uncached ? ['UC-'] : ['WB'];
}

/**
 * One entry of /proc/kpageflags of an x86 kernel. Only RAM carries a type there; and since "proc:
 * Rewrite stable_page_flags()" of March 2024 (6.10, inferred) a tail page shows the bits of its head,
 * not its own.
 */
export function decodePageFlags(flags: U64, kernel: KernelVersion): PageFlags {
  const has = (name: keyof typeof KPF): boolean => bit(flags, KPF[name]);
  const types = uncachedBits(kernel).flatMap((index) =>
    typesOf(has('arch'), bit(flags, index), kernel),
  );
  const possible = has('noPage') ? [] : [...new Set(types)];
  return {
    memtype: possible.length === 1 ? (possible[0] ?? null) : null,
    possible,
    noPage: has('noPage'),
    reserved: has('reserved'),
    zeroPage: has('zeroPage'),
    compoundHead: has('compoundHead'),
    compoundTail: has('compoundTail'),
    hugetlb: has('hugetlb'),
    thp: has('thp'),
    anonymous: has('anonymous'),
    mapped: has('mapped'),
    slab: has('slab'),
    buddy: has('buddy'),
    hwpoison: has('hwpoison'),
    offline: has('offline'),
    pageTable: has('pageTable'),
  };
}

/** A run of page frames with the same memtype bits. */
export interface PageFlagRange {
  readonly startPfn: number;
  /** Exclusive. */
  readonly endPfn: number;
  /** Only the bits that can carry a type are set: KPF_ARCH, KPF_UNCACHED, KPF_ARCH_2. */
  readonly flags: U64;
  readonly line: number;
}

export interface PageFlagRanges {
  /** In the order of the file. Frames outside have none of the three bits, or no page. */
  readonly ranges: readonly PageFlagRange[];
}

const FORMAT: Format = {
  name: 'the list of page frames with memtype bits',
  shape: 'pfn 0x6170-0x6171 flags arch',
  refusals: { 'Permission denied': 'only root reads /proc/kpageflags: capture it again as root' },
};

const RANGE = /^pfn 0x(?<start>\w+)-0x(?<end>\w+) flags (?<flags>.+)$/d;
const HIGH_BITS: Readonly<Record<string, number>> = {
  arch: 2 ** (KPF.arch - 32),
  uncached: 2 ** (KPF.uncached - 32),
  arch_2: 2 ** (KPF.arch2 - 32),
};

function readFlags(f: Fields): U64 {
  let high = 0;
  for (const word of f.text('flags').split(' ')) {
    const value = Object.hasOwn(HIGH_BITS, word) ? HIGH_BITS[word] : undefined;
    if (value === undefined) {
      f.fail('flags', 'unknown page flag', `one or more of: ${Object.keys(HIGH_BITS).join(', ')}`);
    }
    high |= value ?? 0;
  }
  return u64(high, 0);
}

function readRange(f: Fields): PageFlagRange {
  const { start, end } = exclusiveRange(f);
  return { startPfn: start, endPfn: end, flags: readFlags(f), line: f.line.number };
}

const FORMS: readonly Form<PageFlagRange>[] = [{ pattern: RANGE, read: readRange }];

/** The runs that our capture prints from /proc/kpageflags. An empty text is a host without any. */
export function parsePageFlagRanges(text: string, file: string): Parsed<PageFlagRanges> {
  const problems = new Problems(file, FORMAT);
  const ranges: PageFlagRange[] = [];
  for (const line of readLines(text, problems)) {
    const range = readRow(line, FORMS, problems);
    if (range !== null) ranges.push(range);
  }
  return { value: { ranges }, problems: problems.list };
}
