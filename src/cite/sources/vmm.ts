import type { Source } from '../source.ts';

/** VMMs as they were read, revision by revision: what they ask of KVM may change with the next. */
export const VMM_SOURCES = {
  'vmm/crosvm': {
    kind: 'code',
    tree: 'crosvm f1e797a68dad (2026-08-21)',
    file: 'src/crosvm/cmdline.rs',
    symbol: 'RunCommand; hypervisor/src/kvm: no use of KVM_CAP_DISABLE_QUIRKS2',
    evidence: 'read',
  },
  'vmm/crosvm-noncoherent-dma': {
    kind: 'commit',
    hash: '9440df869ea9',
    subject: 'hypervisor: kvm: Fallback when host rejects non-coherent DMA flag',
    first: 'crosvm of 2026-08-11',
    evidence: 'read',
  },
  'vmm/cloud-hypervisor': {
    kind: 'code',
    tree: 'cloud-hypervisor ae44c2971c83 (2026-08-22)',
    file: 'vmm/src/config.rs',
    symbol: 'MemoryConfig, DeviceConfig; hypervisor/src/kvm: no use of KVM_CAP_DISABLE_QUIRKS2',
    evidence: 'read',
  },
  'vmm/libkrun': {
    kind: 'code',
    tree: 'libkrun 6ed74facc26d (2026-06-12), muvm 25ece4c, krunvm 59f3673',
    file: 'src/vmm/src/linux/vstate.rs',
    symbol: 'Vm: no use of KVM_CAP_DISABLE_QUIRKS2; muvm: cli_options.rs',
    evidence: 'read',
  },
  'vmm/firecracker': {
    kind: 'code',
    tree: 'firecracker 81b38b9da (2026-08-21)',
    file: 'src/vmm/src/vstate/memory.rs',
    symbol: 'anonymous, memfd_backed; src/vmm: no use of KVM_CAP_DISABLE_QUIRKS2',
    evidence: 'read',
  },
  'vmm/qemu-first-accel': {
    kind: 'observation',
    what: 'of two -accel the first that works is taken, with its properties alone; -global kvm-accel.X warns and does nothing',
    where: 'QEMU 7.2.22 with kernel-irqchip=split, QEMU 11.1.3 with honor-guest-pat=on',
    evidence: 'ran',
  },
  'vmm/libvirt-accel': {
    kind: 'code',
    tree: 'libvirt c2ea8b2e7c70',
    file: 'tests/qemuxmlconfdata/kvm-features.x86_64-latest.args',
    symbol: '-accel kvm,dirty-ring-size=4096; docs/drvqemu.rst: qemu:commandline',
    evidence: 'read',
  },
} as const satisfies Readonly<Record<string, Source>>;
