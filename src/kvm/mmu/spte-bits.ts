import type { SpteEdition } from '../spte-editions.ts';
import { mmioGfn } from '../spte-gfn.ts';
import { PFERR } from './error-code.ts';
import type { PrintedSpte } from './trace.ts';

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
    const { hasPresentBit, frozen } = this.#edition;
    if (hasPresentBit) return (lo & 0x800) !== 0;
    if (this.isEmpty(hi, lo) || (frozen !== null && hi === frozen.hi && lo === frozen.lo))
      return false;
    return !this.isMmio(hi, lo);
  }

  /** is_mmio_spte(). */
  isMmio(hi: number, lo: number): boolean {
    const { id } = this.#edition;
    if (id === 'A-5.3') return (hi & 0x4000_0000) !== 0 && !this.isEmpty(hi, lo);
    if (id === 'A-5.4') return ((hi >>> 20) & 3) === 3;
    if ((lo & 0x800) !== 0) return false;
    return this.#isEpt ? (lo & 7) === 6 : (lo & 1) === 1 && (hi & (1 << 19)) !== 0;
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
    return level === 1 || (level <= 3 && (lo & LARGE) !== 0);
  }

  /** is_access_allowed(): an entry lets an access with these PFERR bits through. */
  allows(hi: number, lo: number, code: number): boolean {
    if ((code & PFERR.FETCH) !== 0) return this.isExecutable(hi, lo);
    return (code & PFERR.WRITE) !== 0 ? this.isWritable(lo) : (lo & 1) !== 0;
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
