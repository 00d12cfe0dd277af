import type { EventBatch } from '../trace/batch.ts';
import { KIND } from '../trace/batch.ts';
import type { PageKind } from './host-pages.ts';
import { markedSlot, readMark } from './marks.ts';
import type { Change, FactSet, PredictFacts, Slot } from './predict-facts.ts';

/** The facts beside a trace as they stand at one of its events: by what changes at a place, and by marks. */
export class TimedFacts {
  readonly #facts: PredictFacts;
  #slots: readonly Slot[];
  #changes: readonly Change[];
  /** What changed since the begin. */
  state: FactSet = {};
  /** Grows with every change of `state`. */
  generation = 0;
  /** So many VMs began, one after the other. */
  vms = 0;

  constructor(facts: PredictFacts) {
    this.#facts = facts;
    this.#slots = facts.slots;
    this.#changes = facts.changes;
  }

  /** Whether the facts are those of the VM of a process; -1: the trace has none. */
  isOf(tgid: number): boolean {
    return this.#facts.vm === null || this.#facts.vm === tgid;
  }

  /** Event `i` comes. Asked for each event, in the order of the trace. */
  see(batch: EventBatch, i: number): void {
    if (this.#changes.length > 0) this.#advance(batch.place[i] ?? 0, batch.time[i] ?? 0);
    if (batch.kind[i] === KIND.mark) this.#mark(batch.names[batch.key[i] ?? 0] ?? '');
  }

  /** What is behind a guest page; null: it is not said. */
  slotAt(gfn: number): Slot | null {
    const slot = this.#slots.find((s) => gfn >= s.gfnStart && gfn < s.gfnEnd);
    return slot ?? this.#facts.elsewhere;
  }

  #advance(place: number, time: number): void {
    for (;;) {
      const [next, ...rest] = this.#changes;
      if (next === undefined) return;
      const isPast = next.place === null ? time >= (next.time ?? 0) : place >= next.place;
      if (!isPast) return;
      this.#changes = rest;
      this.#become(next.facts);
      this.#slots = [...next.slots, ...this.#slots];
    }
  }

  #become(facts: FactSet): void {
    this.state = { ...this.state, ...facts };
    this.generation += 1;
  }

  #mark(text: string): void {
    const mark = readMark(text);
    if (mark === null) return;
    if (mark.is === 'facts') this.#become(mark.facts);
    else if (mark.is === 'vm') {
      this.#slots = this.#facts.slots;
      this.state = {};
      this.vms += 1;
      this.#become({});
    } else {
      const slot = markedSlot(mark, this.#facts.slots, this.#facts.elsewhere);
      if (slot !== null) this.#slots = [slot, ...this.#slots];
    }
  }
}

/**
 * What a page of a memslot is on the host, by its facts; null: they do not say. The type is that of the tracker,
 * or of the VMM's mapping where a driver did not tell the tracker.
 */
export function pageKindOf({ facts }: Slot): PageKind | null {
  const tracked = facts['host-memtype'];
  const mapped = facts['vmm-mapping'];
  const memtype = (tracked === 'WB' ? mapped : tracked) ?? tracked ?? mapped ?? null;
  const { 'pfn-valid': hasPage, 'page-reserved': isReserved, 'e820-ram': isRam } = facts;
  if (hasPage === undefined) return null;
  if (!hasPage)
    return isRam === undefined ? null : { kind: isRam ? 'hidden-ram' : 'device', memtype };
  if (isReserved === undefined) return null;
  return { kind: isReserved && facts['zero-page'] !== true ? 'reserved' : 'ram', memtype };
}
