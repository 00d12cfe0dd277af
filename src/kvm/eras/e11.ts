import {
  all,
  ept,
  IPAT,
  is_mmio,
  noncoherent_dma,
  not,
  otherwise,
  quirk_ignore_guest_pat,
  type VmxEra,
  when,
} from '../decision.ts';

/** 6.16 to 7.3 (the newest read), and 6.12.78 on. */
export const E11: VmxEra = {
  id: 'E11',
  kernels: '6.16 to 7.3, 6.12.78 and later 6.12.y',
  sources: ['kvm/c9c1e20b4c7d', 'kvm/3fee4837ef40', 'kvm/vmx_get_mt_mask'],
  where: 'vmx/vmx.c: vmx_get_mt_mask()',
  vmx_get_mt_mask: [
    when(
      is_mmio,
      ept('UC'),
      'host MMIO is UC; the guest PAT may still pick WC',
      'kvm/2aaf69dcee86',
    ),
    when(
      all(not(noncoherent_dma), quirk_ignore_guest_pat),
      ept('WB', IPAT),
      'KVM_X86_QUIRK_IGNORE_GUEST_PAT: RAM is WB whatever the guest says',
      'kvm/c9c1e20b4c7d',
    ),
    otherwise(ept('WB'), 'RAM is WB and the guest PAT is honoured', 'kvm/c9c1e20b4c7d'),
  ],
  felt: 'A VMM can opt out of the quirk, per VM, on a CPU with self-snoop.',
};
