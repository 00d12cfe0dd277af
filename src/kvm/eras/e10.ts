import {
  ept,
  IPAT,
  is_mmio,
  noncoherent_dma,
  not,
  otherwise,
  type VmxEra,
  when,
} from '../decision.ts';

/** 6.11 to 6.15, and 6.12.0 to 6.12.77. */
export const E10: VmxEra = {
  id: 'E10',
  kernels: '6.11 to 6.15, 6.12.0 to 6.12.77',
  sources: ['kvm/9d70f3fec144', 'kvm/0a7b73559b39', 'kvm/vmx_get_mt_mask'],
  where: 'vmx/vmx.c: vmx_get_mt_mask()',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('UC'),
      'host MMIO is UC; the guest PAT may still pick WC',
      'kvm/2aaf69dcee86',
    ),
    when(
      not(noncoherent_dma),
      ept('WB', IPAT),
      'RAM is WB whatever the guest says',
      'kvm/522c68c4416d',
    ),
    otherwise(
      ept('WB'),
      'non-coherent DMA: RAM is WB and the guest PAT is honoured',
      'kvm/0a7b73559b39',
    ),
  ],
  felt:
    'Guest MTRRs and CR0.CD no longer matter to anyone on Intel. A guest that relied on MTRRs alone for ' +
    'non-coherent DMA now gets WB.',
};
