import type { BackingId } from '../../linux/backing.ts';
import type { RamMemtype } from '../../linux/text/kpageflags.ts';
import type { MtrrType, PatType } from '../../x86/types.ts';
import type { Fact } from '../fact.ts';
import type { LibvirtDomain } from '../vmms/libvirt.ts';
import type { Memslot } from '../vmms/memslots.ts';
import type { VmmOptions } from '../vmms/options.ts';
import type { Memdev, QemuVersion } from '../vmms/qemu-monitor.ts';

export const VMM_NAMES = [
  'qemu',
  'crosvm',
  'cloud-hypervisor',
  'firecracker',
  'libkrun',
  'other',
] as const;
export type VmmName = (typeof VMM_NAMES)[number];

/** A process that runs a VM, or by its name may. */
export interface VmFacts {
  readonly pid: number;
  /**
   * `fd`: it holds a kvm-vm descriptor. `name`: its descriptors cannot be read, but it is called like a
   * VMM. `asked`: they cannot be read, and the user named this PID.
   */
  readonly evidence: 'fd' | 'name' | 'asked';
  readonly vmm: VmmName;
  /** File name of the program; the name of the task where that is not known. */
  readonly program: string;
  /** kvm-vm descriptors: a process may run more than one VM. */
  readonly vms: number;
  readonly vcpus: number;
  readonly files: Fact<VmFiles>;
  /** What it was told; null as a value: a program that is not known here. */
  readonly options: Fact<VmmOptions | null>;
  /** The domain of libvirt that it is; null as a value: none that libvirt runs as root. */
  readonly libvirt: Fact<LibvirtDomain | null>;
  /** What its monitor says; null: no monitor was asked. */
  readonly monitor: MonitorFacts | null;
  /** Other processes that have its guest memory mapped, or hold its file. */
  readonly sharers: readonly Sharer[];
  readonly devices: readonly AssignedDevice[];
  readonly regions: Fact<readonly Region[]>;
  /** RAM that the VMM was told to make and that is in no mapping: sizes in bytes. */
  readonly missingRam: readonly number[];
}

/** What the monitor of a QEMU said. */
export interface MonitorFacts {
  readonly version: QemuVersion | null;
  /** KVM is in use; null: not asked of a human monitor. */
  readonly kvm: boolean | null;
  readonly running: boolean | null;
  readonly memdevs: readonly Memdev[] | null;
  /** Null: no list of memslots was had. Some may be without a place in the VMM (`hva`). */
  readonly memslots: readonly Memslot[] | null;
}

/** A process beside the VMM that reaches guest memory: a vhost-user back end, a device of crosvm. */
export interface Sharer {
  readonly pid: number;
  readonly program: string;
  /** What tells: it has the memory mapped, or a descriptor of it. */
  readonly by: 'mapping' | 'descriptor';
}

/** Open files of a VMM that bear on memory types. */
export interface VmFiles {
  /** The kvm-vfio device was made: KVM may know of assigned devices. */
  readonly kvmVfio: boolean;
  /** Group numbers and cdev names: "12", "noiommu-0", "vfio3". */
  readonly vfio: readonly string[];
  /** vhost-vdpa: a physical device reads and writes guest memory. */
  readonly vdpa: boolean;
  /** /dev/vfio/vfio, the container of VFIO groups. */
  readonly vfioContainer: boolean;
  /** /dev/iommu. */
  readonly iommufd: boolean;
  /** Nodes of GPUs: "/dev/dri/renderD128". */
  readonly gpuNodes: readonly string[];
  readonly udmabuf: boolean;
  readonly dmabufs: number;
  readonly memfds: number;
}

/** A device behind VFIO. */
export interface AssignedDevice {
  /** PCI address, mdev UUID, or the VFIO name where the device could not be found. */
  readonly name: string;
  readonly kind: 'pci' | 'mdev' | 'no-iommu' | 'unknown';
  /** IOMMU unit of its own; null: none, or not known (see `snoop`). */
  readonly unit: string | null;
  readonly vendor: 'intel' | 'amd' | null;
  /** ECAP.SC of the unit; null as a value: the device has no IOMMU. */
  readonly snoop: Fact<boolean | null>;
  /** Start addresses of its BARs by number; 0 for none. */
  readonly bars: readonly number[];
}

export const REGION_KINDS = [
  'memfd',
  'shm',
  'hugetlb',
  'anonymous',
  'file',
  'dax',
  'gpu',
  'dma-buf',
  'vfio-bar',
  'pci-resource',
  'devmem',
  'guest_memfd',
] as const;
export type RegionKind = (typeof REGION_KINDS)[number];

/** Mappings of a VMM of one kind and one backing that are, or may be, guest memory. */
export interface Region {
  readonly kind: RegionKind;
  /** For people: "memfd memory-backend-memfd", "BAR 0 of 0000:01:00.0". */
  readonly name: string;
  /**
   * Whether it is guest memory. No file of the kernel lists memslots, so:
   * `named`: its name or the VMM's options say so; `size`: its size and place do;
   * `perhaps`: it may as well be the VMM's own.
   */
  readonly isGuestMemory: 'named' | 'size' | 'perhaps';
  readonly why: string;
  /** Bytes, all mappings together. */
  readonly size: number;
  readonly mappings: number;
  /** The classes that its pages may have. */
  readonly backings: readonly BackingId[];
  /** What is known of its pages beyond their class. */
  readonly page: PageOverrides;
  /** VM_PFNMAP: /proc/PID/pagemap hides the page frames. Null when smaps was not read. */
  readonly pfnmap: boolean | null;
  readonly sample: Fact<PageSample>;
  /** Where the first mapping starts in the VMM, hexadecimal. */
  readonly start: string;
  /** Its memslots, in the order of the guest's addresses; null: no monitor told. */
  readonly memslots: readonly Memslot[] | null;
  /** Bytes in memory now, of all mappings; null: smaps was not read. */
  readonly resident: number | null;
}

export interface PageOverrides {
  readonly hostMemtype?: PatType;
  readonly vmmMapping?: readonly PatType[];
  /** It may be ROM, or its shadow in RAM, as well as a device. */
  readonly maybeRom?: true;
  /** What the host MTRRs may say. */
  readonly hostMtrr?: readonly MtrrType[];
}

/** One page of a region, as /proc/kpageflags has it. */
export interface PageSample {
  readonly memtype: RamMemtype | null;
  readonly possible: readonly RamMemtype[];
  readonly reserved: boolean;
}
