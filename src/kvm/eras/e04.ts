import { ept, IPAT, is_mmio, noncoherent_dma, otherwise, type VmxEra, when } from '../decision.ts';

/** 2.6.31 to 3.12: non-coherent means a legacy IOMMU domain without snooping control. */
export const E4: VmxEra = {
  id: 'E4',
  kernels: '2.6.31 to 3.12',
  sources: ['kvm/522c68c4416d', 'kvm/4b12f0de33a6', 'kvm/vmx_get_mt_mask'],
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
      'a device that does not snoop: guest MTRR and guest PAT',
      'kvm/522c68c4416d',
    ),
    otherwise(ept('WB', IPAT), 'RAM is WB whatever the guest says', 'kvm/522c68c4416d'),
  ],
  felt:
    'The rule that became the ABI: RAM is WB and the guest PAT is ignored, except in a VM with a ' +
    'legacy-assigned device behind a VT-d that cannot force snooping.',
};
