import { u64ToHex } from '../base/u64.ts';
import { type KvmmmuEvent, readTraceLine, type SpteRequested, type SpteWritten } from './events.ts';

/** Guest pages that are kept of a trace: the last ones that it has. */
export const TRACED_PAGES_MAX = 8192;

/** What a trace says of one guest page: the last frame that was found for it, the last leaf. */
export interface TracedGfn {
  readonly tid: number | null;
  readonly tgid: number | null;
  readonly gfn: number;
  readonly requested: SpteRequested | null;
  readonly leaf: SpteWritten | null;
}

export interface TraceCounts {
  /** Events of page-table entries. */
  readonly events: number;
  /** Of these, lines whose fields could not be read. */
  readonly unreadable: number;
  /** How often a guest page was dropped for one that came later; the same page may be dropped again. */
  readonly dropped: number;
}

const HEADER = /^# memtype: (\d{1,15}) events, (\d{1,15}) unreadable, (\d{1,15}) pages dropped$/;

function headerOf({ events, unreadable, dropped }: TraceCounts): string {
  return `# memtype: ${events} events, ${unreadable} unreadable, ${dropped} pages dropped`;
}

/**
 * An entry that maps a page, as far as that is told without knowing the paging mode; not an empty or a
 * frozen one. Zapping is passed over: at its end a VM takes all its entries away.
 */
function mapsPage({ level, spte: { hi, lo } }: SpteWritten): boolean {
  if (level > 1 && (lo & 0x80) === 0) return false;
  return lo !== 0 && lo !== 0x5a0 && lo !== 0x1a0 && (level === 1 || hi !== 0 || lo > 0xfff);
}

function taskWords(tid: number | null, tgid: number | null): string {
  if (tid === null) return '';
  return tgid === null ? `task-${tid} [000] ` : `task-${tid} (${tgid}) [000] `;
}

function linesOf({ tid, tgid, gfn, requested, leaf }: TracedGfn): readonly string[] {
  const task = taskWords(tid, tgid);
  const page = gfn.toString(16);
  const asked = `${task}kvm_mmu_spte_requested: gfn ${page}`;
  const written = `${task}kvm_mmu_set_spte: gfn ${page}`;
  const spte = leaf === null ? '' : u64ToHex(leaf.spte).slice(2);
  return [
    ...(requested?.pfn == null
      ? []
      : [`${asked} pfn ${requested.pfn.toString(16)} level ${requested.level}`]),
    ...(leaf === null ? [] : [`${written} spte ${spte} level ${leaf.level}`]),
  ];
}

/**
 * Takes a trace line by line and keeps what doctor looks at: of each task and guest page the last frame
 * and the last leaf. Memory is bounded by `TRACED_PAGES_MAX`, whatever the length of the trace. Reducing
 * what was reduced changes nothing.
 */
export class TraceReducer {
  readonly #pages = new Map<string, TracedGfn>();
  #line = 0;
  #events = 0;
  #unreadable = 0;
  #dropped = 0;
  #isReduced = false;

  push(line: string): void {
    this.#line += 1;
    const header = this.#line === 1 ? HEADER.exec(line) : null;
    if (header !== null) {
      const [, events, unreadable, dropped] = header.map(Number);
      this.#isReduced = true;
      this.#events = events ?? 0;
      this.#unreadable = unreadable ?? 0;
      this.#dropped = dropped ?? 0;
      return;
    }
    const read = readTraceLine(line, this.#line);
    if (read.is !== 'event' && read.is !== 'unreadable') return;
    if (!this.#isReduced) this.#events += 1;
    if (read.is === 'event') this.#keep(read.event);
    else if (!this.#isReduced) this.#unreadable += 1;
  }

  get counts(): TraceCounts {
    this.#drop();
    return { events: this.#events, unreadable: this.#unreadable, dropped: this.#dropped };
  }

  /** In the order of their last event. */
  get pages(): readonly TracedGfn[] {
    this.#drop();
    return [...this.#pages.values()];
  }

  /** As a text that `TraceReducer` reads again; names of tasks are left out. */
  get text(): string {
    const lines = this.pages.flatMap((page) => linesOf(page));
    return `${[headerOf(this.counts), ...lines].join('\n')}\n`;
  }

  #keep(event: KvmmmuEvent): void {
    if (event.kind === 'mmio') return;
    const isRequest = event.kind === 'requested';
    if (isRequest ? event.pfn === null : !mapsPage(event)) return;
    const { tid, tgid, gfn } = event;
    const key = `${tid ?? ''} ${tgid ?? ''} ${gfn}`;
    const before = this.#pages.get(key);
    const page = before ?? { tid, tgid, gfn, requested: null, leaf: null };
    this.#pages.delete(key);
    this.#pages.set(key, isRequest ? { ...page, requested: event } : { ...page, leaf: event });
    if (this.#pages.size >= 2 * TRACED_PAGES_MAX) this.#drop();
  }

  /** Drops the oldest pages, many at a time: a Map that loses its first key again and again is slow. */
  #drop(): void {
    let left = this.#pages.size - TRACED_PAGES_MAX;
    for (const key of this.#pages.keys()) {
      if (left <= 0) return;
      this.#pages.delete(key);
      this.#dropped += 1;
      left -= 1;
    }
  }
}

/** Reads a whole text. */
export function reduceTrace(text: string): TraceReducer {
  const reducer = new TraceReducer();
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start);
    const stop = end < 0 ? text.length : end;
    reducer.push(text.slice(start, text.charCodeAt(stop - 1) === 13 ? stop - 1 : stop));
    start = stop + 1;
  }
  return reducer;
}
