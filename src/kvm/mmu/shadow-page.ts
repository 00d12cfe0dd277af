import type { SpteEdition } from '../spte-editions.ts';
import { mmioGfn } from '../spte-gfn.ts';
import type { MmuPage, MmuRole } from './page-tables.ts';
import type { EntryRef } from './rmap.ts';
import type { PrintedSpte } from './trace.ts';

/** kvm_mmu_page_role of a page of the shadow MMU: pages of one gfn are shared where it is the same. */
export interface ShadowRole extends MmuRole {
  readonly level: number;
  /** For L2. */
  readonly guestMode: boolean;
  /** CR0.WP, and what follows from it: a table that was made without it has other permissions. */
  readonly cr0Wp: boolean;
  readonly smepAndnotWp: boolean;
  readonly smapAndnotWp: boolean;
  /** PAT index of the guest's huge page that a direct page maps small; 0 where no leaf depends on it. */
  readonly patIndex: number;
}

/** Every bit of the role in one number, but `invalid`: role.word. */
export function roleWord(role: ShadowRole): number {
  const flags = [
    role.direct,
    role.has4ByteGpte,
    role.efer_nx,
    role.adDisabled,
    role.smm,
    role.guestMode,
    role.cr0Wp,
    role.smepAndnotWp,
    role.smapAndnotWp,
  ];
  const bits = flags.reduce((word, flag, i) => word | (flag ? 1 << i : 0), 0);
  return (
    bits | (role.level << 10) | (role.quadrant << 14) | (role.access << 16) | (role.patIndex << 20)
  );
}

/** Everything of the role but level, access and quadrant: what sync asks to be the vCPU's own. */
export function contextWord(role: ShadowRole): number {
  return roleWord({ ...role, level: 0, access: 0, quadrant: 0, patIndex: 0 });
}

/** A page of the shadow MMU: a table of the guest, or a part of a huge page of the guest that is mapped small. */
export class ShadowPage implements MmuPage {
  readonly pfn: number;
  readonly entries: Uint32Array;
  readonly tdpMmu = false;
  readonly parent = null;
  readonly gfn: number;
  readonly role: ShadowRole;
  readonly level: number;
  /** root_count: vCPUs that have it as a root. */
  rootCount = 0;
  invalid = false;
  /** mmu_valid_gen: toggled by kvm_mmu_zap_all_fast(). */
  readonly generation: number;
  /** The guest may write the table: what is here may be out of date until the guest flushes its TLB. */
  unsync = false;
  unsyncChildren = 0;
  /** Indexes of entries below which something is out of date. */
  readonly unsyncIndexes = new Set<number>();
  /** Entries that point here, in the order in which they came. */
  readonly parents: EntryRef[] = [];
  /** gfn * 128 + PAT index * 16 + access of what each entry shadows; null where it follows from the role. */
  readonly translation: Float64Array | null;
  /** Writes to the guest's table since it was used. */
  writeFlooding = 0;
  /** Made so that no huge page has to be executable. */
  nxHugePageDisallowed = false;

  constructor(table: MmuPage, gfn: number, role: ShadowRole, generation: number) {
    this.pfn = table.pfn;
    this.entries = table.entries;
    this.gfn = gfn;
    this.role = role;
    this.level = role.level;
    this.generation = generation;
    this.translation = !role.direct && role.level <= 3 ? new Float64Array(512) : null;
  }

  /** kvm_mmu_page_get_gfn(). */
  gfnAt(index: number): number {
    if (this.translation !== null) return Math.floor((this.translation[index] ?? 0) / 128);
    return this.gfn + index * 512 ** (this.level - 1);
  }

  /** kvm_mmu_page_get_access(). */
  accessAt(index: number): number {
    return this.translation === null ? this.role.access : (this.translation[index] ?? 0) % 16;
  }

  /** PAT index of the guest's leaf. */
  patIndexAt(index: number): number {
    if (this.translation === null) return this.role.patIndex;
    return Math.floor((this.translation[index] ?? 0) / 16) % 8;
  }

  setTranslation(index: number, gfn: number, access: number, patIndex: number): void {
    if (this.translation !== null) this.translation[index] = gfn * 128 + patIndex * 16 + access;
  }

  lo(index: number): number {
    return this.entries[2 * index] as number;
  }

  hi(index: number): number {
    return this.entries[2 * index + 1] as number;
  }

  set(index: number, hi: number, lo: number): void {
    this.entries[2 * index] = lo;
    this.entries[2 * index + 1] = hi;
  }

  /** A guest table stands behind it: writes to that table matter. */
  get hasGptes(): boolean {
    return !this.role.direct;
  }
}

const LARGE = 1 << 7;
const W = 1 << 1;

/** What KVM reads in its own entries. */
export class SpteBits {
  readonly #edition: SpteEdition;
  readonly #host: readonly [hi: number, lo: number];
  readonly #mmu: readonly [hi: number, lo: number];
  readonly #isEpt: boolean;

  constructor(edition: SpteEdition, flavour: 'ept' | 'npt') {
    this.#edition = edition;
    this.#isEpt = flavour === 'ept';
    const [host, mmu] = edition.writable[flavour];
    this.#host = maskOf(host);
    this.#mmu = maskOf(mmu);
  }

  /** is_shadow_present_pte(). */
  isPresent(hi: number, lo: number): boolean {
    if (this.#edition.hasPresentBit) return (lo & 0x800) !== 0;
    return (lo !== 0 || hi !== 0) && !this.isMmio(hi, lo);
  }

  /** An entry that is neither present nor empty: the shadow MMU has no others. */
  isMmio(hi: number, lo: number): boolean {
    if (this.isEmpty(hi, lo)) return false;
    if (this.#edition.hasPresentBit) return (lo & 0x800) === 0;
    return this.#edition.id === 'A-5.3' ? (hi & 0x4000_0000) !== 0 : ((hi >>> 20) & 3) === 3;
  }

  /** Of an MMIO SPTE. */
  mmioGfn(hi: number, lo: number): number {
    return mmioGfn({ hi, lo }, this.#isEpt).gfn;
  }

  isEmpty(hi: number, lo: number): boolean {
    const { empty } = this.#edition;
    return hi === empty.hi && lo === empty.lo;
  }

  /** is_last_spte(): of a present one. */
  isLast(lo: number, level: number): boolean {
    return level === 1 || (lo & LARGE) !== 0;
  }

  isWritable(lo: number): boolean {
    return (lo & W) !== 0;
  }

  isHostWritable(hi: number, lo: number): boolean {
    return (hi & this.#host[0]) !== 0 || (lo & this.#host[1]) !== 0;
  }

  isMmuWritable(hi: number, lo: number): boolean {
    return (hi & this.#mmu[0]) !== 0 || (lo & this.#mmu[1]) !== 0;
  }

  isExecutable(hi: number, lo: number): boolean {
    return this.#isEpt ? (lo & 4) !== 0 : hi >>> 31 === 0;
  }

  /** What kvm_mmu_set_spte prints of the permissions. Source: kvm/spte-printed. */
  printed(hi: number, lo: number): PrintedSpte {
    const x = this.isExecutable(hi, lo);
    const w = this.isWritable(lo);
    if (!this.#isEpt) return { r: true, w, x, u: (lo & 4) !== 0 };
    const user = this.#edition.saved.xu === null ? 1 : 1 << 10;
    return { r: (lo & 1) !== 0, w, x, u: (lo & user) !== 0 };
  }

  /** restore_acc_track_spte(): R and X come back where access tracking took them. */
  restored(hi: number, lo: number): readonly [hi: number, lo: number] {
    const { tracking, saved } = this.#edition;
    const isOff = ((hi >>> (tracking[1] - 32)) & 3) === 1;
    if (!this.#isEpt || !isOff || (lo & 7) !== 0) return [hi, lo];
    const bit = (n: number): number => (hi >>> (n - 32)) & 1;
    const clear = (1 << (saved.r - 32)) | (1 << (saved.x - 32));
    return [(hi & ~clear) >>> 0, (lo | bit(saved.r) | (bit(saved.x) << 2)) >>> 0];
  }

  /** Takes W away, and with `guard` the right to set it again: spte_write_protect(). Null: nothing to do. */
  writeProtected(hi: number, lo: number, guard: boolean): { hi: number; lo: number } | null {
    if (!this.isWritable(lo) && !(guard && this.isMmuWritable(hi, lo))) return null;
    const [mmuHi, mmuLo] = guard ? this.#mmu : [0, 0];
    return { hi: (hi & ~mmuHi) >>> 0, lo: (lo & ~mmuLo & ~W) >>> 0 };
  }
}

function maskOf(bit: number): readonly [hi: number, lo: number] {
  return bit < 32 ? [0, (1 << bit) >>> 0] : [(1 << (bit - 32)) >>> 0, 0];
}
