import type { VerdictKind } from '../../resolve/verdict.ts';

/** The kinds of finding that a trace brings, joined with the page flags of the host. */
export const TRACE_FINDINGS = {
  tracedWriteBack: {
    code: 'MT620',
    severity: 'error',
    title: 'Seen: a page that is not WB on the host is mapped WB for the guest',
    room: 'kvm',
    cause:
      'The page flags of the host say WC (or UC-, WT), and the entry that KVM installed says WB and makes ' +
      "the guest's own type count for nothing: IPAT under EPT, a shadow PTE under shadow paging.",
    consequence:
      "The guest's stores stay in its cache, whatever type its driver asked. A device that does not snoop " +
      "reads old data; and the host's own mapping of the page has another type.",
    fix: 'Have KVM honour the guest PAT: see MT201.',
    sources: ['kvm/vmx_get_mt_mask', 'linux/kpageflags', 'lab/ept-traces', 'lab/vgem-wc'],
    example: 'gfn 49000H, pfn 597cH with KPF_ARCH (WC), SPTE 860000000597cb77H: WB+IPAT.',
  },
  tracedIpat: {
    code: 'MT621',
    severity: 'info',
    title: 'Seen: whether KVM ignores the guest PAT for RAM',
    room: 'kvm',
    cause:
      'Bit 6 (IPAT) of the EPT entries of RAM in the trace. Set: the guest PAT is ignored. Clear: it is ' +
      'honoured, as KVM_X86_QUIRK_IGNORE_GUEST_PAT is disabled or the VM has non-coherent DMA (or CR0.CD ' +
      'was handled so: rule kvm/cr0-cd).',
    consequence: 'Doctor takes the quirk of this VM for in force or disabled by it.',
    fix: 'Nothing to do.',
    sources: ['kvm/vmx_get_mt_mask', 'lab/ept-traces'],
    example: 'SPTE 8600000002beeb77H: bits 5:3 are 6 (WB), bit 6 is 1.',
  },
  tracedUncachedRam: {
    code: 'MT622',
    severity: 'warning',
    title: 'Seen: RAM is mapped UC for the guest',
    room: 'kvm',
    cause:
      'The EPT entry of a page of RAM says UC: KVM took it for host MMIO, or CR0.CD or a guest MTRR made it so.',
    consequence: 'Every access of the guest to it goes to memory: hundreds of times slower.',
    fix: 'Trace again after the guest has booted; if it stays, look at the guest MTRRs (kvm_msr in the trace).',
    sources: ['kvm/vmx_get_mt_mask', 'kvm/kvm_is_mmio_pfn', 'lab/ept-traces'],
    example:
      'A VM with non-coherent DMA on 6.1 whose guest has not set up its MTRRs: SPTE 6000000029c4b07H.',
  },
  tracedCachedDevice: {
    code: 'MT623',
    severity: 'error',
    title: 'Seen: device memory is mapped cacheable for the guest',
    room: 'kvm',
    cause:
      'The EPT entry of a frame that has no struct page, and that the firmware does not list as RAM, is cacheable.',
    consequence: 'As MT401: cacheable and speculative reads reach the device.',
    fix: 'As MT401: a kernel that maps host MMIO UC, or UC in the guest with the guest PAT honoured.',
    sources: ['kvm/vmx_get_mt_mask', 'kvm/kvm_is_mmio_pfn'],
    example: 'An SPTE of the VGA hole, frame a0H, with WB+IPAT.',
  },
} as const satisfies Readonly<Record<string, VerdictKind>>;
