import { type U64, u64 } from '../base/u64.ts';
import { isMmioAt } from '../compare/space/access.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { type EventBatch, KIND } from '../trace/batch.ts';
import type { MtrrType } from '../x86/types.ts';
import type { AuditRegion, AuditVm } from './audit.ts';
import { explainDifference } from './difference.ts';
import { GuestState } from './guest-state.ts';
import { SPTE, spteClass } from './leaf-word.ts';
import { markedSlot, readMark } from './marks.ts';
import { momentOf } from './paging.ts';
import { installedWords, leafOf, leafWords, Missing, type Point, readerOf } from './point.ts';
import type { Change, FactSet, PredictFacts, Slot } from './predict-facts.ts';
import { momentAt } from './vm.ts';
import type { GuestMap, Moment } from './vm-map.ts';

/** An entry that is not what the facts give. */
export interface Mismatch extends Moment {
  readonly gfn: number;
  readonly level: number;
  readonly spte: U64;
  readonly slot: string;
  /** "EPT WB+IPAT": what the trace has. */
  readonly installed: string;
  /** What the rules give; several where the kernel's name does not settle them. */
  readonly expected: readonly string[];
  /** What would explain it; empty: nothing that is known. */
  readonly reasons: readonly string[];
}

/** Entries of one slot, in one state, with one type. */
export interface PredictRow {
  readonly slot: string;
  readonly installed: string;
  readonly entries: number;
  readonly mismatches: number;
}

export interface Prediction {
  /** Present leaves that kvm_mmu_set_spte printed. */
  readonly entries: number;
  /** Of these, as the facts give them. */
  readonly predicted: number;
  /** Among several that the facts give. */
  readonly open: number;
  readonly mismatched: number;
  /** The first ones. */
  readonly mismatches: readonly Mismatch[];
  /** Not predicted for want of a fact, with which one and the first place. */
  readonly unknown: readonly Unknown[];
  readonly rows: readonly PredictRow[];
  /** The facts say of a slot that it is host MMIO, and the rules say otherwise, or the reverse. */
  readonly contradictions: readonly string[];
}

export interface Unknown {
  /** Name of the fact; "memslot": the gfn lies in none. */
  readonly fact: string;
  readonly entries: number;
  readonly first: Moment & { readonly gfn: number };
}

/** Pages that were installed under other facts and are still mapped so. */
export interface Standing {
  readonly slot: string;
  readonly installed: string;
  readonly expected: readonly string[];
  readonly pages: number;
  readonly first: Moment & { readonly gfn: number };
}

/** Mismatches that are kept with their place; all are counted. */
export const MISMATCHES_MAX = 256;

interface Counted {
  entries: number;
  mismatches: number;
}

/** Says of each entry of a trace what it has to be, from facts that stand beside it. */
export class Predictor {
  readonly #facts: PredictFacts;
  readonly #rows = new Map<string, { slot: string; installed: string } & Counted>();
  readonly #unknown = new Map<string, Unknown>();
  readonly #mismatches: Mismatch[] = [];
  readonly #cache = new Map<string, readonly string[]>();
  #guest = new GuestState();
  #state: FactSet = {};
  #slots: readonly Slot[];
  #changes: readonly Change[];
  #generation = 0;
  #entries = 0;
  #predicted = 0;
  #open = 0;
  #mismatched = 0;

  constructor(facts: PredictFacts) {
    this.#facts = facts;
    this.#slots = facts.slots;
    this.#changes = facts.changes;
  }

  push(batch: EventBatch): void {
    const { vm } = this.#facts;
    for (let i = 0; i < batch.count; i += 1) {
      if (this.#changes.length > 0) this.#advance(batch.place[i] ?? 0, batch.time[i] ?? 0);
      const kind: number = batch.kind[i] ?? 0;
      if (kind === KIND.mark) this.#mark(batch.names[batch.key[i] ?? 0] ?? '');
      else if (vm !== null && (batch.tgid[i] ?? -1) !== vm) continue;
      else if (kind === KIND.set) this.#set(batch, i);
      else if (kind === KIND.msr && batch.flags[i] === 1)
        this.#guest.wrote(batch.key[i] ?? 0, valueAt(batch, i), momentAt(batch, i));
      else if (kind === KIND.cr && batch.flags[i] === 1 && batch.key[i] === 0)
        this.#guest.wroteCr0(valueAt(batch, i), momentAt(batch, i));
    }
  }

  result(): Prediction {
    return {
      entries: this.#entries,
      predicted: this.#predicted,
      open: this.#open,
      mismatched: this.#mismatched,
      mismatches: this.#mismatches,
      unknown: [...this.#unknown.values()],
      rows: [...this.#rows.values()].sort((a, b) => (rowKey(a) < rowKey(b) ? -1 : 1)),
      contradictions: this.#contradictions(),
    };
  }

  /**
   * What is mapped and is no longer what the facts give as they are now: KVM did not zap it when they
   * changed. Pages of SMM and those that events were lost of are passed over.
   */
  standing(vms: readonly AuditVm[]): readonly Standing[] {
    const found = new Map<string, { -readonly [K in keyof Standing]: Standing[K] }>();
    const { vm } = this.#facts;
    for (const { region, map } of surely(vms.filter(({ id }) => vm === null || id === vm))) {
      const step = 512 ** (region.level - 1);
      const installed = leafWords(region, this.#facts.way);
      for (let gfn = region.gfnStart; gfn < region.gfnEnd; gfn += step) {
        const slot = this.#slotAt(gfn);
        const expected = slot === null ? null : this.#expectedOr(slot, gfn, null);
        if (slot === null || expected === null || expected.includes(installed)) continue;
        const key = rowKey({ slot: slot.name, installed });
        const before = found.get(key);
        const first = { ...(map.since(region.level, gfn) ?? region.since), gfn };
        if (before === undefined)
          found.set(key, { slot: slot.name, installed, expected, pages: step, first });
        else {
          before.pages += step;
          if (first.place < before.first.place) before.first = first;
        }
      }
    }
    return [...found.values()];
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
    this.#state = { ...this.#state, ...facts };
    this.#generation += 1;
    this.#cache.clear();
  }

  #mark(text: string): void {
    const mark = readMark(text);
    if (mark === null) return;
    if (mark.is === 'facts') this.#become(mark.facts);
    else if (mark.is === 'vm') {
      this.#guest = new GuestState();
      this.#slots = this.#facts.slots;
      this.#state = {};
      this.#become({});
    } else {
      const slot = markedSlot(mark, this.#facts.slots, this.#facts.elsewhere);
      if (slot !== null) this.#slots = [slot, ...this.#slots];
    }
  }

  #slotAt(gfn: number): Slot | null {
    const slot = this.#slots.find((s) => gfn >= s.gfnStart && gfn < s.gfnEnd);
    return slot ?? this.#facts.elsewhere;
  }

  #set(batch: EventBatch, i: number): void {
    const hi = batch.valueHi[i] ?? 0;
    const lo = batch.valueLo[i] ?? 0;
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const { kernel, way } = this.#facts;
    const isOlder =
      kernel !== null && (kernel.major < 5 || (kernel.major === 5 && kernel.minor < 13));
    if (spteClass(hi, lo, level, isOlder) !== SPTE.leaf) return;
    this.#entries += 1;
    const moment = momentOf(batch.place[i] ?? 0, batch.time[i] ?? Number.NaN);
    const slot = this.#slotAt(gfn);
    if (slot === null) {
      this.#missing('memslot', gfn, moment);
      return;
    }
    const installed = installedWords(lo, level, way);
    const expected = this.#expectedOr(slot, gfn, moment);
    if (expected === null) return;
    const isRight = expected.includes(installed);
    this.#count(slot.name, installed, !isRight);
    if (isRight && expected.length === 1) this.#predicted += 1;
    else if (isRight) this.#open += 1;
    else {
      this.#mismatched += 1;
      if (this.#mismatches.length >= MISMATCHES_MAX) return;
      const reasons = explainDifference(this.#point(slot, gfn), this.#facts.rules, installed);
      const spte = u64(hi, lo);
      this.#mismatches.push({
        ...moment,
        gfn,
        level,
        spte,
        slot: slot.name,
        installed,
        expected,
        reasons,
      });
    }
  }

  #expectedOr(slot: Slot, gfn: number, moment: Moment | null): readonly string[] | null {
    try {
      return this.#expected(slot, gfn);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      if (moment !== null) this.#missing(error.fact, gfn, moment);
      return null;
    }
  }

  #point(slot: Slot, gfn: number): Point {
    const { way, facts } = this.#facts;
    const cd = this.#guest.cd;
    return {
      way,
      facts: {
        ...facts,
        ...(cd === null ? {} : { 'cr0-cd': cd }),
        ...this.#state,
        ...slot.facts,
      },
      isMmio: slot.isMmio,
      guestMtrr: (rules) => this.#guestMtrr(rules, gfn),
    };
  }

  #guestMtrr({ guestMtrr }: KvmRules, gfn: number): MtrrType | null {
    const { fromReset, maxphyaddr } = this.#facts;
    if (guestMtrr === null || !fromReset) return null;
    if (maxphyaddr === null) throw new Missing('maxphyaddr');
    return this.#guest.compiled(guestMtrr, maxphyaddr).typeOf(gfn);
  }

  /** What the rules give; the same for all pages of a slot, unless a guest MTRR decides. */
  #expected(slot: Slot, gfn: number): readonly string[] {
    const key = `${this.#generation} ${this.#guest.generation} ${slot.gfnStart} ${slot.name}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    let byPage = false;
    const point = this.#point(slot, gfn);
    const noted: Point = {
      ...point,
      guestMtrr: (rules) => {
        byPage = true;
        return point.guestMtrr(rules);
      },
    };
    const expected = [...new Set(this.#facts.rules.map((rules) => leafOf(rules, noted)))];
    if (!byPage) this.#cache.set(key, expected);
    return expected;
  }

  #count(slot: string, installed: string, isWrong: boolean): void {
    const key = rowKey({ slot, installed });
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = { slot, installed, entries: 0, mismatches: 0 };
      this.#rows.set(key, row);
    }
    row.entries += 1;
    if (isWrong) row.mismatches += 1;
  }

  #missing(fact: string, gfn: number, moment: Moment): void {
    const before = this.#unknown.get(fact);
    const entries = (before?.entries ?? 0) + 1;
    this.#unknown.set(
      fact,
      before === undefined ? { fact, entries, first: { ...moment, gfn } } : { ...before, entries },
    );
  }

  #contradictions(): readonly string[] {
    return this.#facts.slots.flatMap((slot) => {
      if (slot.isMmio === null) return [];
      const { facts } = this.#point({ ...slot, isMmio: null }, slot.gfnStart);
      const read = readerOf(facts, () => null);
      try {
        const wrong = this.#facts.rules.filter((rules) => isMmioAt(rules, read) !== slot.isMmio);
        if (wrong.length < this.#facts.rules.length) return [];
      } catch (error) {
        if (error instanceof Missing) return [];
        throw error;
      }
      const says = slot.isMmio ? 'is host MMIO' : 'is no host MMIO';
      return [`${slot.name} ${says} by the facts, and the rules of this kernel say otherwise`];
    });
  }
}

/** Regions that are mapped for sure, outside of SMM, each with the map that it is of. */
function surely(
  vms: readonly AuditVm[],
): readonly { readonly region: AuditRegion; readonly map: GuestMap }[] {
  return vms.flatMap(({ regions, state }) =>
    regions
      .filter(({ asId, sure }) => asId === 0 && sure)
      .map((region) => ({ region, map: state.map(0) })),
  );
}

function rowKey({
  slot,
  installed,
}: {
  readonly slot: string;
  readonly installed: string;
}): string {
  return `${slot}\n${installed}`;
}

function valueAt(batch: EventBatch, i: number): U64 {
  return u64(batch.valueHi[i] ?? 0, batch.valueLo[i] ?? 0);
}
