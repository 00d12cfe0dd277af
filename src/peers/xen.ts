import { must } from '../base/assert.ts';
import type { U64 } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { XEN_PAT } from '../linux/pat-layout.ts';
import { INTEL_MTRR_X_PAT } from '../x86/combine.ts';
import type { EptLeaf } from '../x86/ept.ts';
import { compileMtrrs, fixedIndex, type MtrrState } from '../x86/mtrr.ts';
import { slotOf } from '../x86/pat.ts';
import {
  type EffectiveType,
  type MtrrType,
  mtrrType,
  PAT_TYPES,
  type PatType,
  TYPE_CODE,
} from '../x86/types.ts';

export const XEN_TABLE_RULE = rule({
  id: 'xen/mtrr-x-pat',
  room: 'vmm',
  title: 'MTRR x PAT in Xen, and its inverse for shadow paging',
  text:
    'The table of Intel in all 30 cells, on AMD too: Xen knows no CD. That is harmless (D17), as CD is ' +
    'the coherent way of being uncached. The inverse table finds the PAT type that turns a host MTRR ' +
    'type into the wanted one; where several would do it is the one with the highest number.',
  sources: ['xen/mtrr.c', 'sdm/t11-7'],
});

export const XEN_MTRR_RULE = rule({
  id: 'xen/mtrr',
  room: 'vmm',
  title: 'MTRR lookup in Xen, for pages of any size',
  text:
    'Bitwise, as the manual says. D10: of an overlap that the manual leaves undefined the last register ' +
    'wins; nobody is right there. A large page is split when variable ranges of different types meet it, ' +
    'or fixed ranges smaller than it; but one variable range inside a large page gives its type to the ' +
    'whole page, without a look at the default type of the rest.',
  sources: ['xen/mtrr.c', 'sdm/mtrr-precedence', 'sdm/large-pages'],
});

export const XEN_SHADOW_RULE = rule({
  id: 'xen/shadow-pat',
  room: 'vmm',
  title: 'The PAT of a shadow page-table entry in Xen',
  text:
    'The type the guest would have from its own MTRR and PAT is produced on the host: the inverse table ' +
    'gives the PAT type to use over the host MTRR, UC when there is none.',
  sources: ['xen/mtrr.c', 'xen/XEN_MSR_PAT'],
});

export const XEN_EPT_RULE = rule({
  id: 'xen/ept-policy',
  room: 'vmm',
  title: 'The memory type Xen puts into an EPT leaf',
  text:
    'Unlike KVM, Xen combines the guest MTRR with the host MTRR as soon as the domain has an IOMMU or may ' +
    'flush caches, and leaves IPAT clear then, so that the guest PAT counts. Without either, all but ' +
    'assigned MMIO is WB with IPAT. Not part of the model: read-only MMIO (always UC with IPAT), special ' +
    'pages, pinned attributes, and pages above 4K.',
  sources: ['xen/p2m-ept.c'],
});

/** Source: Xen `mm_type_tbl`. */
export function mmType(mtrr: MtrrType, pat: PatType): EffectiveType {
  return INTEL_MTRR_X_PAT.at(mtrr, pat);
}

const BY_DESCENDING_CODE = [...PAT_TYPES].sort((a, b) => TYPE_CODE[b] - TYPE_CODE[a]);

/** The PAT type that makes `wanted` of a host MTRR type; null when none does. Source: `mtrr_epat_tbl`. */
export function patForType(mtrr: MtrrType, wanted: EffectiveType): PatType | null {
  return BY_DESCENDING_CODE.find((pat) => mmType(mtrr, pat) === wanted) ?? null;
}

/** Orders above which a page does not fit into a fixed range: 64K, 16K, 4K. */
function fixedOrder(address: number): number {
  if (address < 0x80000) return 4;
  return address < 0xc0000 ? 2 : 0;
}

const ONE_MIB = 0x100000;
const MASK_VALID = 1 << 11;

/** Types of the variable ranges that meet a page, in register order. `pageMask`: bits 12-31. */
function typesMeeting(state: MtrrState, { hi, lo }: U64, pageMask: number): readonly MtrrType[] {
  return state.variable
    .filter(({ base, mask }) => {
      const differ = ((hi ^ base.hi) & mask.hi) | ((lo ^ base.lo) & mask.lo & pageMask);
      return (mask.lo & MASK_VALID) !== 0 && differ === 0;
    })
    .map(({ base }) => mtrrType(base.lo & 0xff));
}

/**
 * The type of the page of 2^order x 4 KiB around an address; `SPLIT` asks for smaller pages.
 *
 * @param order 0, 9 or 18; at most 19
 */
export function mtrrGetType(state: MtrrState, address: U64, order: number): MtrrType | 'SPLIT' {
  const { enabled, fixed } = compileMtrrs(state);
  if (!enabled) return 'UC';
  const pageMask = -(2 ** (12 + order));
  const start = (address.lo & pageMask) >>> 0;
  if (fixed !== null && address.hi === 0 && start < ONE_MIB) {
    if (order > fixedOrder(start)) return 'SPLIT';
    return mtrrType(must(fixed[fixedIndex(start)], 'fixed range'));
  }
  const types = typesMeeting(state, { hi: address.hi, lo: start }, pageMask);
  const last = types.at(-1);
  if (last === undefined) return mtrrType(state.defType & 0xff);
  if (types.every((type) => type === last)) return last;
  if (order > 0) return 'SPLIT';
  if (types.includes('UC')) return 'UC';
  return types.every((type) => type === 'WT' || type === 'WB') ? 'WT' : last;
}

export interface ShadowPat {
  /** What the guest asked for. */
  readonly guestEffective: EffectiveType;
  readonly hostPat: PatType;
  /** Index into the PAT of Xen. */
  readonly hostIndex: number;
  readonly effective: EffectiveType;
}

/** Source: Xen `get_pat_flags`. */
export function getPatFlags(guestMtrr: MtrrType, guestPat: PatType, hostMtrr: MtrrType): ShadowPat {
  const guestEffective = mmType(guestMtrr, guestPat);
  const hostPat = patForType(hostMtrr, guestEffective) ?? 'UC';
  return {
    guestEffective,
    hostPat,
    hostIndex: must(slotOf(XEN_PAT, hostPat), 'every type has a slot in the PAT of Xen'),
    effective: mmType(hostMtrr, hostPat),
  };
}

export const XEN_P2M_TYPES = [
  'ram_rw',
  'mmio_direct',
  'grant_map_rw',
  'grant_map_ro',
  'map_foreign',
] as const;

export interface XenPage {
  readonly p2mt: (typeof XEN_P2M_TYPES)[number];
  /** The domain has an IOMMU. */
  readonly iommu: boolean;
  /** The domain may flush caches: it has access to I/O memory or ports. */
  readonly cacheFlush: boolean;
  readonly guestMtrr: MtrrType;
  readonly hostMtrr: MtrrType;
}

/** One line of the list below: when it holds, the leaf has this type and this IPAT. */
interface Line {
  readonly when: (page: XenPage) => boolean;
  readonly memtype: MtrrType | 'guest MTRR' | 'host MTRR';
  readonly ipat: 0 | 1;
  readonly why: string;
}

const oneIs = (type: MtrrType, p: XenPage): boolean => p.guestMtrr === type || p.hostMtrr === type;

/** epte_get_entry_emt() for a 4K page, top to bottom: the first line that holds decides. */
const EPTE_GET_ENTRY_EMT: readonly Line[] = [
  {
    when: (p) => p.p2mt !== 'mmio_direct' && !p.iommu && !p.cacheFlush,
    memtype: 'WB',
    ipat: 1,
    why: 'no IOMMU and no right to flush caches',
  },
  {
    when: (p) => p.p2mt === 'mmio_direct',
    memtype: 'UC',
    ipat: 0,
    why: 'assigned MMIO',
  },
  {
    when: (p) => p.p2mt !== 'ram_rw',
    memtype: 'WB',
    ipat: 1,
    why: 'grant or foreign mapping',
  },
  {
    when: (p) => p.guestMtrr === p.hostMtrr,
    memtype: 'host MTRR',
    ipat: 0,
    why: 'both MTRRs agree',
  },
  {
    when: (p) => oneIs('UC', p),
    memtype: 'UC',
    ipat: 0,
    why: 'one MTRR is UC',
  },
  {
    when: (p) => p.guestMtrr === 'WB',
    memtype: 'host MTRR',
    ipat: 0,
    why: 'guest MTRR is WB: the other one',
  },
  {
    when: (p) => p.hostMtrr === 'WB',
    memtype: 'guest MTRR',
    ipat: 0,
    why: 'host MTRR is WB: the other one',
  },
  {
    when: (p) => !oneIs('WC', p),
    memtype: 'WP',
    ipat: 0,
    why: 'WT and WP',
  },
  {
    when: () => true,
    memtype: 'UC',
    ipat: 0,
    why: 'WC with WT or WP',
  },
];

function resolved(memtype: Line['memtype'], page: XenPage): MtrrType {
  if (memtype === 'guest MTRR') return page.guestMtrr;
  return memtype === 'host MTRR' ? page.hostMtrr : memtype;
}

export interface XenEptChoice {
  readonly leaf: EptLeaf;
  readonly why: string;
}

/** Source: Xen `epte_get_entry_emt`, without special pages and pinned cache attributes. */
export function epteGetEntryEmt(page: XenPage): XenEptChoice {
  const line = must(
    EPTE_GET_ENTRY_EMT.find(({ when }) => when(page)),
    'the last line always holds',
  );
  return { leaf: { memtype: resolved(line.memtype, page), ipat: line.ipat === 1 }, why: line.why };
}
