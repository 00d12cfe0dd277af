/** Something of the host that doctor reads. docs/doctor.md prints this table; a test compares the two. */
export interface Read {
  /** Words in capitals stand for any name: PID, UNIT, ADDRESS (of a PCI device), MOUNT (of debugfs). */
  readonly path: string;
  readonly what: string;
  /** Who may read it on a usual system. */
  readonly needs: string;
}

const ANY = 'anybody';
const ROOT = 'root';
const GROUP_KVM = 'group kvm';
const SAME_USER = 'the same user and ptrace rights, or root';

/** Module parameters that bear on memory types. */
export const MODULE_PARAMETERS = ['ept', 'npt', 'nested', 'tdp_mmu'] as const;

/** Files of a GPU's PCI device. */
export const GPU_FILES = ['vendor', 'device', 'class', 'boot_vga'] as const;

/** MSRs read through /dev/cpu/0/msr: IA32_PAT and IA32_MTRR_DEF_TYPE. */
export const MSR_PAT = 0x277;
export const MSR_MTRR_DEF_TYPE = 0x2ff;

/**
 * Every path that is ever read. Nothing is written, nothing is run. What is not masked by a rule of
 * `mask.ts` is not kept, and scripts/memtype-capture.sh reads the same: tests hold both to this table.
 */
export const READS: readonly Read[] = [
  { path: '/proc/cpuinfo', what: 'CPU, self-snoop, "hypervisor"', needs: ANY },
  { path: '/proc/version', what: "the kernel's real patch level (Debian)", needs: ANY },
  { path: '/proc/version_signature', what: "the kernel's real patch level (Ubuntu)", needs: ANY },
  { path: '/proc/cmdline', what: 'only whether it has nopat', needs: ANY },
  { path: '/proc/modules', what: 'how many hold the KVM module', needs: ANY },
  { path: '/proc/self/mounts', what: 'where debugfs and hugetlbfs are mounted', needs: ANY },
  { path: '/proc/mtrr', what: 'variable MTRRs in force', needs: ANY },
  { path: '/proc/iomem', what: 'what lies at a physical address', needs: 'root for the addresses' },
  { path: '/proc/2/comm', what: 'whether this /proc shows every process', needs: ANY },
  {
    path: '/dev/kmsg',
    what: 'boot lines about PAT, MTRRs and refused mappings',
    needs: 'CAP_SYSLOG, if restricted',
  },
  { path: '/dev/cpu/0/msr', what: 'MSRs 277H (PAT), 2FFH (default MTRR type)', needs: ROOT },
  {
    path: '/dev/kvm',
    what: 'KVM_GET_API_VERSION; extensions 116, 213, 236, 239',
    needs: GROUP_KVM,
  },
  { path: '/sys/firmware/memmap', what: 'the firmware memory map (raw e820)', needs: ANY },
  { path: '/sys/firmware/memmap/N/start', what: 'the same', needs: ANY },
  { path: '/sys/firmware/memmap/N/end', what: 'the same', needs: ANY },
  { path: '/sys/firmware/memmap/N/type', what: 'the same', needs: ANY },
  { path: '/sys/module', what: 'which KVM modules are there', needs: ANY },
  {
    path: '/sys/module/MODULE/parameters/NAME',
    what: `${MODULE_PARAMETERS.join(', ')}: the paging mode`,
    needs: ANY,
  },
  { path: '/sys/devices', what: 'whether /sys is a sysfs', needs: ANY },
  { path: '/sys/bus/pci', what: 'the same', needs: ANY },
  { path: '/sys/class/iommu', what: 'IOMMU units', needs: ANY },
  { path: '/sys/class/iommu/UNIT/intel-iommu/ecap', what: 'snoop control (bit 7)', needs: ANY },
  { path: '/sys/class/drm', what: 'GPUs of this machine', needs: ANY },
  { path: '/sys/class/drm/CARD/device/driver', what: "a GPU's driver", needs: ANY },
  { path: '/sys/class/drm/CARD/device', what: 'where a GPU is on PCI', needs: ANY },
  {
    path: '/sys/class/drm/CARD/device/NAME',
    what: `${GPU_FILES.join(', ')}: which GPU it is`,
    needs: ANY,
  },
  { path: '/sys/bus/virtio/devices', what: 'whether there is a virtio-gpu', needs: ANY },
  { path: '/sys/bus/virtio/devices/NAME/device', what: 'the same', needs: ANY },
  { path: '/sys/bus/virtio/devices/NAME/features', what: 'its blob resources', needs: ANY },
  { path: '/sys/bus/pci/drivers/vfio-pci', what: 'devices bound to vfio-pci', needs: ANY },
  { path: '/sys/bus/pci/devices', what: 'PCI devices', needs: ANY },
  { path: '/sys/bus/pci/devices/ADDRESS/vendor', what: 'which device it is', needs: ANY },
  { path: '/sys/bus/pci/devices/ADDRESS/device', what: 'the same', needs: ANY },
  { path: '/sys/bus/pci/devices/ADDRESS/class', what: 'the same', needs: ANY },
  {
    path: '/sys/bus/pci/devices/ADDRESS/config',
    what: "of virtio: where in a BAR the host's blobs appear",
    needs: 'root beyond byte 64',
  },
  { path: '/sys/bus/pci/devices/ADDRESS/iommu', what: 'the IOMMU unit of a device', needs: ANY },
  { path: '/sys/bus/pci/devices/ADDRESS/driver', what: 'its driver', needs: ANY },
  { path: '/sys/bus/pci/devices/ADDRESS/resource', what: 'where its BARs are', needs: ANY },
  { path: '/sys/kernel/iommu_groups/GROUP/devices', what: 'devices of a VFIO group', needs: ANY },
  { path: '/sys/class/vfio-dev/NAME/device', what: 'the device of a VFIO cdev', needs: ANY },
  { path: '/sys/kernel/security/lockdown', what: 'whether the kernel hides files', needs: ANY },
  { path: 'MOUNT/dri/N/amdgpu_gem_info', what: "caching of amdgpu's buffers", needs: ROOT },
  { path: 'MOUNT/x86/pat_memtype_list', what: 'tracked memory types, not of RAM', needs: ROOT },
  { path: '/run/libvirt/qemu', what: 'domains that libvirt runs', needs: ANY },
  { path: '/run/libvirt/qemu/NAME.xml', what: 'which one a process is, and its XML', needs: ROOT },
  { path: '/proc/net/unix', what: 'with --qmp: whose monitor a socket is', needs: ANY },
  { path: '/proc', what: 'processes', needs: ANY },
  { path: '/proc/PID/comm', what: "a process's name", needs: ANY },
  { path: '/proc/PID/cmdline', what: 'options of a VMM; never printed as it is', needs: ANY },
  {
    path: '/proc/PID/exe',
    what: 'the program, of a VMM and of who shares its memory',
    needs: SAME_USER,
  },
  { path: '/proc/PID/fd', what: 'KVM, VFIO, GPU and dma-buf fds', needs: SAME_USER },
  {
    path: '/proc/PID/fdinfo/FD',
    what: 'who exported a dma-buf; which memfd it is',
    needs: SAME_USER,
  },
  { path: '/proc/PID/maps', what: 'memory regions of a VMM; who shares them', needs: SAME_USER },
  { path: '/proc/PID/smaps', what: 'VmFlags, where a region may hide its pages', needs: SAME_USER },
  { path: '/proc/PID/task', what: 'threads, for a trace that was given', needs: ANY },
  { path: '/proc/PID/pagemap', what: 'one page frame of a region', needs: 'CAP_SYS_ADMIN' },
  { path: '/proc/kpageflags', what: 'the memory type of page frames', needs: ROOT },
];

function patternOf(path: string): RegExp {
  const escaped = path.replace(/[.$+]/g, '\\$&');
  const pattern = escaped.replace(/\b(?:MOUNT|[A-Z]+)\b/g, (word) =>
    word === 'MOUNT' ? '/.+' : word === 'PID' || word === 'N' || word === 'FD' ? '\\d+' : '[^/]+',
  );
  return new RegExp(`^${pattern}$`);
}

interface Pattern {
  readonly path: string;
  /** What stands before the first word in capitals. */
  readonly start: string;
  readonly form: RegExp;
}

const PATTERNS: readonly Pattern[] = READS.map(({ path }) => ({
  path,
  start: /^[^A-Z]*/.exec(path)?.[0] ?? '',
  form: patternOf(path),
}));
const PLAIN: ReadonlySet<string> = new Set(READS.map(({ path }) => path));

/** The path as the table has it, e.g. "/proc/PID/maps"; null for one that is not in it. */
export function listedAs(path: string): string | null {
  if (PLAIN.has(path)) return path;
  const found = PATTERNS.find(({ start, form }) => path.startsWith(start) && form.test(path));
  return found?.path ?? null;
}

/** Whether the table has this path. */
export function isListed(path: string): boolean {
  return listedAs(path) !== null;
}
