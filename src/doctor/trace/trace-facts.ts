import { type U64, u64FromHex } from '../../base/u64.ts';
import type { Paging } from '../../facts/facts.ts';
import { decodeSpte, type SpteFlavour, type SpteLeaf, spteLayouts } from '../../kvm/spte.ts';
import { decodePageFlags, type RamMemtype } from '../../linux/text/kpageflags.ts';
import { reduceTrace, type TraceCounts, type TracedGfn } from '../../trace/reduce.ts';
import type { MtrrType } from '../../x86/types.ts';
import type { KernelFacts } from '../host-facts.ts';
import type { Readings } from '../reading.ts';
import { KPAGEFLAGS } from '../vms/sample.ts';

/** Key of the reduced trace among the texts of a capture: it is no path. */
export const TRACE = 'trace';

/** What the host makes of a page frame. */
export interface FrameFacts {
  /** Null: several are possible, or there is no page. */
  readonly memtype: RamMemtype | null;
  /** PageReserved, and not the page of zeros. */
  readonly reserved: boolean;
  /** No struct page: as a rule a device. */
  readonly noPage: boolean;
}

/** A guest page that the trace has, and what the host says of the frame behind it now. */
export interface TracedPage {
  readonly gfn: number;
  readonly pfn: number;
  readonly level: number;
  /** Null: the trace has no page-table entry of it. */
  readonly leaf: TracedLeaf | null;
  /** Null: /proc/kpageflags was not read, or the kernel version is not known. */
  readonly frame: FrameFacts | null;
  /** The VM whose thread it was; null: of none that runs here. */
  readonly vm: number | null;
}

export interface TracedLeaf {
  /** Of an EPT entry; null: of NPT or shadow paging, or reserved. */
  readonly memtype: MtrrType | null;
  readonly ipat: boolean | null;
  /** Of NPT and shadow paging. */
  readonly patIndex: number | null;
}

export interface TraceFacts extends TraceCounts {
  /** In the order of the trace. */
  readonly pages: readonly TracedPage[];
  /** Threads of the trace belong to no VM that runs here. */
  readonly strangers: number;
}

// ---- page frames ------------------------------------------------------------------------------

/** Neighbouring page frames, read at once. */
export interface FrameRun {
  readonly first: number;
  readonly count: number;
}

/** Entries of /proc/kpageflags in one read. */
const RUN_MAX = 4096;
const ENTRY = 8;
const DIGITS = ENTRY * 2;

/** SME and SEV set one high bit of the address in the entry: it is no part of the frame number. */
const ENCRYPTION_FROM = 2 ** 19;

function isEncryptionBit(difference: number): boolean {
  return difference >= ENCRYPTION_FROM && Number.isInteger(Math.log2(difference));
}

/** The frame behind a guest page: that of the entry, which is what is in force. */
function pfnOf(page: TracedGfn, flavour: SpteFlavour): number | null {
  const { requested, leaf } = page;
  const asked = requested?.pfn ?? null;
  if (leaf === null) return asked;
  const spte = decodeSpte(leaf.spte, flavour, 'B', leaf.level);
  if (spte.kind !== 'leaf') return asked;
  const pfn = spte.pfn + (page.gfn % 512 ** (leaf.level - 1));
  return asked !== null && isEncryptionBit(pfn - asked) ? asked : pfn;
}

function flavourOf(paging: Paging | null): SpteFlavour {
  return paging === 'ept' ? 'ept' : 'npt';
}

/** The frames of a reduced trace as runs without gaps, ascending. The same text gives the same runs. */
export function frameRuns(trace: string, paging: Paging | null): readonly FrameRun[] {
  const frames = reduceTrace(trace).pages.map((page) => pfnOf(page, flavourOf(paging)));
  const sorted = [...new Set(frames)].filter((f) => f !== null).sort((a, b) => a - b);
  const runs: { first: number; count: number }[] = [];
  for (const frame of sorted) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === frame && last.count < RUN_MAX) {
      last.count += 1;
    } else runs.push({ first: frame, count: 1 });
  }
  return runs;
}

/** Where a run stands in /proc/kpageflags, and how long it is. */
export function runBytes({ first, count }: FrameRun): { offset: number; length: number } {
  return { offset: first * ENTRY, length: count * ENTRY };
}

function entryOf(hex: string): U64 | null {
  const bytes = hex.match(/../g) ?? [];
  return bytes.length === ENTRY ? u64FromHex(bytes.reverse().join('')) : null;
}

/** The flags of every frame of the trace that could be read, by frame. */
function frameFlags(
  readings: Readings,
  runs: readonly FrameRun[],
): ReadonlyMap<number, U64 | null> {
  const flags = new Map<number, U64 | null>();
  for (const run of runs) {
    const { offset, length } = runBytes(run);
    const reading = readings.bytes(KPAGEFLAGS, offset, length);
    if (!reading.ok) continue;
    for (let i = 0; i < run.count; i += 1) {
      flags.set(run.first + i, entryOf(reading.hex.slice(i * DIGITS, (i + 1) * DIGITS)));
    }
  }
  return flags;
}

/** Beyond the end of the file there is no page. */
const NO_PAGE: FrameFacts = { memtype: null, reserved: false, noPage: true };

function frameFacts(flags: U64 | null | undefined, kernel: KernelFacts | null): FrameFacts | null {
  if (flags === undefined || kernel === null) return null;
  if (flags === null) return NO_PAGE;
  const { memtype, reserved, zeroPage, noPage } = decodePageFlags(flags, kernel.version);
  return { memtype, reserved: reserved && !zeroPage, noPage };
}

// ---- whose it is ------------------------------------------------------------------------------

/** Threads of a process: QEMU's vCPUs, as a trace names them. */
export function tasksPath(pid: number): string {
  return `/proc/${pid}/task`;
}

/** Which VM a thread belongs to; null: none that runs here. */
function ownerOf(
  readings: Readings,
  pids: readonly number[],
): (tid: number | null, tgid: number | null) => number | null {
  const owners = new Map<number, number>();
  for (const pid of pids) {
    owners.set(pid, pid);
    const list = readings.list(tasksPath(pid));
    for (const name of list.ok ? list.names : []) owners.set(Number(name), pid);
  }
  return (tid, tgid) => owners.get(tgid ?? -1) ?? owners.get(tid ?? -1) ?? null;
}

// ---- all of it --------------------------------------------------------------------------------

function leafOf(
  page: TracedGfn,
  flavour: SpteFlavour,
  kernel: KernelFacts | null,
): SpteLeaf | null {
  const layout = kernel === null ? 'B' : (spteLayouts(kernel.version)[0] ?? 'B');
  const { leaf } = page;
  const spte = leaf === null ? null : decodeSpte(leaf.spte, flavour, layout, leaf.level);
  return spte?.kind === 'leaf' ? spte : null;
}

/**
 * A request for a page inside of a large one is not counted beside the entry that maps the whole, which
 * bears the number of its first page.
 */
function withoutParts(pages: readonly TracedGfn[]): readonly TracedGfn[] {
  const large = new Set(
    pages.flatMap(({ gfn, leaf }) =>
      leaf !== null && leaf.level > 1 ? [`${leaf.level} ${gfn}`] : [],
    ),
  );
  return pages.filter(({ gfn, requested, leaf }) => {
    const level = requested?.level ?? 1;
    const first = gfn - (gfn % 512 ** (level - 1));
    return leaf !== null || level === 1 || !large.has(`${level} ${first}`);
  });
}

/** Several threads of a VM may have touched one page: the last event counts. */
function lastOfEach(pages: readonly TracedPage[]): readonly TracedPage[] {
  const last = new Map<string, TracedPage>();
  for (const page of pages) {
    const key = `${page.vm ?? ''} ${page.gfn}`;
    const before = last.get(key);
    last.delete(key);
    last.set(key, { ...page, leaf: page.leaf ?? before?.leaf ?? null });
  }
  return [...last.values()];
}

/** What a trace and the page flags together say; null: no trace was given. */
export function gatherTrace(
  readings: Readings,
  kernel: KernelFacts | null,
  paging: Paging | null,
  pids: readonly number[],
): TraceFacts | null {
  const text = readings.text(TRACE);
  if (!text.ok) return null;
  const reduced = reduceTrace(text.text);
  const flavour = flavourOf(paging);
  const flags = frameFlags(readings, frameRuns(text.text, paging));
  const owner = ownerOf(readings, pids);
  const strangers = new Set<number | null>();
  const pages = withoutParts(reduced.pages).flatMap((page): TracedPage[] => {
    const { gfn, tid, tgid } = page;
    const pfn = pfnOf(page, flavour);
    if (pfn === null) return [];
    const vm = owner(tid, tgid);
    if (vm === null) strangers.add(tgid ?? tid);
    const leaf = leafOf(page, flavour, kernel);
    const level = page.leaf?.level ?? page.requested?.level ?? 1;
    const shown = leaf && { memtype: leaf.memtype, ipat: leaf.ipat, patIndex: leaf.patIndex };
    const frame = frameFacts(flags.get(pfn), kernel);
    return [{ gfn, pfn, level, leaf: shown, frame, vm }];
  });
  return { ...reduced.counts, pages: lastOfEach(pages), strangers: strangers.size };
}

function isRam({ frame }: TracedPage): boolean {
  return frame !== null && !frame.noPage && !frame.reserved;
}

/**
 * IPAT of the RAM of a VM as the trace has it: where entries differ, that of the last one. Null: no such
 * entry, or no EPT.
 */
export function tracedIpat(
  { trace }: { readonly trace: TraceFacts | null },
  vm: number | null,
): 'set' | 'clear' | null {
  const ipat = (trace?.pages ?? []).findLast(
    (page) =>
      page.vm === vm && isRam(page) && page.leaf?.memtype === 'WB' && page.leaf.ipat !== null,
  )?.leaf?.ipat;
  return ipat == null ? null : ipat ? 'set' : 'clear';
}
