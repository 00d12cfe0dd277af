import type { EventBatch } from '../trace/batch.ts';
import { type MtrrType, mtrrTypeOf } from '../x86/types.ts';

/** What an SPTE is, told from its two halves without knowing the paging mode. */
export const SPTE = { empty: 0, frozen: 1, mmio: 2, table: 3, leaf: 4 } as const;
export type SpteClass = (typeof SPTE)[keyof typeof SPTE];

const NO_VALUE = 0x8000_0000;
/** Bits 53:52, the A/D type up to 7.1: 3 is a special entry, which layout A uses for MMIO. */
const SPECIAL = 3;
/** Bits 31:12 and 5:3; IPAT is D in a page table, and no kernel changes it alone. */
const TYPE_AND_FRAME = 0xffff_f038;

function isFrozen(hi: number, lo: number): boolean {
  if (lo === 0x5a0) return hi === 0 || hi === NO_VALUE;
  return lo === 0x1a0 && hi === NO_VALUE;
}

/**
 * As `decodeSpte` of the room kvm classifies it, for columns of numbers: nothing is allocated.
 *
 * @param olderLayout the entries are of a kernel up to 5.12, where bit 11 does not say "present"
 */
export function spteClass(hi: number, lo: number, level: number, olderLayout: boolean): SpteClass {
  if (lo === 0 && (hi === 0 || hi === NO_VALUE)) return SPTE.empty;
  if (isFrozen(hi, lo)) return SPTE.frozen;
  const special = ((hi >>> 20) & 3) === SPECIAL;
  const present = olderLayout ? (lo & 7) !== 0 : (lo & 0x800) !== 0;
  if (!present || special) {
    // EPT misconfiguration: writable, not readable. NPT: the reserved bit 51, present.
    const isMmio = special || (lo & 7) === 6 || ((hi & 0x8_0000) !== 0 && (lo & 1) !== 0);
    return isMmio ? SPTE.mmio : SPTE.empty;
  }
  if (olderLayout && (hi & 0x8_0000) !== 0 && (lo & 0x18) === 0) return SPTE.mmio;
  return level === 1 || (level <= 3 && (lo & 0x80) !== 0) ? SPTE.leaf : SPTE.table;
}

/** Whether kvm_tdp_mmu_spte_changed maps a page where none was, or another one, or with another type. */
export function isInstalled(batch: EventBatch, i: number, olderLayout: boolean): boolean {
  const level = batch.level[i] ?? 0;
  const [hi, lo] = [batch.valueHi[i] ?? 0, batch.valueLo[i] ?? 0];
  const [oldHi, oldLo] = [batch.beforeHi[i] ?? 0, batch.beforeLo[i] ?? 0];
  if (spteClass(hi, lo, level, olderLayout) !== SPTE.leaf) return false;
  if (spteClass(oldHi, oldLo, level, olderLayout) !== SPTE.leaf) return true;
  return ((hi ^ oldHi) & 0xf_ffff) !== 0 || ((lo ^ oldLo) & TYPE_AND_FRAME) !== 0;
}

/**
 * A leaf in one byte: bit 7 present, bits 6 to 3 those of the entry (EPT: IPAT and the type; NPT: D, A, PCD,
 * PWT), bit 2 not sure (events were lost since), bit 1 writable, bit 0 the PAT bit of NPT.
 */
export const WORD = { present: 0x80, unsure: 0x04, writable: 0x02 } as const;

/** The word of a leaf. */
export function leafWord(lo: number, level: number): number {
  const pat = (lo >>> (level === 1 ? 7 : 12)) & 1;
  // Where PWT and PCD are set it is EPT, or no KVM wrote it: the bit is part of an address there.
  const isPat = level === 1 ? pat : (lo & 0x18) === 0 ? pat : 0;
  return WORD.present | (lo & 0x78) | (lo & WORD.writable) | isPat;
}

/**
 * Of EPT, the type and IPAT. Of NPT and shadow paging: PAT, PCD and PWT as an index into the host's PAT; KVM leaves
 * it at 0. All null: it is not told of which of them the entry is.
 */
export type LeafType =
  | { readonly memtype: null; readonly ipat: null; readonly patIndex: null }
  | { readonly memtype: MtrrType | null; readonly ipat: boolean; readonly patIndex: null }
  | { readonly memtype: null; readonly ipat: null; readonly patIndex: number };

/** @param isMixed the trace has entries of both: KVM sets neither PWT nor PCD, so that with one of them it is EPT */
export function leafType(word: number, isEpt: boolean, isMixed = false): LeafType {
  if (isMixed && (word & 0x18) === 0) return { memtype: null, ipat: null, patIndex: null };
  if (isEpt)
    return { memtype: mtrrTypeOf((word >> 3) & 7), ipat: (word & 0x40) !== 0, patIndex: null };
  return { memtype: null, ipat: null, patIndex: ((word >> 3) & 3) | ((word & 1) << 2) };
}

/** The bits of a word that say which type it is: A and D of NPT are none of them. */
export function typeMask(isEpt: boolean): number {
  return isEpt ? 0xf8 : 0x99;
}
