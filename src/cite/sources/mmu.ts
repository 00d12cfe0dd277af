import type { Source } from '../source.ts';

/** KVM's MMU: the trees that were read for it. */
const TREES = 'Linux 5.12.9, 6.11.11, 6.16.1, 7.1.3';

function mmu(symbol: string, file = 'mmu.c'): Source {
  return {
    kind: 'code',
    tree: TREES,
    file: `arch/x86/kvm/mmu/${file}`,
    symbol,
    evidence: 'read',
  };
}

/** How KVM's shadow MMU goes about its work. */
export const MMU_SOURCES = {
  'kvm/walk_addr_generic': mmu('FNAME(walk_addr_generic)', 'paging_tmpl.h'),
  'kvm/update_accessed_dirty_bits': mmu('FNAME(update_accessed_dirty_bits)', 'paging_tmpl.h'),
  'kvm/update_permission_bitmask': mmu('update_permission_bitmask, permission_fault'),
  'kvm/shadow-fetch': mmu(
    'FNAME(page_fault), FNAME(fetch), FNAME(pte_prefetch), FNAME(sync_spte)',
    'paging_tmpl.h',
  ),
  'kvm/kvm_mmu_get_page': mmu(
    'kvm_mmu_find_shadow_page, kvm_mmu_alloc_shadow_page, kvm_mmu_child_role (kvm_mmu_get_page up to 5.18)',
  ),
  'kvm/kvm_mmu_prepare_zap_page': mmu(
    '__kvm_mmu_prepare_zap_page, kvm_zap_obsolete_pages, kvm_mmu_zap_all',
  ),
  'kvm/mmu_try_to_unsync_pages': mmu(
    'mmu_try_to_unsync_pages (mmu_need_write_protect up to 5.13), mmu_sync_children',
  ),
  'kvm/kvm_mmu_track_write': mmu('kvm_mmu_track_write (kvm_mmu_pte_write up to 6.5)'),
  'kvm/direct_map': mmu('direct_map, __direct_pte_prefetch, fast_page_fault'),
  'kvm/shadow-rmap': mmu('pte_list_add, pte_list_remove, kvm_zap_all_rmap_sptes'),
  'kvm/tdp_mmu.c': mmu(
    'kvm_tdp_mmu_map, handle_changed_spte, handle_removed_pt, tdp_mmu_zap_root, zap_gfn_range (to 5.17), ' +
      'tdp_mmu_zap_leafs, recover_huge_pages_range (zap_collapsible_spte_range to 6.12)',
    'tdp_mmu.c',
  ),
  'kvm/tdp-history': {
    kind: 'observation',
    what: 'in which version the TDP MMU began to do what it does',
    where:
      'the history of arch/x86/kvm/mmu/tdp_mmu.c; 6.1, 6.12 and 7.3 were seen to do it in traces',
    evidence: 'recalled',
  },
  'kvm/hva_to_pfn': {
    kind: 'code',
    tree: 'Linux 5.10 to 7.3',
    file: 'virt/kvm/kvm_main.c, arch/x86/kvm/mmu/mmu.c',
    symbol: 'hva_to_pfn, kvm_mmu_faultin_pfn, kvm_handle_error_pfn',
    evidence: 'recalled',
    note: 'the parts that recorded runs show were seen to be so',
  },
} as const satisfies Record<string, Source>;
