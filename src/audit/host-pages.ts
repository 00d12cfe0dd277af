import { type U64, u64 } from '../base/u64.ts';
import {
  decodePageFlags,
  type KernelVersion,
  type PageFlagRange,
} from '../linux/text/kpageflags.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { PatType } from '../x86/types.ts';
import { leafType, leafWord, SPTE, spteClass, typeMask } from './leaf-word.ts';
import { momentOf } from './paging.ts';
import type { Moment } from './vm-map.ts';

/** What the host knows of a page frame. `device`: no page, and no RAM by the firmware's list. */
export interface PageKind {
  readonly kind: 'ram' | 'reserved' | 'device' | 'hidden-ram';
  /** The type that the host tracks for it; null: not known. */
  readonly memtype: PatType | null;
}

/** A0000-BFFFF: every PC has the VGA memory there, which Linux counts as reserved memory and does not track. */
export function isVga(pfn: number): boolean {
  return pfn >= 0xa0 && pfn < 0xc0;
}

export const VGA: PageKind = { kind: 'device', memtype: null };

/** Asked once for each entry that is installed. Null: not known. */
export interface HostPages {
  /** @param slot what the memslot is said to have there: it counts where this frame is not known by itself */
  readonly kindOf: (pfn: number, slot?: PageKind | null) => PageKind | null;
  /** Whether all frames of a huge page are alike; null: not known. */
  readonly alike?: (pfn: number, pages: number) => boolean | null;
}

/** Page frame of a leaf; with SME or SEV the encryption bit is part of it. */
export function frameOf(hi: number, lo: number, level: number): number {
  const pfn = (hi & 0xf_ffff) * 2 ** 20 + Math.floor(lo / 4096);
  return pfn - (pfn % 512 ** (level - 1));
}

/** Guest pages of one kind on the host and with one type in KVM's entry. */
export interface JoinRow {
  readonly host: PageKind;
  readonly word: number;
  readonly memtype: ReturnType<typeof leafType>['memtype'];
  readonly ipat: boolean | null;
  readonly patIndex: number | null;
  readonly installs: number;
  readonly first: JoinExample;
  /** Huge pages over frames that are not alike. */
  readonly mixed: number;
  readonly firstMixed: JoinExample | null;
}

export interface JoinExample extends Moment {
  readonly gfn: number;
  readonly pfn: number;
  readonly level: number;
  readonly spte: U64;
}

interface Row {
  readonly host: PageKind;
  readonly word: number;
  installs: number;
  readonly first: JoinExample;
  mixed: number;
  firstMixed: JoinExample | null;
}

/** The entries of one VM beside what the host knows of their frames; bounded by the kinds there are. */
export class HostJoin {
  readonly #host: HostPages;
  readonly #rows = new Map<string, Row>();

  constructor(host: HostPages) {
    this.#host = host;
  }

  take(batch: EventBatch, i: number, slot: PageKind | null): void {
    const lo = batch.valueLo[i] ?? 0;
    const level = batch.level[i] ?? 1;
    if (spteClass(batch.valueHi[i] ?? 0, lo, level, false) !== SPTE.leaf) return;
    const pfn = frameOf(batch.valueHi[i] ?? 0, lo, level);
    const host = this.#host.kindOf(pfn, slot !== null && isVga(pfn) ? VGA : slot);
    if (host === null) return;
    const word = leafWord(lo, level);
    const key = `${host.kind} ${host.memtype} ${word} ${level > 1}`;
    const gfn = batch.key[i] ?? 0;
    const spte = u64(batch.valueHi[i] ?? 0, lo);
    const moment = momentOf(batch.place[i] ?? 0, batch.time[i] ?? Number.NaN);
    let row = this.#rows.get(key);
    if (row === undefined) {
      const first = { ...moment, gfn, pfn, level, spte };
      row = { host, word, installs: 0, first, mixed: 0, firstMixed: null };
      this.#rows.set(key, row);
    }
    row.installs += 1;
    if (level === 1 || this.#host.alike?.(pfn, 512 ** (level - 1)) !== false) return;
    row.mixed += 1;
    row.firstMixed ??= { ...moment, gfn, pfn, level, spte };
  }

  rows(isEpt: boolean, isMixed: boolean): readonly JoinRow[] {
    const groups = new Map<string, JoinRow>();
    for (const row of this.#rows.values()) {
      const { host, installs, first, mixed, firstMixed } = row;
      const word = row.word & typeMask(isEpt);
      const key = `${host.kind} ${host.memtype} ${word}`;
      const before = groups.get(key);
      groups.set(key, {
        host,
        word,
        ...leafType(word, isEpt, isMixed),
        installs: installs + (before?.installs ?? 0),
        first: before !== undefined && before.first.place < first.place ? before.first : first,
        mixed: mixed + (before?.mixed ?? 0),
        firstMixed: before?.firstMixed ?? firstMixed,
      });
    }
    return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  }
}

/** A host of which no frame is known, but what memslots have. */
export const ONLY_SLOTS: HostPages = { kindOf: (_, slot = null) => slot };

// ---- ranges -----------------------------------------------------------------------------------

/** Page frames of one kind. */
export interface FrameRange extends PageKind {
  readonly start: number;
  /** The first frame behind it. */
  readonly end: number;
}

/** Index of the range that holds a frame, or -1. */
function rangeAt(ranges: readonly FrameRange[], pfn: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[middle]?.end ?? 0) <= pfn) low = middle + 1;
    else high = middle;
  }
  const found = ranges[low];
  return found !== undefined && found.start <= pfn ? low : -1;
}

/**
 * A host whose frames are known by ranges that do not overlap.
 *
 * @param rest what every other frame is; null: not known
 */
export function hostOfRanges(list: readonly FrameRange[], rest: PageKind | null): HostPages {
  const ranges = [...list].sort((a, b) => a.start - b.start);
  const kindOf: HostPages['kindOf'] = (pfn, slot = null) =>
    ranges[rangeAt(ranges, pfn)] ?? slot ?? rest;
  return {
    kindOf,
    alike: (pfn, pages) => {
      const first = kindOf(pfn);
      const inside = ranges.filter((r) => r.start < pfn + pages && r.end > pfn);
      const covered = inside.reduce(
        (sum, r) => sum + Math.min(r.end, pfn + pages) - Math.max(r.start, pfn),
        0,
      );
      if (first === null || (rest === null && covered < pages)) return null;
      const kinds = covered < pages && rest !== null ? [...inside, rest] : inside;
      return kinds.every((k) => k.kind === first.kind && k.memtype === first.memtype);
    },
  };
}

/**
 * The frames that /proc/kpageflags gives a type other than WB: RAM that a driver changed.
 *
 * @param ranges as a capture lists them
 */
export function framesOfFlags(
  ranges: readonly PageFlagRange[],
  kernel: KernelVersion,
): readonly FrameRange[] {
  return ranges.map(({ startPfn, endPfn, flags }) => ({
    start: startPfn,
    end: endPfn,
    kind: 'ram',
    memtype: decodePageFlags(flags, kernel).memtype,
  }));
}
