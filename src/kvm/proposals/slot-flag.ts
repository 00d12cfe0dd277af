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
  slot_noncoherent,
  type VmxEra,
  when,
} from '../decision.ts';

/** KVM_MEM_NON_COHERENT_DMA, posted 2024-01-05 and carried by ChromeOS kernels: per memslot. */
export const SLOT_FLAG_VMX: VmxEra = {
  id: 'slot-flag',
  kernels: 'ChromeOS 5.15 to 6.12; posted 2024-01-05, not merged',
  sources: ['mail/cros-flag'],
  where: 'vmx/vmx.c: vmx_get_mt_mask(), with the memslot flag',
  vmx_get_mt_mask: [
    when(is_mmio, ept('UC'), 'host MMIO is UC; the guest PAT may still pick WC'),
    when(slot_noncoherent, ept('WB'), 'a flagged memslot: RAM is WB and the guest PAT is honoured'),
    when(not(noncoherent_dma), ept('WB', IPAT), 'RAM is WB whatever the guest says'),
    when(all(cr0_cd, quirk_cd_nw_cleared), ept('WB', IPAT), 'CR0.CD=1, but the quirk says WB'),
    when(cr0_cd, ept('UC', IPAT), 'CR0.CD=1: caching off'),
    otherwise(ept('guest_mtrr'), 'non-coherent DMA: guest MTRR and guest PAT'),
  ],
  felt: 'Only the blobs that need it honour the guest PAT; the rest of the guest stays WB.',
};
