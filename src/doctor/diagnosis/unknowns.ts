import { TRACED_PAGES_MAX } from '../../trace/reduce.ts';
import { type Fact, ifKnown, type Unknown } from '../fact.ts';
import type { HostFacts } from '../host-facts.ts';
import { isVirtioGpu } from '../machine/pci.ts';
import { tracedIpat } from '../trace/trace-facts.ts';
import type { VmFacts } from '../vms/vm-facts.ts';

/** Something that could not be known, and what would tell. */
export interface UnknownItem {
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
}

function item(what: string, fact: Fact<unknown>): readonly UnknownItem[] {
  return fact.known ? [] : [{ what, why: fact.why, remedy: fact.remedy }];
}

function kvmUnknowns({ kvm }: HostFacts): readonly UnknownItem[] {
  if (ifKnown(kvm.present) === false) return [];
  return [
    ...item('whether there is KVM', kvm.present),
    ...item('which KVM module works here', kvm.flavour),
    ...(kvm.flavour.known ? item('paging mode', kvm.paging) : []),
    ...item('quirks that KVM can disable', kvm.quirks2),
  ];
}

/** Sources: include/linux/security.h, lockdown_reason; fs/debugfs/file.c, debugfs_locked_down(). */
const HIDDEN = {
  integrity:
    '/dev/mem, and debugfs files other than read-only ones (before 5.17: than those of mode 0444)',
  confidentiality:
    'tracefs and perf, so that no trace can be recorded, and kprobes, BPF and /proc/kcore',
} as const;

/** What even root does not see. */
function lockedDown({ lockdown }: HostFacts): readonly UnknownItem[] {
  const state = ifKnown(lockdown);
  if (state === null || state === 'none') return [];
  const more = state === 'confidentiality' ? `; ${HIDDEN.confidentiality}` : '';
  return [
    {
      what: 'what kernel lockdown hides',
      why: `it is in force (${state}), for root too: ${HIDDEN.integrity}${more}`,
      remedy: 'boot without lockdown: no lockdown= on the command line, Secure Boot off',
    },
  ];
}

function machineUnknowns(facts: HostFacts): readonly UnknownItem[] {
  const { firmware } = facts;
  return [
    ...item('CPU', facts.cpu),
    ...item('kernel version', facts.kernel),
    ...item('PAT', facts.pat),
    ...item('variable MTRRs', firmware.mtrrs),
    ...item('default MTRR type', firmware.mtrrDefault),
    ...item('memory types that the host tracks (not of RAM)', facts.tracked),
    ...item('physical address map', facts.iomem),
    ...item('firmware memory map', firmware.memmap),
    ...item('IOMMU units', facts.iommu),
    ...item('GPUs', facts.gpus),
    ...(facts.amdgpu === null ? [] : item('caching of the buffers of amdgpu', facts.amdgpu)),
    ...lockedDown(facts),
    ...item('PCI devices', facts.pci),
    ...windowUnknowns(facts),
    ...item('devices bound to vfio-pci', facts.vfioBound),
  ];
}

/** Where only the size of a BAR tells that it holds the blobs of the host. */
function windowUnknowns(facts: HostFacts): readonly UnknownItem[] {
  if (ifKnown(facts.isGuest) !== true) return [];
  return (ifKnown(facts.pci) ?? [])
    .filter(isVirtioGpu)
    .flatMap((d) => item(`the host-visible window of ${d.address}`, d.windows));
}

function processUnknowns({ processes, iomem }: HostFacts): readonly UnknownItem[] {
  const survey = ifKnown(processes);
  if (survey === null) return item('which VMs run', processes);
  if (survey.only !== null) return [];
  const items: UnknownItem[] = [];
  if (survey.closed > 0) {
    items.push({
      what: 'which VMs other users run',
      why: `the open files of ${survey.closed} of ${survey.total} processes cannot be read; only their names were looked at`,
      // Only root sees addresses in /proc/iomem.
      remedy: iomem.known
        ? 'look from outside of the sandbox or the security module that closes them to root'
        : 'run doctor as root',
    });
  }
  if (!survey.complete) {
    items.push({
      what: 'processes outside of this view of /proc',
      why: 'PID 2 is not the kernel thread it is on a machine: a container, or /proc with hidepid',
      remedy: 'run doctor on the host itself, as root',
    });
  }
  return items;
}

/** Regions whose pages cannot be looked up for the same reason are one item. */
function sampleUnknowns(vm: VmFacts): readonly UnknownItem[] {
  const groups = new Map<string, { readonly fact: Unknown; readonly names: string[] }>();
  for (const { sample, name } of ifKnown(vm.regions) ?? []) {
    if (sample.known) continue;
    const key = `${sample.why} ${sample.remedy}`;
    const group = groups.get(key) ?? { fact: sample, names: [] };
    group.names.push(name);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ fact, names }) => ({
    what: `VM ${vm.pid}: the host memory type of a page of ${
      names.length > 2 ? `${names.length} regions` : names.join(' and of ')
    }`,
    why: fact.why,
    remedy: fact.remedy,
  }));
}

function unreadOptions(vm: VmFacts): readonly UnknownItem[] {
  return (ifKnown(vm.options)?.unread ?? []).map((where) => ({
    what: `VM ${vm.pid}: ${where}`,
    why: 'doctor does not read it',
    remedy: 'look there yourself',
  }));
}

function vmUnknowns(vm: VmFacts): readonly UnknownItem[] {
  const name = `VM ${vm.pid}`;
  return [
    ...item(`${name}: its open files`, vm.files),
    ...item(`${name}: its options`, vm.options),
    ...unreadOptions(vm),
    ...item(`${name}: its domain of libvirt`, vm.libvirt),
    ...item(`${name}: its memory regions`, vm.regions),
    ...vm.devices.flatMap((d) => item(`${name}: whether ${d.name} is made to snoop`, d.snoop)),
    ...vm.missingRam.map((size) => ({
      what: `${name}: its RAM of ${size / 2 ** 20} MiB`,
      why: 'the VMM was told to make it, and no mapping is that large or named so',
      remedy: ASK_QEMU,
    })),
    ...sampleUnknowns(vm),
  ];
}

const ASK_QEMU = 'of a QEMU: memtype doctor --qmp SOCKET, with the path of its monitor';

const TRACE = 'kvm_mmu_set_spte and kvm_tdp_mmu_spte_changed, traced: doctor --trace FILE';

/** What no file of the kernel shows, for anybody. */
function neverKnown(facts: HostFacts): readonly UnknownItem[] {
  if (facts.vms.length === 0) return [];
  const paging = ifKnown(facts.kvm.paging);
  const told = facts.vms.every((vm) => ifKnown(vm.options) !== null);
  const listed = facts.vms.every((vm) => vm.monitor?.memslots?.every((s) => s.hva !== null));
  const shown = facts.vms.every((vm) => tracedIpat(facts, vm.pid) !== null);
  const quirk = {
    what: 'which quirks a running VMM has disabled',
    why: 'KVM shows it nowhere; taken from the options of the VMM and from the version that was read',
    remedy: `the IPAT bit (6) of RAM SPTEs: ${TRACE}`,
  };
  const memslots = {
    what: 'memslots',
    why:
      'no file lists them; regions are told by name, size and place in the VMM, and RAM below 16 MiB ' +
      'is left out where only its size would tell it',
    remedy: `${ASK_QEMU}; or the trace of the VM from its start`,
  };
  return [
    ...(listed ? [] : [memslots]),
    {
      what: "the guest's page tables, PAT, MTRRs and CR0.CD",
      why: 'they are inside of the guest; the tables say what each type would give',
      remedy: 'kvm_msr and kvm_cr traced from the start of the VM, or doctor inside the guest',
    },
    ...(!shown && (paging === 'ept' || (paging === null && !told)) ? [quirk] : []),
  ];
}

/** What is missing of a trace that was given. */
function traceUnknowns({ trace }: HostFacts): readonly UnknownItem[] {
  if (trace === null) return [];
  const items: UnknownItem[] = [];
  const open = trace.pages.filter((page) => page.frame === null).length;
  if (open > 0) {
    items.push({
      what: `the type on the host of ${open} of ${trace.pages.length} pages of the trace`,
      why: '/proc/kpageflags could not be read, or the kernel version is not known',
      remedy: 'run doctor as root',
    });
  }
  if (trace.dropped > 0) {
    items.push({
      what: 'earlier pages of the trace',
      why: `the last ${TRACED_PAGES_MAX} were looked at`,
      remedy: 'a trace of the one VM, over the time that matters',
    });
  }
  return items;
}

/** Drivers whose buffers show their caching to nobody, and what would tell. */
const SILENT: Readonly<Record<string, string>> = {
  i915: 'nothing: its WC mappings bypass the page flags too; the driver of the guest or Mesa says what it asked',
  xe: 'a trace of the VM while the guest uses its GPU: doctor --trace FILE (its WC pages carry page flags)',
};

/** GPU memory of a VM whose driver exports no caching: the classes of the region stay several. */
function silentDrivers(facts: HostFacts): readonly UnknownItem[] {
  const drivers = (ifKnown(facts.gpus) ?? []).map((gpu) => gpu.driver ?? '');
  const maps = facts.vms.flatMap((vm) => ifKnown(vm.regions) ?? []);
  if (!maps.some(({ kind, backings }) => isGpuKind(kind) && backings.length > 1)) return [];
  return [...new Set(drivers)].flatMap((driver) => {
    const remedy = Object.hasOwn(SILENT, driver) ? SILENT[driver] : undefined;
    const what = `how ${driver} caches its buffers`;
    const why = 'the driver exports sizes (fdinfo), and no caching';
    return remedy === undefined ? [] : [{ what, why, remedy }];
  });
}

function isGpuKind(kind: string): boolean {
  return kind === 'gpu' || kind === 'dma-buf';
}

/** Everything that could not be known and that bears on the answers, in the order of the report. */
export function unknownsOf(facts: HostFacts): readonly UnknownItem[] {
  return [
    ...machineUnknowns(facts),
    ...kvmUnknowns(facts),
    ...processUnknowns(facts),
    ...facts.vms.flatMap(vmUnknowns),
    ...silentDrivers(facts),
    ...traceUnknowns(facts),
    ...neverKnown(facts),
  ];
}
