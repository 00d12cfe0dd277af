import type { Room } from '../cite/rule.ts';
import type { FactValues } from './values.ts';

export type * from './values.ts';

export type FactKey = keyof FactValues;

/**
 * What is known: for each fact the values it may have. One value: known. Several: it is one of them.
 * Absent: nothing is known.
 */
export type Facts = { readonly [K in FactKey]?: readonly FactValues[K][] };

export interface FactDefinition<K extends FactKey> {
  readonly key: K;
  /** Who decides it. */
  readonly room: Room;
  readonly title: string;
  /** Every value it can have, in the order in which they are tried; null for an open set. */
  readonly values: readonly FactValues[K][] | null;
  /**
   * The state in which KVM or the hardware starts, where something must happen to change it. Taken when
   * nothing is said, and always stated in the answer.
   */
  readonly initial?: { readonly value: FactValues[K]; readonly why: string };
  /** How the value is found on a machine. */
  readonly ask: string;
}

const PAT = ['WB', 'WC', 'UC-', 'UC', 'WT', 'WP'] as const;
const MTRR = ['WB', 'UC', 'WC', 'WT', 'WP'] as const;
const YES_NO = [true, false] as const;

type Definitions = { readonly [K in FactKey]: Omit<FactDefinition<K>, 'key'> };

const DEFINITIONS: Definitions = {
  cpu: {
    room: 'cpu',
    title: 'CPU vendor',
    values: ['intel', 'amd'],
    ask: '/proc/cpuinfo, vendor_id',
  },
  'self-snoop': {
    room: 'cpu',
    title: 'self-snoop after errata',
    values: YES_NO,
    ask: '/proc/cpuinfo, flag ss (5.3 and later)',
  },
  policy: {
    room: 'kvm',
    title: 'kernel version or policy',
    values: null,
    ask: 'uname -r, and KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2)',
  },
  paging: {
    room: 'kvm',
    title: 'paging mode',
    values: ['ept', 'npt', 'shadow'],
    ask: '/sys/module/kvm_intel/parameters/ept or kvm_amd/parameters/npt',
  },
  backing: {
    room: 'host',
    title: 'what backs the guest page',
    values: null,
    ask: '/proc/PID/smaps of the VMM, /proc/kpageflags',
  },
  'pfn-valid': {
    room: 'host',
    title: 'the page has a struct page',
    values: YES_NO,
    ask: '/proc/iomem: System RAM or not',
  },
  'page-reserved': {
    room: 'host',
    title: 'PageReserved',
    values: YES_NO,
    ask: '/proc/kpageflags, bit 32',
  },
  'zero-page': {
    room: 'host',
    title: 'it is the shared zero page',
    values: YES_NO,
    ask: '/proc/kpageflags, bit 24',
  },
  compound: {
    room: 'host',
    title: 'it is a tail of a compound page; PageReserved of the head',
    values: ['no', 'tail', 'tail-of-reserved'],
    initial: { value: 'no', why: 'a page of its own, or the head of a larger one' },
    ask: '/proc/kpageflags, bits 15 and 16',
  },
  'host-memtype': {
    room: 'host',
    title: 'type the host tracks (lookup_memtype)',
    values: PAT,
    ask: 'debugfs x86/pat_memtype_list; RAM: /proc/kpageflags bits 38, 39 or 41',
  },
  'vmm-mapping': {
    room: 'vmm',
    title: "type in the VMM's own mapping",
    values: PAT,
    ask: 'the driver that made the mapping',
  },
  'host-mtrr': {
    room: 'firmware',
    title: 'host MTRR type of the page',
    values: MTRR,
    ask: '/proc/mtrr and the default type (MSR 2FFH)',
  },
  'e820-ram': {
    room: 'firmware',
    title: 'the raw e820 has RAM in the page',
    values: YES_NO,
    ask: '/sys/firmware/memmap',
  },
  'host-pat': {
    room: 'host',
    title: 'PAT enabled on the host',
    values: YES_NO,
    initial: { value: true, why: 'a kernel enables PAT unless booted with nopat' },
    ask: 'dmesg, x86/PAT: Configuration',
  },
  'noncoherent-dma': {
    room: 'kvm',
    title: 'the VM has non-coherent DMA',
    values: YES_NO,
    initial: { value: false, why: 'a VM starts without; only an assigned device brings it' },
    ask: 'kvm-vfio fd of the VMM, and ECAP.SC of the IOMMU of its devices',
  },
  'assigned-device': {
    room: 'kvm',
    title: 'the VM has an assigned device',
    values: YES_NO,
    initial: { value: false, why: 'a VM starts without' },
    ask: 'VFIO fds of the VMM',
  },
  'slot-noncoherent': {
    room: 'vmm',
    title: 'the memslot has KVM_MEM_NON_COHERENT_DMA',
    values: YES_NO,
    initial: { value: false, why: 'a memslot starts without' },
    ask: 'the VMM (crosvm on a ChromeOS kernel)',
  },
  'slot-host-memtype': {
    room: 'vmm',
    title: 'the memslot has KVM_MEM_HOST_MEMTYPE (proposed in docs/ideal.md)',
    values: YES_NO,
    initial: { value: false, why: 'a memslot starts without' },
    ask: 'the VMM; no kernel has it',
  },
  'quirk-ignore-guest-pat': {
    room: 'vmm',
    title: 'KVM_X86_QUIRK_IGNORE_GUEST_PAT',
    values: ['on', 'off'],
    initial: { value: 'on', why: 'in force until the VMM disables it' },
    ask: 'the VMM: QEMU -accel kvm,honor-guest-pat=on',
  },
  'quirk-cd-nw-cleared': {
    room: 'vmm',
    title: 'KVM_X86_QUIRK_CD_NW_CLEARED',
    values: ['on', 'off'],
    initial: { value: 'on', why: 'in force until the VMM disables it' },
    ask: 'the VMM',
  },
  'cr0-cd': {
    room: 'guest',
    title: 'CR0.CD of the guest',
    values: [false, true],
    initial: { value: false, why: 'an operating system clears CD; firmware starts with CD=1' },
    ask: 'kvm_cr trace, bit 30 of CR0',
  },
  guest: {
    room: 'guest',
    title: "the guest's PAT type",
    values: PAT,
    ask: "the guest's page tables and PAT",
  },
  'guest-layout': {
    room: 'guest',
    title: 'the PAT the guest programmed',
    values: ['linux', 'reset'],
    initial: { value: 'linux', why: 'a Linux guest: WB WC UC- UC WB WP UC- WT' },
    ask: "the guest's dmesg, x86/PAT: Configuration",
  },
  'guest-mtrr': {
    room: 'firmware',
    title: 'guest MTRR type of the page',
    values: MTRR,
    ask: '/proc/mtrr in the guest',
  },
  'guest-request': {
    room: 'guest',
    title: 'the type the guest driver asks for',
    values: PAT,
    ask: 'ioremap variant or map_info in the guest driver',
  },
  'guest-reservation': {
    room: 'guest',
    title: 'the earliest reservation in the guest that overlaps: it decides',
    values: ['none', ...PAT],
    initial: { value: 'none', why: 'nothing else has mapped the range' },
    ask: 'debugfs x86/pat_memtype_list in the guest',
  },
  'guest-pat': {
    room: 'guest',
    title: 'PAT initialised in the guest',
    values: YES_NO,
    initial: { value: true, why: 'a Linux guest initialises PAT unless it is told not to' },
    ask: "the guest's dmesg",
  },
  device: {
    room: 'cpu',
    title: 'how a device reaches the memory',
    values: ['snoop', 'nosnoop', 'none'],
    ask: 'the device and its driver; ECAP.SC of its IOMMU',
  },
  firmware: {
    room: 'firmware',
    title: 'who programs the guest MTRRs',
    values: ['seabios', 'ovmf', 'ovmf-hostmem-wb', 'crosvm', 'default-wb', 'none'],
    ask: "the VMM's options: -bios, pflash; /proc/mtrr in the guest",
  },
  'guest-place': {
    room: 'firmware',
    title: 'where it lies in guest-physical memory',
    values: ['ram', 'low-bar', 'high-bar', 'hostmem-bar'],
    ask: 'lspci -vv and /proc/iomem in the guest',
  },
  confidential: {
    room: 'firmware',
    title: 'the guest is a confidential one',
    values: ['no', 'tdx', 'snp'],
    ask: '/proc/cpuinfo in the guest: tdx_guest, sev_snp',
  },
  vmm: {
    room: 'vmm',
    title: 'the VMM, by what it asks of KVM',
    values: [
      'qemu-10',
      'qemu-11',
      'crosvm',
      'crosvm-noncoherent-dma',
      'crosvm-noncoherent-dma-retry',
      'libkrun',
      'cloud-hypervisor',
      'firecracker',
    ],
    ask: '/proc/PID/exe, and --version of it',
  },
  'honor-guest-pat': {
    room: 'vmm',
    title: '-accel kvm,honor-guest-pat= of QEMU 11.0 and later',
    values: ['off', 'on', 'auto'],
    ask: '/proc/PID/cmdline of QEMU',
  },
  'map-info': {
    room: 'vmm',
    title: 'map_info, what the host says of a blob',
    values: ['cached', 'wc', 'uncached', 'none'],
    ask: 'RESP_OK_MAP_INFO; the renderer that answers it',
  },
  'map-info-from': {
    room: 'vmm',
    title: 'who makes up map_info',
    values: [
      'venus',
      'shmem',
      'vrend-amd',
      'vrend-intel',
      'vrend-other',
      'gbm-i915',
      'gbm-other',
      'amdgpu-native',
      'amdgpu-native-2023',
      'i915-native',
      'gfxstream',
    ],
    ask: 'the context type of virglrenderer or rutabaga',
  },
  'first-map-info': {
    room: 'vmm',
    title: 'map_info of the first blob in a fixed window',
    values: ['cached', 'wc', 'uncached', 'none'],
    ask: 'the order in which the guest mapped its blobs',
  },
  'guest-driver': {
    room: 'guest',
    title: 'the guest driver that maps it',
    values: [
      'virtgpu',
      'virtio-wl',
      'own-page-tables-wb',
      'bochs-ioremap',
      'bochs-ioremap-wc',
      'vfio-pci',
      'memremap-wb',
    ],
    ask: 'lspci -k in the guest; its kernel version',
  },
  'pat-index': {
    room: 'guest',
    title: 'PAT index of the guest page table entry (PAT, PCD, PWT)',
    values: ['0', '1', '2', '3', '4', '5', '6', '7'],
    ask: "the guest's page table entry: bits 7 (12 in a large page), 4 and 3",
  },
  'pat-layout': {
    room: 'guest',
    title: 'the PAT in which the index is looked up',
    values: ['linux', 'reset', 'xen', 'zero'],
    ask: "the guest's dmesg, x86/PAT: Configuration; MSR 277H",
  },
  workload: {
    room: 'guest',
    title: 'what the guest mostly does there',
    values: ['reads', 'writes', 'faults'],
    ask: 'perf in the guest or on the host',
  },
  'installed-leaf': {
    room: 'kvm',
    title: 'the EPT leaf that was found installed',
    values: ['UC', 'WC', 'WT', 'WP', 'WB', 'UC+IPAT', 'WC+IPAT', 'WT+IPAT', 'WP+IPAT', 'WB+IPAT'],
    ask: 'kvm_mmu_set_spte in a trace, or a debugger',
  },
};

/** All facts, in the order in which they are printed. */
export const FACT_KEYS = Object.keys(DEFINITIONS) as readonly FactKey[];

/** What there is to know about a fact. */
export function factDefinition<K extends FactKey>(key: K): FactDefinition<K> {
  return { key, ...DEFINITIONS[key] };
}

/** A value as it is written on the command line. */
export function factWord(value: FactValues[FactKey]): string {
  if (value === true) return 'yes';
  return value === false ? 'no' : value;
}
