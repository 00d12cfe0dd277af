import { rule } from '../cite/rule.ts';
import type { PatType } from '../x86/types.ts';
import type { MtrrHint } from './mtrr-lookup.ts';
import { patXMtrrType } from './pat-x-mtrr.ts';

rule({
  id: 'linux/memtype-reserve',
  room: 'host',
  title: 'Reserving a memory type for a physical range (memtype_reserve)',
  text:
    'With PAT off every request is granted and nothing is tracked. The ISA hole A0000H-FFFFFH is not ' +
    'tracked and always WB. Otherwise a WB request is first checked against the MTRRs. A range of RAM ' +
    'goes by page flags, a range without RAM into a list of intervals, a range that meets RAM after a ' +
    'hole is refused with EINVAL. (A hole behind the last RAM page is not noticed: the range counts as ' +
    'RAM.) Memory below 1 MiB is never RAM here.',
  sources: [
    'linux/memtype_reserve',
    'linux/is_untracked_pat_range',
    'linux/pat_pagerange_is_ram',
    'lab/memtype-steps',
  ],
});

rule({
  id: 'linux/memtype-conflict',
  room: 'host',
  title: 'A range that overlaps earlier reservations (memtype_check_conflict)',
  text:
    'The overlapping entry with the lowest start decides. A caller that needs exactly its type gets ' +
    'EBUSY when that entry has another one. A caller that takes what there is gets the type of that ' +
    'entry, and its own entry is tracked with it. Either way every further overlapping entry must have ' +
    'the same type as the first, else EBUSY.',
  sources: ['linux/memtype_check_conflict', 'lab/memtype-steps'],
});

rule({
  id: 'linux/ram-page-types',
  room: 'host',
  title: 'Reserving a type for RAM pages (reserve_ram_pages_type)',
  text:
    'Two page flags hold WB, WC, UC- or WT. A page must be WB now, else EBUSY, even when the same type ' +
    'is asked for again: there is no count of users. WP gives EINVAL and UC becomes UC-. The MTRRs are ' +
    'not asked. Freeing makes every page WB.',
  sources: ['linux/reserve_ram_pages_type'],
});

rule({
  id: 'linux/memtype-lookup',
  room: 'host',
  title: 'The type that Linux tracks for a page (lookup_memtype, pat_pfn_immune_to_uc_mtrr)',
  text:
    'The ISA hole is WB; RAM has the type of its page flags; any other page that of the entry with the ' +
    'lowest start that covers it, and UC- when there is none. KVM asks only whether it is UC, UC- or WC.',
  sources: ['linux/lookup_memtype'],
});

rule({
  id: 'linux/memtype-allowed',
  room: 'host',
  title: 'Which other type a caller accepts in place of its own (is_new_memtype_allowed)',
  text:
    'Refused are WB for UC-, WC and WT, and WC for WT. Everything else is accepted, even WB for a ' +
    'request of UC. In the ISA hole anything is accepted.',
  sources: ['linux/is_new_memtype_allowed'],
});

rule({
  id: 'linux/memtype-free',
  room: 'host',
  title: 'Giving a reservation back (memtype_free)',
  text:
    'The first entry with exactly this start and end goes. Up to 6.15 an entry that starts lower and ends ' +
    'here is shortened instead when there is no exact one (mremap). Otherwise EINVAL.',
  sources: ['linux/memtype_erase', 'mail/memtype-match'],
});

const PAGE = 4096;
const ISA_START = 0xa0000;
const ISA_END = 0x100000;

/** Types a caller must not take for the one it asked for. */
const REFUSED: Readonly<Partial<Record<PatType, readonly PatType[]>>> = {
  'UC-': ['WB'],
  WC: ['WB'],
  WT: ['WB', 'WC'],
};

/** The ISA hole, which nothing tracks and everything maps WB. Source: `is_untracked_pat_range`. */
export function isUntracked(start: number, end: number): boolean {
  return start >= ISA_START && end <= ISA_END;
}

/** Whether a caller that asked for `requested` may go on with `granted`, outside the ISA hole. */
export function isNewMemtypeAllowed(requested: PatType, granted: PatType): boolean {
  return !(REFUSED[requested]?.includes(granted) ?? false);
}

/** A reservation outside RAM, as pat_memtype_list shows it. `end` is exclusive. */
export interface Memtype {
  readonly start: number;
  readonly end: number;
  readonly type: PatType;
}

/** `exact`: only this type will do. `flexible`: the caller takes what is tracked already. */
export type ReserveMode = 'exact' | 'flexible';

/** What the kernel's message, or its silence, says about a refused reservation. */
export type RefusedBecause =
  | { readonly kind: 'empty-range' }
  | { readonly kind: 'ram-in-part' }
  | { readonly kind: 'wp-for-ram' }
  /** `reserve_ram_pages_type failed`: the page is `tracked` already. */
  | { readonly kind: 'ram-taken'; readonly page: number; readonly tracked: PatType }
  /** `conflicting memory types found<->against`, then `memtype_reserve failed, track, req`. */
  | {
      readonly kind: 'conflict';
      readonly found: PatType;
      readonly against: Memtype;
      readonly track: PatType;
    };

export type Reserved =
  | { readonly granted: PatType }
  | {
      readonly error: 'EBUSY' | 'EINVAL';
      readonly requested: PatType;
      readonly because: RefusedBecause;
    };

/** The machine that a tracker runs on. */
export interface TrackerHost {
  /** Whether a page (by number) is System RAM to the kernel. */
  readonly isRam: (page: number) => boolean;
  /** The MTRR type of [start, end), in bytes. */
  readonly mtrrType: (start: number, end: number) => MtrrHint;
  readonly patEnabled: boolean;
  /** Up to 6.15: freeing the end of an entry shortens it. True when left out. */
  readonly freeShortens?: boolean;
}

/** Whether a range is RAM to the tracker; `mixed` is refused. */
export type RangeKind = 'ram' | 'not-ram' | 'mixed';

/** What RAM page flags can hold; UC becomes UC- and WP is refused before it gets here. */
function pageType(requested: PatType): PatType {
  return requested === 'UC' ? 'UC-' : requested;
}

/**
 * The kernel's record of memory types: intervals outside RAM, page flags in RAM. All addresses are in
 * bytes, multiples of 4096, ends exclusive.
 */
export class MemtypeTracker {
  readonly host: TrackerHost;
  readonly #pageTypes = new Map<number, PatType>();
  #entries: readonly Memtype[] = [];

  constructor(host: TrackerHost) {
    this.host = host;
  }

  /** The reservations outside RAM, by start; of equal starts the earlier one first. */
  get entries(): readonly Memtype[] {
    return this.#entries;
  }

  /** Source: `memtype_reserve`. */
  reserve(start: number, end: number, requested: PatType, mode: ReserveMode): Reserved {
    if (start >= end) return refused('EINVAL', requested, { kind: 'empty-range' });
    if (!this.host.patEnabled) return { granted: requested };
    if (isUntracked(start, end)) return { granted: 'WB' };
    switch (this.kindOf(start, end)) {
      case 'ram':
        return this.#reserveRam(start, end, requested);
      case 'mixed':
        return refused('EINVAL', requested, { kind: 'ram-in-part' });
      case 'not-ram':
        return this.#reserveInterval(start, end, requested, mode);
    }
  }

  /** False is -EINVAL: nothing reserved like this. Source: `memtype_free`. */
  free(start: number, end: number): boolean {
    if (!this.host.patEnabled || isUntracked(start, end)) return true;
    const kind = this.kindOf(start, end);
    if (kind === 'mixed') return false;
    if (kind === 'not-ram') return this.#erase(start, end);
    for (let page = start / PAGE; page < end / PAGE; page++) this.#pageTypes.delete(page);
    return true;
  }

  /** The type tracked for the page of an address. Source: `lookup_memtype`. */
  lookup(address: number): PatType {
    const start = address - (address % PAGE);
    if (isUntracked(start, start + PAGE)) return 'WB';
    if (this.kindOf(start, start + PAGE) === 'ram') {
      return this.#pageTypes.get(start / PAGE) ?? 'WB';
    }
    return this.#overlapping(start, start + PAGE)[0]?.type ?? 'UC-';
  }

  /** UC, UC- or WC, which a UC MTRR cannot make worse. Source: `pat_pfn_immune_to_uc_mtrr`. */
  pfnImmuneToUcMtrr(page: number): boolean {
    return ['UC', 'UC-', 'WC'].includes(this.lookup(page * PAGE));
  }

  /** Source: `pat_pagerange_is_ram`, which does not notice a hole behind the last RAM page. */
  kindOf(start: number, end: number): RangeKind {
    let hole = start < ISA_END;
    let ram = false;
    const last = Math.ceil(end / PAGE);
    for (let page = Math.floor(Math.max(start, ISA_END) / PAGE); page < last; page++) {
      if (!this.host.isRam(page)) hole = true;
      else if (hole) return 'mixed';
      else ram = true;
    }
    return ram ? 'ram' : 'not-ram';
  }

  #reserveRam(start: number, end: number, requested: PatType): Reserved {
    if (requested === 'WP') return refused('EINVAL', requested, { kind: 'wp-for-ram' });
    const granted = pageType(requested);
    for (let page = start / PAGE; page < end / PAGE; page++) {
      const tracked = this.#pageTypes.get(page);
      if (tracked !== undefined) {
        return refused('EBUSY', requested, { kind: 'ram-taken', page, tracked });
      }
    }
    if (granted === 'WB') return { granted };
    for (let page = start / PAGE; page < end / PAGE; page++) this.#pageTypes.set(page, granted);
    return { granted };
  }

  #reserveInterval(start: number, end: number, requested: PatType, mode: ReserveMode): Reserved {
    const track = patXMtrrType(requested, this.host.mtrrType(start, end));
    const overlapping = this.#overlapping(start, end);
    const [first] = overlapping;
    if (first !== undefined && mode === 'exact' && first.type !== track) {
      return refused('EBUSY', requested, { kind: 'conflict', found: track, against: first, track });
    }
    const granted = first?.type ?? track;
    const against = overlapping.find((entry) => entry.type !== granted);
    if (against !== undefined) {
      return refused('EBUSY', requested, { kind: 'conflict', found: granted, against, track });
    }
    this.#insert({ start, end, type: granted });
    return { granted };
  }

  #overlapping(start: number, end: number): readonly Memtype[] {
    return this.#entries.filter((entry) => entry.start < end && start < entry.end);
  }

  #insert(entry: Memtype): void {
    const behind = this.#entries.findIndex((other) => other.start > entry.start);
    const at = behind < 0 ? this.#entries.length : behind;
    this.#entries = this.#entries.toSpliced(at, 0, entry);
  }

  #erase(start: number, end: number): boolean {
    const exact = this.#entries.find((entry) => entry.start === start && entry.end === end);
    if (exact !== undefined) {
      this.#remove(exact);
      return true;
    }
    const longer = this.#entries.find((entry) => entry.start < start && entry.end === end);
    if (longer === undefined || this.host.freeShortens === false) return false;
    this.#remove(longer);
    this.#insert({ ...longer, end: start });
    return true;
  }

  #remove(entry: Memtype): void {
    this.#entries = this.#entries.filter((other) => other !== entry);
  }
}

function refused(error: 'EBUSY' | 'EINVAL', requested: PatType, because: RefusedBecause): Reserved {
  return { error, requested, because };
}
