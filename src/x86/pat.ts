import { type U64, u64, u64Byte, u64FromBytes } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { PAT_TYPES, type PatType, patTypeOf, TYPE_CODE } from './types.ts';

/** The eight entries of a PAT MSR, PA0 first. */
export type PatLayout = readonly PatType[];

export const PAT_RULE = rule({
  id: 'x86/pat',
  room: 'cpu',
  title: 'The page-attribute table (IA32_PAT, MSR 277H)',
  text:
    'A page-table entry picks one of eight types: index = PAT*4 + PCD*2 + PWT. PWT is bit 3, PCD bit 4; ' +
    'the PAT bit is bit 7 of a 4K entry and bit 12 of a 2M, 4M or 1G leaf. Entries without a PAT bit ' +
    'use 0 for it. An entry byte may be 0 UC, 1 WC, 4 WT, 5 WP, 6 WB or 7 UC-; a WRMSR with any other ' +
    'value raises #GP. The value after reset is 0007040600070406 and INIT keeps what is there.',
  sources: ['sdm/pat', 'apm/pat', 'sdm/paging-types'],
});

/** IA32_PAT after reset: WB WT UC- UC, twice. */
export const PAT_RESET: U64 = u64(0x00070406, 0x00070406);

/** The entries of a PAT MSR; null when a byte is reserved, so that WRMSR would raise #GP. */
export function patLayout(msr: U64): PatLayout | null {
  const entries: PatType[] = [];
  for (let i = 0; i < 8; i++) {
    const type = patTypeOf(u64Byte(msr, i));
    if (type === null) return null;
    entries.push(type);
  }
  return entries;
}

/** The MSR value that holds these eight entries. */
export function patMsr(layout: PatLayout): U64 {
  return u64FromBytes(layout.map((type) => TYPE_CODE[type]));
}

/** What a PAT byte may be: the same set everywhere, so KVM and the CPU refuse the same values. */
export function isValidPatByte(byte: number): boolean {
  return patTypeOf(byte) !== null;
}

const PWT = 1 << 3;
const PCD = 1 << 4;
const PAT_4K = 1 << 7;
const PAT_LARGE = 1 << 12;

/**
 * Index into the PAT of a page-table leaf.
 *
 * @param entry the low 32 bits of the entry
 * @param large true for a 2M, 4M or 1G leaf
 */
export function patIndex(entry: number, large: boolean): number {
  const pat = (entry & (large ? PAT_LARGE : PAT_4K)) !== 0;
  return (pat ? 4 : 0) | ((entry & PCD) !== 0 ? 2 : 0) | ((entry & PWT) !== 0 ? 1 : 0);
}

/** Index used for the table that an entry (or CR3) points to: there is no PAT bit for tables. */
export function tablePatIndex(entry: number): number {
  return ((entry & PCD) !== 0 ? 2 : 0) | ((entry & PWT) !== 0 ? 1 : 0);
}

/** Lowest index of the layout that holds `type`; null when the layout has no slot for it. */
export function slotOf(layout: PatLayout, type: PatType): number | null {
  const index = layout.indexOf(type);
  return index < 0 ? null : index;
}

/** Words to a layout: "WB WT UC- UC WB WT UC- UC"; null when they are not eight types. */
export function patLayoutFromWords(text: string): PatLayout | null {
  const entries = text
    .trim()
    .split(/\s+/)
    .map((word) => PAT_TYPES.find((type) => type === word) ?? null);
  const known = entries.filter((type) => type !== null);
  return entries.length === 8 && known.length === 8 ? known : null;
}
