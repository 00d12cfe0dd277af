import {
  all,
  cr0_cd,
  ept,
  IPAT,
  is_mmio,
  noncoherent_dma,
  not,
  otherwise,
  quirk_cd_nw_cleared,
  type VmxEra,
  when,
} from '../decision.ts';

/** 6.7 to 6.10: with CD=1 and the quirk, IPAT is dropped. */
export const E8: VmxEra = {
  id: 'E8',
  kernels: '6.7 to 6.10',
  sources: ['kvm/c9f65a3f2d92', 'kvm/vmx_get_mt_mask'],
  where: 'vmx.c: vmx_get_mt_mask()',
  vmx_get_mt_mask: [
    when(is_mmio, ept('UC'), 'host MMIO is UC; the guest PAT may still pick WC'),
    when(not(noncoherent_dma), ept('WB', IPAT), 'RAM is WB whatever the guest says'),
    when(
      all(cr0_cd, quirk_cd_nw_cleared),
      ept('WB'),
      'CR0.CD=1, but the quirk says WB; PAT honoured',
    ),
    when(cr0_cd, ept('UC', IPAT), 'CR0.CD=1: caching off'),
    otherwise(ept('guest_mtrr'), 'non-coherent DMA: guest MTRR and guest PAT'),
  ],
  felt: 'The firmware phase (CR0.CD=1 from reset) of a VM with non-coherent DMA honours the guest PAT.',
};
