import { rule } from '../cite/rule.ts';
import { combineMtrrPat } from './combine.ts';
import { type EptLeaf, eptEffective } from './ept.ts';
import { type PatLayout, tablePatIndex } from './pat.ts';
import type { EffectiveType, MtrrType, PatType, Vendor } from './types.ts';

rule({
  id: 'x86/page-walk',
  room: 'cpu',
  title: 'Types of the accesses to page tables themselves',
  text:
    'The top-level table uses index 2*PCD+PWT of CR3, or index 0 with CR4.PCIDE=1; any other table uses ' +
    '2*PCD+PWT of the entry that points to it. PAE page-directory pointers are loaded as WB. The type ' +
    'then combines with the MTRR of the table, or under EPT with the leaf that maps the table.',
  sources: ['sdm/paging-types', 'apm/table-accesses', 'sdm/ept-types'],
});

export type TablePointer =
  | { readonly from: 'cr3'; readonly cr3Lo: number; readonly pcide: boolean }
  | { readonly from: 'entry'; readonly entryLo: number }
  | { readonly from: 'pae-pdptr' };

/** The PAT type with which the table behind `pointer` is accessed. */
export function tablePatType(pointer: TablePointer, layout: PatLayout): PatType {
  switch (pointer.from) {
    case 'pae-pdptr':
      return 'WB';
    case 'cr3':
      return layout[pointer.pcide ? 0 : tablePatIndex(pointer.cr3Lo)] ?? 'WB';
    case 'entry':
      return layout[tablePatIndex(pointer.entryLo)] ?? 'WB';
  }
}

/** The effective type of an access to a page table, natively. */
export function tableEffective(vendor: Vendor, mtrr: MtrrType, pat: PatType): EffectiveType {
  return combineMtrrPat(vendor, mtrr, pat).type;
}

/** The effective type of an access to a guest page table under EPT. */
export function guestTableEffective(
  leaf: EptLeaf,
  pat: PatType,
  liveCr0Cd: boolean,
): EffectiveType {
  return eptEffective({ liveCr0Cd, cr0Pg: true, leaf, pat }).type;
}
