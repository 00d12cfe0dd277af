import { ACC } from './error-code.ts';
import { pagesOf } from './host-memory.ts';
import type { VmConfig } from './vm.ts';

/** ACC_READ_MASK of 7.2 and later. */
export const ACC_READ = 8;

const bitHi = (index: number): number => (index >= 32 ? 2 ** (index - 32) : 0) | 0;
const bitLo = (index: number): number => (index < 32 ? 2 ** index : 0) | 0;

/** What make_spte() is asked for, beside the type. */
export interface LeafRequest {
  readonly pfn: number;
  readonly level: number;
  /** ACC bits; ACC_READ with them in kernels that have it. */
  readonly access: number;
  readonly hostWritable: boolean;
  /** Without it the entry is not writable: KVM guards a table of the guest. */
  readonly mmuWritable: boolean;
  /** Nobody accessed it yet: A stays clear. */
  readonly prefetch: boolean;
  /** Low word of the bits of the memory type. */
  readonly type: number;
}

/**
 * make_spte(), make_nonleaf_spte() and make_mmio_spte() of one kernel and paging mode. The last entry made is
 * in `hi` and `lo`: faults are too many for an object each.
 */
export class SpteMaker {
  hi = 0;
  lo = 0;
  readonly isEpt: boolean;
  /** MMU-writable and host-writable, by word. */
  readonly mmuWritable: readonly [hi: number, lo: number];
  readonly hostWritable: readonly [hi: number, lo: number];
  readonly accessed: number;
  readonly dirty: number;
  /** Access bits of a direct mapping: everything. */
  readonly accessAll: number;
  readonly #config: VmConfig;
  readonly #hasUserX: boolean;
  readonly #adDisabledHi: number;

  constructor(config: VmConfig) {
    const { edition, paging } = config;
    this.#config = config;
    this.isEpt = paging === 'ept';
    const [host, mmu] = edition.writable[this.isEpt ? 'ept' : 'npt'];
    this.hostWritable = [bitHi(host), bitLo(host)];
    this.mmuWritable = [bitHi(mmu), bitLo(mmu)];
    this.accessed = this.isEpt ? 1 << 8 : 1 << 5;
    this.dirty = this.isEpt ? 1 << 9 : 1 << 6;
    this.#hasUserX = edition.saved.xu !== null;
    this.accessAll = this.#hasUserX ? ACC.ALL | ACC_READ : ACC.ALL;
    this.#adDisabledHi = config.adBits ? 0 : bitHi(edition.tracking[1]);
  }

  /** Bits that every entry that maps something has: present, and that of no #VE. */
  #begin(pfn: number): void {
    const { edition } = this.#config;
    this.hi = Math.floor(pfn / 0x10_0000) | this.#adDisabledHi;
    this.lo = ((pfn % 0x10_0000) * 4096) | (edition.hasPresentBit ? 1 << 11 : 0);
    if (this.isEpt && edition.suppressVe) this.hi |= 0x8000_0000;
  }

  #rights(access: number): void {
    if (!this.isEpt) {
      this.lo |= 1 | (access & ACC.USER);
      if ((access & ACC.EXEC) === 0) this.hi |= 0x8000_0000;
      return;
    }
    if ((access & ACC.EXEC) !== 0) this.lo |= 4;
    if ((access & (this.#hasUserX ? ACC_READ : ACC.USER)) !== 0) this.lo |= 1;
    if (this.#hasUserX && (access & ACC.USER) !== 0) this.lo |= 1 << 10;
  }

  #flags(request: LeafRequest): void {
    const { adBits, behaviour } = this.#config;
    const keepsAd = adBits || behaviour.softwareAd;
    if (keepsAd && !request.prefetch) this.lo |= this.accessed;
    if (request.hostWritable) {
      this.hi |= this.hostWritable[0];
      this.lo |= this.hostWritable[1];
    }
    if (!request.hostWritable || (request.access & ACC.WRITE) === 0 || !request.mmuWritable) return;
    this.hi |= this.mmuWritable[0];
    this.lo |= this.mmuWritable[1] | 2 | (keepsAd ? this.dirty : 0);
  }

  /** Source: kvm/make_spte. */
  leaf(request: LeafRequest): this {
    const { level, access } = request;
    this.#begin(request.pfn);
    const isHuge = level > 1;
    this.#rights(isHuge && this.#config.nxHugePages ? access & ~ACC.EXEC : access);
    this.lo |= request.type | (isHuge ? 1 << 7 : 0);
    this.#flags(request);
    return this.#unsigned();
  }

  /** Source: kvm/make_spte (make_nonleaf_spte). */
  table(pfn: number): this {
    this.#begin(pfn);
    this.#rights(this.accessAll);
    this.lo |= 2;
    if (this.#config.adBits) this.lo |= this.accessed;
    return this.#unsigned();
  }

  /**
   * A 4K page of a huge leaf: make_small_spte(). It takes the place of `index` in the new table.
   *
   * @param level of the huge leaf
   */
  small(hi: number, lo: number, level: number, index: number): this {
    const pages = pagesOf(level - 1);
    // PAT is bit 12 in a huge leaf and bit 7 in a small one.
    const isPat = !this.isEpt && (lo & (1 << 12)) !== 0;
    const pfn = (hi & 0xf_ffff) * 0x10_0000 + (lo >>> 12) + index * pages;
    const frame = pfn - (isPat ? 1 : 0);
    this.hi = (hi & ~0xf_ffff) | Math.floor(frame / 0x10_0000);
    this.lo = (lo & 0xfff) | ((frame % 0x10_0000) * 4096);
    if (level === 2 && !isPat) this.lo &= ~(1 << 7);
    if (level > 2 && isPat) this.lo |= 1 << 12;
    // Without NX huge pages X is there already.
    if (level === 2 && this.#config.nxHugePages) this.#rights(this.accessAll);
    return this.#unsigned();
  }

  /** Source: kvm/spte-special. @param access ACC bits */
  mmio(gfn: number, access: number, generation: number): this {
    const { edition, l1tfCacheBits } = this.#config;
    const { low, high } = edition.generation;
    const lowBits = low[0] - low[1] + 1;
    this.hi = Math.floor(generation / 2 ** lowBits) * bitHi(high[1]);
    this.lo = (generation % 2 ** lowBits) * 2 ** low[1];
    if (this.isEpt) this.lo |= 6;
    else {
      this.lo |= 1 | (access & (ACC.WRITE | ACC.USER));
      this.hi |= bitHi(51);
    }
    if (edition.id === 'A-5.3') this.hi |= bitHi(62);
    if (edition.id === 'A-5.4') this.hi |= bitHi(53) | bitHi(52);
    this.#gfn(gfn, l1tfCacheBits);
    return this.#unsigned();
  }

  /** The gfn, what it has at the place of the L1TF guard moved up by five. */
  #gfn(gfn: number, cacheBits: number | null): void {
    const below = cacheBits === null ? 40 : cacheBits - 17;
    const kept = gfn % 2 ** below;
    const moved = Math.floor(gfn / 2 ** below);
    const guarded = cacheBits === null ? kept : kept + 31 * 2 ** below + moved * 2 ** (below + 5);
    this.hi |= Math.floor(guarded / 0x10_0000);
    this.lo |= (guarded % 0x10_0000) * 4096;
  }

  #unsigned(): this {
    this.hi >>>= 0;
    this.lo >>>= 0;
    return this;
  }

  /** How many generations of the memslots an MMIO entry can tell apart. */
  get generations(): number {
    const { low, high } = this.#config.edition.generation;
    return 2 ** (low[0] - low[1] + 1 + high[0] - high[1] + 1);
  }

  /** The generation that an MMIO entry holds. */
  generationOf(hi: number, lo: number): number {
    const { low, high } = this.#config.edition.generation;
    const width = low[0] - low[1] + 1;
    const part = (word: number, shift: number, bits: number): number =>
      Math.floor(word / 2 ** shift) % 2 ** bits;
    return part(lo, low[1], width) + part(hi, high[1] - 32, high[0] - high[1] + 1) * 2 ** width;
  }
}
