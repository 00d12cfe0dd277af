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
    when(is_mmio, ept('UC'), 'host MMIO is UC; the guest PAT may still pick WC'),
    when(not(noncoherent_dma), ept('WB', IPAT), 'RAM is WB whatever the guest says'),
    when(all(cr0_cd, quirk_cd_nw_cleared), ept('WB', IPAT), 'CR0.CD=1, but the quirk says WB'),
    when(cr0_cd, ept('UC', IPAT), 'CR0.CD=1: caching off'),
    otherwise(ept('guest_mtrr'), 'non-coherent DMA: guest MTRR and guest PAT'),
  ],
  felt: 'Host MMIO is UC again, after the machine checks of 4.2.',
};
