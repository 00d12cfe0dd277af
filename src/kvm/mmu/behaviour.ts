import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import type { TraceContext, TraceFormat } from './trace.ts';

/** What the MMU of a kernel does that has no say in a memory type, but in what is mapped, and when. */
export interface MmuBehaviour {
  readonly trace: TraceFormat;
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
  /** A huge page in the way of a small one is split; before, it is zapped. */
  readonly splitOnFault: boolean;
  /** KVM_X86_QUIRK_SLOT_ZAP_ALL can be disabled: a memslot that goes takes only its own mappings along. */
  readonly slotZapAllQuirk: boolean;
  /** The error code that fast_page_fault prints has U for a read: EPT up to 7.1. */
  readonly eptReadIsUser: boolean;
  /** fast_page_fault prints more than 32 bits of the error code. */
  readonly wideErrorCode: boolean;
  /** VM_PFNMAP memory that the VMM has in huge pages is mapped huge. */
  readonly hugePfnmap: boolean;
}

const FIRST = {
  softwareAd: parseKernelVersion('6.13-rc1'),
  eagerSplit: parseKernelVersion('5.18-rc1'),
  recoverHuge: parseKernelVersion('6.13-rc1'),
  splitOnFault: parseKernelVersion('5.18-rc1'),
  leavesOnly: parseKernelVersion('5.18-rc1'),
  slotZapAllQuirk: parseKernelVersion('6.12-rc1'),
  zapSmallFirst: parseKernelVersion('6.9-rc1'),
  wideErrorCode: parseKernelVersion('6.10-rc1'),
  hugePfnmap: parseKernelVersion('6.0-rc1'),
  rwux: parseKernelVersion('7.2-rc1'),
};

/** Kernels that take KVM from later versions may behave as those do; this is the series' own. */
export function mmuBehaviour(version: KernelVersion): MmuBehaviour {
  const since = (from: KernelVersion): boolean => compareVersions(from, version) <= 0;
  const isC = since(FIRST.rwux);
  return {
    trace: { roleAccess: isC ? 'rwux' : 'wux', requestedAccess: isC },
    rootContext: since(FIRST.zapSmallFirst) ? 2 : 1,
    softwareAd: since(FIRST.softwareAd),
    eagerSplit: since(FIRST.eagerSplit),
    removalFirst: isC,
    zapsTables: !since(FIRST.leavesOnly),
    tableAfterEntry: !since(FIRST.leavesOnly),
    zapRootLevels: since(FIRST.zapSmallFirst)
      ? [1, 2, 3, 5]
      : since(FIRST.leavesOnly)
        ? [3, 5]
        : [5],
    recoverHuge: since(FIRST.recoverHuge),
    splitOnFault: since(FIRST.splitOnFault),
    slotZapAllQuirk: since(FIRST.slotZapAllQuirk),
    eptReadIsUser: !isC,
    wideErrorCode: since(FIRST.wideErrorCode),
    hugePfnmap: since(FIRST.hugePfnmap),
  };
}
