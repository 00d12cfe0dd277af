import {
  isOn,
  keyValues,
  LongOptions,
  type MemoryBackend,
  sizeOf,
  type VmmOptions,
} from './options.ts';

/** vm_config DEFAULT_MEMORY_MB. */
const DEFAULT_RAM = 512 * 2 ** 20;

export const CLOUD_HYPERVISOR_READ = 'ae44c2971c83 (2026-08-22)';

type Options = ReadonlyMap<string, string>;

/** memory_manager.rs: a file where one is named, else memfd "ch_ram" when shared or huge, else anonymous. */
function backendOf(options: Options, size: number | null): MemoryBackend {
  const path = options.get('file') ?? null;
  const hugetlb = isOn(options.get('hugepages'));
  const shared = isOn(options.get('shared'));
  const kind = path !== null ? 'file' : shared || hugetlb ? 'memfd' : 'ram';
  return { kind, id: options.get('id') ?? null, size, path, hugetlb };
}

/**
 * The options of cloud-hypervisor. RAM of zones adds up to the guest's; --memory size=0 goes with them.
 *
 * Source: cloud-hypervisor/src/main.rs, vmm/src/config.rs (MemoryConfig, DeviceConfig, PlatformConfig).
 */
export function parseCloudHypervisor(argv: readonly string[]): VmmOptions {
  const options = new LongOptions(argv);
  const memory = options.last('--memory');
  const told = keyValues(memory ?? '');
  const size = told.has('size') ? sizeOf(told.get('size'), 1) : DEFAULT_RAM;
  const zones = options.all(['--memory-zone'], true).map((text) => {
    const zone = keyValues(text);
    return backendOf(zone, zone.has('size') ? sizeOf(zone.get('size'), 1) : DEFAULT_RAM);
  });
  const plain = size === 0 ? [] : [backendOf(told, size)];
  const backends = zones.length > 0 ? zones : plain;
  const sizes = backends.map((b) => b.size);
  const ram = sizes.includes(null) ? null : sizes.reduce<number>((sum, s) => sum + (s ?? 0), 0);
  const platform = keyValues(options.last('--platform') ?? '');
  const byApi = memory === null && zones.length === 0 && !options.has('--kernel', '--firmware');
  return {
    vmm: 'cloud-hypervisor',
    ram: byApi ? null : ram,
    ramGiven: memory !== null || zones.length > 0,
    ramFromBackends: !byApi,
    backends: byApi ? [] : backends,
    memPath: null,
    gpus: [],
    blobs: 'none',
    vfio: options
      .all(['--device'], true)
      .map((text) => keyValues(text).get('path') ?? 'by descriptor'),
    firmware: options.has('--firmware') ? 'another' : byApi ? null : 'direct',
    accel: 'kvm',
    guestPat: 'never',
    guestPatWhy: `cloud-hypervisor ${CLOUD_HYPERVISOR_READ} disables no quirk of KVM`,
    confidential: isOn(platform.get('tdx')) ? 'tdx' : isOn(platform.get('sev_snp')) ? 'snp' : null,
    unread: byApi ? ['what came through its API socket'] : [],
    qemu: null,
  };
}
