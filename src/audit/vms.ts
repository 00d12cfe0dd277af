import { type EventBatch, KIND } from '../trace/batch.ts';
import type { PagingVotes } from './paging.ts';
import { VmState } from './vm.ts';

/**
 * How the VMs of a trace were told apart. `given`: by what the caller knows of threads; `tgid`: the trace
 * records processes; `names`: by the names of threads; `one`: nothing tells, one VM is assumed.
 */
export type ToldBy = 'given' | 'tgid' | 'names' | 'one';

/** Null: no number is known, for one VM is assumed. */
export type VmId = number | null;

/** Threads of vCPUs as QEMU names them, "CPU 0/KVM"; and helpers that carry the PID of their VM. */
const VCPU = /^CPU (\d+)\/KVM/;
const OF_PID = /^(?:vhost|kvm-pit\/|kvm-nx-lpage-re(?:covery)?)-?(\d+)$/;

/**
 * Which thread belongs to which VM, as far as names tell: QEMU makes the threads of its vCPUs in their order,
 * so that each "CPU 0/KVM" begins another VM. A VM goes by the thread of its vCPU 0.
 */
export function vmsByNames(threads: ReadonlyMap<number, string>): ReadonlyMap<number, number> {
  const owners = new Map<number, number>();
  let vm: number | null = null;
  for (const [tid, name] of [...threads].sort(([a], [b]) => a - b)) {
    const vcpu = VCPU.exec(name)?.[1];
    if (vcpu === '0') vm = tid;
    if (vcpu !== undefined && vm !== null) owners.set(tid, vm);
    const pid = OF_PID.exec(name)?.[1];
    if (pid !== undefined) owners.set(tid, Number(pid));
  }
  return owners;
}

export interface VmSources {
  /** VM of a thread or process, by its number: of /proc/PID/task, say. */
  readonly owners?: ReadonlyMap<number, number> | undefined;
  /** Names of threads, where the trace prints them. */
  readonly names?: ReadonlyMap<number, string> | undefined;
}

/** Kinds of events that only a thread of the VM itself brings; others zap from anywhere. */
const OWN: ReadonlySet<number> = new Set([
  KIND.set,
  KIND.requested,
  KIND.mmioMarked,
  KIND.mmioFault,
  KIND.msr,
  KIND.cr,
  KIND.pageFault,
  KIND.exit,
]);

/** Sorts events by VM. */
export class VmSorter {
  readonly vms = new Map<VmId, VmState>();
  readonly #votes: PagingVotes;
  readonly #owners: ReadonlyMap<number, number> | null;
  readonly #byNames: ReadonlyMap<number, number>;
  #hasTgid = false;
  /** Entries taken away by threads that belong to no VM, where several VMs may be meant. */
  ambiguous = 0;
  /** Of the last event whose VM is known: most come in runs of one thread. */
  #lastTid = -2;
  #lastTgid = -2;
  #lastVm: VmState | null = null;

  constructor(votes: PagingVotes, { owners, names }: VmSources) {
    this.#votes = votes;
    this.#owners = owners ?? null;
    this.#byNames = names === undefined ? new Map() : vmsByNames(names);
  }

  get told(): ToldBy {
    if (this.#owners !== null) return 'given';
    if (this.#hasTgid) return 'tgid';
    return this.#byNames.size > 0 ? 'names' : 'one';
  }

  /** The VM of event `i`; null: of none, or it cannot be told. */
  vmOf(batch: EventBatch, i: number): VmState | null {
    const tid = batch.tid[i] ?? -1;
    const tgid = batch.tgid[i] ?? -1;
    if (tid === this.#lastTid && tgid === this.#lastTgid) return this.#lastVm;
    if (tgid >= 0) this.#hasTgid = true;
    const id = this.#idOf(tid, tgid);
    const known = this.vms.get(id);
    if (known === undefined && id !== null && !OWN.has(batch.kind[i] ?? 0))
      return this.#elsewhere(batch, i);
    this.#lastTid = tid;
    this.#lastTgid = tgid;
    this.#lastVm = known ?? this.#add(id);
    return this.#lastVm;
  }

  /** The VM of an event that makes none known. */
  known(batch: EventBatch, i: number): VmState | null {
    return this.vms.get(this.#idOf(batch.tid[i] ?? -1, batch.tgid[i] ?? -1)) ?? null;
  }

  #idOf(tid: number, tgid: number): VmId {
    if (this.#owners !== null)
      return this.#owners.get(tgid) ?? this.#owners.get(tid) ?? (tgid >= 0 ? tgid : -1);
    if (tgid >= 0) return tgid;
    return this.#byNames.get(tid) ?? null;
  }

  #add(id: VmId): VmState {
    const vm = new VmState(this.#votes);
    this.vms.set(id, vm);
    return vm;
  }

  /** An event of a thread that belongs to no VM: a helper of the kernel that zaps for one. */
  #elsewhere(batch: EventBatch, i: number): VmState | null {
    const level = batch.level[i] ?? 0;
    const gfn = batch.key[i] ?? 0;
    const isRemoval = batch.kind[i] === KIND.changed;
    const candidates = [...this.vms.values()].filter(
      (vm) => this.vms.size === 1 || (isRemoval && vm.map(0).at(level, gfn) !== 0),
    );
    if (candidates.length === 1) return candidates[0] ?? null;
    if (candidates.length > 1) this.ambiguous += 1;
    return null;
  }
}
