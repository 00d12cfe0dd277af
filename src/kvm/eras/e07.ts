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

/** 4.3 to 6.6, and 4.2.4 on. */
export const E7: VmxEra = {
  id: 'E7',
  kernels: '4.3 to 6.6, 4.2.4 and later 4.2.y',
  sources: ['kvm/606decd67049', 'kvm/vmx_get_mt_mask'],
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
      ept('WB', IPAT),
      'CR0.CD=1, but the quirk says WB',
      'kvm/fb279950ba02',
    ),
    when(cr0_cd, ept('UC', IPAT), 'CR0.CD=1: caching off', 'kvm/b18d5431acc7'),
    otherwise(ept('guest_mtrr'), 'non-coherent DMA: guest MTRR and guest PAT', 'kvm/522c68c4416d'),
  ],
  felt: 'Host MMIO is UC again, after the machine checks of 4.2.',
};
