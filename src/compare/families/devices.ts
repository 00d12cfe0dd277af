import type { SourceId } from '../../cite/sources.ts';
import {
  makesNoncoherent,
  type NoncoherentRuleId,
  type VfioDevice,
} from '../../kvm/noncoherent.ts';
import type { Side } from '../difference.ts';
import type { FamilyCase, FamilyResult } from './family.ts';

/** A device behind VFIO, in words. */
interface Member {
  readonly device: VfioDevice;
  readonly words: string;
}

/** What can be: a unit without snoop control is one of all units. */
const MEMBERS: readonly Member[] = [
  {
    device: { vendor: 'intel', snoopControl: true, allUnitsSnoop: true },
    words: 'Intel, ECAP.SC=1 in every DMAR unit',
  },
  {
    device: { vendor: 'intel', snoopControl: true, allUnitsSnoop: false },
    words: 'Intel, ECAP.SC=1 in its own DMAR unit, 0 in another (beside an integrated GPU)',
  },
  {
    device: { vendor: 'intel', snoopControl: false, allUnitsSnoop: false },
    words: 'Intel, ECAP.SC=0 in its own DMAR unit (an integrated GPU)',
  },
  {
    device: { vendor: 'intel', snoopControl: null, allUnitsSnoop: true },
    words: 'Intel, no IOMMU of its own (mdev, no-IOMMU), ECAP.SC=1 in every DMAR unit',
  },
  {
    device: { vendor: 'intel', snoopControl: null, allUnitsSnoop: false },
    words: 'Intel, no IOMMU of its own (mdev, no-IOMMU), ECAP.SC=0 in a DMAR unit',
  },
  {
    device: { vendor: 'amd', snoopControl: true, allUnitsSnoop: true },
    words: 'AMD, behind an IOMMU',
  },
  {
    device: { vendor: 'amd', snoopControl: null, allUnitsSnoop: true },
    words: 'AMD, no IOMMU of its own (mdev, no-IOMMU)',
  },
];

const SOURCES: Readonly<Record<NoncoherentRuleId, SourceId>> = {
  none: 'kvm/522c68c4416d',
  'legacy-domain': 'kvm/522c68c4416d',
  'any-vfio-group': 'kvm/ec53500fae42',
  'vfio-cc-iommu': 'kvm/vfio.c',
  'enforced-domain': 'kvm/6043257b1de0',
  'enforced-device': 'kvm/4989764d8ed3',
};

const say = (noncoherent: boolean): string => (noncoherent ? 'non-coherent' : 'coherent');

function deviceWords({ vendor, snoopControl, allUnitsSnoop }: VfioDevice): string {
  if (vendor === 'amd') return snoopControl === null ? 'amd, no IOMMU' : 'amd, IOMMU';
  const own = snoopControl === null ? 'no IOMMU' : `ECAP.SC=${snoopControl ? 1 : 0}`;
  return `intel, ${own}, all units ECAP.SC=1: ${allUnitsSnoop ? 'yes' : 'no'}`;
}

/** Which devices make a VM non-coherent, once they are assigned and the VMM has told KVM of them. */
export function devices(a: Side, b: Side): FamilyResult {
  const [ruleA, ruleB] = [a.rules.noncoherent, b.rules.noncoherent];
  const cases = MEMBERS.flatMap(({ device, words }): readonly FamilyCase[] => {
    const [before, after] = [ruleA, ruleB].map(({ id }) => makesNoncoherent(id, device));
    if (before === undefined || after === undefined || before === after) return [];
    return [
      {
        cause: words,
        count: 1,
        before: say(before),
        after: say(after),
        example: deviceWords(device),
        source: SOURCES[ruleB.id],
      },
    ];
  });
  return {
    id: 'devices',
    title: 'devices that make a VM non-coherent',
    bound:
      'one device: Intel or AMD, with snoop control (ECAP.SC) in its own DMAR unit, without, or without an ' +
      'IOMMU, on hosts where all units have it and where one has not. Assigned by the way of the kernel: ' +
      'legacy assignment to 3.12, then a VFIO file added to kvm-vfio',
    members: MEMBERS.length,
    differing: cases.length,
    cases,
  };
}
