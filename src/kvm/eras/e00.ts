import { ept, otherwise, type VmxEra } from '../decision.ts';

/** 2.6.26-rc2 to 2.6.28-rc4: a constant in the base PTE (VMX_EPT_DEFAULT_MT), for every leaf. */
export const E0: VmxEra = {
  id: 'E0',
  kernels: '2.6.26-rc2 to 2.6.28-rc4',
  sources: ['kvm/1439442c7b25'],
  where: 'vmx.c: base PTE set by kvm_mmu_set_base_ptes()',
  vmx_get_mt_mask: [otherwise(ept('WB'), 'every leaf is WB; the guest PAT is honoured')],
  felt: 'The first EPT: WB for everything, MMIO included, and the guest PAT on top.',
};
