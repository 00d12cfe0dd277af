import { own } from '../../base/own.ts';
import type { FactValues, FirmwareId, GuestPlace } from '../../facts/facts.ts';
import { type DirectBoot, directPlans, VMMS, type VmmModel } from '../../platform/vmm.ts';
import { ifKnown } from '../fact.ts';
import type { Policy } from '../machine/policy.ts';
import type { Region, RegionKind, VmFacts, VmmName } from '../vms/vm-facts.ts';

/** Who writes the MTRRs of a guest that is booted without a firmware. */
function directOf(vmm: VmmName): DirectBoot | null {
  return own<VmmModel>(VMMS, vmm)?.direct ?? null;
}

/** The version of a VMM from which on it writes the MTRRs of a guest without a firmware; else null. */
export function writesMtrrsFrom(vm: VmFacts): string | null {
  if (ifKnown(vm.options)?.firmware !== 'direct') return null;
  return directOf(vm.vmm)?.from ?? null;
}

function plansWithoutFirmware(vmm: VmmName): readonly FirmwareId[] | null {
  const direct = directOf(vmm);
  return direct === null ? null : directPlans(direct);
}

/** The MTRR plans that a VM may have; null: not known. */
function plansOf(vm: VmFacts): readonly FirmwareId[] | null {
  const firmware = ifKnown(vm.options)?.firmware;
  if (firmware === 'SeaBIOS') return ['seabios'];
  if (firmware === 'OVMF') return ['ovmf', 'ovmf-hostmem-wb'];
  return firmware === 'direct' ? plansWithoutFirmware(vm.vmm) : null;
}

const PLACES: Partial<Readonly<Record<RegionKind, readonly GuestPlace[]>>> = {
  gpu: ['hostmem-bar'],
  'dma-buf': ['hostmem-bar'],
  'vfio-bar': ['low-bar', 'high-bar'],
  'pci-resource': ['low-bar', 'high-bar'],
  devmem: ['low-bar', 'high-bar'],
};

/**
 * The guest's MTRRs, as its firmware or its VMM leaves them, where these rules of KVM look at them (up to
 * 6.10). What the guest made of them since cannot be seen.
 */
export function guestMtrrFacts(
  vm: VmFacts,
  region: Pick<Region, 'kind'>,
  policy: Policy,
): {
  readonly firmware?: readonly FactValues['firmware'][];
  readonly 'guest-place'?: readonly GuestPlace[];
} {
  const matter = policy.rules?.some((r) => r.guestMtrr !== null) ?? true;
  const plans = matter ? plansOf(vm) : null;
  return plans === null ? {} : { firmware: plans, 'guest-place': PLACES[region.kind] ?? ['ram'] };
}
