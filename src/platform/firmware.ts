import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { FirmwareId, GuestPlace } from '../facts/facts.ts';
import type { MtrrType } from '../x86/types.ts';

/** What a firmware, or a VMM in its place, writes into the guest's MTRRs. */
export interface MtrrPlan {
  readonly id: FirmwareId;
  readonly title: string;
  /** The type that the plan leaves over each place. */
  readonly over: Readonly<Record<GuestPlace, MtrrType>>;
  readonly text: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
}

/** The plans by name. RAM is that above 1 MiB; BARs below 4 GiB are "low". */
export const MTRR_PLANS: Readonly<Record<FirmwareId, MtrrPlan>> = {
  seabios: {
    id: 'seabios',
    title: 'SeaBIOS',
    over: { ram: 'WB', 'low-bar': 'UC', 'high-bar': 'WB', 'hostmem-bar': 'WB' },
    text:
      'default WB; one UC range from the low PCI hole to 4 GiB; fixed ranges WB to 640 KiB, UC to 768 KiB, ' +
      'WP above. On q35 the MMCONFIG window below the hole is WB',
    sources: ['seabios/mtrr', 'lab/memtype-steps'],
  },
  ovmf: {
    id: 'ovmf',
    title: 'OVMF, before the hostmem BAR had a policy of its own',
    over: { ram: 'WB', 'low-bar': 'UC', 'high-bar': 'UC', 'hostmem-bar': 'UC' },
    text:
      'default WB; UC over the low hole, and over the PCI apertures below and above 4 GiB. In a TDX guest ' +
      '(from edk2-stable202411) and an SEV guest (202511) it writes none',
    sources: ['edk2/apertures', 'edk2/memdetect'],
  },
  'ovmf-hostmem-wb': {
    id: 'ovmf-hostmem-wb',
    title: 'OVMF that leaves the hostmem BAR of virtio-gpu alone',
    over: { ram: 'WB', 'low-bar': 'UC', 'high-bar': 'UC', 'hostmem-bar': 'WB' },
    text: 'as OVMF, but the hostmem BAR stays at the default type',
    sources: ['edk2/pr-13129'],
  },
  crosvm: {
    id: 'crosvm',
    title: 'crosvm, booting the kernel itself',
    over: { ram: 'WB', 'low-bar': 'UC', 'high-bar': 'WB', 'hostmem-bar': 'WB' },
    text: 'default WB; UC from the start of the PCI hole to 4 GiB; fixed ranges off',
    sources: ['crosvm/mtrr'],
  },
  'default-wb': {
    id: 'default-wb',
    title: 'libkrun, Firecracker and cloud-hypervisor, booting the kernel themselves',
    over: { ram: 'WB', 'low-bar': 'WB', 'high-bar': 'WB', 'hostmem-bar': 'WB' },
    text:
      'MTRRdefType = enabled, WB; no variable range at all (cloud-hypervisor from 2019-08-01, Firecracker ' +
      'from 1.14.0; before, and in crosvm before 2019-11-27: none)',
    sources: ['libkrun/msrs', 'cloud-hypervisor/mtrr', 'firecracker/mtrr'],
  },
  none: {
    id: 'none',
    title: 'nobody: the MTRRs stay switched off, as after reset',
    over: { ram: 'UC', 'low-bar': 'UC', 'high-bar': 'UC', 'hostmem-bar': 'UC' },
    text: 'MTRRdefType.E=0: everything is UC. So it is while a firmware runs that has not got to them yet',
    sources: ['sdm/mtrr-precedence'],
  },
};

/**
 * What a Linux guest of TDX or SEV-SNP takes for its MTRRs from 6.12 on, instead of any register: WB, and
 * from 6.18 and 6.12.54 on a UC hole below 4 GiB.
 */
const OVERRIDE: Readonly<Record<GuestPlace, readonly MtrrType[]>> = {
  ram: ['WB'],
  'low-bar': ['UC', 'WB'],
  'high-bar': ['WB'],
  'hostmem-bar': ['WB'],
};

/** The types that the guest kernel may take in a confidential guest, where it replaces the registers. */
export function overriddenMtrr(place: GuestPlace): readonly MtrrType[] {
  return OVERRIDE[place];
}

const PLACES: readonly GuestPlace[] = ['ram', 'low-bar', 'high-bar', 'hostmem-bar'];

const PLACE_NAMES: Readonly<Record<GuestPlace, string>> = {
  ram: 'RAM',
  'low-bar': 'low BAR',
  'high-bar': 'high BAR',
  'hostmem-bar': 'hostmem',
};

function row(name: string, over: (place: GuestPlace) => string): string {
  return [name.padEnd(16), ...PLACES.map((place) => over(place).padEnd(12))].join('').trimEnd();
}

rule({
  id: 'platform/firmware',
  room: 'firmware',
  title: 'MTRR plans: what the firmware leaves over RAM and BARs of the guest',
  text:
    'The guest kernel asks its own MTRRs for each WB request, whatever KVM makes of them, and KVM up to ' +
    '6.10 uses them for a VM with non-coherent DMA. So the plan decides whether a cached host blob can be ' +
    'cached. A Linux guest of TDX or SEV-SNP replaces the registers by a state of its own.',
  table: [
    row('', (place) => PLACE_NAMES[place]),
    ...Object.values(MTRR_PLANS).map((plan) => row(plan.id, (place) => plan.over[place])),
    row('(TDX, SNP)', (place) => OVERRIDE[place].join('|')),
  ].join('\n'),
  sources: [
    'seabios/mtrr',
    'edk2/apertures',
    'edk2/pr-13129',
    'crosvm/mtrr',
    'libkrun/msrs',
    'cloud-hypervisor/mtrr',
    'firecracker/mtrr',
    'linux/guest_force_mtrr_state',
  ],
});
