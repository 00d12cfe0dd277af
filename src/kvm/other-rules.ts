import { rule } from '../cite/rule.ts';

rule({
  id: 'kvm/shadow-leaf',
  room: 'kvm',
  title: 'Shadow paging',
  text:
    'PWT, PCD and PAT of a shadow PTE are 0 in every version and on both vendors, so the type is PA0 ' +
    'combined with the host MTRR. The cache bits of the guest PTE, the guest PAT and guest MTRRs are not ' +
    'looked at. On VMX the PAT in force is the one loaded at VM entry, so PA0 is the guest PA0 (inferred); ' +
    'a guest that sets PA0 to anything but WB is not known.',
  sources: ['kvm/make_spte', 'lab/ept-traces'],
});

rule({
  id: 'kvm/nested',
  room: 'kvm',
  title: 'Nested guests',
  text:
    "Shadow EPT leaves for L2 get the same rules as L1's own, with the L1 gfn; memory type and IPAT in " +
    "L1's EPT12 are ignored, except that types 2, 3 and 7 are a misconfiguration reported to L1. Shadow " +
    "NPT leaves keep PAT bits 0, and NPT12's are ignored. L2 runs with L1's PAT on AMD up to 7.1; from " +
    '7.2 on it has its own when KVM_X86_QUIRK_NESTED_SVM_SHARED_PAT is disabled.',
  sources: ['kvm/nested-ept', 'kvm/nested-svm'],
});

rule({
  id: 'kvm/pat-msr',
  room: 'kvm',
  title: 'The PAT MSR of a guest',
  text:
    'Each byte must be 0, 1, 4, 5, 6 or 7 (since 2.6.31-rc6). VMX loads the guest PAT at entry and the ' +
    "host's at exit since 2.6.29; before, the guest ran with the host's. At reset: the host's value up to " +
    '4.1, 0007040600070406 from 4.2 on. INIT leaves it alone.',
  sources: ['kvm/468d472f3f65', 'kvm/svm.c'],
});

rule({
  id: 'kvm/cr0-cd',
  room: 'kvm',
  title: 'CR0.CD of a guest',
  text:
    'On VMX the hardware CR0.CD and NW are always 0 while the guest runs; what CD=1 means there is up to ' +
    'the EPT type: nothing before 4.2 and from 6.11 on. On SVM the guest CR0 is real, but KVM clears CD ' +
    'and NW up to 4.1, and since 4.2 while KVM_X86_QUIRK_CD_NW_CLEARED is in force.',
  sources: ['kvm/vmx-cr0', 'kvm/svm_set_cr0', 'kvm/e1548088ff54'],
});
