import { ept, IPAT, is_mmio, otherwise, type VmxEra, when } from '../decision.ts';

/** 2.6.29-rc6 to 2.6.30: host MMIO becomes UC, and the guest may make it WC. */
export const E3: VmxEra = {
  id: 'E3',
  kernels: '2.6.29-rc6 to 2.6.30',
  sources: ['kvm/2aaf69dcee86', 'kvm/set_spte'],
  where: 'mmu.c: set_spte()',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('UC'),
      'host MMIO is UC; the guest PAT may still pick WC',
      'kvm/2aaf69dcee86',
    ),
    otherwise(
      ept('guest_mtrr', IPAT),
      "RAM has the guest's MTRR type, guest PAT ignored",
      'kvm/64d4d5217571',
    ),
  ],
  felt: 'Device memory stops being cacheable. RAM follows the guest MTRRs of every VM.',
};
