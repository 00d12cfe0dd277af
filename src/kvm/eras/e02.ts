import { ept, IPAT, otherwise, type VmxEra } from '../decision.ts';

/** 2.6.29-rc1 to rc5: set_spte() asks the guest's MTRRs, MMIO included. */
export const E2: VmxEra = {
  id: 'E2',
  kernels: '2.6.29-rc1 to 2.6.29-rc5',
  sources: ['kvm/64d4d5217571', 'kvm/set_spte'],
  where: 'mmu.c: set_spte()',
  vmx_get_mt_mask: [otherwise(ept('guest_mtrr', IPAT), "the guest's MTRR type, guest PAT ignored")],
  felt: 'Every EPT guest gets the types of its own MTRRs.',
};
