import { ept, IPAT, otherwise, type VmxEra } from '../decision.ts';

/** 2.6.28-rc5 to 2.6.28.y: the same constant with IPAT (then called IGMT). */
export const E1: VmxEra = {
  id: 'E1',
  kernels: '2.6.28-rc5 to 2.6.28.y',
  sources: ['kvm/928d4bf747e9', 'kvm/set_spte'],
  where: 'vmx.c: base PTE set by kvm_mmu_set_base_ptes()',
  vmx_get_mt_mask: [otherwise(ept('WB', IPAT), 'every leaf is WB; the guest PAT is ignored')],
  felt: 'Guests lose control of PAT: WC frame buffers become WB. The reason given was machine checks.',
};
