import type { FactValues, FirmwareId, GuestPlace } from '../facts/facts.ts';
import { ifKnown } from './fact.ts';
import type { Policy } from './policy.ts';
import type { Region, RegionKind, VmFacts, VmmName } from './vm-facts.ts';

/** Who writes the MTRRs of a guest that is booted without a firmware; the versions before wrote none. */
const DIRECT: Partial<Readonly<Record<VmmName, readonly FirmwareId[]>>> = {
  crosvm: ['crosvm', 'none'],
  libkrun: ['default-wb'],
  'cloud-hypervisor': ['default-wb', 'none'],
  firecracker: ['default-wb', 'none'],
};

/** The MTRR plans that a VM may have; null: not known. */
function plansOf(vm: VmFacts): readonly FirmwareId[] | null {
  const firmware = ifKnown(vm.options)?.firmware;
  if (firmware === 'SeaBIOS') return ['seabios'];
  if (firmware === 'OVMF') return ['ovmf', 'ovmf-hostmem-wb'];
  return firmware === 'direct' ? (DIRECT[vm.vmm] ?? null) : null;
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
