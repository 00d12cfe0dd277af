import { ept, IPAT, is_mmio, noncoherent_dma, otherwise, type VmxEra, when } from '../decision.ts';

/** 3.13 to 4.1: the same steps; kvm_arch_has_noncoherent_dma() counts who registered. */
export const E5: VmxEra = {
  id: 'E5',
  kernels: '3.13 to 4.1',
  sources: ['kvm/e0f0bbc527f6', 'kvm/vmx_get_mt_mask'],
  where: 'vmx.c: vmx_get_mt_mask()',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('UC'),
      'host MMIO is UC; the guest PAT may still pick WC',
      'kvm/2aaf69dcee86',
    ),
    when(
      noncoherent_dma,
      ept('guest_mtrr'),
      'non-coherent DMA: guest MTRR and guest PAT',
      'kvm/522c68c4416d',
    ),
    otherwise(ept('WB', IPAT), 'RAM is WB whatever the guest says', 'kvm/522c68c4416d'),
  ],
  felt: 'VFIO joins: any group attached through kvm-vfio counts as non-coherent at first.',
};
