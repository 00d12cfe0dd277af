import type { Diagnostic } from '../base/diagnostic.ts';
import type { Paging } from '../facts/facts.ts';
import type { AmdgpuGem } from '../linux/text/amdgpu-gem.ts';
import type { CpuInfo } from '../linux/text/cpuinfo.ts';
import type { PatOffReason } from '../linux/text/dmesg-facts.ts';
import type { E820Entry } from '../linux/text/e820.ts';
import type { Iomem } from '../linux/text/iomem.ts';
import type { MemtypeList } from '../linux/text/memtype-list.ts';
import type { MtrrRange } from '../linux/text/mtrr.ts';
import type { KernelVersion } from '../linux/version.ts';
import type { PatLayout } from '../x86/pat.ts';
import type { MtrrType } from '../x86/types.ts';
import { type Fact, ifKnown } from './fact.ts';
import type { Conflict } from './machine/conflicts.ts';
import type { PciDevice } from './machine/pci.ts';
import type { TraceFacts } from './trace/trace-facts.ts';
import type { VmFacts } from './vms/vm-facts.ts';

export interface KernelFacts {
  /** uname -r. */
  readonly release: string;
  readonly version: KernelVersion;
  /** The stable version behind a distribution's ABI name; null where the release says it itself. */
  readonly stable: { readonly version: KernelVersion; readonly from: string } | null;
}

export interface CpuFacts extends CpuInfo {
  /** Self-snoop after errata; null when the flags are not known, and on AMD, which has no such flag. */
  readonly usableSelfSnoop: boolean | null;
}

/** Which KVM serves /dev/kvm: `kvm_intel`, `kvm_amd`, or another vendor module such as `kvm_pvm`. */
export interface KvmFacts {
  /** There is KVM: /dev/kvm or one of its modules. */
  readonly present: Fact<boolean>;
  readonly apiVersion: Fact<number>;
  /** KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2): the quirk bits that can be disabled. */
  readonly quirks2: Fact<number>;
  /** The same for KVM_CAP_DISABLE_QUIRKS, which only says that there are quirks. */
  readonly quirks: Fact<number>;
  /**
   * KVM_CHECK_EXTENSION of 236 and 239: a memslot flag for non-coherent DMA on kernels of ChromeOS, other
   * things upstream.
   */
  readonly slotFlag: { readonly 236: Fact<number>; readonly 239: Fact<number> };
  /** Vendor modules found, loaded or built in. */
  readonly modules: readonly string[];
  readonly flavour: Fact<string>;
  /** "kvm_intel.ept" to "Y". */
  readonly parameters: ReadonlyMap<string, string>;
  readonly paging: Fact<Paging>;
  /** References on the vendor module: every VM and every open /dev/kvm holds one. */
  readonly users: Fact<number>;
}

export interface PatFacts {
  /** pat_enabled(). */
  readonly enabled: boolean;
  /** Null when only known to be on or off. */
  readonly layout: PatLayout | null;
  /** Why the kernel did not set it up, as its boot log says. */
  readonly off: PatOffReason | null;
  /** MSR 277H was read, and is 0. */
  readonly isMsrZero: boolean;
}

export interface IommuUnit {
  readonly name: string;
  /** By the driver that registered it; null for one of neither vendor. */
  readonly vendor: 'intel' | 'amd' | null;
  /** Whether the unit can make every access of its devices snoop. */
  readonly snoopControl: Fact<boolean>;
}

export interface Gpu {
  /** "card0", "renderD128". */
  readonly name: string;
  /** Its driver; null when the link could not be read. */
  readonly driver: string | null;
  /** Null: it is no PCI device, or where it is could not be read. */
  readonly pci: GpuPci | null;
}

/** What sysfs says of a GPU on PCI. Null members could not be read. */
export interface GpuPci {
  /** "0000:00:02.0". */
  readonly address: string;
  readonly vendor: number | null;
  readonly device: number | null;
  /** Class, subclass and programming interface: 30000H is a VGA controller. */
  readonly class: number | null;
  /** The firmware drew its screen with it. */
  readonly bootVga: boolean | null;
  /** Part of the processor: an Intel GPU at 00:02.0, its place on every such chip. Null: not told by this. */
  readonly integrated: boolean | null;
}

/** What a locked-down kernel refuses even to root: `confidentiality` more than `integrity`. */
export type Lockdown = 'none' | 'integrity' | 'confidentiality';

export interface VirtioGpu {
  readonly name: string;
  /** VIRTIO_GPU_F_RESOURCE_BLOB was negotiated; null when the features could not be read. */
  readonly blob: boolean | null;
}

/** How well the processes of the machine could be seen. */
export interface ProcessSurvey {
  readonly total: number;
  /** Processes whose open files could not be read. */
  readonly closed: number;
  /** The first of them. */
  readonly closedPids: readonly number[];
  /** This /proc shows every process of the machine. */
  readonly complete: boolean;
  /** The only process that was looked at; null: all of them. */
  readonly only: number | null;
}

export interface FirmwareFacts {
  readonly mtrrs: Fact<readonly MtrrRange[]>;
  /** Lines of /proc/mtrr that are odd. */
  readonly oddMtrrs: readonly number[];
  /** IA32_MTRR_DEF_TYPE; null as a value: the MTRRs are off. */
  readonly mtrrDefault: Fact<MtrrType | null>;
  readonly memmap: Fact<readonly E820Entry[]>;
  /** The boot log has "MTRRs set to read-only": the kernel uses a state that something else gave it. */
  readonly isReadOnly: boolean;
  /** TOP_MEM2 of AMD, in force up to there; null: there is none. */
  readonly tom2: Fact<number | null>;
}

export type Confidential = 'tdx' | 'snp' | 'sev';

/** Everything known of one machine, and what is not. */
export interface HostFacts {
  readonly cpu: Fact<CpuFacts>;
  readonly kernel: Fact<KernelFacts>;
  /** This machine is itself a guest. */
  readonly isGuest: Fact<boolean>;
  /** Of which hypervisor, as the kernel detected it. */
  readonly hypervisor: Fact<string>;
  /** This guest's memory is encrypted against its host. */
  readonly confidential: Fact<Confidential | null>;
  readonly kvm: KvmFacts;
  readonly firmware: FirmwareFacts;
  readonly pat: Fact<PatFacts>;
  readonly tracked: Fact<MemtypeList>;
  /** Mappings that were refused in this boot. */
  readonly conflicts: Fact<readonly Conflict[]>;
  readonly iomem: Fact<Iomem>;
  readonly iommu: Fact<readonly IommuUnit[]>;
  readonly gpus: Fact<readonly Gpu[]>;
  /** Buffers of the amdgpu cards; null: there is none. */
  readonly amdgpu: Fact<AmdgpuGem> | null;
  /** State of kernel lockdown. */
  readonly lockdown: Fact<Lockdown>;
  readonly virtioGpus: Fact<readonly VirtioGpu[]>;
  /** Those with a memory BAR. */
  readonly pci: Fact<readonly PciDevice[]>;
  /** PCI addresses bound to vfio-pci. */
  readonly vfioBound: Fact<readonly string[]>;
  readonly processes: Fact<ProcessSurvey>;
  readonly vms: readonly VmFacts[];
  /** What a trace that the user gave says; null: none was given. */
  readonly trace: TraceFacts | null;
  /** Lines that could not be read, and files that were cut. */
  readonly problems: readonly Diagnostic[];
}

/** The hypervisor of a guest, where it is known not to be KVM. */
export function otherHypervisor({ hypervisor }: HostFacts): string | null {
  const name = ifKnown(hypervisor);
  return name === null || /^KVM$/i.test(name) ? null : name;
}
