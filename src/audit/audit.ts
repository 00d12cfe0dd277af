import type { U64 } from '../base/u64.ts';
import type { KernelVersion } from '../linux/version.ts';
import { type EventBatch, KIND } from '../trace/batch.ts';
import type { MtrrType } from '../x86/types.ts';
import { type Backwards, Clock } from './clock.ts';
import { HostJoin, type HostPages, type JoinRow, ONLY_SLOTS } from './host-pages.ts';
import { isInstalled, type LeafType, leafType, typeMask, WORD } from './leaf-word.ts';
import { type AuditPaging, PagingVotes } from './paging.ts';
import type { PredictFacts } from './predict-facts.ts';
import { type Refuted, refutedBy, type Said } from './said.ts';
import { pageKindOf, TimedFacts } from './timed-facts.ts';
import type { EmulatedWrites, Installs, VmState } from './vm.ts';
import { momentAt, ROLE, rolesOf } from './vm.ts';
import type { Moment, Region } from './vm-map.ts';
import { type ToldBy, type VmId, VmSorter, type VmSources } from './vms.ts';

export interface AuditOptions extends VmSources {
  /** Null or absent: inferred from the entries. */
  readonly paging?: AuditPaging | null;
  readonly kernel?: KernelVersion | null;
  /** What the host knows of its page frames; null or absent: it was not asked. */
  readonly host?: HostPages | null;
  /** What the memslots have, where the host does not know better; null or absent: it is not said. */
  readonly facts?: PredictFacts | null;
  /** By whom `paging`, `kernel` and more was said: what the entries contradict is told. */
  readonly said?: readonly Said[];
}

/** Leaves that kvm_mmu_set_spte printed as present; of a VM without such those of kvm_tdp_mmu_spte_changed. */
export interface AuditCount {
  readonly paging: AuditPaging | null;
  /** Null: of NPT and shadow paging, and a reserved type. */
  readonly memtype: MtrrType | null;
  readonly ipat: boolean | null;
  /** Of NPT and shadow paging; 0 in every kernel. */
  readonly patIndex: number | null;
  readonly level: number;
  readonly installs: number;
  readonly first: Moment;
  readonly firstGfn: number;
  readonly firstSpte: U64;
  readonly last: Moment;
}

export interface AuditRegion {
  readonly gfnStart: number;
  /** The first page behind it. */
  readonly gfnEnd: number;
  /** 1: system management mode. */
  readonly asId: number;
  readonly memtype: MtrrType | null;
  readonly ipat: boolean | null;
  readonly patIndex: number | null;
  readonly level: number;
  readonly writable: boolean;
  /** False: events were lost since, it may have changed. */
  readonly sure: boolean;
  readonly since: Moment;
  readonly until: Moment;
  readonly changes: number;
  readonly before: { readonly memtype: MtrrType | null; readonly ipat: boolean | null } | null;
}

/** Events that the kernel lost, or that are not there. */
export interface Gap extends Moment {
  /** Null: the kernel does not say how many. */
  readonly lost: number | null;
}

export interface AuditVm {
  readonly id: VmId;
  readonly events: number;
  readonly sptes: number;
  readonly threads: number;
  readonly counts: readonly AuditCount[];
  readonly regions: readonly AuditRegion[];
  readonly state: VmState;
  readonly join: readonly JoinRow[];
  readonly emulated: EmulatedWrites | null;
}

/** What is in a trace. */
export interface AuditResult {
  readonly events: number;
  readonly sptes: number;
  readonly paging: AuditPaging | null;
  readonly votes: PagingVotes;
  readonly told: ToldBy;
  /** Changes of entries that are of no VM that is known. */
  readonly ambiguous: number;
  /** So many VMs there are at least, by the names of threads; 0: they do not say. */
  readonly least: number;
  readonly vms: readonly AuditVm[];
  /** Of all VMs. */
  readonly counts: readonly AuditCount[];
  readonly gaps: readonly Gap[];
  /** All of them; `gaps` has the first ones. */
  readonly gapCount: number;
  readonly lost: number;
  readonly unreadable: readonly Unreadable[];
  readonly unreadableCount: number;
  /** Names of other events, with how many there were. */
  readonly others: ReadonlyMap<string, number>;
  /** Bytes of the maps. */
  readonly bytes: number;
  readonly backwards: Backwards | null;
  readonly said: readonly Said[];
  readonly refuted: readonly Refuted[];
}

export interface Unreadable extends Moment {
  readonly name: string;
}

/** Gaps and unreadable events that are kept with their place; all are counted. */
export const PLACES_MAX = 64;
/** Names of other events that are kept. */
const NAMES_MAX = 1024;
function isVmEvent(kind: number): boolean {
  return kind <= KIND.exit;
}

/** Takes batches in the order of the trace; memory grows with the guests, not with the trace. */
export class Audit {
  readonly #votes: PagingVotes;
  readonly #sorter: VmSorter;
  readonly #joins = new Map<VmState, HostJoin>();
  readonly #host: HostPages | null;
  readonly #facts: TimedFacts | null;
  readonly #said: readonly Said[];
  readonly #gaps: Gap[] = [];
  readonly #unreadable: Unreadable[] = [];
  readonly #others = new Map<string, number>();
  #events = 0;
  #gapCount = 0;
  #lost = 0;
  #unreadableCount = 0;
  readonly #clock = new Clock();

  constructor(options: AuditOptions = {}) {
    this.#votes = new PagingVotes(options.paging ?? null, options.kernel ?? null);
    this.#sorter = new VmSorter(this.#votes, options);
    const { facts = null, said = [] } = options;
    this.#facts = facts === null ? null : new TimedFacts(facts);
    this.#host = options.host ?? facts?.host ?? (facts === null ? null : ONLY_SLOTS);
    this.#said = said;
  }

  push(batch: EventBatch): void {
    const roles = rolesOf(batch.names);
    const others = new Float64Array(batch.names.length);
    for (let i = 0; i < batch.count; i += 1) {
      const kind = batch.kind[i] ?? 0;
      this.#events += 1;
      this.#clock.take(batch, i);
      this.#facts?.see(batch, i);
      if (!isVmEvent(kind)) {
        if (kind === KIND.other) {
          const key = batch.key[i] ?? 0;
          others[key] = (others[key] ?? 0) + 1;
          const role = roles[key] ?? ROLE.none;
          if (role !== ROLE.none) this.#sorter.known(batch, i)?.aside(batch.tid[i] ?? -1, role);
        } else this.#aside(batch, i, kind);
        continue;
      }
      const vm = this.#sorter.vmOf(batch, i);
      if (vm === null) continue;
      const { hasSet } = vm;
      vm.take(batch, i);
      if (this.#host === null) continue;
      if (hasSet !== vm.hasSet) this.#joins.delete(vm);
      if (this.#isEntry(batch, i, vm.hasSet)) this.#join(vm, this.#host, batch, i);
    }
    this.#countOthers(batch.names, others);
  }

  #countOthers(names: readonly string[], counts: Float64Array): void {
    for (const [key, name] of names.entries()) {
      const count = counts[key] ?? 0;
      const before = this.#others.get(name);
      if (count === 0 || (before === undefined && this.#others.size >= NAMES_MAX)) continue;
      this.#others.set(name, (before ?? 0) + count);
    }
  }

  #join(vm: VmState, host: HostPages, batch: EventBatch, i: number): void {
    let join = this.#joins.get(vm);
    if (join === undefined) {
      join = new HostJoin(host);
      this.#joins.set(vm, join);
    }
    const isOf = this.#facts?.isOf(batch.tgid[i] ?? -1) === true;
    const slot = isOf ? (this.#facts?.slotAt(batch.key[i] ?? 0) ?? null) : null;
    join.take(batch, i, slot === null ? null : pageKindOf(slot));
  }

  /** A page is mapped, and this event is the one that counts for it. */
  #isEntry(batch: EventBatch, i: number, hasSet: boolean): boolean {
    if (batch.kind[i] === KIND.set) return true;
    return (
      !hasSet && batch.kind[i] === KIND.changed && isInstalled(batch, i, this.#votes.olderLayout)
    );
  }

  #aside(batch: EventBatch, i: number, kind: number): void {
    const key = batch.key[i] ?? 0;
    if (kind === KIND.lost) {
      this.#gapCount += 1;
      const lost = key < 0 ? null : key;
      this.#lost += lost ?? 0;
      if (this.#gaps.length < PLACES_MAX) this.#gaps.push({ ...momentAt(batch, i), lost });
      for (const vm of this.#sorter.vms.values()) vm.doubt();
    } else if (kind === KIND.unreadable) {
      this.#unreadableCount += 1;
      const name = batch.names[key] ?? '';
      if (this.#unreadable.length < PLACES_MAX)
        this.#unreadable.push({ ...momentAt(batch, i), name });
    }
  }

  /** What the trace has shown up to here. */
  result(): AuditResult {
    for (const state of this.#sorter.vms.values()) state.settle();
    const paging = this.#votes.paging;
    const refuted = refutedBy(this.#votes, this.#said);
    const isOther = refuted.some(({ by, what }) => by !== 'options' && what === 'paging');
    const isJoined = !isOther && !refuted.some(({ by }) => by === 'capture');
    const vms = [...this.#sorter.vms]
      .filter(([, state]) => state.events > 0)
      .sort(([a], [b]) => (a ?? -1) - (b ?? -1))
      .map(([id, state]) => this.#vm(id, state, paging, isJoined));
    return {
      events: this.#events,
      sptes: vms.reduce((sum, vm) => sum + vm.sptes, 0),
      paging,
      votes: this.#votes,
      told: this.#sorter.told,
      ambiguous: this.#sorter.ambiguous,
      least: this.#sorter.least,
      vms,
      counts: merged(vms.flatMap((vm) => vm.counts)),
      gaps: this.#gaps,
      gapCount: this.#gapCount,
      lost: this.#lost,
      unreadable: this.#unreadable,
      unreadableCount: this.#unreadableCount,
      others: this.#others,
      bytes: vms.reduce((sum, vm) => sum + vm.state.maps.reduce((n, map) => n + map.bytes, 0), 0),
      backwards: this.#clock.backwards,
      said: this.#said,
      refuted,
    };
  }

  /** @param isJoined what is known of the host is of the host that was traced */
  #vm(id: VmId, state: VmState, paging: AuditPaging | null, isJoined: boolean): AuditVm {
    const { isMixed } = this.#votes;
    const isEpt = this.#votes.isEpt ?? true;
    const typeOf = (word: number): LeafType => leafType(word, isEpt, isMixed);
    return {
      id,
      events: state.events,
      sptes: state.sptes,
      threads: state.threads.size,
      counts: merged(state.installs.map((row) => countOf(row, paging, typeOf))),
      regions: state.maps.flatMap((map, asId) =>
        map.regions(typeMask(isEpt)).map((region) => regionOf(region, asId, typeOf)),
      ),
      state,
      join: isJoined ? (this.#joins.get(state)?.rows(isEpt, isMixed) ?? []) : [],
      emulated: state.emulated,
    };
  }
}

function regionOf(region: Region, asId: number, typeOf: (word: number) => LeafType): AuditRegion {
  const { gfnStart, gfnEnd, level, word, since, until, changes, before } = region;
  return {
    gfnStart,
    gfnEnd,
    asId,
    ...typeOf(word),
    level,
    writable: (word & WORD.writable) !== 0,
    sure: (word & WORD.unsure) === 0,
    since,
    until,
    changes,
    before: before === null ? null : typeOf(before),
  };
}

function countOf(
  row: Installs,
  paging: AuditPaging | null,
  typeOf: (word: number) => LeafType,
): AuditCount {
  const { level, word, installs, first, firstGfn, firstSpte, last } = row;
  return { paging, ...typeOf(word), level, installs, first, firstGfn, firstSpte, last };
}

function earlier(a: AuditCount, b: AuditCount): AuditCount {
  return a.first.place <= b.first.place ? a : b;
}

/** One row for each kind of leaf, by type, IPAT and level. */
function merged(counts: readonly AuditCount[]): readonly AuditCount[] {
  const rows = new Map<string, AuditCount>();
  for (const count of counts) {
    const { memtype, ipat, patIndex, level } = count;
    const key = `${memtype} ${ipat} ${patIndex} ${level}`;
    const before = rows.get(key);
    if (before === undefined) {
      rows.set(key, count);
      continue;
    }
    const { first, firstGfn, firstSpte } = earlier(before, count);
    const last = before.last.place >= count.last.place ? before.last : count.last;
    const installs = before.installs + count.installs;
    rows.set(key, { ...before, installs, first, firstGfn, firstSpte, last });
  }
  return [...rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}
