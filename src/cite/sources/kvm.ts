import type { Evidence, Source } from '../source.ts';

function commit(
  hash: string,
  subject: string,
  first: string,
  evidence: Evidence = 'archive',
  note?: string,
): Source {
  return {
    kind: 'commit',
    hash,
    subject,
    first,
    evidence,
    ...(note === undefined ? {} : { note }),
  };
}

function code(file: string, symbol: string, tree: string, evidence: Evidence = 'read'): Source {
  return { kind: 'code', tree, file, symbol, evidence };
}

function mail(id: string, subject: string, date: string): Source {
  return { kind: 'mail', id, subject, date, evidence: 'archive' };
}

const VMX = 'arch/x86/kvm/vmx/vmx.c';

/** KVM x86: commits, functions and mails. */
export const KVM_SOURCES = {
  'kvm/1439442c7b25': commit(
    '1439442c7b25',
    'KVM: VMX: Enable EPT feature for KVM',
    '2.6.26-rc2',
    'read',
  ),
  'kvm/928d4bf747e9': commit(
    '928d4bf747e9',
    'KVM: VMX: Set IGMT bit in EPT entry',
    '2.6.28-rc5',
    'read',
  ),
  'kvm/64d4d5217571': commit('64d4d5217571', 'KVM: Enable MTRR for EPT', '2.6.29-rc1', 'read'),
  'kvm/2aaf69dcee86': commit(
    '2aaf69dcee86',
    'KVM: MMU: Map device MMIO as UC in EPT',
    '2.6.29-rc6',
    'read',
  ),
  'kvm/4b12f0de33a6': commit(
    '4b12f0de33a6',
    'KVM: Replace get_mt_mask_shift with get_mt_mask',
    '2.6.31-rc1',
    'read',
  ),
  'kvm/522c68c4416d': commit(
    '522c68c4416d',
    'KVM: Enable snooping control for supported hardware',
    '2.6.31-rc1',
    'read',
  ),
  'kvm/e0f0bbc527f6': commit('e0f0bbc527f6', 'kvm: Create non-coherent DMA registeration', '3.13'),
  'kvm/ec53500fae42': commit('ec53500fae42', 'kvm: Add VFIO device', '3.13'),
  'kvm/efdfe536d8c6': commit('efdfe536d8c6', 'KVM: MMU: fix MTRR update', '4.2'),
  'kvm/b18d5431acc7': commit('b18d5431acc7', 'KVM: x86: fix CR0.CD virtualization', '4.2'),
  'kvm/879ae1880449': commit(
    '879ae1880449',
    'KVM: x86: obey KVM_X86_QUIRK_CD_NW_CLEARED in kvm_set_cr0()',
    '4.4, 4.2.7',
    'archive',
    'without it in 4.3-rc and 4.3.3, with it in 4.2.8 (read)',
  ),
  'kvm/fb279950ba02': commit('fb279950ba02', 'KVM: vmx: obey KVM_QUIRK_CD_NW_CLEARED', '4.2'),
  'kvm/fd717f11015f': commit(
    'fd717f11015f',
    'KVM: x86: apply guest MTRR virtualization on host reserved pages',
    '4.2',
  ),
  'kvm/3c2e7f7de324': commit('3c2e7f7de324', 'KVM: SVM: use NPT page attributes', '4.2'),
  'kvm/549283037017': commit(
    '549283037017',
    'KVM: SVM: MMIO follows the guest MTRRs (file read at this commit)',
    '4.3-rc',
    'archive',
  ),
  'kvm/606decd67049': commit(
    '606decd67049',
    'Revert "KVM: x86: apply guest MTRR virtualization on host reserved pages"',
    '4.3',
    'archive',
    'in 4.2.4 too; by its date 4.3-rc4',
  ),
  'kvm/fc07e76ac7ff': commit('fc07e76ac7ff', 'Revert "KVM: SVM: use NPT page attributes"', '4.3'),
  'kvm/15038e147247': commit('15038e147247', 'KVM: SVM: obey guest PAT', '4.15'),
  'kvm/94bda2f4cd86': commit(
    '94bda2f4cd86',
    'KVM: x86: Reject loading KVM if host.PAT[0] != WB',
    '6.0',
  ),
  'kvm/38bf9d7bf277': commit(
    '38bf9d7bf277',
    'KVM: x86/mmu: Add shadow mask for effective host MTRR memtype',
    '6.0',
  ),
  'kvm/d5e90a699875': commit(
    'd5e90a699875',
    "KVM: x86/mmu: Restrict mapping level based on guest MTRR iff they're used",
    '6.0',
  ),
  'kvm/1affe455d66d': commit(
    '1affe455d66d',
    'KVM: x86/mmu: Add helpers to return if KVM honors guest MTRRs',
    '6.7',
  ),
  'kvm/7a18c7c2b69a': commit(
    '7a18c7c2b69a',
    'KVM: x86/mmu: Zap SPTEs when CR0.CD is toggled iff guest MTRRs are honored',
    '6.7',
  ),
  'kvm/9a3768191d95': commit(
    '9a3768191d95',
    'KVM: x86/mmu: Zap SPTEs on MTRR update iff guest MTRRs are honored',
    '6.7',
  ),
  'kvm/362ff6dca541': commit(
    '362ff6dca541',
    'KVM: x86/mmu: Zap KVM TDP when noncoherent DMA assignment starts/stops',
    '6.7',
  ),
  'kvm/c9f65a3f2d92': commit(
    'c9f65a3f2d92',
    'KVM: VMX: drop IPAT in memtype when CD=1 for KVM_X86_QUIRK_CD_NW_CLEARED',
    '6.7',
  ),
  'kvm/0a7b73559b39': commit(
    '0a7b73559b39',
    'KVM: x86: Remove VMX support for virtualizing guest MTRR memtypes',
    '6.11-rc1',
  ),
  'kvm/e1548088ff54': commit(
    'e1548088ff54',
    'KVM: VMX: Drop support for forcing UC memory when guest CR0.CD=1',
    '6.11-rc1',
  ),
  'kvm/377b2f359d1f': commit(
    '377b2f359d1f',
    'KVM: VMX: Always honor guest PAT on CPUs that support self-snoop',
    '6.11-rc1',
  ),
  'kvm/9d70f3fec144': commit(
    '9d70f3fec144',
    'Revert "KVM: VMX: Always honor guest PAT on CPUs that support self-snoop"',
    '6.11',
  ),
  'kvm/bd7d5362b4c4': commit(
    'bd7d5362b4c4',
    'KVM: x86: Introduce supported_quirks to block disabling quirks',
    '6.16',
  ),
  'kvm/c9c1e20b4c7d': commit(
    'c9c1e20b4c7d',
    'KVM: x86: Introduce Intel specific quirk KVM_X86_QUIRK_IGNORE_GUEST_PAT',
    '6.16',
  ),
  'kvm/3fee4837ef40': commit('3fee4837ef40', 'KVM: x86: remove shadow_memtype_mask', '6.16'),
  'kvm/ffe9d7966d01': commit(
    'ffe9d7966d01',
    'KVM: x86/mmu: Locally cache whether a PFN is host MMIO when making a SPTE',
    '6.17',
  ),
  'kvm/cbff90a7caa4': commit('cbff90a7caa4', 'KVM: direct mmio pfn check', '2.6.28-rc1', 'read'),
  'kvm/fc5659c8c6b6': commit(
    'fc5659c8c6b6',
    'KVM: MMU: handle compound pages in kvm_is_mmio_pfn',
    '2.6.30-rc1',
    'read',
  ),
  'kvm/936a5fe6e614': commit(
    '936a5fe6e614',
    'thp: kvm mmu transparent hugepage support',
    '2.6.38-rc1',
    'read',
  ),
  'kvm/85c8555ff07e': commit(
    '85c8555ff07e',
    'KVM: check for !is_zero_pfn() in kvm_is_mmio_pfn()',
    '3.17',
  ),
  'kvm/d1fe9219551e': commit('d1fe9219551e', 'KVM: x86: reintroduce kvm_is_mmio_pfn', '4.2'),
  'kvm/bf4bea8e9a90': commit(
    'bf4bea8e9a90',
    'kvm: fix kvm_is_mmio_pfn() and rename to kvm_is_reserved_pfn()',
    '3.18',
  ),
  'kvm/b8d7044bcff7': commit(
    'b8d7044bcff7',
    'x86/mm: add a function to check if a pfn is UC/UC-/WC',
    '4.16',
  ),
  'kvm/aa2e063aea56': commit(
    'aa2e063aea56',
    'KVM: MMU: consider host cache mode in MMIO page check',
    '4.16',
    'recalled',
    'title read in a changelog, the id is recalled',
  ),
  'kvm/0c55671f84ff': commit(
    '0c55671f84ff',
    'kvm, x86: Properly check whether a pfn is an MMIO or not',
    '5.2',
  ),
  'kvm/6043257b1de0': commit(
    '6043257b1de0',
    'iommu: Introduce the domain op enforce_cache_coherency()',
    '5.19',
  ),
  'kvm/e8ae0e140c05': commit(
    'e8ae0e140c05',
    'vfio: Require that devices support DMA cache coherence',
    '5.19',
  ),
  'kvm/4989764d8ed3': commit('4989764d8ed3', 'iommu: Add IOMMU_CAP_ENFORCE_CACHE_COHERENCY', '6.2'),
  'kvm/468d472f3f65': commit(
    '468d472f3f65',
    'KVM: VMX: Add PAT support for EPT',
    '2.6.29-rc1',
    'read',
  ),
  'kvm/ad6260da1e23': commit('ad6260da1e23', 'KVM: x86: drop legacy device assignment', '4.12'),
  'ubuntu/6.8.0-136': {
    kind: 'code',
    tree: 'Ubuntu linux 6.8.0-151',
    file: 'arch/x86/kvm/vmx/vmx.c',
    symbol: 'vmx_get_mt_mask, vmx_ignore_guest_pat',
    evidence: 'read',
    note: 'changelog 6.8.0-136.136, LP 2155660',
  },
  'qemu/honor-guest-pat': {
    kind: 'code',
    tree: 'QEMU 11.1.3',
    file: 'target/i386/kvm/kvm.c',
    symbol: 'kvm_arch_init, property honor-guest-pat',
    evidence: 'read',
    note: 'read from the built program; off in effect by default',
  },
  'kvm/vmx_get_mt_mask': code(
    VMX,
    'vmx_get_mt_mask',
    'Linux 2.6.31 to 7.3, compiled and run',
    'ran',
  ),
  'kvm/kvm_is_mmio_pfn': code(
    'arch/x86/kvm/mmu/spte.c',
    'kvm_is_mmio_pfn',
    'Linux 2.6.28 to 7.3, compiled and run',
    'ran',
  ),
  'kvm/get_mtrr_type': code(
    'arch/x86/kvm/mmu.c',
    'get_mtrr_type',
    'Linux 2.6.38 to 4.1, compiled and run',
    'ran',
  ),
  'kvm/mtrr.c': code(
    'arch/x86/kvm/mtrr.c',
    'kvm_mtrr_get_guest_memory_type',
    'Linux 4.2 to 6.10, compiled and run',
    'ran',
  ),
  'kvm/range-consistency': code(
    'arch/x86/kvm/mtrr.c',
    'kvm_mtrr_check_gfn_range_consistency',
    'Linux 4.2 to 6.8, compiled and run',
    'ran',
  ),
  'kvm/set_spte': code(
    'arch/x86/kvm/mmu.c',
    'set_spte',
    'Linux 2.6.28 to 2.6.30, compiled and run',
    'ran',
  ),
  'kvm/mmu-notifier': code(
    'virt/kvm/kvm_main.c, arch/x86/mm/pat/set_memory.c',
    'kvm_mmu_notifier_ops; set_memory.c has no call of a notifier',
    'Linux 6.16.1',
  ),
  'kvm/set-memory-region': code(
    'virt/kvm/kvm_main.c',
    '__kvm_set_memory_region',
    'Linux 4.1, 6.16',
  ),
  'kvm/make_spte': code('arch/x86/kvm/mmu/spte.c', 'make_spte', 'Linux 5.10 to 7.3'),
  'kvm/svm.c': code(
    'arch/x86/kvm/svm.c, svm/svm.c',
    'svm_get_mt_mask (to 5.19), init_vmcb, svm_set_msr',
    'Linux 2.6.38 to 7.3',
  ),
  'kvm/svm_set_cr0': code('arch/x86/kvm/svm/svm.c', 'svm_set_cr0', 'Linux 4.2 to 7.3'),
  'kvm/vmx-cr0': code(VMX, 'KVM_VM_CR0_ALWAYS_OFF', 'Linux 5.10 to 7.3'),
  'kvm/x86.c-quirks': code(
    'arch/x86/kvm/x86.c',
    'supported_quirks, inapplicable_quirks',
    'Linux 6.12.107, 7.1, 7.3',
  ),
  'kvm/vfio.c': code('virt/kvm/vfio.c', 'kvm_vfio_update_coherency', 'Linux 3.13 to 7.3'),
  'kvm/nested-ept': code(
    'arch/x86/kvm/mmu/paging_tmpl.h',
    'FNAME(is_bad_mt_xwr), FNAME(fetch)',
    'Linux 5.10 to 7.3',
  ),
  'kvm/nested-svm': code(
    'arch/x86/kvm/svm/nested.c',
    'nested_vmcb02_compute_g_pat (to 6.19), nested_vmcb02_prepare_save',
    'Linux 5.13 to 7.3',
  ),
  'lab/ept-traces': {
    kind: 'observation',
    what: 'leaf SPTEs of real kernels equal the rules: 4848 of them, in vectors/text/real-kvm.txt',
    where: 'Linux 6.1 to 7.3 on emulated Intel (EPT) and AMD (NPT, shadow) hosts',
    evidence: 'ran',
  },
  'mail/seed-patch': mail(
    'tencent_4B50D08D2E6211E4F9B867F0531F2C05BA0A@qq.com',
    '[PATCH] KVM: x86/mmu: treat WC memory as MMIO',
    '2024-03-11',
  ),
  'mail/seed': mail(
    'ZfBzBUbxpF9MpII-@google.com',
    'Re: [PATCH] KVM: x86/mmu: treat WC memory as MMIO',
    '2024-03-12',
  ),
  'mail/seed-series': mail(
    '20240309010929.1403984-1-seanjc@google.com',
    '[PATCH 0/5] KVM: VMX: Drop MTRR virtualization, honor guest PAT',
    '2024-03-08',
  ),
  'mail/bochs-report': mail(
    '87jzfutmfc.fsf@redhat.com',
    'Re: [PATCH 5/5] KVM: VMX: Always honor guest PAT on CPUs that support self-snoop',
    '2024-09-02',
  ),
  'mail/mtrr-question': mail(
    'ZUAC0jvFE0auohL4@google.com',
    'Re: A question about how the KVM emulates the effect of guest MTRRs on AMD platforms',
    '2023-10-30',
  ),
  'mail/cros-flag': mail(
    '20240105091237.24577-1-yan.y.zhao@intel.com',
    '[PATCH 0/4] KVM: Honor guest memory types for virtio GPU devices',
    '2024-01-05',
  ),
  'mail/cros-flag-1': mail(
    '20240105091346.24637-1-yan.y.zhao@intel.com',
    '[PATCH 1/4] KVM: Introduce a new memslot flag KVM_MEM_NON_COHERENT_DMA',
    '2024-01-05',
  ),
  'mail/cd-not-zapped': mail(
    'ZG1WsnYST4zLqTnv@google.com',
    'Re: [PATCH v2 5/6] KVM: x86: Keep a per-VM MTRR state',
    '2023-05-23',
  ),
  'mail/cd-quirk-stale': mail(
    'Z0WRzTrtVfi5vSlr@yzhao56-desk.sh.intel.com',
    'Re: [PATCH v2 1/4] KVM: x86/mmu: Introduce a quirk to control memslot zap behavior',
    '2024-11-26',
  ),
  'mail/invalid-ram': {
    kind: 'mail',
    id: '20240507062009.20336-1-yan.y.zhao@intel.com',
    subject: '[PATCH 2/5] KVM: x86/mmu: Fine-grained check of whether a invalid & RAM PFN is MMIO',
    date: '2024-05-07',
    evidence: 'archive',
  },
  'pr/dosemu2-2813': {
    kind: 'observation',
    what: 'the maintainer: the MMIO test should ask MTRRs, not the host PAT; a trial patch of 6 lines for 13 in __kvm_is_mmio_pfn, cut off',
    where: 'github.com/dosemu2/dosemu2/pull/2813, 2026-04-01',
    evidence: 'archive',
  },
  'memtype/ideal': {
    kind: 'observation',
    what: 'a proposal of this project: where the founding mail leaves the ideal open, what was chosen and why',
    where: 'docs/ideal.md',
    evidence: 'inferred',
  },
  'perf/yan-2024-09-05': {
    kind: 'observation',
    what: 'ns per store by forced type: WB 9.0, WC 8.4, UC 206 (Sapphire Rapids); 9.9, 9.9, 35.0 (Coffee Lake-S)',
    where: 'mail thread of the 6.11 revert, Yan Zhao, 2024-09-05',
    evidence: 'archive',
  },
} as const satisfies Record<string, Source>;
