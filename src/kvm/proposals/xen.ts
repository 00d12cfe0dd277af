import {
  all,
  assigned_device,
  type Condition,
  ept,
  IPAT,
  is_mmio,
  not,
  otherwise,
  type VmxEra,
  type VmxInputs,
  when,
} from '../decision.ts';
import type { MmioRule } from '../mmio.ts';
import { pfn_valid } from '../mmio.ts';
import { is_mmio as mmioOnAmd, type SvmEra } from '../svm.ts';

const mtrrs_agree: Condition<VmxInputs> = {
  text: 'guest_mtrr == host_mtrr',
  holds: (q) => q.guest_mtrr() === q.host_mtrr(),
};
const one_mtrr_is_uc: Condition<VmxInputs> = {
  text: '(guest_mtrr == UC || host_mtrr == UC)',
  holds: (q) => q.guest_mtrr() === 'UC' || q.host_mtrr() === 'UC',
};
const guest_mtrr_is_wb: Condition<VmxInputs> = {
  text: 'guest_mtrr == WB',
  holds: (q) => q.guest_mtrr() === 'WB',
};
const host_mtrr_is_wb: Condition<VmxInputs> = {
  text: 'host_mtrr == WB',
  holds: (q) => q.host_mtrr() === 'WB',
};
const one_mtrr_is_wc: Condition<VmxInputs> = {
  text: '(guest_mtrr == WC || host_mtrr == WC)',
  holds: (q) => q.guest_mtrr() === 'WC' || q.host_mtrr() === 'WC',
};

/**
 * Xen's epte_get_entry_emt() for RAM and assigned MMIO, in KVM's terms: "assigned_device" stands for a
 * domain that has an IOMMU or may flush caches. Grants, foreign mappings and pinned attributes are not
 * part of the comparison: see the rule xen/ept-policy.
 */
export const XEN_VMX: VmxEra = {
  id: 'xen',
  kernels: 'none: Xen',
  sources: ['xen/p2m-ept.c'],
  where: 'xen/arch/x86/mm/p2m-ept.c: epte_get_entry_emt()',
  vmx_get_mt_mask: [
    when(
      all(not(is_mmio), not(assigned_device)),
      ept('WB', IPAT),
      'RAM of a domain without IOMMU and without the right to flush caches',
    ),
    when(is_mmio, ept('UC'), 'assigned MMIO; the guest PAT may still pick WC'),
    when(mtrrs_agree, ept('host_mtrr'), 'guest MTRR and host MTRR agree'),
    when(one_mtrr_is_uc, ept('UC'), 'one of the two is UC'),
    when(guest_mtrr_is_wb, ept('host_mtrr'), 'the guest MTRR is WB: the other one'),
    when(host_mtrr_is_wb, ept('guest_mtrr'), 'the host MTRR is WB: the other one'),
    when(not(one_mtrr_is_wc), ept('WP'), 'WT and WP'),
    otherwise(ept('UC'), 'WC with WT or WP'),
  ],
  felt: 'Guest MTRRs count as soon as a domain has a device; the guest PAT then too.',
};

/** Whether a page is assigned MMIO is said by the toolstack (p2m_mmio_direct), not asked of the page. */
export const XEN_MMIO: MmioRule = {
  id: 'xen',
  kernels: 'none: Xen',
  sources: ['xen/p2m-ept.c'],
  kvm_is_mmio_pfn: [
    when(pfn_valid, false, 'RAM'),
    otherwise(true, 'p2m_mmio_direct, which a toolstack gives to BARs'),
  ],
};

export const XEN_SVM: SvmEra = {
  id: 'xen',
  kernels: 'none: Xen',
  sources: ['xen/p2m-pt.c'],
  npt_leaf: [
    when(mmioOnAmd, 'PCD', 'p2m_mmio_direct has _PAGE_PCD'),
    otherwise('PA0', 'index 0 of the PAT of Xen, WB'),
  ],
  g_pat: [otherwise('guest', "g_pat is the guest's PAT MSR")],
  note: 'The guest PAT is always honoured over the WB leaf of RAM.',
};
