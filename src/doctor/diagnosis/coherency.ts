import { makesNoncoherent } from '../../kvm/noncoherent.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { ifKnown } from '../fact.ts';
import type { HostFacts } from '../host-facts.ts';
import type { Policy } from '../machine/policy.ts';
import { tracedIpat } from '../trace/trace-facts.ts';
import type { AssignedDevice, VmFacts } from '../vms/vm-facts.ts';

/** Something that is yes, no, or either. */
export type Possible = readonly boolean[];

const EITHER: Possible = [true, false];

/** Whether KVM takes the VM for one with non-coherent DMA, and what its devices can really do. */
export interface VmCoherency {
  readonly noncoherent: Possible;
  readonly why: string;
  /** Some device of the VM may reach memory past the caches: nothing makes it snoop. */
  readonly mayNotSnoop: Possible;
  /** Devices by which the VM is, or should be, non-coherent. */
  readonly culprits: readonly AssignedDevice[];
}

function union(values: readonly Possible[]): Possible {
  const all = new Set(values.flat());
  return EITHER.filter((v) => all.has(v));
}

/** Any of several: yes as soon as one is surely yes. */
function anyOf(values: readonly Possible[]): Possible {
  if (values.some((v) => v.length === 1 && v[0] === true)) return [true];
  return values.some((v) => v.includes(true)) ? EITHER : [false];
}

function snoopControl(device: AssignedDevice): readonly (boolean | null)[] {
  return device.snoop.known ? [device.snoop.value] : EITHER;
}

/** Snoop control of every VT-d unit; both answers while one of them is not known. */
function allUnitsSnoop(facts: HostFacts): Possible {
  const units = ifKnown(facts.iommu);
  if (units === null) return EITHER;
  const intel = units.filter((u) => u.vendor === 'intel').map((u) => ifKnown(u.snoopControl));
  if (intel.includes(false)) return [false];
  return intel.includes(null) ? EITHER : [true];
}

function platformVendor(facts: HostFacts): 'intel' | 'amd' {
  const named = ifKnown(facts.iommu)?.find((u) => u.vendor !== null)?.vendor ?? null;
  return named ?? (ifKnown(facts.cpu)?.vendor === 'amd' ? 'amd' : 'intel');
}

function byDevice(device: AssignedDevice, rules: KvmRules, facts: HostFacts): Possible {
  const vendor = device.vendor ?? platformVendor(facts);
  const answers = snoopControl(device).flatMap((snoop) =>
    allUnitsSnoop(facts).map((all) =>
      makesNoncoherent(rules.noncoherent.id, { vendor, snoopControl: snoop, allUnitsSnoop: all }),
    ),
  );
  return union([answers]);
}

/** Nothing makes the device snoop: no snoop control in its unit, or no unit at all. */
function mayNotSnoop(device: AssignedDevice): Possible {
  return union([snoopControl(device).map((snoop) => snoop !== true)]);
}

/** Names of devices for a sentence. */
export function deviceNames(devices: readonly AssignedDevice[]): string {
  return devices.map((d) => (d.kind === 'mdev' ? `mdev ${d.name}` : d.name)).join(', ');
}

/**
 * Since 6.16 IPAT on RAM says that the VM is coherent: with non-coherent DMA KVM leaves it clear, whatever
 * the quirk. Before, CR0.CD set it as well.
 */
function isShownCoherent(vm: VmFacts, facts: HostFacts, policy: Policy): boolean {
  const all = policy.rules?.every((r) => r.hasPatQuirk) ?? false;
  return all && tracedIpat(facts, vm.pid) === 'set';
}

/** Whether KVM takes the VM for non-coherent: by its files and devices, and where they leave it open by a trace. */
export function coherencyOf(vm: VmFacts, facts: HostFacts, policy: Policy): VmCoherency {
  const known = coherencyByFiles(vm, facts, policy);
  if (known.noncoherent.length === 1 || !isShownCoherent(vm, facts, policy)) return known;
  return { ...known, noncoherent: [false], why: 'the trace has IPAT set on its RAM' };
}

function coherencyByFiles(vm: VmFacts, facts: HostFacts, policy: Policy): VmCoherency {
  const files = ifKnown(vm.files);
  const nothing = { mayNotSnoop: EITHER, culprits: [] } as const;
  if (files === null) {
    return { ...nothing, noncoherent: EITHER, why: 'the open files of the VMM are not known' };
  }
  const devices = vm.devices;
  const physical = anyOf(devices.map(mayNotSnoop));
  const culprits = devices.filter((d) => mayNotSnoop(d).includes(true));
  const beside = { mayNotSnoop: physical, culprits };
  if (!files.kvmVfio) {
    const why =
      devices.length === 0 ? 'no assigned device' : 'no kvm-vfio device: KVM was not told';
    return { ...beside, noncoherent: [false], why };
  }
  if (devices.length === 0) {
    return { ...beside, noncoherent: EITHER, why: 'kvm-vfio is there, but no VFIO file is seen' };
  }
  const rules = policy.rules ?? [];
  const each = rules.map((r) => anyOf(devices.map((d) => byDevice(d, r, facts))));
  const noncoherent = each.length === 0 ? EITHER : union(each);
  return { ...beside, noncoherent, why: whyOf(noncoherent, rules, devices, facts) };
}

function isAmd(device: AssignedDevice, facts: HostFacts): boolean {
  return (device.vendor ?? platformVendor(facts)) === 'amd';
}

function unitWords(facts: HostFacts): string {
  const units = (ifKnown(facts.iommu) ?? []).filter(
    (u) => u.vendor === 'intel' && ifKnown(u.snoopControl) === false,
  );
  return units.map((u) => u.name).join(', ');
}

/** What made `rules` say that the VM is non-coherent. */
function whyNoncoherent(
  rules: KvmRules,
  devices: readonly AssignedDevice[],
  facts: HostFacts,
): string {
  switch (rules.noncoherent.id) {
    case 'none':
      return 'this KVM never takes DMA for non-coherent';
    case 'any-vfio-group':
      return 'this KVM takes every VFIO group for non-coherent';
    case 'legacy-domain':
    case 'vfio-cc-iommu':
      return `${unitWords(facts)} has no snoop control, and one such unit counts for all devices here`;
    case 'enforced-domain':
    case 'enforced-device': {
      const blamed = devices.filter((d) => byDevice(d, rules, facts)[0] === true);
      return `nothing makes ${deviceNames(blamed)} snoop`;
    }
  }
}

/** What made `rules` say that the VM is coherent. */
function whyCoherent(
  rules: KvmRules,
  devices: readonly AssignedDevice[],
  facts: HostFacts,
): string {
  const { id } = rules.noncoherent;
  if (id === 'none') return 'this KVM never takes DMA for non-coherent';
  if (devices.every((d) => d.kind !== 'mdev' && isAmd(d, facts))) {
    return 'KVM takes every device behind AMD-Vi as coherent, whether it snoops or not';
  }
  if (id === 'legacy-domain' || id === 'vfio-cc-iommu') return 'every VT-d unit has snoop control';
  const without = devices.filter((d) => ifKnown(d.snoop) === null && d.snoop.known);
  if (id === 'enforced-domain' && without.length > 0) {
    return `${deviceNames(without)} has no IOMMU domain that KVM of this version would ask`;
  }
  return `the IOMMU makes ${deviceNames(devices)} snoop`;
}

function whyOf(
  noncoherent: Possible,
  rules: readonly KvmRules[],
  devices: readonly AssignedDevice[],
  facts: HostFacts,
): string {
  if (noncoherent.length > 1) return 'whether the IOMMU makes its devices snoop is not known';
  const why = noncoherent[0] === true ? whyNoncoherent : whyCoherent;
  return [...new Set(rules.map((r) => why(r, devices, facts)))].join('; or ');
}
