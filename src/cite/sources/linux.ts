import type { Evidence, Source } from '../source.ts';

function code(file: string, symbol: string, tree: string, evidence: Evidence = 'read'): Source {
  return { kind: 'code', tree, file, symbol, evidence };
}

function commit(
  hash: string,
  subject: string,
  first: string,
  evidence: Evidence = 'archive',
): Source {
  return { kind: 'commit', hash, subject, first, evidence };
}

const TREES = 'Linux 6.1, 6.12, 7.3';
const PAT = 'arch/x86/mm/pat/memtype.c';

/** Linux outside KVM: as the host that owns the pages, and as the guest. */
export const LINUX_SOURCES = {
  'linux/pat_x_mtrr_type': code(PAT, 'pat_x_mtrr_type', TREES),
  'linux/memtype_reserve': code(PAT, 'memtype_reserve', TREES),
  'linux/lookup_memtype': code(PAT, 'lookup_memtype', 'Linux 4.15 to 7.3'),
  'linux/reserve_ram_pages_type': code(PAT, 'reserve_ram_pages_type', TREES),
  'linux/memtype_check_conflict': code(
    'arch/x86/mm/pat/memtype_interval.c',
    'memtype_check_conflict',
    TREES,
  ),
  'linux/is_new_memtype_allowed': code(
    'arch/x86/include/asm/pgtable.h',
    'is_new_memtype_allowed',
    TREES,
  ),
  'linux/is_untracked_pat_range': code('arch/x86/kernel/x86_init.c', 'is_ISA_range', TREES),
  'linux/pat_bp_init': code(PAT, 'pat_bp_init', TREES),
  'linux/set_memory': code(
    'arch/x86/mm/pat/set_memory.c',
    'set_memory_wc, _set_pages_array',
    TREES,
  ),
  'linux/ioremap': code('arch/x86/mm/ioremap.c', '__ioremap_caller', TREES),
  'linux/vmf_insert_pfn': code('mm/memory.c', 'vmf_insert_pfn_prot', TREES),
  'linux/remap_pfn_range': code(PAT, 'reserve_pfn_range', TREES),
  'linux/mtrr-generic': code(
    'arch/x86/kernel/cpu/mtrr/generic.c',
    'mtrr_type_lookup',
    'Linux 7.3.4',
    'ran',
  ),
  'linux/self-snoop-errata': code(
    'arch/x86/kernel/cpu/intel.c',
    'check_memory_type_self_snoop_errata',
    'Linux 5.9 to 7.3',
  ),
  'linux/print_trace_line': code(
    'kernel/trace/trace.c',
    'print_trace_line',
    'archived copies of Linux',
    'archive',
  ),
  'linux/kpageflags': code('fs/proc/page.c', 'stable_page_flags', TREES),
  'linux/ttm_pool': code('drivers/gpu/drm/ttm/ttm_pool.c', 'ttm_pool_apply_caching', TREES),
  'linux/amdgpu_ttm': code(
    'drivers/gpu/drm/amd/amdgpu/amdgpu_ttm.c',
    'amdgpu_ttm_tt_create',
    TREES,
  ),
  'linux/xe_bo': code('drivers/gpu/drm/xe/xe_bo.c', 'xe_ttm_tt_create', 'Linux 6.12, 7.1'),
  'linux/i915_mman': code('drivers/gpu/drm/i915/i915_mm.c', 'remap_io_mapping', 'Linux 6.12'),
  'linux/drm_gem_shmem': code('drivers/gpu/drm/drm_gem_shmem_helper.c', 'map_wc', TREES),
  'linux/vfio_pci': code('drivers/vfio/pci/vfio_pci_core.c', 'vfio_pci_core_mmap', TREES),
  'linux/virtgpu_vram': code(
    'drivers/gpu/drm/virtio/virtgpu_vram.c',
    'virtio_gpu_vram_mmap',
    'Linux 6.12, 7.1',
  ),
  'linux/hva_to_pfn_remapped': code(
    'virt/kvm/kvm_main.c',
    'hva_to_pfn_remapped',
    'Linux 5.10 to 7.3',
  ),
  'kvm/f8be156be163': commit(
    'f8be156be163',
    'KVM: do not allow mapping valid but non-reference-counted pages',
    '5.13; 5.12.14, 5.10.47, 5.4.129, 4.19.199',
  ),
  'mail/kvm-no-refcount': {
    kind: 'mail',
    id: '20240726235234.228822-85-seanjc@google.com',
    subject:
      '[PATCH v12 84/84] KVM: Don\'t grab reference on VM_MIXEDMAP pfns that have a "struct page"',
    date: '2024-07-26',
    evidence: 'archive',
  },
  'mail/shmem-mkwrite': {
    kind: 'mail',
    id: '20260227114509.165572-6-tzimmermann@suse.de',
    subject: '[PATCH v4 5/6] drm/gem-shmem: Track folio accessed/dirty status in mmap',
    date: '2026-02-27',
    evidence: 'archive',
  },
  'mail/drm-misc-next-7.1': {
    kind: 'mail',
    id: '20260312075629.GA21234@linux.fritz.box',
    subject: '[PULL] drm-misc-next (for v7.1)',
    date: '2026-03-12',
    evidence: 'archive',
  },
  'linux/guest_force_mtrr_state': code(
    'arch/x86/kernel/kvm.c',
    'kvm_init_platform',
    'Linux 7.1, 7.3',
  ),
  'linux/1e03bff36001': commit(
    '1e03bff36001',
    'x86/cpu/intel: Clear cache self-snoop capability in CPUs with known errata',
    '5.3',
  ),
  'linux/8d04a5f97a5f': commit(
    '8d04a5f97a5f',
    'x86/mm/pat: Convert the PAT tree to a generic interval tree',
    '5.5-rc1',
    'archive',
  ),
  'linux/iommu-snoop': code(
    'drivers/iommu/intel/iommu.c, drivers/iommu/amd/iommu.c',
    'IOMMU_CAP_ENFORCE_CACHE_COHERENCY',
    'Linux 6.2 to 7.3',
  ),
  'linux/mtrr_type_lookup-61': code(
    'arch/x86/kernel/cpu/mtrr/generic.c',
    'mtrr_type_lookup',
    'Linux 6.1',
  ),
  'linux/90b926e68f50': commit(
    '90b926e68f50',
    'x86/pat: Fix pat_x_mtrr_type() for MTRR disabled case',
    '6.2-rc4, 6.1.8',
  ),
  'mail/pat-mtrr-revert': {
    kind: 'mail',
    id: '20230607200919.984425789@linuxfoundation.org',
    subject: '[PATCH 6.1 171/225] x86/mtrr: Revert 90b926e68f50',
    date: '2023-06-07',
    evidence: 'archive',
  },
  'mail/memtype-match': {
    kind: 'mail',
    id: '20250425081715.1341199-10-david@redhat.com',
    subject: '[PATCH v1 09/11] x86/mm/pat: remove MEMTYPE_*_MATCH',
    date: '2025-04-25',
    evidence: 'archive',
  },
  'linux/memtype_erase': code(
    'arch/x86/mm/pat/memtype_interval.c',
    'memtype_erase',
    'Linux 5.6 to 6.2 (public copies)',
    'archive',
  ),
  'linux/pat_pagerange_is_ram': code(
    PAT,
    'pat_pagerange_is_ram, pagerange_is_ram_callback',
    'Linux 5.6 to 6.2 (public copies)',
    'archive',
  ),
  'linux/init_cache_modes': code(
    PAT,
    'init_cache_modes, __cachemode2pte_tbl',
    'Linux 6.2 (public copy)',
    'archive',
  ),
  'linux/early_init_intel': code(
    'arch/x86/kernel/cpu/intel.c',
    'early_init_intel',
    'Linux 4.x to 6.13 (public copies)',
    'archive',
  ),
  'linux/pgprot_writecombine': code(PAT, 'pgprot_writecombine', TREES),
  'linux/pgprot_noncached': {
    kind: 'code',
    tree: 'Linux 4.0 and later',
    file: 'arch/x86/include/asm/pgtable.h',
    symbol: 'pgprot_noncached',
    evidence: 'recalled',
  },
  'linux/ioremap_np': code(
    'include/asm-generic/io.h',
    'ioremap_np',
    'Linux 5.13 and later (public copies)',
    'archive',
  ),
  'linux/e820__mapped_raw_any': code(
    'arch/x86/kernel/e820.c',
    'e820__mapped_raw_any',
    'Linux 5.2 to 7.x (public copies)',
    'archive',
  ),
  'linux/pat-rst': code(
    'Documentation/arch/x86/pat.rst',
    'the table of MTRR and PAT types',
    'Linux 7.3.4',
  ),
  'lab/memtype-steps': {
    kind: 'observation',
    what: 'the tracker after each of 26 mappings and MTRR writes, with its own debug lines',
    where: 'Linux 6.1 in an emulated PC guest',
    evidence: 'ran',
  },
  'lab/pat-dmesg': {
    kind: 'observation',
    what: 'boot logs: "WB WC UC- UC WB WC UC- WT" and, later, "WB WC UC- UC WB WP UC- WT"',
    where: 'public boot logs of 4.x kernels; guests with 6.1 to 7.3',
    evidence: 'archive',
  },
  'xen/XEN_MSR_PAT': code(
    'xen/arch/x86/include/asm/processor.h',
    'XEN_MSR_PAT',
    'Xen c447b7308b13',
  ),
  'lab/vgem-wc': {
    kind: 'observation',
    what: 'vgem pages carry the WC page flag and KVM maps them like any RAM',
    where: 'Linux 6.1, 6.12, 7.3 on emulated Intel and AMD hosts, 605 leaf SPTEs',
    evidence: 'ran',
  },
  'xen/mtrr.c': code(
    'xen/arch/x86/hvm/mtrr.c',
    'mtrr_get_type, get_pat_flags, mm_type_tbl',
    'Xen c447b7308b13',
    'ran',
  ),
  'xen/p2m-ept.c': code(
    'xen/arch/x86/mm/p2m-ept.c',
    'epte_get_entry_emt',
    'Xen c447b7308b13',
    'ran',
  ),
  'xen/p2m-pt.c': code('xen/arch/x86/mm/p2m-pt.c', 'p2m_type_to_flags', 'Xen c447b7308b13'),
  'xen/memory_type_changed': code(
    'xen/arch/x86/hvm/mtrr.c, xen/arch/x86/include/asm/iocap.h',
    'memory_type_changed',
    'Xen c447b7308b13',
  ),
  'bochs/paging.cc': code(
    'bochs/cpu/paging.cc',
    'resolve_memtype, memtype_by_mtrr',
    'Bochs 783b58fd6d9b',
    'ran',
  ),
  'linux/adfe7512e1d0': commit('adfe7512e1d0', 'x86: Decouple PAT and MTRR handling', '6.2-rc1'),
  'linux/c11ca45441d5': commit(
    'c11ca45441d5',
    'x86/pat: Handle TDX guest PAT initialization',
    '6.2-rc1',
  ),
  'mail/bochs-wc': {
    kind: 'mail',
    id: '20240909051529.26776-1-yan.y.zhao@intel.com',
    subject: '[PATCH] drm/bochs: use ioremap_wc() to map framebuffer during driver probing',
    date: '2024-09-09',
    evidence: 'archive',
    note: 'merged as "drm/bochs: use devm_ioremap_wc() to map framebuffer" in drm-misc-next for 6.13',
  },
  'mail/slow-ram': {
    kind: 'observation',
    what: 'write-protect MTRRs over the first 16 MiB above 4 GiB make booting slow',
    where: 'amd-gfx, "slow boot with 7fef431be9c9", 2021-03-16',
    evidence: 'archive',
  },
  'pr/edk2-13129': {
    kind: 'observation',
    what: 'OVMF puts the virtio-gpu host-visible BAR under a UC MTRR; a BAR cache policy leaves it out',
    where: 'github.com/tianocore/edk2/pull/13129, 2026-09-14',
    evidence: 'archive',
  },
  'pr/acrn-6389': {
    kind: 'observation',
    what: 'slow ivshmem: virtual MTRR default UC, so that Linux refuses a WB mapping',
    where: 'github.com/projectacrn/acrn-hypervisor/issues/6389, 2021-08-12',
    evidence: 'archive',
  },
  'pr/ena-wc': {
    kind: 'observation',
    what: 'vfio-pci needs a patch to map the ENA BAR write-combined; pat_memtype_list shows whether it works',
    where: 'github.com/amzn/amzn-drivers, userspace/dpdk/README',
    evidence: 'archive',
  },
  'pr/qubes-pat': {
    kind: 'observation',
    what: "the NVIDIA driver fails in dom0 under Xen's PAT, and works under the layout of Linux",
    where:
      'QubesOS/qubes-vmm-xen pull 193, 2024-10-14; edera-dev/linux-kernel-oci pull 103, issue 191',
    evidence: 'archive',
  },
  'log/vfio-conflict': {
    kind: 'observation',
    what: 'ioremap for vfio-pci conflicts with a WC reservation that the NVIDIA driver left',
    where: 'public boot logs of GPU passthrough',
    evidence: 'archive',
  },
  'lab/guest-boots': {
    kind: 'observation',
    what: 'MTRRs, tracked types and PCI windows that a Linux guest sees; after disable= in /proc/mtrr a WB mapping is WB',
    where: 'Linux 6.1.192 and 6.12.117 in emulated guests, SeaBIOS 1.16.2 and OVMF 2022.11',
    evidence: 'ran',
  },
  'bitvisor/cache.c': code('core/x86/cache.c', 'the MTRR x PAT table', 'BitVisor 66559d62e293'),
} as const satisfies Record<string, Source>;
