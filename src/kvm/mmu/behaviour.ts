import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import type { TraceContext, TraceFormat } from './trace.ts';

/** What the MMU of a kernel does that has no say in a memory type, but in what is mapped, and when. */
export interface MmuBehaviour {
  readonly trace: TraceFormat;
  /** With VMX a new vCPU has the PAT of a reset; before, the host's. */
  readonly ownResetPat: boolean;
  /** KVM_USER_MEM_SLOTS: slots from there on are KVM's own. */
  readonly userMemSlots: number;
  /** The default of tdp_mmu. */
  readonly tdpMmu: boolean;
  /** Where a root is made: under one lock, or two. */
  readonly rootContext: TraceContext;
  /** The A and D bits are set in an EPT entry even where the CPU does not use them. */
  readonly softwareAd: boolean;
  /** Huge pages are split when dirty logging begins: eager_page_split, of the TDP MMU. */
  readonly eagerSplit: boolean;
  /** A table's removal is printed before the change of the entry that pointed to it. */
  readonly removalFirst: boolean;
  /** A zap of a range takes tables that lie in it whole; later only leaves, so that MMIO entries stay. */
  readonly zapsTables: boolean;
  /** A new table is printed after the entry that leads to it. */
  readonly tableAfterEntry: boolean;
  /** The levels at which a root is zapped, one pass each, lowest first; 5: the root itself. */
  readonly zapRootLevels: readonly number[];
  /** Dirty logging ended: a huge page is made again of its first small one; before, its table is zapped. */
  readonly recoverHuge: boolean;
  /** The TDP MMU has fast_page_fault(). */
  readonly fastTdp: boolean;
  /** fast_page_fault() makes a huge page writable where its slot is not logged; before, never. */
  readonly fastHugeWrite: boolean;
  /** A huge page in the way of a small one is split; before, it is zapped. */
  readonly splitOnFault: boolean;
  /** FNAME(sync_spte) returns early where the permissions of an entry are what they were. */
  readonly syncKeepsSame: boolean;
  /** KVM_X86_QUIRK_SLOT_ZAP_ALL can be disabled: a memslot that goes takes only its own mappings along. */
  readonly slotZapAllQuirk: boolean;
  /** The error code that fast_page_fault prints has U for a read: EPT up to 7.1. */
  readonly eptReadIsUser: boolean;
  /** fast_page_fault prints more than 32 bits of the error code. */
  readonly wideErrorCode: boolean;
  /** VM_PFNMAP memory that the VMM has in huge pages is mapped huge. */
  readonly hugePfnmap: boolean;
}

/** What began with a version. */
interface Change {
  readonly since: string;
  readonly what: string;
}

/** In the order of versions: the table of the rule kvm/tdp-history is made of it. */
const CHANGES = {
  ownResetPat: {
    since: '4.2',
    what: 'a new vCPU has the PAT of a reset; before, with VMX, the one that the host has',
  },
  manySlots: { since: '5.12', what: 'the VMM has 32764 memslots; before, 509' },
  tdpMmu: { since: '5.15', what: 'tdp_mmu=1 is the default' },
  fastTdp: { since: '5.15', what: 'the TDP MMU has fast_page_fault()' },
  fastHugeWrite: {
    since: '5.17',
    what: 'fast_page_fault() makes huge pages writable where no dirty pages are logged',
  },
  leavesOnly: {
    since: '5.18',
    what: 'a zap of a range takes leaves alone; before, tables that lie in it whole go, MMIO entries with them',
  },
  tableFirst: { since: '5.18', what: 'a new table is printed before the entry that leads to it' },
  zapRootHuge: { since: '5.18', what: 'roots are taken down at 1G, then whole; before, whole' },
  eagerSplit: {
    since: '5.18',
    what: 'huge pages are split when dirty logging begins (eager_page_split)',
  },
  splitOnFault: { since: '5.18', what: 'huge pages are split by faults; before, zapped' },
  hugePfnmap: { since: '6.0', what: 'VM_PFNMAP memory may be mapped huge' },
  syncKeepsSame: {
    since: '6.4',
    what: 'a sync leaves an entry alone whose permissions are the same; before, it makes it anew',
  },
  zapRootSmall: {
    since: '6.9',
    what: 'roots are taken down at 4K, 2M, 1G, then whole (not with CONFIG_KVM_PROVE_MMU)',
  },
  wideErrorCode: { since: '6.10', what: 'fast_page_fault prints all 64 bits of the error code' },
  slotZapAllQuirk: { since: '6.12', what: 'KVM_X86_QUIRK_SLOT_ZAP_ALL' },
  softwareAd: {
    since: '6.13',
    what: 'A and D are set in EPT entries even where the CPU does not use them',
  },
  recoverHuge: {
    since: '6.13',
    what: 'huge pages are recovered in place when dirty logging ends; before, zapped',
  },
  removalFirst: {
    since: '7.2',
    what: 'the end of a table is printed before the change of the entry that led to it',
  },
  rwux: {
    since: '7.2',
    what: 'a read is no longer U in the error code of EPT; kvm_mmu_spte_requested prints the access',
  },
} as const satisfies Record<string, Change>;

/** The changes, a line each. */
export const HISTORY: readonly string[] = Object.values(CHANGES).map(
  ({ since, what }) => `${since.padEnd(6)}${what}`,
);

/** Kernels that take KVM from later versions may behave as those do; this is the series' own. */
export function mmuBehaviour(version: KernelVersion): MmuBehaviour {
  const has = (change: keyof typeof CHANGES): boolean =>
    compareVersions(parseKernelVersion(`${CHANGES[change].since}-rc1`), version) <= 0;
  const isC = has('rwux');
  return {
    trace: { roleAccess: isC ? 'rwux' : 'wux', requestedAccess: isC },
    tdpMmu: has('tdpMmu'),
    ownResetPat: has('ownResetPat'),
    userMemSlots: has('manySlots') ? 32764 : 509,
    rootContext: has('zapRootSmall') ? 2 : 1,
    softwareAd: has('softwareAd'),
    eagerSplit: has('eagerSplit'),
    removalFirst: has('removalFirst'),
    zapsTables: !has('leavesOnly'),
    tableAfterEntry: !has('tableFirst'),
    zapRootLevels: has('zapRootSmall') ? [1, 2, 3, 5] : has('zapRootHuge') ? [3, 5] : [5],
    recoverHuge: has('recoverHuge'),
    fastTdp: has('fastTdp'),
    fastHugeWrite: has('fastHugeWrite'),
    splitOnFault: has('splitOnFault'),
    syncKeepsSame: has('syncKeepsSame'),
    slotZapAllQuirk: has('slotZapAllQuirk'),
    eptReadIsUser: !isC,
    wideErrorCode: has('wideErrorCode'),
    hugePfnmap: has('hugePfnmap'),
  };
}
