import type { VerdictKind } from '../../resolve/verdict.ts';

/** Findings about the memory of the machine that doctor runs on, be it a host or a guest. */
export const MEMORY_FINDINGS = {
  ramNotWb: {
    code: 'MT630',
    severity: 'warning',
    title: 'The MTRRs make RAM of this machine not WB',
    room: 'firmware',
    cause: 'An MTRR of another type, or none and a default of another type, covers System RAM.',
    consequence:
      'Every access to it is as slow as that type, whatever the page tables say; in a guest only where ' +
      'its MTRRs count (KVM up to 6.10 with non-coherent DMA).',
    fix: 'Update the firmware; until then keep the kernel out of the range: memmap=SIZE$START.',
    sources: ['linux/mtrr-generic', 'sdm/mtrr', 'mail/slow-ram'],
    example: 'reg02: base=0x100000000, size= 16MB: write-protect, with RAM at 4 GiB.',
  },
  mtrrsOff: {
    code: 'MT631',
    severity: 'warning',
    title: 'The MTRRs are off: nothing but RAM can be mapped cached',
    room: 'firmware',
    cause:
      'pat_x_mtrr_type() takes MTRRs that are off for UC, so that each WB request for what is not RAM ' +
      'becomes UC-: tables of the firmware, host blobs, DAX windows.',
    consequence: 'Slow wherever the guest PAT is honoured; hidden elsewhere.',
    fix: 'Have the VMM show MTRRs in CPUID and start with MTRRdefType 806H (on, WB).',
    sources: ['linux/pat_x_mtrr_type', 'linux/mtrr-generic', 'lab/guest-boots'],
    example: 'Linux 6.12 on a CPU without the flag mtrr: ACPI tables are tracked UC-.',
  },
  userSpaceBar: {
    code: 'MT632',
    severity: 'info',
    title: 'A driver in user space cannot have its device memory write-combined',
    room: 'guest',
    cause:
      'vfio-pci maps every BAR uncached. Linux 6.1 reserves UC- (pat_memtype_list shows it); 6.12 takes ' +
      'the type that is tracked already, which is UC- unless a driver left another.',
    consequence: 'Each store to the device goes alone: DPDK and the like send slower.',
    fix:
      'A kernel driver, or a vfio-pci patched for write combining. Before 6.12 pat_memtype_list then has ' +
      'write-combining over the BAR; from 6.12 on vfio-pci reserves nothing, and the list does not tell.',
    sources: ['linux/vfio_pci', 'linux/vmf_insert_pfn', 'pr/ena-wc'],
    example: 'An ivshmem device of a guest bound to vfio-pci.',
  },
  leftWc: {
    code: 'MT633',
    severity: 'warning',
    title: 'A write-combining reservation lies over a BAR that vfio-pci holds',
    room: 'host',
    cause: 'A driver that had the device before left its reservation, or vfio-pci was patched.',
    consequence:
      'User space and guests get WC where they asked for UC-, or the mapping fails with "conflicting ' +
      'memory types".',
    fix: 'Bind vfio-pci before the other driver loads (vfio-pci.ids=), and reboot once.',
    sources: ['linux/memtype_check_conflict', 'linux/vfio_pci', 'log/vfio-conflict'],
    example: 'An NVIDIA card given to vfio-pci after its driver was unloaded.',
  },
  sharedNotWb: {
    code: 'MT634',
    severity: 'info',
    title: "Shared memory of a device cannot be mapped cached because of this guest's MTRRs",
    room: 'firmware',
    cause: 'The BAR of an ivshmem device lies where the MTRRs are not WB.',
    consequence:
      'A driver that asks WB gets UC-; sysfs gives WC (resource2_wc) or UC- (resource2).',
    fix:
      'Have the firmware leave the BAR under a WB default (above 4 GiB with SeaBIOS). Map resource2_wc only ' +
      'for what one side writes and the other reads, never for locks: loads from it are uncached, and its stores are not in order.',
    sources: ['linux/pat_x_mtrr_type', 'pr/acrn-6389', 'lab/guest-boots'],
    example: 'ivshmem-plain with 64 MiB under SeaBIOS: the BAR is below 4 GiB, in the UC hole.',
  },
  mappingRefused: {
    code: 'MT635',
    severity: 'warning',
    title: 'A mapping was refused because reservations of two types lie in its range',
    room: 'host',
    cause:
      'The memtype tracker would give a new mapping the type of the first reservation that overlaps it, ' +
      'and another one has another type: EBUSY.',
    consequence: 'The driver or the VM does not get its device memory, or gets it in pieces.',
    fix: 'Find who reserved it: debugpat on the kernel command line logs every reservation.',
    sources: ['linux/memtype_check_conflict', 'log/vfio-conflict'],
    example:
      'x86/PAT: CPU 0/KVM:7808 conflicting memory types b0000000-c0000000 write-combining<->uncached-minus',
  },
} as const satisfies Readonly<Record<string, VerdictKind>>;
