import type { KernelVersion } from '../linux/version.ts';
import { type EventBatch, KIND } from '../trace/batch.ts';
import {
  isInstalled,
  type LeafType,
  leafType,
  leafWord,
  SPTE,
  spteClass,
  typeMask,
} from './leaf-word.ts';
import { type AuditPaging, PagingVotes } from './paging.ts';
import type { VmState } from './vm.ts';
import { type VmId, VmSorter, type VmSources } from './vms.ts';

/** Entries of one type and level, installed without a longer pause between them. */
export interface Stretch {
  readonly is: 'stretch';
  readonly vm: VmId;
  readonly type: LeafType;
  readonly level: number;
  /** Seconds, or numbers of events where the trace has no clock. */
  readonly start: number;
  readonly end: number;
  readonly installs: number;
  /** Of this type and level since the begin of the trace. */
  readonly total: number;
  readonly place: number;
  readonly firstGfn: number;
  readonly lastGfn: number;
}

/** Something that happened at once. */
export interface Happening {
  readonly is: 'zap all' | 'lost events' | 'register';
  /** Null for lost events, too: they are of all VMs. */
  readonly vm: VmId;
  readonly at: number;
  readonly place: number;
  /** How many were lost, -1: not said; or the MSR, 0 for CR0. */
  readonly key: number;
  readonly hi: number;
  readonly lo: number;
}

export interface StretchOptions extends VmSources {
  readonly paging?: AuditPaging | null;
  readonly kernel?: KernelVersion | null;
  readonly emit: (event: Stretch | Happening) => void;
}

/** A longer pause ends a stretch, seconds. */
export const PAUSE = 0.001;

interface Open {
  readonly vm: VmId;
  readonly word: number;
  readonly level: number;
  start: number;
  end: number;
  installs: number;
  total: number;
  place: number;
  firstGfn: number;
  lastGfn: number;
}

const PAT_MSR = 0x277;

function isTypeRegister(msr: number): boolean {
  const isFixed = msr === 0x250 || msr === 0x258 || msr === 0x259 || (msr >= 0x268 && msr < 0x270);
  return msr === PAT_MSR || msr === 0x2ff || isFixed || (msr >= 0x200 && msr < 0x220);
}

/** What a trace shows over time, as it is read: memory grows with the kinds of entries, not with the trace. */
export class Stretches {
  readonly #votes: PagingVotes;
  readonly #sorter: VmSorter;
  readonly #emit: StretchOptions['emit'];
  readonly #ids = new Map<VmState, VmId>();
  readonly #open = new Map<string, Open>();
  #hasSet = false;
  #events = 0;
  #isTimed: boolean | null = null;
  #time = 0;

  constructor({ paging = null, kernel = null, emit, ...sources }: StretchOptions) {
    this.#votes = new PagingVotes(paging, kernel);
    this.#sorter = new VmSorter(this.#votes, sources);
    this.#emit = emit;
  }

  /** False: the first event has no time, and the numbers of events are taken. */
  get isTimed(): boolean {
    return this.#isTimed ?? true;
  }

  push(batch: EventBatch): void {
    for (let i = 0; i < batch.count; i += 1) {
      this.#events += 1;
      const kind: number = batch.kind[i] ?? 0;
      const time = batch.time[i] ?? Number.NaN;
      if (kind !== KIND.lost) this.#isTimed ??= !Number.isNaN(time);
      // An event without a time, of a trace that has them, is taken to be at once with the one before.
      if (this.isTimed) this.#time = Number.isNaN(time) ? this.#time : time;
      else this.#time = this.#events;
      if (kind === KIND.set || this.#standsIn(batch, i)) this.#set(batch, i);
      else if (kind === KIND.lost) this.#happened('lost events', null, batch, i);
      else if (kind === KIND.zapAll) this.#happened('zap all', this.#vmOf(batch, i), batch, i);
      else if (this.#isRegister(batch, i, kind))
        this.#happened('register', this.#vmOf(batch, i), batch, i);
    }
  }

  /** There is no more. */
  end(): void {
    for (const open of this.#open.values()) this.#close(open);
    this.#open.clear();
  }

  #isRegister(batch: EventBatch, i: number, kind: number): boolean {
    if (batch.flags[i] !== 1) return false;
    const key = batch.key[i] ?? 0;
    return kind === KIND.msr ? isTypeRegister(key) : kind === KIND.cr && key === 0;
  }

  #vmOf(batch: EventBatch, i: number): VmId {
    const state = this.#sorter.vmOf(batch, i);
    if (state === null) return null;
    if (!this.#ids.has(state)) for (const [id, known] of this.#sorter.vms) this.#ids.set(known, id);
    return this.#ids.get(state) ?? null;
  }

  /** kvm_tdp_mmu_spte_changed counts as long as there is no kvm_mmu_set_spte, which prints the same once more. */
  #standsIn(batch: EventBatch, i: number): boolean {
    if (this.#hasSet || batch.kind[i] !== KIND.changed) return false;
    return isInstalled(batch, i, this.#votes.olderLayout);
  }

  #set(batch: EventBatch, i: number): void {
    if (!this.#hasSet && batch.kind[i] === KIND.set) {
      this.#hasSet = true;
      this.#open.clear();
    }
    const hi = batch.valueHi[i] ?? 0;
    const lo = batch.valueLo[i] ?? 0;
    const level = batch.level[i] ?? 0;
    const place = batch.place[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    this.#votes.leaf(hi, lo, place, this.#time);
    if (spteClass(hi, lo, level, this.#votes.olderLayout) !== SPTE.leaf) return;
    const vm = this.#vmOf(batch, i);
    const word = leafWord(lo, level) & typeMask(this.#votes.isEpt ?? true);
    const key = `${vm} ${word} ${level}`;
    const now = this.#time;
    let open = this.#open.get(key);
    const pause = this.isTimed ? PAUSE : 1;
    if (open !== undefined && Math.abs(now - open.end) > pause) {
      this.#close(open);
      open.start = now;
      open.installs = 0;
      open.place = place;
      open.firstGfn = gfn;
    }
    if (open === undefined) {
      const from = { start: now, end: now, installs: 0, total: 0, place };
      open = { vm, word, level, ...from, firstGfn: gfn, lastGfn: gfn };
      this.#open.set(key, open);
    }
    // CPUs that print at the same time may do so out of order.
    open.end = Math.max(open.end, now);
    open.installs += 1;
    open.total += 1;
    open.lastGfn = gfn;
  }

  #close({ word, ...open }: Open): void {
    const { isEpt, isMixed } = this.#votes;
    this.#emit({ is: 'stretch', ...open, type: leafType(word, isEpt ?? true, isMixed) });
  }

  #happened(is: Happening['is'], vm: VmId, batch: EventBatch, i: number): void {
    const isCr = batch.kind[i] === KIND.cr;
    this.#emit({
      is,
      vm,
      at: this.#time,
      place: batch.place[i] ?? 0,
      key: isCr ? 0 : (batch.key[i] ?? 0),
      hi: batch.valueHi[i] ?? 0,
      lo: batch.valueLo[i] ?? 0,
    });
  }
}
