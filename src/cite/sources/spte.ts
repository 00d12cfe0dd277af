import type { Evidence, Source } from '../source.ts';

function code(file: string, symbol: string, tree: string, evidence: Evidence = 'read'): Source {
  return { kind: 'code', tree, file, symbol, evidence };
}

/** How KVM writes its page-table entries. */
export const SPTE_SOURCES = {
  'kvm/spte.h': code(
    'arch/x86/kvm/mmu/spte.h (mmu.c up to 5.9)',
    'the masks and shifts; FROZEN_SPTE, SHADOW_NONPRESENT_VALUE',
    'Linux 4.11, 4.14, 5.4.195, 5.12.9, 6.1, 6.11.11, 6.12, 6.16.1, 7.1.3, 7.2, 7.3',
  ),
  'kvm/make_mmio_spte': code(
    'arch/x86/kvm/mmu/spte.c, mmu.c',
    'make_mmio_spte, get_mmio_spte_gfn, kvm_mmu_set_ept_masks, kvm_mmu_reset_all_pte_masks',
    'Linux 5.4.195, 5.12.9, 6.1, 6.12, 7.2, 7.3',
  ),
  'kvm/svm_adjust_mmio_mask': code(
    'arch/x86/kvm/svm/svm.c',
    'svm_adjust_mmio_mask, kvm_mmu_set_me_spte_mask(sme_me_mask)',
    'Linux 6.1, 7.3',
  ),
  'kvm/vmx_setup_me_spte_mask': code(
    'arch/x86/kvm/vmx/vmx.c',
    'vmx_setup_me_spte_mask: no KeyID is put into an SPTE',
    'Linux 7.3',
  ),
  'kvm/tdx-mmio': code(
    'arch/x86/kvm/vmx/tdx.c',
    'kvm_mmu_set_mmio_spte_value(kvm, 0)',
    'Linux 6.16.1',
  ),
  'kvm/mmutrace.h': code(
    'arch/x86/kvm/mmu/mmutrace.h (mmutrace.h up to 5.9)',
    'kvm_mmu_set_spte: how r, w, x and u are printed',
    'Linux 5.4.195, 6.16.1, 7.2, 7.3',
  ),
  'linux/override_cache_bits': code(
    'arch/x86/kernel/cpu/bugs.c',
    'override_cache_bits: 44 bits on client CPUs from Nehalem to Kaby Lake',
    'Linux 6.16.1',
  ),
  'qemu/cbitpos': code(
    'docs/system/i386/amd-memory-encryption.rst',
    'cbitpos=47; newer CPUs have 51 (recalled)',
    'QEMU, tree of 2026-01-14',
    'recalled',
  ),
} as const satisfies Record<string, Source>;
