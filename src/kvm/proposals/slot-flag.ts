import { ept, is_mmio, slot_noncoherent, type VmxEra, when } from '../decision.ts';

const FLAGGED = when(
  slot_noncoherent,
  ept('WB'),
  'a flagged memslot: RAM is WB and the guest PAT is honoured',
  'mail/cros-flag',
);

/**
 * KVM_MEM_NON_COHERENT_DMA, posted 2024-01-05 and carried by ChromeOS kernels: one line in the list of
 * the kernel it is applied to, after host MMIO. Guest MTRRs and CR0.CD do not count in a flagged slot,
 * whether or not the VM has non-coherent DMA. VMX only.
 */
export function withSlotFlag(kernel: VmxEra): VmxEra {
  const list = kernel.vmx_get_mt_mask;
  const at = list[0]?.when === is_mmio ? 1 : 0;
  return {
    id: 'slot-flag',
    kernels: 'ChromeOS 5.15 to 6.12; posted 2024-01-05, not merged',
    sources: ['mail/cros-flag', ...kernel.sources],
    where: 'vmx/vmx.c: vmx_get_mt_mask(), with the memslot flag',
    vmx_get_mt_mask: [...list.slice(0, at), FLAGGED, ...list.slice(at)],
    felt: 'Only the blobs that need it honour the guest PAT; the rest of the guest stays WB.',
  };
}
