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

/** 4.2.0 to 4.2.3 and 4.3-rc1 to rc3: host MMIO is treated like non-coherent RAM. */
export const E6: VmxEra = {
  id: 'E6',
  kernels: '4.2.0 to 4.2.3, 4.3-rc1 to 4.3-rc3',
  sources: ['kvm/fd717f11015f', 'kvm/fb279950ba02', 'kvm/b18d5431acc7', 'kvm/vmx_get_mt_mask'],
  where: 'vmx.c: vmx_get_mt_mask()',
  vmx_get_mt_mask: [
    when(
      all(not(is_mmio), not(noncoherent_dma)),
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
    otherwise(ept('guest_mtrr'), 'guest MTRR and guest PAT, for host MMIO too', 'kvm/fd717f11015f'),
  ],
  felt:
    'A guest can map host MMIO cacheable: machine checks (kernel bug 104091). The firmware phase of a VM ' +
    'with non-coherent DMA is WB by the quirk.',
};
