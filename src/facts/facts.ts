import type { Room } from '../cite/rule.ts';
import type { MtrrType, PatType, Vendor } from '../x86/types.ts';

export type Paging = 'ept' | 'npt' | 'shadow';
export type QuirkState = 'on' | 'off';
/** How a device reaches the memory: through the caches, past them, or not at all. */
export type DeviceAccess = 'snoop' | 'nosnoop' | 'none';
/** The PAT that the guest programmed, where only the PTE's index reaches the hardware. */
export type GuestLayout = 'linux' | 'reset';

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
  'host-memtype': PatType;
  'vmm-mapping': PatType;
  'host-mtrr': MtrrType;
  'e820-ram': boolean;
  'host-pat': boolean;
  'noncoherent-dma': boolean;
  'assigned-device': boolean;
  'slot-noncoherent': boolean;
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
}

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
    title: 'an earlier reservation in the guest',
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
