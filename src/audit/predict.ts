import { type U64, u64 } from '../base/u64.ts';
import { isMmioAt } from '../compare/space/access.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { editionsOf } from '../kvm/spte-editions.ts';
import { type EventBatch, KIND } from '../trace/batch.ts';
import type { MtrrType } from '../x86/types.ts';
import type { AuditRegion, AuditVm } from './audit.ts';
import { explainDifference } from './difference.ts';
import { editionSet, LAYOUT_A } from './editions.ts';
import { GuestState } from './guest-state.ts';
import { isInstalled, SPTE, spteClass } from './leaf-word.ts';
import { PageSet } from './page-set.ts';
import { momentOf } from './paging.ts';
import { installedWords, leafOf, leafWords, Missing, type Point, readerOf } from './point.ts';
import type { PredictFacts, Slot } from './predict-facts.ts';
import { TimedFacts } from './timed-facts.ts';
import { momentAt } from './vm.ts';
import type { GuestMap, Moment } from './vm-map.ts';
import type { VmId } from './vms.ts';

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
  /** Present leaves that kvm_mmu_set_spte printed; without such, those of kvm_tdp_mmu_spte_changed. */
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
  readonly vm: VmId;
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

/** What was found up to here. */
class Tally {
  readonly rows = new Map<string, { slot: string; installed: string } & Counted>();
  readonly unknown = new Map<string, Unknown>();
  readonly mismatches: Mismatch[] = [];
  entries = 0;
  predicted = 0;
  open = 0;
  mismatched = 0;

  count(slot: string, installed: string, isWrong: boolean): void {
    const key = rowKey({ slot, installed });
    let row = this.rows.get(key);
    if (row === undefined) {
      row = { slot, installed, entries: 0, mismatches: 0 };
      this.rows.set(key, row);
    }
    row.entries += 1;
    if (isWrong) row.mismatches += 1;
  }

  missing(fact: string, gfn: number, moment: Moment): void {
    const before = this.unknown.get(fact);
    const entries = (before?.entries ?? 0) + 1;
    this.unknown.set(
      fact,
      before === undefined ? { fact, entries, first: { ...moment, gfn } } : { ...before, entries },
    );
  }
}

/** Says of each entry of a trace what it has to be, from facts that stand beside it. */
export class Predictor {
  readonly #facts: PredictFacts;
  #tally = new Tally();
  /** kvm_mmu_set_spte printed a leaf: what kvm_tdp_mmu_spte_changed prints is the same once more. */
  #hasSet = false;
  readonly #cache = new Map<string, readonly string[]>();
  readonly #timed: TimedFacts;
  /** What is mapped there was not as the facts gave it when it was installed, or that is not known. */
  #notRight = new PageSet();
  #guest = new GuestState();
  /** Bit 11 does not say "present". */
  readonly #isOlder: boolean;
  /** Of the facts that `#cache` is for, and the VM. */
  #generation = 0;
  #vms = 0;

  constructor(facts: PredictFacts) {
    const { kernel } = facts;
    this.#facts = facts;
    this.#isOlder = kernel !== null && (editionSet(editionsOf(kernel)) & ~LAYOUT_A) === 0;
    this.#timed = new TimedFacts(facts);
  }

  push(batch: EventBatch): void {
    for (let i = 0; i < batch.count; i += 1) {
      this.#timed.see(batch, i);
      if (this.#generation !== this.#timed.generation) this.#become();
      const kind: number = batch.kind[i] ?? 0;
      if (!this.#timed.isOf(batch.tgid[i] ?? -1)) continue;
      if (kind === KIND.set) this.#set(batch, i);
      else if (kind === KIND.changed && !this.#hasSet) this.#changed(batch, i);
      else if (kind === KIND.msr && batch.flags[i] === 1)
        this.#guest.wrote(batch.key[i] ?? 0, valueAt(batch, i), momentAt(batch, i));
      else if (kind === KIND.cr && batch.flags[i] === 1 && batch.key[i] === 0)
        this.#guest.wroteCr0(valueAt(batch, i), momentAt(batch, i));
    }
  }

  result(): Prediction {
    const { entries, predicted, open, mismatched, mismatches, unknown, rows } = this.#tally;
    return {
      entries,
      predicted,
      open,
      mismatched,
      mismatches,
      unknown: [...unknown.values()],
      rows: [...rows.values()].sort((a, b) => (rowKey(a) < rowKey(b) ? -1 : 1)),
      contradictions: this.#contradictions(),
    };
  }

  /**
   * What is mapped, was what the facts gave when it was installed, and is not what they give now: KVM did not
   * zap it when they changed. Pages of SMM and those that events were lost of are passed over.
   */
  standing(vms: readonly AuditVm[]): readonly Standing[] {
    const found = new Map<string, { -readonly [K in keyof Standing]: Standing[K] }>();
    const { vm: own } = this.#facts;
    const asked = vms.filter(({ id }) => own === null || id === own);
    for (const { vm, region, map } of surely(asked)) {
      const step = 512 ** (region.level - 1);
      const installed = leafWords(region, this.#facts.way);
      for (let gfn = region.gfnStart; gfn < region.gfnEnd; gfn += step) {
        if (this.#notRight.has(gfn)) continue;
        const slot = this.#timed.slotAt(gfn);
        const expected = slot === null ? null : this.#expectedOr(slot, gfn, null);
        if (slot === null || expected === null || expected.includes(installed)) continue;
        const key = `${vm} ${rowKey({ slot: slot.name, installed })}`;
        const before = found.get(key);
        const first = { ...(map.since(region.level, gfn) ?? region.since), gfn };
        if (before === undefined)
          found.set(key, { vm, slot: slot.name, installed, expected, pages: step, first });
        else {
          before.pages += step;
          if (first.place < before.first.place) before.first = first;
        }
      }
    }
    return [...found.values()];
  }

  /** The facts are others than they were, or another VM begins. */
  #become(): void {
    this.#cache.clear();
    this.#generation = this.#timed.generation;
    if (this.#vms === this.#timed.vms) return;
    this.#vms = this.#timed.vms;
    this.#guest = new GuestState();
    this.#notRight = new PageSet();
  }

  #changed(batch: EventBatch, i: number): void {
    if (isInstalled(batch, i, this.#isOlder)) this.#entry(batch, i);
  }

  #set(batch: EventBatch, i: number): void {
    const [hi, lo] = [batch.valueHi[i] ?? 0, batch.valueLo[i] ?? 0];
    if (spteClass(hi, lo, batch.level[i] ?? 0, this.#isOlder) !== SPTE.leaf) return;
    if (!this.#hasSet) this.#tally = new Tally();
    this.#hasSet = true;
    this.#entry(batch, i);
  }

  #entry(batch: EventBatch, i: number): void {
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const isRight = this.#judge(batch, i, level, gfn);
    const pages = 512 ** (level - 1);
    const first = gfn - (gfn % pages);
    if (isRight) this.#notRight.remove(first, pages);
    else this.#notRight.add(first, pages);
  }

  /** True: the entry is what the facts give. */
  #judge(batch: EventBatch, i: number, level: number, gfn: number): boolean {
    const tally = this.#tally;
    tally.entries += 1;
    const moment = momentOf(batch.place[i] ?? 0, batch.time[i] ?? Number.NaN);
    const slot = this.#timed.slotAt(gfn);
    if (slot === null) {
      tally.missing('memslot', gfn, moment);
      return false;
    }
    const spte = valueAt(batch, i);
    const installed = installedWords(spte.lo, level, this.#facts.way);
    const expected = this.#expectedOr(slot, gfn, moment);
    if (expected === null) return false;
    const isRight = expected.includes(installed);
    tally.count(slot.name, installed, !isRight);
    if (isRight && expected.length === 1) tally.predicted += 1;
    else if (isRight) tally.open += 1;
    else {
      tally.mismatched += 1;
      if (tally.mismatches.length >= MISMATCHES_MAX) return false;
      const point = this.#point(slot, gfn);
      const reasons = explainDifference(point, this.#facts.rules, installed, spte);
      const entry = { gfn, level, spte, slot: slot.name, installed };
      tally.mismatches.push({ ...moment, ...entry, expected, reasons });
    }
    return isRight;
  }

  #expectedOr(slot: Slot, gfn: number, moment: Moment | null): readonly string[] | null {
    try {
      return this.#expected(slot, gfn);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      if (moment !== null) this.#tally.missing(error.fact, gfn, moment);
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
        ...this.#timed.state,
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
): readonly { readonly vm: VmId; readonly region: AuditRegion; readonly map: GuestMap }[] {
  return vms.flatMap(({ id, regions, state }) =>
    regions
      .filter(({ asId, sure }) => asId === 0 && sure)
      .map((region) => ({ vm: id, region, map: state.map(0) })),
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
