import { type U64, u64 } from '../../base/u64.ts';
import { patIndex, tablePatIndex } from '../../x86/pat.ts';
import { ACC, PFERR, pferrText } from './error-code.ts';
import {
  entryFrame,
  FORMATS,
  isLastEntry,
  type TableFormat,
  type WalkSettings,
} from './walk-format.ts';

/**
 * Memory that tables lie in, at the addresses that the entries hold. Under TDP a load or a store is itself
 * translated by the second stage; under shadow paging KVM goes through the memslots.
 */
export interface WalkMemory {
  /** The entry at `gpa`; null: there is no memory. */
  load(gpa: number, level: number): U64 | null;
  /** Writes an entry back with more bits set; does nothing where the memory is read-only. */
  store(gpa: number, value: U64, level: number): void;
}

/** Where the tracepoints of a walk go; null: nobody listens. */
export type WalkTrace = ((event: string, text: string) => void) | null;

/** Arrays are by level, at `level - 1`; those of levels above and below the walk are holes. */
export interface Walk {
  readonly ok: true;
  /** Of the leaf: 1 4 KiB, 2 2 MiB, 3 1 GiB. */
  readonly level: number;
  /** Frame of the accessed 4 KiB. */
  readonly gfn: number;
  readonly tableGfn: readonly number[];
  readonly entryGpa: readonly number[];
  readonly entries: readonly U64[];
  /** What the levels above this one allow. */
  readonly tableAccess: readonly number[];
  /** What all levels allow; without WRITE where the leaf is clean, so that the first write is seen. */
  readonly access: number;
  /** PAT index of the leaf; 0 in EPT entries, which have none. */
  readonly patIndex: number;
  /** PAT index of the table of each level: of CR3 at the top. */
  readonly tablePatIndex: readonly number[];
}

export interface WalkFault {
  readonly ok: false;
  /** Of the #PF; of an EPT or NPT fault that L1 gets, the same bits. */
  readonly errorCode: number;
  /** Of the entry that stopped the walk. */
  readonly level: number;
  /** The table is where no memory is. */
  readonly noMemory: boolean;
}

/** Who sets A and D: the CPU on its way, or KVM when it knows that the access is allowed. */
export type AccessedSetter = 'cpu' | 'kvm';

/** At most five levels; a walk is made of small arrays. */
const LEVELS = 5;

class Walker {
  readonly tableGfn: number[] = new Array<number>(LEVELS).fill(0);
  readonly entryGpa: number[] = new Array<number>(LEVELS).fill(0);
  readonly entries: U64[] = new Array<U64>(LEVELS).fill(u64(0, 0));
  readonly tableAccess: number[] = new Array<number>(LEVELS).fill(0);
  readonly tablePat: number[] = new Array<number>(LEVELS).fill(0);

  readonly #settings: WalkSettings;
  readonly #format: TableFormat;
  readonly #memory: WalkMemory;
  readonly #setter: AccessedSetter;
  readonly #trace: WalkTrace;

  constructor(
    settings: WalkSettings,
    memory: WalkMemory,
    setter: AccessedSetter,
    trace: WalkTrace,
  ) {
    this.#settings = settings;
    this.#format = FORMATS[settings.format];
    this.#memory = memory;
    this.#setter = setter;
    this.#trace = trace;
  }

  /** Source: kvm/walk_addr_generic. */
  walk(address: number, code: number): Walk | WalkFault {
    this.#trace?.(
      'kvm_mmu_pagetable_walk',
      `addr ${address.toString(16)} pferr ${pferrText(code)}`,
    );
    const settings = this.#settings;
    let pointer = settings.root;
    let access: number = ACC.ALL;
    for (let level = settings.levels; ; level -= 1) {
      this.tableAccess[level - 1] = access;
      const entry = this.#entryOf(pointer, address, level);
      if (entry === null) return this.#fault(code, 0, level, true);
      if (!this.#format.isPresent(entry)) return this.#fault(code, 0, level, false);
      if (this.#format.isReserved(entry, level, settings))
        return this.#fault(code, PFERR.RSVD | PFERR.PRESENT, level, false);
      access &= this.#format.accessOf(entry);
      if (this.#setter === 'cpu') this.#mark(level, false);
      if (isLastEntry(entry, level)) return this.#leaf(address, code, level, access);
      pointer = this.entries[level - 1] as U64;
    }
  }

  #entryOf(pointer: U64, address: number, level: number): U64 | null {
    const { format, pcide } = this.#settings;
    const table = entryFrame(pointer, 1);
    const index = Math.floor(address / 2 ** (3 + 9 * level)) % 512;
    const gpa = table * 4096 + index * 8;
    this.tableGfn[level - 1] = table;
    this.entryGpa[level - 1] = gpa;
    const isTop = level === this.#settings.levels;
    this.tablePat[level - 1] = format === 'ept' || (isTop && pcide) ? 0 : tablePatIndex(pointer.lo);
    const entry = this.#memory.load(gpa, level);
    if (entry === null) return null;
    this.#trace?.('kvm_mmu_paging_element', `pte ${hexOf(entry)} level ${level}`);
    this.entries[level - 1] = entry;
    return entry;
  }

  #leaf(address: number, code: number, level: number, access: number): Walk | WalkFault {
    const denied = this.#format.isDenied(access, code, this.#settings);
    if (denied) return this.#fault(code, PFERR.PRESENT, level, false);
    const isWrite = (code & PFERR.WRITE) !== 0;
    if (this.#settings.accessedDirty) {
      if (this.#setter === 'kvm')
        for (let l = this.#settings.levels; l > level; l -= 1) this.#mark(l, false);
      this.#mark(level, isWrite);
    }
    const leaf = this.entries[level - 1] as U64;
    const offset = Math.floor(address / 4096) % 2 ** (9 * (level - 1));
    const isClean = this.#settings.accessedDirty && (leaf.lo & this.#format.dirty) === 0;
    return {
      ok: true,
      level,
      gfn: entryFrame(leaf, level) + offset,
      tableGfn: this.tableGfn,
      entryGpa: this.entryGpa,
      entries: this.entries,
      tableAccess: this.tableAccess,
      access: isClean ? access & ~ACC.WRITE : access,
      patIndex: this.#settings.format === 'ept' ? 0 : patIndex(leaf.lo, level > 1),
      tablePatIndex: this.tablePat,
    };
  }

  /** Source: kvm/update_accessed_dirty_bits. */
  #mark(level: number, dirty: boolean): void {
    if (!this.#settings.accessedDirty) return;
    const entry = this.entries[level - 1] as U64;
    let { lo } = entry;
    const gpa = this.entryGpa[level - 1] as number;
    const { accessed, dirty: dirtyBit } = this.#format;
    if ((lo & accessed) === 0) {
      this.#trace?.('kvm_mmu_set_accessed_bit', `gpa ${gpa.toString(16)}`);
      lo |= accessed;
    }
    if (dirty && (lo & dirtyBit) === 0) {
      this.#trace?.('kvm_mmu_set_dirty_bit', `gpa ${gpa.toString(16)}`);
      lo |= dirtyBit;
    }
    if (lo === entry.lo) return;
    const value = u64(entry.hi, lo);
    this.entries[level - 1] = value;
    this.#memory.store(gpa, value, level);
  }

  #fault(code: number, why: number, level: number, noMemory: boolean): WalkFault {
    const { nx, smep } = this.#settings;
    let errorCode = why | (code & (PFERR.WRITE | PFERR.USER));
    if ((code & PFERR.FETCH) !== 0 && (nx || smep)) errorCode |= PFERR.FETCH;
    this.#trace?.('kvm_mmu_walker_error', `pferr ${pferrText(errorCode)}`);
    return { ok: false, errorCode, level, noMemory };
  }
}

function hexOf({ hi, lo }: U64): string {
  return hi === 0 ? lo.toString(16) : `${hi.toString(16)}${lo.toString(16).padStart(8, '0')}`;
}

/**
 * Walks tables as the CPU does, or as KVM does it for the CPU.
 *
 * @param address linear address without its sign extension (bits 47:0), or the guest-physical address of L2
 * @param code error-code bits of the access: WRITE, USER, FETCH
 */
export function walkTables(
  settings: WalkSettings,
  memory: WalkMemory,
  address: number,
  code: number,
  setter: AccessedSetter,
  trace: WalkTrace = null,
): Walk | WalkFault {
  return new Walker(settings, memory, setter, trace).walk(address, code);
}
