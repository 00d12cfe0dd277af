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
  /** Guest pages that were dropped for others that came later. */
  readonly leftOut: number;
}

const HEADER = /^# memtype: (\d{1,15}) events, (\d{1,15}) unreadable, (\d{1,15}) pages left out$/;

function headerOf({ events, unreadable, leftOut }: TraceCounts): string {
  return `# memtype: ${events} events, ${unreadable} unreadable, ${leftOut} pages left out`;
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
  #leftOut = 0;
  #isReduced = false;

  push(line: string): void {
    this.#line += 1;
    const header = this.#line === 1 ? HEADER.exec(line) : null;
    if (header !== null) {
      const [, events, unreadable, leftOut] = header.map(Number);
      this.#isReduced = true;
      this.#events = events ?? 0;
      this.#unreadable = unreadable ?? 0;
      this.#leftOut = leftOut ?? 0;
      return;
    }
    const read = readTraceLine(line, this.#line);
    if (read.is !== 'event' && read.is !== 'unreadable') return;
    if (!this.#isReduced) this.#events += 1;
    if (read.is === 'event') this.#keep(read.event);
    else if (!this.#isReduced) this.#unreadable += 1;
  }

  get counts(): TraceCounts {
    return { events: this.#events, unreadable: this.#unreadable, leftOut: this.#leftOut };
  }

  /** In the order of their last event. */
  get pages(): readonly TracedGfn[] {
    return [...this.#pages.values()];
  }

  /** As a text that `TraceReducer` reads again; names of tasks are left out. */
  get text(): string {
    const lines = this.pages.flatMap(linesOf);
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
    if (this.#pages.size <= TRACED_PAGES_MAX) return;
    const [oldest = ''] = this.#pages.keys();
    this.#pages.delete(oldest);
    this.#leftOut += 1;
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
