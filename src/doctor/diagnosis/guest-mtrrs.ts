import type { FactValues, FirmwareId, GuestPlace } from '../../facts/facts.ts';
import { ifKnown } from '../fact.ts';
import type { Policy } from '../machine/policy.ts';
import type { Region, RegionKind, VmFacts, VmmName } from '../vms/vm-facts.ts';

interface DirectBoot {
  readonly plan: FirmwareId;
  /** The first version that writes it; null: all that were read do. */
  readonly from: string | null;
}

/**
 * Who writes the MTRRs of a guest that is booted without a firmware; the versions before wrote none.
 * Source: platform/firmware.
 */
const DIRECT: Partial<Readonly<Record<VmmName, DirectBoot>>> = {
  crosvm: { plan: 'crosvm', from: 'crosvm of 2019-11-27 (3064a7164a50)' },
  libkrun: { plan: 'default-wb', from: null },
  'cloud-hypervisor': { plan: 'default-wb', from: 'cloud-hypervisor of 2019-08-01 (8c4c1621096a)' },
  firecracker: { plan: 'default-wb', from: 'Firecracker 1.14.0' },
};

/** The version of a VMM from which on it writes the MTRRs of a guest without a firmware; else null. */
export function writesMtrrsFrom(vm: VmFacts): string | null {
  if (ifKnown(vm.options)?.firmware !== 'direct') return null;
  return DIRECT[vm.vmm]?.from ?? null;
}

function directPlans(vmm: VmmName): readonly FirmwareId[] | null {
  const direct = DIRECT[vmm];
  if (direct === undefined) return null;
  return direct.from === null ? [direct.plan] : [direct.plan, 'none'];
}

/** The MTRR plans that a VM may have; null: not known. */
function plansOf(vm: VmFacts): readonly FirmwareId[] | null {
  const firmware = ifKnown(vm.options)?.firmware;
  if (firmware === 'SeaBIOS') return ['seabios'];
  if (firmware === 'OVMF') return ['ovmf', 'ovmf-hostmem-wb'];
  return firmware === 'direct' ? directPlans(vm.vmm) : null;
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
