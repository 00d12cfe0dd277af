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
    when(
      is_mmio,
      ept('UC'),
      'host MMIO is UC; the guest PAT may still pick WC',
      'kvm/606decd67049',
    ),
    when(
      not(noncoherent_dma),
      ept('WB', IPAT),
      'RAM is WB whatever the guest says',
      'kvm/522c68c4416d',
    ),
    when(
      all(cr0_cd, quirk_cd_nw_cleared),
      ept('WB'),
      'CR0.CD=1, but the quirk says WB; PAT honoured',
      'kvm/c9f65a3f2d92',
    ),
    when(cr0_cd, ept('UC', IPAT), 'CR0.CD=1: caching off', 'kvm/b18d5431acc7'),
    otherwise(ept('guest_mtrr'), 'non-coherent DMA: guest MTRR and guest PAT', 'kvm/522c68c4416d'),
  ],
  felt: 'The firmware phase (CR0.CD=1 from reset) of a VM with non-coherent DMA honours the guest PAT.',
};
