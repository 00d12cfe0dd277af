import type { VerdictKind } from '../../resolve/verdict.ts';

/** What the kind and version of a VMM brings with it. */
export const VMM_FINDINGS = {
  noSwitch: {
    code: 'MT610',
    severity: 'info',
    title: 'This VMM has no switch for the guest PAT',
    room: 'vmm',
    cause:
      'KVM_X86_QUIRK_IGNORE_GUEST_PAT is in force unless the VMM disables it. QEMU can from 11.0 on; the ' +
      'versions of crosvm, libkrun, cloud-hypervisor and Firecracker that were read cannot.',
    consequence: 'With EPT the guest gets WB for host memory that it maps WC or UC.',
    fix:
      'Use QEMU 11.0 or later with -accel kvm,honor-guest-pat=on; or change the VMM, or preload a library ' +
      'into it (LD_PRELOAD): KVM_ENABLE_CAP(KVM_CAP_DISABLE_QUIRKS2, 1 << 9) on the VM before guest memory ' +
      'is touched. Or have the host driver allocate cached memory.',
    sources: [
      'vmm/crosvm',
      'vmm/libkrun',
      'vmm/cloud-hypervisor',
      'vmm/firecracker',
      'qemu/honor-guest-pat',
    ],
    example: 'QEMU 10.2 whose virtio-gpu has blobs, on Linux 6.16 and an Intel CPU.',
  },
  slotFlag: {
    code: 'MT611',
    severity: 'warning',
    title: "crosvm may set a memslot flag that this kernel's KVM does not have",
    room: 'vmm',
    cause:
      'A crosvm built with the feature noncoherent-dma sets KVM_MEM_NON_COHERENT_DMA (bit 3) when KVM ' +
      'reports capability 236 or 239. Only kernels of ChromeOS mean that by it; upstream the numbers are ' +
      'KVM_CAP_PRE_FAULT_MEMORY and KVM_CAP_ARM_WRITABLE_IMP_ID_REGS.',
    consequence:
      'KVM refuses the memslot with EINVAL: up to 2026-08-10 the guest cannot map such a blob, from ' +
      '9440df869ea9 (2026-08-11) on crosvm tries again without the flag, and the guest gets WB.',
    fix:
      'Look for "KVM_MEM_NON_COHERENT_DMA rejected by host kernel" in the log of crosvm. Build it without ' +
      'noncoherent-dma, or from 2026-08-11 or later; WC itself needs a KVM with the flag.',
    sources: ['vmm/crosvm', 'vmm/crosvm-noncoherent-dma'],
    example: 'crosvm run --gpu backend=virglrenderer on Linux 6.12, where capability 236 is 1.',
  },
  misplacedSwitch: {
    code: 'MT612',
    severity: 'warning',
    title: 'honor-guest-pat stands where QEMU does not look for it',
    room: 'vmm',
    cause:
      'QEMU takes the first -accel that works and drops the next with all its properties; -global knows no ' +
      'accelerators. libvirt writes -accel kvm in front of what <qemu:commandline> adds.',
    consequence: 'The VM runs with the quirk in force, as if nothing had been given.',
    fix: 'Put honor-guest-pat into the first -accel; under libvirt by a wrapper as the <emulator>.',
    sources: ['vmm/qemu-first-accel', 'vmm/libvirt-accel', 'qemu/honor-guest-pat'],
    example: 'qemu-system-x86_64 -accel kvm -accel kvm,honor-guest-pat=on',
  },
} as const satisfies Readonly<Record<string, VerdictKind>>;
