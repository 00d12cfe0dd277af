import type { Severity, VerdictCode, VerdictKind } from '../resolve/verdict.ts';
import { MEMORY_FINDINGS } from './machine/memory-findings.ts';
import { TRACE_FINDINGS } from './trace/trace-findings.ts';
import { VMM_FINDINGS } from './vmms/findings.ts';

/** Something doctor found, of either kind. */
export interface DoctorFinding {
  readonly code: VerdictCode;
  readonly severity: Severity;
  readonly title: string;
  /** It holds whatever is not known here. */
  readonly certain: boolean;
  /** For a finding that is not certain: what it depends on, in words. */
  readonly when: string;
  /** What the guest is taken to do, in words; empty where it does not matter. */
  readonly given: string;
  /** "this machine", "VM 4711", "VM 4711: memfd pc.ram". */
  readonly places: readonly string[];
  readonly agents: readonly string[];
  readonly text: string;
  readonly fix: string;
  /** The fix as lines to run or to write, in this order; "#" begins a remark. Absent or empty: none. */
  readonly commands?: readonly string[];
}

/** The kinds of finding that only a look at a machine can bring; the others are those of the resolver. */
export const DOCTOR_FINDINGS = {
  untoldVfio: {
    code: 'MT601',
    severity: 'warning',
    title: 'KVM was not told of assigned devices that may not snoop',
    room: 'vmm',
    cause:
      'The VMM holds VFIO files but no kvm-vfio device, so KVM takes all DMA of the VM for coherent, and ' +
      'nothing makes the devices snoop.',
    consequence:
      'Under EPT the guest PAT stays ignored: what the guest maps WC or UC for such a device is cached, ' +
      'and the device may see old data.',
    fix: 'Have the VMM create the kvm-vfio device and add its VFIO files (KVM_DEV_VFIO_FILE_ADD).',
    sources: ['kvm/vfio.c', 'kvm/ec53500fae42', 'vtd/snoop-control'],
    example:
      'A VMM with /dev/vfio/12 open and no anon_inode:kvm-vfio; the device is behind dmar0, ECAP bit 7 is 0.',
  },
  noncoherentVm: {
    code: 'MT602',
    severity: 'info',
    title: 'The VM has non-coherent DMA: the guest has a say in the type of all its RAM',
    room: 'kvm',
    cause: 'A VFIO file in the kvm-vfio device belongs to a device that nothing makes snoop.',
    consequence:
      'KVM honours the guest PAT for every page of the VM, not for the buffers of the device alone; up ' +
      'to 6.10 the guest MTRRs count as well.',
    fix: 'Nothing to do where the guest knows of it; an IOMMU with snoop control avoids it.',
    sources: ['kvm/vfio.c', 'kvm/vmx_get_mt_mask', 'linux/iommu-snoop'],
    example:
      'QEMU with kvm-vfio and the integrated GPU of a 12th-generation Core (ECAP 29a00f0505e).',
  },
  noIommu: {
    code: 'MT603',
    severity: 'info',
    title: 'A device without an IOMMU makes the whole VM non-coherent',
    room: 'kvm',
    cause:
      'From 6.2 on KVM asks every device for IOMMU_CAP_ENFORCE_CACHE_COHERENCY; a mediated device and a ' +
      'device without an IOMMU cannot have it. (Read in the source, not run.)',
    consequence: 'As MT602, also where the physical device snoops.',
    fix: 'Assign a device of its own behind an IOMMU with snoop control.',
    sources: ['kvm/4989764d8ed3', 'linux/iommu-snoop'],
    example: 'QEMU with a vGPU (mdev) in its VFIO group, on Linux 6.8.',
  },
  patOff: {
    code: 'MT604',
    severity: 'warning',
    title: 'PAT is off on this machine',
    room: 'host',
    cause: 'The kernel was booted with nopat, or CPU or firmware offer no PAT.',
    consequence:
      'No mapping of the host can be WC, drivers get UC- instead; and KVM takes every reserved page for ' +
      'MMIO, so that guests reach it uncached.',
    fix: 'Boot without nopat.',
    sources: ['linux/pat_bp_init', 'kvm/kvm_is_mmio_pfn'],
    example: 'nopat on the kernel command line.',
  },
  emulatedWrite: {
    code: 'MT605',
    severity: 'info',
    title: "The guest's first write to such a page goes through the VMM's mapping",
    room: 'kvm',
    cause:
      'From 7.1 on drm shmem mappings are write-protected until the host has written (pfn_mkwrite): KVM ' +
      'gets KVM_PFN_ERR_RO_FAULT and emulates the store through the mapping of the VMM. (Run on 7.3.4; on ' +
      'other architectures the same kills the VM with EFAULT.)',
    consequence: "That store has the type of the VMM's mapping, not that of the guest's.",
    fix: 'Have the VMM write each page once before the guest uses it.',
    sources: [
      'linux/drm_gem_shmem',
      'linux/hva_to_pfn_remapped',
      'mail/shmem-mkwrite',
      'mail/drm-misc-next-7.1',
    ],
    example: 'A vgem buffer as a memslot on Linux 7.3.4.',
  },
  noSelfSnoop: {
    code: 'MT606',
    severity: 'info',
    title: 'This CPU has no usable self-snoop',
    room: 'cpu',
    cause: 'The CPU lacks the flag ss, or the kernel took it away because of errata.',
    consequence:
      'KVM cannot be made to honour the guest PAT under EPT, except by non-coherent DMA; and aliases of ' +
      'different types are not kept coherent.',
    fix: 'A CPU with self-snoop: Ivy Bridge, Sandy Bridge-EP, Westmere-EX or later.',
    sources: ['linux/self-snoop-errata', 'kvm/x86.c-quirks', 'sdm/self-snoop'],
    example: 'Core i7-2600K (family 6 model 42): quirk word 5ffH on Linux 6.12.113.',
  },
  oddSample: {
    code: 'MT607',
    severity: 'warning',
    title: 'A page of ordinary guest memory is not WB on the host',
    room: 'host',
    cause: 'The page that was looked up carries another type in the page flags of the host.',
    consequence: 'Host and guest may reach it with different types; the tables here assume WB.',
    fix: 'Find the driver that changed it (set_memory_wc or _uc on pages it was given).',
    sources: ['linux/kpageflags', 'linux/set_memory'],
    example: 'A memfd page with KPF_ARCH (bit 38) set and KPF_ARCH_2 clear: WC.',
  },
  uncachedFirmware: {
    code: 'MT608',
    severity: 'warning',
    title: 'RAM is uncached while a firmware runs that has not set up its MTRRs',
    room: 'firmware',
    cause:
      'Up to 6.10 the EPT type of a VM with non-coherent DMA is the guest MTRR type, and MTRRs that are ' +
      'off make it UC. While CR0.CD=1 a quirk of KVM makes it WB; a firmware that clears CD first runs ' +
      'uncached until it writes its MTRRs. So did OVMF from e8aa4c6546ad, whose reset vector leaves CD clear, ' +
      'up to edk2-stable202408; before that CD was still set, and the quirk made it WB.',
    consequence: 'Booting takes minutes: decompression of the firmware volume is the worst of it.',
    fix: 'OVMF of edk2-stable202408 or later (ce4c76e46d52), or a host kernel from 6.11 on, which does not look at guest MTRRs.',
    sources: ['edk2/sec-mtrr', 'kvm/vmx_get_mt_mask', 'kvm/mtrr.c'],
    example:
      'OVMF with a mediated device on Linux 6.8: the firmware volume decompresses for minutes.',
  },
  cannotHonour: {
    code: 'MT609',
    severity: 'info',
    title: 'KVM on this host cannot honour the guest PAT',
    room: 'kvm',
    cause:
      'On Intel KVM ignores the guest PAT for RAM; a VMM can have that changed where KVM offers bit 9 of ' +
      'KVM_CAP_DISABLE_QUIRKS2: from 6.16 on (6.12.78 of 6.12), with EPT and self-snoop. With NPT (AMD) it ' +
      'is always honoured. Said where no VM runs yet.',
    consequence:
      'A guest gets WB for what it maps WC or UC, so that a GPU which does not snoop sees old data; and ' +
      'QEMU does not start with honor-guest-pat=on. VMs with non-coherent DMA are the exception.',
    fix: 'Linux 6.16 or later, or 6.12.78 or later of 6.12; then QEMU 11.0 or later with -accel kvm,honor-guest-pat=on.',
    sources: [
      'kvm/x86.c-quirks',
      'kvm/c9c1e20b4c7d',
      'kvm/vmx_get_mt_mask',
      'qemu/honor-guest-pat',
    ],
    example: 'An Intel host with Linux 6.1 or 6.8: quirk word 7fH, bit 9 clear.',
  },
  ...TRACE_FINDINGS,
  ...VMM_FINDINGS,
  ...MEMORY_FINDINGS,
} as const satisfies Readonly<Record<string, VerdictKind>>;

export type DoctorFindingName = keyof typeof DOCTOR_FINDINGS;

/** A finding of doctor's own kind; its general fix, unless the case has a better one. */
export function finding(
  name: DoctorFindingName,
  place: string,
  text: string,
  more: {
    readonly when?: string | null;
    readonly agents?: readonly string[];
    readonly fix?: string;
    readonly commands?: readonly string[];
  },
): DoctorFinding {
  const { code, severity, title, fix } = DOCTOR_FINDINGS[name];
  const when = more.when ?? '';
  return {
    code,
    severity,
    title,
    certain: when === '',
    when,
    given: '',
    places: [place],
    agents: more.agents ?? [],
    text,
    fix: more.fix ?? fix,
    ...(more.commands === undefined ? {} : { commands: more.commands }),
  };
}

/** Certain errors and warnings, then possible ones, then what is only worth knowing. */
function rank({ severity, certain }: DoctorFinding): number {
  return (severity === 'info' ? 4 : 0) + (certain ? 0 : 2) + (severity === 'warning' ? 1 : 0);
}

/** What only the VMM's own mapping sees comes behind what the guest itself gets. */
const ALIASES: ReadonlySet<string> = new Set(['MT103', 'MT104', 'MT105']);

function inOrder(a: DoctorFinding, b: DoctorFinding): number {
  const behind = (f: DoctorFinding): number => Number(ALIASES.has(f.code));
  const byCode = a.code < b.code ? -1 : a.code > b.code ? 1 : 0;
  return rank(a) - rank(b) || behind(a) - behind(b) || byCode;
}

/** The commands of a finding, unless one like it brought the same. */
function ownCommands(before: DoctorFinding | undefined, f: DoctorFinding): readonly string[] {
  const commands = f.commands ?? [];
  const all = (before?.commands ?? []).join('\n');
  return all.includes(commands.join('\n')) ? [] : commands;
}

/** The same finding at several places is one; the first is the one to act on. */
export function mergeFindings(findings: readonly DoctorFinding[]): readonly DoctorFinding[] {
  const merged = new Map<string, DoctorFinding>();
  for (const f of findings) {
    const key = JSON.stringify([f.code, f.certain, f.when, f.given, f.text, f.fix, f.commands]);
    const before = merged.get(key);
    const places = [...new Set([...(before?.places ?? []), ...f.places])];
    const commands = [...(before?.commands ?? []), ...ownCommands(before, f)];
    merged.set(key, { ...f, places, ...(commands.length === 0 ? {} : { commands }) });
  }
  return [...merged.values()].sort(inOrder);
}
