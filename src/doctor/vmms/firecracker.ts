import { LongOptions, type VmmOptions } from './options.ts';

export const FIRECRACKER_READ = '81b38b9da (2026-08-21)';

/**
 * Firecracker. Its command line says nothing of memory: that stands in the file of --config-file, or came
 * through the API socket; neither is read. Guest RAM is anonymous, or a memfd with vhost-user devices.
 *
 * Source: src/firecracker/src/main.rs, src/vmm/src/vstate/memory.rs; no VFIO, no GPU.
 */
export function parseFirecracker(argv: readonly string[]): VmmOptions {
  const options = new LongOptions(argv);
  const file = options.has('--config-file') ? ['the file of --config-file'] : [];
  const api = options.has('--no-api') ? [] : ['what came through its API socket'];
  return {
    vmm: 'firecracker',
    ram: null,
    ramGiven: false,
    ramFromBackends: false,
    backends: [],
    memPath: null,
    gpus: [],
    blobs: 'none',
    vfio: [],
    firmware: 'direct',
    accel: 'kvm',
    guestPat: 'never',
    guestPatWhy: `Firecracker ${FIRECRACKER_READ} disables no quirk of KVM`,
    confidential: null,
    unread: [...file, ...api],
    qemu: null,
  };
}
