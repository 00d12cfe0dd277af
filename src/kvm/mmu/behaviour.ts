import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import type { TraceFormat } from './trace.ts';

/** What the MMU of a kernel does that has no say in a memory type, but in what is mapped, and when. */
export interface MmuBehaviour {
  readonly trace: TraceFormat;
  /** The A and D bits are set in an EPT entry even where the CPU does not use them. */
  readonly softwareAd: boolean;
  /** Huge pages are split when dirty logging begins: eager_page_split, of the TDP MMU. */
  readonly eagerSplit: boolean;
  /** A write that the VMM's mapping refuses, RET_PF_EMULATE by KVM_PFN_ERR_RO_FAULT. */
  readonly readonlyEmulation: boolean;
}

const FIRST = {
  softwareAd: parseKernelVersion('6.13-rc1'),
  eagerSplit: parseKernelVersion('5.18-rc1'),
  readonlyEmulation: parseKernelVersion('3.7-rc1'),
  rwux: parseKernelVersion('7.2-rc1'),
};

/** Kernels that take KVM from later versions may behave as those do; this is the series' own. */
export function mmuBehaviour(version: KernelVersion): MmuBehaviour {
  const since = (from: KernelVersion): boolean => compareVersions(from, version) <= 0;
  const isC = since(FIRST.rwux);
  return {
    trace: { roleAccess: isC ? 'rwux' : 'wux', requestedAccess: isC },
    softwareAd: since(FIRST.softwareAd),
    eagerSplit: since(FIRST.eagerSplit),
    readonlyEmulation: since(FIRST.readonlyEmulation),
  };
}
