import { type EventBatch, KIND } from '../trace/batch.ts';
import { SPTE, spteClass } from './leaf-word.ts';
import type { PagingVotes } from './paging.ts';
import { VmState } from './vm.ts';

/**
 * How the VMs of a trace were told apart. `given`: by what the caller knows of threads; `tgid`: the trace
 * records processes; `names`: by the names of threads; `one`: nothing tells, one VM is assumed.
 */
export type ToldBy = 'given' | 'tgid' | 'names' | 'one';

/** Null: no number is known, for one VM is assumed, or the threads are of no VM that is known. */
export type VmId = number | null;

/**
 * Threads of vCPUs by their number, as QEMU (with -name debug-threads=on, which libvirt gives), crosvm, Firecracker,
 * cloud-hypervisor and libkrun, and kvmtool name them.
 */
const VCPU = /^(?:CPU (\d+)\/KVM|(crosvm_vcpu|fc_vcpu |vcpu|kvm-vcpu-)(\d+))/;

/** What the names of threads say of VMs. */
export interface NamedVms {
  /** VM of each thread of a vCPU, by the thread of its vCPU 0; empty: the names do not tell them apart. */
  readonly owners: ReadonlyMap<number, number>;
  /** So many VMs there are at least; 0: no thread has such a name. */
  readonly least: number;
}

/**
 * Which thread belongs to which VM, as far as names tell: a VMM makes the threads of its vCPUs in their order, so
 * that each vCPU 0 begins another VM. Where two VMs were made at the same time their threads are mixed: then a VM
 * would have a vCPU twice, and nothing is told.
 */
export function vmsByNames(threads: ReadonlyMap<number, string>): NamedVms {
  const owners = new Map<number, number>();
  const vms = new Map<string, { readonly id: number; readonly seen: Set<string> }>();
  const times = new Map<string, number>();
  const most = new Map<string, number>();
  let isTold = true;
  for (const [tid, name] of [...threads].sort(([a], [b]) => a - b)) {
    const [, ofQemu, prefix = 'CPU', ofOther = ''] = VCPU.exec(name) ?? [];
    const number = ofQemu ?? ofOther;
    if (number === '') continue;
    const key = `${prefix} ${number}`;
    const sofar = (times.get(key) ?? 0) + 1;
    times.set(key, sofar);
    most.set(prefix, Math.max(most.get(prefix) ?? 0, sofar));
    if (number === '0') vms.set(prefix, { id: tid, seen: new Set() });
    const vm = vms.get(prefix);
    if (vm === undefined || vm.seen.has(number)) isTold = false;
    else {
      vm.seen.add(number);
      owners.set(tid, vm.id);
    }
  }
  const least = [...most.values()].reduce((sum, n) => sum + n, 0);
  return { owners: isTold ? owners : new Map(), least };
}

export interface VmSources {
  /** VM of a thread or process, by its number: of /proc/PID/task, say. */
  readonly owners?: ReadonlyMap<number, number> | undefined;
  /** Names of threads, where they are known before the first event; the caller may fill it until then. */
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
  readonly #names: ReadonlyMap<number, string>;
  /** Null: no event was looked at yet. */
  #byNames: ReadonlyMap<number, number> | null = null;
  #hasTgid = false;
  /** A thread is one of those whose VM was given. */
  #hasOwned = false;
  /** Changes by threads that belong to no VM that is known, and it cannot be told of which they are. */
  ambiguous = 0;
  /** Of the last event whose VM is known: most come in runs of one thread. */
  #lastTid = -2;
  #lastTgid = -2;
  #lastVm: VmState | null = null;

  constructor(votes: PagingVotes, { owners, names }: VmSources) {
    this.#votes = votes;
    this.#owners = owners ?? null;
    this.#names = names ?? new Map();
  }

  get told(): ToldBy {
    if (this.#hasOwned) return 'given';
    if (this.#hasTgid) return 'tgid';
    return this.#owned.size > 0 ? 'names' : 'one';
  }

  /** So many VMs there are at least, by the names of threads that are known by now. */
  get least(): number {
    return vmsByNames(this.#names).least;
  }

  /** By names, where these show several VMs. */
  get #owned(): ReadonlyMap<number, number> {
    if (this.#byNames === null) {
      const { owners, least } = vmsByNames(this.#names);
      this.#byNames = least > 1 ? owners : new Map();
    }
    return this.#byNames;
  }

  /** The VM of event `i`; null: of none, or it cannot be told. */
  vmOf(batch: EventBatch, i: number): VmState | null {
    const tid = batch.tid[i] ?? -1;
    const tgid = batch.tgid[i] ?? -1;
    if (tid === this.#lastTid && tgid === this.#lastTgid) return this.#lastVm;
    if (tgid >= 0) this.#hasTgid = true;
    const id = this.#idOf(tid, tgid);
    const known = this.vms.get(id);
    const isApart = id !== null || this.#owners !== null || this.#owned.size > 0;
    if (known === undefined && isApart && !this.#isOwn(batch, i)) return this.#elsewhere(batch, i);
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
    const owner = this.#owners?.get(tgid) ?? this.#owners?.get(tid);
    if (owner !== undefined) {
      this.#hasOwned = true;
      return owner;
    }
    if (tgid >= 0) return tgid;
    const owned = this.#owned;
    return owned.size === 0 ? null : (owned.get(tid) ?? null);
  }

  /** The event makes a VM known. */
  #isOwn(batch: EventBatch, i: number): boolean {
    const kind = batch.kind[i] ?? 0;
    if (OWN.has(kind)) return true;
    if (this.#owners?.has(batch.tid[i] ?? -1) === true) return true;
    if (this.#owners?.has(batch.tgid[i] ?? -1) === true) return true;
    // Nobody but a thread of the VM fills an entry that was empty.
    const older = this.#votes.olderLayout;
    const level = batch.level[i] ?? 0;
    if (kind !== KIND.changed) return false;
    const was = spteClass(batch.beforeHi[i] ?? 0, batch.beforeLo[i] ?? 0, level, older);
    const now = spteClass(batch.valueHi[i] ?? 0, batch.valueLo[i] ?? 0, level, older);
    return was === SPTE.empty && (now === SPTE.leaf || now === SPTE.table);
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
    this.ambiguous += 1;
    return null;
  }
}
