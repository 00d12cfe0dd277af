import { rule } from '../../cite/rule.ts';

rule({
  id: 'kvm/memslots',
  room: 'kvm',
  title: 'What KVM_SET_USER_MEMORY_REGION allows',
  text:
    'A memslot can be created, deleted (size 0), moved to another guest address, and its flags can change; ' +
    'size, user address and KVM_MEM_READONLY cannot: -EINVAL. Two slots of one address space must not ' +
    'overlap: -EEXIST. Addresses and size are multiples of 4K. Deleting or moving a slot zaps every mapping ' +
    'of the VM; from 6.12 on those of the slot alone once KVM_X86_QUIRK_SLOT_ZAP_ALL is disabled. Every ' +
    'change makes the MMIO entries stale: they hold the generation of the memslots.',
  sources: ['kvm/set-memory-region', 'kvm/tdp-history', 'lab/ept-traces'],
});

rule({
  id: 'kvm/hva-to-pfn',
  room: 'kvm',
  title: 'How a fault finds its page, and how it fails',
  text:
    'No memslot: an MMIO entry, and KVM emulates. A store to a read-only memslot: emulated, KVM_EXIT_MMIO. ' +
    'Ordinary memory is faulted in as the VMM would: nothing mapped there, or a store to a mapping without ' +
    'VM_WRITE, makes KVM_RUN return -EFAULT; a poisoned page sends SIGBUS. Memory of a VM_PFNMAP or VM_IO ' +
    'mapping is taken from the page tables of the VMM: a store where they are read-only is emulated, through ' +
    'the mapping of the VMM; 5.13 to 6.12 refuse a page with a struct page but without a reference count of ' +
    'its own, -EFAULT. A page that the VMM may not write is mapped read-only. When the MMU notifier was ' +
    'called meanwhile, by this fault itself too, the guest faults once more.',
  sources: ['kvm/hva_to_pfn', 'linux/hva_to_pfn_remapped', 'kvm/f8be156be163', 'lab/ept-traces'],
});

rule({
  id: 'kvm/tdp-mmu',
  room: 'kvm',
  title: 'The TDP MMU: what a fault maps, and what is zapped how',
  text:
    'A fault maps one page at the largest level that memslot alignment, the page tables of the VMM and the ' +
    'guest MTRRs allow (kvm/huge-page), 4K while dirty pages are logged, and makes the tables above it. A ' +
    'zap of a range takes the leaves in it, whole where they are huge, and from 5.18 on leaves tables and ' +
    'MMIO entries. ' +
    'Where everything goes, roots are made invalid, each vCPU gets a new one, and the old are taken down in ' +
    'passes. Every zap flushes the TLBs before anything else is mapped. An EPT misconfiguration on a stale ' +
    'MMIO entry does not say what the access was: the page is mapped as for a read first.',
  sources: ['kvm/tdp_mmu.c', 'kvm/tdp-history', 'lab/ept-traces'],
});

rule({
  id: 'kvm/tdp-dirty-log',
  room: 'kvm',
  title: 'Dirty logging changes entries, not types',
  text:
    'When it begins, huge pages of the slot are split, each small one with the bits of the huge one, its ' +
    'type included; then W is cleared, or D where PML logs the writes. The next store sets W again without ' +
    'a look at the page (fast_page_fault). When it ends, small pages are made huge again with the bits of ' +
    'the first of them, or zapped to be mapped anew: up to 6.12 that is when a stale type goes.',
  sources: ['kvm/tdp-history', 'lab/ept-traces'],
});

rule({
  id: 'kvm/tdp-history',
  room: 'kvm',
  title: 'What the TDP MMU did since when',
  text:
    'None of these has a say in a memory type, but in what is mapped and in what a trace shows. 6.1, 6.12 ' +
    'and 7.3 were seen to behave so, 5.12, 6.11, 6.16 and 7.1 were read; the versions between are as recalled.',
  table: [
    '5.15  tdp_mmu=1 is the default',
    '5.18  a zap of a range takes leaves alone; before, tables that lie in it whole go, MMIO entries with them',
    '5.18  a new table is printed before the entry that leads to it',
    '5.18  huge pages are split when dirty logging begins (eager_page_split), and by faults',
    '6.0   VM_PFNMAP memory may be mapped huge',
    '6.9   roots are taken down at 4K, 2M, 1G, then whole (not with CONFIG_KVM_PROVE_MMU); from 5.18 on at 1G, ' +
      'then whole; before, whole',
    '6.10  fast_page_fault prints all 64 bits of the error code',
    '6.12  KVM_X86_QUIRK_SLOT_ZAP_ALL',
    '6.13  A and D are set in EPT entries even where the CPU does not use them',
    '6.13  huge pages are recovered in place when dirty logging ends; before, zapped',
    '7.2   the end of a table is printed before the change of the entry that led to it',
    '7.2   a read is no longer U in the error code of EPT; kvm_mmu_spte_requested prints the access',
  ].join('\n'),
  sources: ['kvm/tdp-history', 'kvm/tdp_mmu.c', 'lab/ept-traces'],
});
