import { rule } from '../cite/rule.ts';

export type NoncoherentRuleId =
  | 'none'
  | 'legacy-domain'
  | 'any-vfio-group'
  | 'vfio-cc-iommu'
  | 'enforced-domain'
  | 'enforced-device';

export interface NoncoherentRule {
  readonly id: NoncoherentRuleId;
  readonly kernels: string;
  readonly text: string;
}

/** Who makes kvm_arch_has_noncoherent_dma() true, oldest first. */
export const NONCOHERENT: Readonly<Record<NoncoherentRuleId, NoncoherentRule>> = {
  none: { id: 'none', kernels: 'before 2.6.31', text: 'nothing does' },
  'legacy-domain': {
    id: 'legacy-domain',
    kernels: '2.6.31 to 3.12',
    text: 'a legacy-assigned device whose IOMMU domain does not report snooping control',
  },
  'any-vfio-group': {
    id: 'any-vfio-group',
    kernels: '3.13 and 3.14',
    text: 'any VFIO group added to the kvm-vfio device',
  },
  'vfio-cc-iommu': {
    id: 'vfio-cc-iommu',
    kernels: '3.15 to 5.18',
    text:
      'a VFIO group whose container lacks VFIO_DMA_CC_IOMMU; on Intel the answer is global: every active ' +
      'DMAR unit must have snoop control; a mediated device counts for nothing',
  },
  'enforced-domain': {
    id: 'enforced-domain',
    kernels: '5.19 to 6.1',
    text: 'a VFIO group whose container cannot enforce cache coherency on all its domains',
  },
  'enforced-device': {
    id: 'enforced-device',
    kernels: '6.2 to 7.3',
    text:
      'a VFIO file with a device that lacks IOMMU_CAP_ENFORCE_CACHE_COHERENCY: on Intel ECAP.SC of that ' +
      "device's own unit, on AMD always coherent, without an IOMMU (mdev, no-IOMMU) never",
  },
};

rule({
  id: 'kvm/noncoherent-dma',
  room: 'kvm',
  title: 'When a VM has non-coherent DMA',
  text:
    'Only a VMM that creates the kvm-vfio device and adds its VFIO files to it can make a VM ' +
    'non-coherent; virtio-gpu, vhost and udmabuf never do. Up to 4.11 legacy device assignment can too, ' +
    'and up to 3.12 it is the only way.',
  table: Object.values(NONCOHERENT)
    .map((r) => `${r.kernels}: ${r.text}`)
    .join('\n'),
  sources: ['kvm/vfio.c', 'kvm/ec53500fae42', 'kvm/6043257b1de0', 'kvm/4989764d8ed3'],
});

/** What is known of one device behind VFIO. */
export interface VfioDevice {
  readonly vendor: 'intel' | 'amd';
  /** ECAP bit 7 of the device's own DMAR unit; null when the device has no IOMMU. */
  readonly snoopControl: boolean | null;
  /** Snoop control of every active DMAR unit of the platform. */
  readonly allUnitsSnoop: boolean;
}

/** Whether this device, added to kvm-vfio, makes the VM non-coherent under the given rule. */
export function makesNoncoherent(id: NoncoherentRuleId, device: VfioDevice): boolean {
  switch (id) {
    case 'none':
      return false;
    case 'any-vfio-group':
      return true;
    case 'enforced-device':
      return device.snoopControl === null || (device.vendor === 'intel' && !device.snoopControl);
    case 'enforced-domain':
      return device.vendor === 'intel' && device.snoopControl === false;
    // A mediated device adds no domain to its container, and a container without domains counts as coherent.
    case 'legacy-domain':
    case 'vfio-cc-iommu':
      return device.snoopControl !== null && device.vendor === 'intel' && !device.allUnitsSnoop;
  }
}
