import type { MtrrType, PatType, Vendor } from '../x86/types.ts';

export type Paging = 'ept' | 'npt' | 'shadow';
export type QuirkState = 'on' | 'off';
/** How a device reaches the memory: through the caches, past them, or not at all. */
export type DeviceAccess = 'snoop' | 'nosnoop' | 'none';
/** The PAT that the guest programmed, where only the PTE's index reaches the hardware. */
export type GuestLayout = 'linux' | 'reset';

/** Who programs the guest's MTRRs, and how: see platform/firmware. */
export type FirmwareId = 'seabios' | 'ovmf' | 'ovmf-hostmem-wb' | 'crosvm' | 'default-wb' | 'none';
/** Where the page lies in guest-physical memory. */
export type GuestPlace = 'ram' | 'low-bar' | 'high-bar' | 'hostmem-bar';
/** The program that runs the VM, by what it asks of KVM: see platform/vmm. */
export type VmmId =
  | 'qemu-10'
  | 'qemu-11'
  | 'crosvm'
  | 'crosvm-noncoherent-dma'
  | 'crosvm-noncoherent-dma-retry'
  | 'libkrun'
  | 'cloud-hypervisor'
  | 'firecracker';
/** VIRTIO_GPU_MAP_CACHE_*: what the host tells the guest about a blob. */
export type MapInfo = 'none' | 'cached' | 'uncached' | 'wc';
/** Who made up map_info: see platform/map-info. */
export type MapInfoProducer =
  | 'venus'
  | 'shmem'
  | 'vrend-amd'
  | 'vrend-intel'
  | 'vrend-other'
  | 'gbm-i915'
  | 'gbm-other'
  | 'amdgpu-native'
  | 'amdgpu-native-2023'
  | 'i915-native'
  | 'gfxstream';
/** The guest driver that maps the memory: see linux/guest-drivers. */
export type GuestDriver =
  | 'virtgpu'
  | 'virtio-wl'
  | 'own-page-tables-wb'
  | 'bochs-ioremap'
  | 'bochs-ioremap-wc'
  | 'vfio-pci'
  | 'memremap-wb';
/** What the guest mostly does with the memory. */
export type Workload = 'reads' | 'writes' | 'faults';
/** An EPT leaf as somebody installed it. */
export type InstalledLeaf = `${MtrrType}` | `${MtrrType}+IPAT`;

/** A tail of a compound page, and PageReserved() of its head; `no`: a head, or a page of its own. */
export type Compound = 'no' | 'tail' | 'tail-of-reserved';

/** Everything that can be known of one guest access, under the names used on the command line. */
export interface FactValues {
  cpu: Vendor;
  'self-snoop': boolean;
  /** Id of a set of KVM rules. */
  policy: string;
  paging: Paging;
  backing: string;
  'pfn-valid': boolean;
  'page-reserved': boolean;
  'zero-page': boolean;
  compound: Compound;
  'host-memtype': PatType;
  'vmm-mapping': PatType;
  'host-mtrr': MtrrType;
  'e820-ram': boolean;
  'host-pat': boolean;
  'noncoherent-dma': boolean;
  'assigned-device': boolean;
  'slot-noncoherent': boolean;
  'slot-host-memtype': boolean;
  'quirk-ignore-guest-pat': QuirkState;
  'quirk-cd-nw-cleared': QuirkState;
  'cr0-cd': boolean;
  guest: PatType;
  'guest-layout': GuestLayout;
  'guest-mtrr': MtrrType;
  'guest-request': PatType;
  'guest-reservation': PatType | 'none';
  'guest-pat': boolean;
  device: DeviceAccess;
  firmware: FirmwareId;
  'guest-place': GuestPlace;
  confidential: 'no' | 'tdx' | 'snp';
  vmm: VmmId;
  'honor-guest-pat': QuirkState | 'auto';
  'map-info': MapInfo;
  'map-info-from': MapInfoProducer;
  'first-map-info': MapInfo;
  'guest-driver': GuestDriver;
  'pat-index': `${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`;
  'pat-layout': 'linux' | 'reset' | 'xen' | 'zero';
  workload: Workload;
  'installed-leaf': InstalledLeaf;
}
