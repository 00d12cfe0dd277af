import {
  all,
  ept,
  IPAT,
  is_mmio,
  noncoherent_dma,
  not,
  otherwise,
  self_snoop,
  type VmxEra,
  when,
} from '../decision.ts';

/** 6.11-rc1 to rc7 only: the maintainer's series. Guest MTRRs and CR0.CD are gone. */
export const E9: VmxEra = {
  id: 'E9',
  kernels: '6.11-rc1 to 6.11-rc7',
  sources: ['kvm/377b2f359d1f', 'kvm/0a7b73559b39', 'kvm/e1548088ff54', 'kvm/vmx_get_mt_mask'],
  where: 'vmx/vmx.c: vmx_get_mt_mask()',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('UC'),
      'host MMIO is UC; the guest PAT may still pick WC',
      'kvm/2aaf69dcee86',
    ),
    when(
      all(not(self_snoop), not(noncoherent_dma)),
      ept('WB', IPAT),
      'no self-snoop: aliases would not be safe, so the guest PAT is ignored',
      'kvm/377b2f359d1f',
    ),
    otherwise(ept('WB'), 'RAM is WB and the guest PAT is honoured', 'kvm/377b2f359d1f'),
  ],
  felt:
    'Every Intel VM on a self-snoop CPU honours the guest PAT. A guest whose bochs driver had mapped its ' +
    'frame buffer UC- became unusably slow on Sapphire Rapids, so it was reverted before 6.11.',
};
