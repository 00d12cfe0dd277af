import { rule } from '../cite/rule.ts';
import { combineMtrrPat, type UcOrigin } from './combine.ts';
import { type EffectiveType, type MtrrType, mtrrTypeOf, type PatType, TYPE_CODE } from './types.ts';

/** The memory-type part of an EPT leaf: bits 5:3 and bit 6 (IPAT, "ignore PAT"). */
export interface EptLeaf {
  readonly memtype: MtrrType;
  readonly ipat: boolean;
}

export const EPT_RULE = rule({
  id: 'x86/ept-combine',
  room: 'cpu',
  title: 'Effective type of a guest access under EPT',
  text:
    'With CR0.CD=1 everything is UC. Otherwise IPAT=1 gives the type of the EPT leaf alone; IPAT=0 ' +
    'combines the leaf with the guest PAT type by the MTRR x PAT table, the leaf in the place of the ' +
    'MTRR. With CR0.PG=0 the PAT type is WB. The MTRRs of the host take no part. CR0.CD here is the live ' +
    'register: VM entry and exit leave it alone.',
  sources: ['sdm/ept-types', 'sdm/t11-7', 'sdm/vmentry-cr0'],
});

export interface EptAccess {
  /** CR0.CD as the logical processor has it while the guest runs. */
  readonly liveCr0Cd: boolean;
  /** CR0.PG of the guest; 0 only for an unrestricted guest. */
  readonly cr0Pg: boolean;
  readonly leaf: EptLeaf;
  /** The guest's PAT type; not looked at with CR0.PG=0 or IPAT=1. */
  readonly pat: PatType;
}

export interface EptResult {
  readonly type: EffectiveType;
  readonly ucOrigin: UcOrigin | null;
  readonly by: 'CR0.CD' | 'IPAT' | 'CR0.PG=0' | 'table';
}

/** Source: SDM 28.2.6.2. */
export function eptEffective(access: EptAccess): EptResult {
  if (access.liveCr0Cd) return { type: 'UC', ucOrigin: 'cd', by: 'CR0.CD' };
  const { memtype, ipat } = access.leaf;
  if (ipat) return { type: memtype, ucOrigin: memtype === 'UC' ? 'mtrr' : null, by: 'IPAT' };
  const combined = combineMtrrPat('intel', memtype, access.cr0Pg ? access.pat : 'WB');
  return { ...combined, by: access.cr0Pg ? 'table' : 'CR0.PG=0' };
}

const MEMTYPE_SHIFT = 3;
const IPAT = 1 << 6;

/** Leaf bits 6:3 of an EPT entry, as a mask value. */
export function eptLeafBits(leaf: EptLeaf): number {
  return (TYPE_CODE[leaf.memtype] << MEMTYPE_SHIFT) | (leaf.ipat ? IPAT : 0);
}

/**
 * The memory-type part of a present EPT leaf, from the low 32 bits of the entry; null for memory types
 * 2, 3 and 7, which are an EPT misconfiguration. Source: SDM 28.2.3.1.
 */
export function eptLeafOf(entryLo: number): EptLeaf | null {
  const memtype = mtrrTypeOf((entryLo >>> MEMTYPE_SHIFT) & 7);
  return memtype === null ? null : { memtype, ipat: (entryLo & IPAT) !== 0 };
}

/**
 * The type of accesses to the EPT tables themselves: EPTP bits 2:0 (0 UC, 6 WB), or UC with CR0.CD=1.
 * Null for other values, which VM entry refuses.
 */
export function eptTableType(eptpLo: number, liveCr0Cd: boolean): 'UC' | 'WB' | null {
  const type = mtrrTypeOf(eptpLo & 7);
  if (type !== 'UC' && type !== 'WB') return null;
  return liveCr0Cd ? 'UC' : type;
}
