import { own } from '../base/own.ts';
import { type U64, u64 } from '../base/u64.ts';
import { type EventBatch, KIND } from '../trace/batch.ts';
import { GuestState } from './guest-state.ts';
import { isInstalled, leafWord, SPTE, spteClass, typeMask, WORD } from './leaf-word.ts';
import { momentOf, type PagingVotes } from './paging.ts';
import { GuestMap, type Moment } from './vm-map.ts';

/** Pages that KVM may not make writable, for the host has them read-only: looked at for emulated writes. */
const READ_ONLY_MAX = 65_536;
const WRITE_FAULT = 2;
const LEVELS = 4;
const WORDS = 256;
const CERTAIN = WORD.present | WORD.unsure;

/** Leaves of one kind that kvm_mmu_set_spte printed. */
export interface Installs {
  readonly level: number;
  readonly word: number;
  readonly installs: number;
  readonly first: Moment;
  readonly firstGfn: number;
  readonly firstSpte: U64;
  readonly last: Moment;
}

/** A guest store that KVM carried out through the mapping of the VMM. */
export interface EmulatedWrites {
  readonly count: number;
  readonly first: Moment;
  readonly gfn: number;
}

interface Fault extends Moment {
  readonly gfn: number;
  /** KVM went through the guest's page tables since: it fetched the instruction, to emulate it. */
  walked: boolean;
}

/** What other events say of a fault. */
export const ROLE = { none: 0, walk: 1, mmio: 2 } as const;

const ROLES: Readonly<Record<string, number>> = {
  kvm_mmu_pagetable_walk: ROLE.walk,
  kvm_emulate_insn: ROLE.walk,
  kvm_mmio: ROLE.mmio,
  vcpu_match_mmio: ROLE.mmio,
};

/** The role of each name of a batch. */
export function rolesOf(names: readonly string[]): Uint8Array {
  return Uint8Array.from(names, (name) => own(ROLES, name) ?? ROLE.none);
}

/** What is kept of one VM while a trace is read. */
export class VmState {
  /** By address space: 0, and 1 which is SMM. */
  readonly maps: GuestMap[] = [new GuestMap()];
  readonly guest: GuestState = new GuestState();
  readonly threads = new Set<number>();
  readonly #counts = new Float64Array(LEVELS * WORDS);
  readonly #firsts = new Map<number, Moment & { gfn: number; spte: U64 }>();
  readonly #lastPlace = new Float64Array(LEVELS * WORDS);
  readonly #lastTime = new Float64Array(LEVELS * WORDS);
  readonly #tables = new Map<number, number>();
  readonly #readOnly = new Set<number>();
  readonly #writeFaults = new Map<number, Fault>();
  /** A thread takes away tables that belong to an address space no longer in use. */
  readonly #foreign = new Map<number, { readonly first: number; readonly end: number }>();
  readonly #votes: PagingVotes;
  readonly #lastChanged: { gfn: number; level: number; asId: number } = {
    gfn: -1,
    level: 0,
    asId: 0,
  };
  #lastTid = -1;
  events = 0;
  /** Leaves that kvm_mmu_set_spte printed; as long as there is none, those that kvm_tdp_mmu_spte_changed did. */
  sptes = 0;
  /** kvm_mmu_set_spte printed a leaf. */
  hasSet = false;
  mmioMarked = 0;
  mmioFaults = 0;
  removals = 0;
  tornDown = 0;
  zapAll: { times: number; last: Moment | null } = { times: 0, last: null };
  /** Tables that are not known belong to an address space that is no longer in use. */
  #oldTables = false;
  emulated: EmulatedWrites | null = null;
  /** Entries that were there already when the trace says that nothing was: several VMs, or lost events. */
  contradictions: { count: number; first: Moment } | null = null;

  constructor(votes: PagingVotes) {
    this.#votes = votes;
  }

  get mask(): number {
    return typeMask(this.#votes.isEpt ?? true);
  }

  map(asId: number): GuestMap {
    const id = asId === 1 ? 1 : 0;
    const known = this.maps[id];
    if (known !== undefined) return known;
    const map = new GuestMap();
    this.maps[id] = map;
    return map;
  }

  get installs(): readonly Installs[] {
    const found: Installs[] = [];
    for (let i = 0; i < this.#counts.length; i += 1) {
      const installs = this.#counts[i] ?? 0;
      const first = this.#firsts.get(i);
      if (installs === 0 || first === undefined) continue;
      const last = momentOf(this.#lastPlace[i] ?? 0, this.#lastTime[i] ?? Number.NaN);
      const { place, time, gfn, spte } = first;
      const level = Math.floor(i / WORDS);
      const word = i % WORDS;
      found.push({
        level,
        word,
        installs,
        first: { place, time },
        firstGfn: gfn,
        firstSpte: spte,
        last,
      });
    }
    return found;
  }

  doubt(): void {
    for (const map of this.maps) map.doubt();
    this.#tables.clear();
    this.#oldTables = false;
    this.#writeFaults.clear();
  }

  /** Takes event `i` of a batch; what is no event of a VM is passed over. */
  take(batch: EventBatch, i: number): void {
    this.events += 1;
    const tid = batch.tid[i] ?? -1;
    if (tid !== this.#lastTid) {
      this.#lastTid = tid;
      if (tid >= 0) this.threads.add(tid);
    }
    const kind: number = batch.kind[i] ?? 0;
    switch (kind) {
      case KIND.set:
        this.#set(batch, i);
        break;
      case KIND.changed:
        this.#change(batch, i);
        break;
      case KIND.zapPage:
        this.#zapPage(batch, i);
        break;
      case KIND.zapAll:
        this.#zapAll(momentAt(batch, i));
        break;
      case KIND.mmioMarked:
        this.mmioMarked += 1;
        this.#writeFaults.delete(tid);
        break;
      case KIND.mmioFault:
        this.mmioFaults += 1;
        this.#writeFaults.delete(tid);
        break;
      case KIND.msr:
        if ((batch.flags[i] ?? 0) === 1 && GuestState.keeps(batch.key[i] ?? 0))
          this.guest.wrote(batch.key[i] ?? 0, valueAt(batch, i), momentAt(batch, i));
        break;
      case KIND.cr:
        if ((batch.flags[i] ?? 0) === 1 && batch.key[i] === 0)
          this.guest.wroteCr0(valueAt(batch, i), momentAt(batch, i));
        break;
      case KIND.pageFault:
        this.#fault(batch, i, tid);
        break;
      default:
        break;
    }
  }

  #set(batch: EventBatch, i: number): void {
    const hi = batch.valueHi[i] ?? 0;
    const lo = batch.valueLo[i] ?? 0;
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const place = batch.place[i] ?? 0;
    const time = batch.time[i] ?? Number.NaN;
    this.#votes.leaf(hi, lo, place, time);
    if (spteClass(hi, lo, level, this.#votes.olderLayout) !== SPTE.leaf) return;
    if (!this.hasSet) this.#restart();
    this.#count(batch, i);
    const { gfn: lastGfn, level: lastLevel, asId } = this.#lastChanged;
    const map = this.map(lastGfn === gfn && lastLevel === level ? asId : 0);
    map.set(level, gfn, leafWord(lo, level), this.mask, place, time);
    this.#installed(gfn, hi, lo, batch.tid[i] ?? -1);
  }

  /** What kvm_tdp_mmu_spte_changed printed is printed by kvm_mmu_set_spte, too: it is not counted twice. */
  #restart(): void {
    this.hasSet = true;
    this.sptes = 0;
    this.#counts.fill(0);
    this.#firsts.clear();
  }

  #count(batch: EventBatch, i: number): void {
    const hi = batch.valueHi[i] ?? 0;
    const lo = batch.valueLo[i] ?? 0;
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const place = batch.place[i] ?? 0;
    const time = batch.time[i] ?? Number.NaN;
    this.sptes += 1;
    const word = leafWord(lo, level);
    const index = level * WORDS + word;
    if ((this.#counts[index] ?? 0) === 0)
      this.#firsts.set(index, { ...momentOf(place, time), gfn, spte: u64(hi, lo) });
    this.#lastPlace[index] = place;
    this.#lastTime[index] = time;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  #installed(gfn: number, hi: number, lo: number, tid: number): void {
    if (this.#writeFaults.size > 0 && this.#writeFaults.get(tid)?.gfn === gfn)
      this.#writeFaults.delete(tid);
    const isHostWritable =
      (lo & 2) !== 0 ||
      (this.#votes.isEpt === true ? (hi & 0x0220_0000) !== 0 : (lo & 0x200) !== 0) ||
      (this.#votes.olderLayout && (lo & 0x400) !== 0);
    if (isHostWritable) {
      if (this.#readOnly.size > 0) this.#readOnly.delete(gfn);
    } else if (this.#readOnly.size < READ_ONLY_MAX) this.#readOnly.add(gfn);
  }

  #change(batch: EventBatch, i: number): void {
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const place = batch.place[i] ?? 0;
    const time = batch.time[i] ?? Number.NaN;
    const hi = batch.valueHi[i] ?? 0;
    const lo = batch.valueLo[i] ?? 0;
    const older = this.#votes.olderLayout;
    this.#votes.tdp ??= momentOf(place, time);
    const now = spteClass(hi, lo, level, older);
    if (now === SPTE.frozen) this.#votes.frozen(hi, lo, place, time);
    const was = spteClass(batch.beforeHi[i] ?? 0, batch.beforeLo[i] ?? 0, level, older);
    if (!this.hasSet) this.#vote(batch, i, now, was);
    const asId = batch.flags[i] ?? 0;
    const map = this.map(asId);
    if (now === SPTE.leaf) {
      if (!this.hasSet && isInstalled(batch, i, older)) this.#count(batch, i);
      if (was === SPTE.table) map.removeTable(level - 1, gfn);
      const old = map.set(level, gfn, leafWord(lo, level), this.mask, place, time);
      if (was === SPTE.empty && (old & CERTAIN) === WORD.present)
        this.#contradicted(momentOf(place, time));
      this.#lastChanged.gfn = gfn;
      this.#lastChanged.level = level;
      this.#lastChanged.asId = asId;
      return;
    }
    if (now === SPTE.table) {
      this.#tables.set(tableKey(asId, level, gfn), tableFrame(hi, lo));
      if (was === SPTE.leaf) map.split(level, gfn, this.mask, place, time);
      return;
    }
    this.#removed(batch, i, was, map);
  }

  /** As long as kvm_mmu_set_spte is not there: what is taken away may tell the paging mode, too. */
  #vote(batch: EventBatch, i: number, now: number, was: number): void {
    const place = batch.place[i] ?? 0;
    const time = batch.time[i] ?? Number.NaN;
    const hi = batch.valueHi[i] ?? 0;
    const lo = batch.valueLo[i] ?? 0;
    const beforeLo = batch.beforeLo[i] ?? 0;
    if (now === SPTE.leaf) this.#votes.leaf(hi, lo, place, time);
    else if (was === SPTE.leaf) this.#votes.leaf(batch.beforeHi[i] ?? 0, beforeLo, place, time);
    else if (now === SPTE.table) this.#votes.table(lo, place, time);
    else if (was === SPTE.table) this.#votes.table(beforeLo, place, time);
  }

  /** The page was taken away, or frozen while it is. */
  #removed(batch: EventBatch, i: number, was: number, map: GuestMap): void {
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const tid = batch.tid[i] ?? -1;
    if (was === SPTE.table) {
      const key = tableKey(batch.flags[i] ?? 0, level, gfn);
      const before = tableFrame(batch.beforeHi[i] ?? 0, batch.beforeLo[i] ?? 0);
      const known = this.#tables.get(key);
      const isForeign = known === undefined ? this.#oldTables : known !== before;
      if (isForeign) {
        const inside = this.#foreign.get(tid);
        const end = gfn + 512 ** (level - 1);
        if (inside === undefined || gfn < inside.first || gfn >= inside.end)
          this.#foreign.set(tid, { first: gfn, end });
        return;
      }
      this.#foreign.delete(tid);
      this.#tables.delete(key);
      map.removeTable(level - 1, gfn);
    }
    const foreign = this.#foreign.get(tid);
    if (foreign !== undefined && gfn >= foreign.first && gfn < foreign.end) {
      this.tornDown += 1;
      return;
    }
    if (was !== SPTE.leaf) return;
    this.removals += 1;
    map.remove(level, gfn);
  }

  #zapPage(batch: EventBatch, i: number): void {
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    this.#votes.zapped(level, gfn, batch.place[i] ?? 0, batch.time[i] ?? Number.NaN);
    // The TDP MMU prints each entry as well; the page of a shadow table says nothing of guest pages.
    if (this.#votes.tdp !== null || this.#votes.shadow !== null) return;
    if (level >= 1 && level <= 3) this.removals += this.map(0).removeTable(level, gfn);
  }

  #zapAll(moment: Moment): void {
    this.zapAll = { times: this.zapAll.times + 1, last: moment };
    for (const map of this.maps) this.removals += map.clear();
    this.#tables.clear();
    this.#oldTables = true;
    this.#readOnly.clear();
  }

  /** Another event of this thread, which says what became of its fault. */
  aside(tid: number, role: number): void {
    const fault = this.#writeFaults.get(tid);
    if (fault === undefined) return;
    if (role === ROLE.walk) fault.walked = true;
    if (role === ROLE.mmio) this.#writeFaults.delete(tid);
  }

  #fault(batch: EventBatch, i: number, tid: number): void {
    const gfn = Math.floor((batch.key[i] ?? 0) / 4096);
    if (this.#writeFaults.size > 0) {
      const pending = this.#writeFaults.get(tid);
      this.#writeFaults.delete(tid);
      if (pending?.walked === true) this.#emulated(pending);
    }
    if (((batch.valueLo[i] ?? 0) & WRITE_FAULT) === 0) return;
    // Shadow paging goes through the tables of the guest at every fault.
    if (this.#votes.shadow !== null || this.#votes.tdp === null) return;
    if (this.map(0).lookup(gfn) !== 0 && !this.#readOnly.has(gfn)) return;
    this.#writeFaults.set(tid, { gfn, ...momentAt(batch, i), walked: false });
  }

  /** At the end of the trace: faults that were on the way to be emulated. */
  settle(): void {
    for (const fault of this.#writeFaults.values()) if (fault.walked) this.#emulated(fault);
    this.#writeFaults.clear();
  }

  #emulated({ gfn, place, time }: Fault): void {
    const count = (this.emulated?.count ?? 0) + 1;
    this.emulated =
      this.emulated === null ? { count, gfn, first: { place, time } } : { ...this.emulated, count };
  }

  #contradicted(moment: Moment): void {
    const count = (this.contradictions?.count ?? 0) + 1;
    this.contradictions = { count, first: this.contradictions?.first ?? moment };
  }
}

export function momentAt(batch: EventBatch, i: number): Moment {
  return momentOf(batch.place[i] ?? 0, batch.time[i] ?? Number.NaN);
}

function valueAt(batch: EventBatch, i: number): { hi: number; lo: number } {
  return u64(batch.valueHi[i] ?? 0, batch.valueLo[i] ?? 0);
}

function tableKey(asId: number, level: number, gfn: number): number {
  return gfn * 16 + (asId & 1) * 8 + level;
}

/** Bits 51 to 12 of an entry. */
function tableFrame(hi: number, lo: number): number {
  return (hi & 0xf_ffff) * 2 ** 20 + Math.floor(lo / 4096);
}
