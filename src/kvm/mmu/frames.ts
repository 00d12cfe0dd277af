import { assert } from '../../base/assert.ts';
import type { MtrrType, PatType } from '../../x86/types.ts';

/** What the host knows of page frames: all that kvm_is_mmio_pfn() of any version asks, and some more. */
export interface FrameFacts {
  /** There is a struct page. */
  readonly pfnValid: boolean;
  /** PageReserved of the page itself. */
  readonly reserved: boolean;
  readonly zeroPage: boolean;
  /** A tail of a compound page. */
  readonly tail: boolean;
  /** PageReserved of the compound head of a tail. */
  readonly headReserved: boolean;
  /** The struct page has a reference count of its own: not so for the tails of a high-order allocation. */
  readonly refcounted: boolean;
  /** lookup_memtype(): what the tracker says. */
  readonly memtype: PatType;
  readonly hostMtrr: MtrrType;
  /** The raw e820 has RAM in the page. */
  readonly e820Ram: boolean;
}

export const RAM_FRAME: FrameFacts = {
  pfnValid: true,
  reserved: false,
  zeroPage: false,
  tail: false,
  headReserved: false,
  refcounted: true,
  memtype: 'WB',
  hostMtrr: 'WB',
  e820Ram: true,
};

/** Page frames `pfn` up to `end` (exclusive) that are alike. */
export interface FrameRange {
  readonly pfn: number;
  readonly end: number;
  readonly facts: FrameFacts;
}

/** Where `hva` falls in a list sorted by start: its index, or the complement of the place to insert at. */
export function indexOf<T>(
  list: readonly T[],
  at: number,
  start: (t: T) => number,
  end: (t: T) => number,
) {
  let low = 0;
  let high = list.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const item = list[middle] as T;
    if (at < start(item)) high = middle - 1;
    else if (at >= end(item)) low = middle + 1;
    else return middle;
  }
  return ~low;
}

const frameAt = (list: readonly FrameRange[], pfn: number) =>
  indexOf(
    list,
    pfn,
    (f) => f.pfn,
    (f) => f.end,
  );

/** What the page frames of the host are. */
export class Frames {
  #ranges: FrameRange[] = [];
  /** Where the last search ended. */
  #last = 0;

  /** They must not overlap others; frames that are not said are ordinary RAM. */
  add(range: FrameRange): void {
    const at = frameAt(this.#ranges, range.pfn);
    const next = this.#ranges[~at];
    assert(at < 0 && (next === undefined || next.pfn >= range.end), 'frames overlap');
    this.#ranges.splice(~at, 0, range);
  }

  factsOf(pfn: number): FrameFacts {
    const last = this.#ranges[this.#last];
    if (last !== undefined && pfn >= last.pfn && pfn < last.end) return last.facts;
    const at = frameAt(this.#ranges, pfn);
    if (at < 0) return RAM_FRAME;
    this.#last = at;
    return (this.#ranges[at] as FrameRange).facts;
  }

  /** Changes frames `pfn` up to `end` (exclusive). */
  retype(pfn: number, end: number, change: Partial<FrameFacts>): void {
    const kept = this.#ranges.flatMap((f) => [
      ...(f.pfn < pfn ? [{ ...f, end: Math.min(f.end, pfn) }] : []),
      ...(f.end > end ? [{ ...f, pfn: Math.max(f.pfn, end) }] : []),
    ]);
    const inside = this.#ranges.filter((f) => f.pfn < end && f.end > pfn);
    let at = pfn;
    const changed: FrameRange[] = [];
    for (const f of inside) {
      const start = Math.max(f.pfn, pfn);
      if (at < start) changed.push({ pfn: at, end: start, facts: { ...RAM_FRAME, ...change } });
      at = Math.min(f.end, end);
      changed.push({ pfn: start, end: at, facts: { ...f.facts, ...change } });
    }
    if (at < end) changed.push({ pfn: at, end, facts: { ...RAM_FRAME, ...change } });
    this.#ranges = [...kept, ...changed].sort((a, b) => a.pfn - b.pfn);
  }
}
