import type { SourceId } from '../cite/sources.ts';
import {
  all,
  cr0_cd,
  type DecisionList,
  type EptChoice,
  ept,
  IPAT,
  is_mmio,
  noncoherent_dma,
  not,
  otherwise,
  quirk_cd_nw_cleared,
  type VmxEra,
  type VmxInputs,
  when,
} from './decision.ts';
import { E10 } from './eras/index.ts';

type MtMask = DecisionList<VmxInputs, EptChoice>;

/** A commit, and vmx_get_mt_mask() as it left it. */
export interface CommitStep {
  readonly source: SourceId;
  readonly vmx_get_mt_mask: MtMask;
}

const MMIO_IS_UC = when(is_mmio, ept('UC'), 'host MMIO is UC; the guest PAT may still pick WC');
const RAM_IS_WB = when<VmxInputs, EptChoice>(
  not(noncoherent_dma),
  ept('WB', IPAT),
  'RAM is WB whatever the guest says',
);
const CD_IS_UC = when(cr0_cd, ept('UC', IPAT), 'CR0.CD=1: caching off');

/** b18d5431acc7, four weeks before the quirk: CR0.CD is looked at, and always means UC. */
const CD_WITHOUT_QUIRK: MtMask = [
  MMIO_IS_UC,
  RAM_IS_WB,
  CD_IS_UC,
  otherwise(ept('guest_mtrr'), 'non-coherent DMA: guest MTRR and guest PAT'),
];

/** fd717f11015f: host MMIO goes the way of RAM with non-coherent DMA. */
const MMIO_BY_GUEST_MTRR: MtMask = [
  when(
    all(not(is_mmio), not(noncoherent_dma)),
    ept('WB', IPAT),
    'RAM is WB whatever the guest says',
  ),
  CD_IS_UC,
  otherwise(ept('guest_mtrr'), 'guest MTRR and guest PAT, for host MMIO too'),
];

/** 0a7b73559b39: guest MTRRs are gone, and with them the quirk's own return; CR0.CD is still there. */
const CD_WITHOUT_MTRRS: MtMask = [
  MMIO_IS_UC,
  RAM_IS_WB,
  when(all(cr0_cd, not(quirk_cd_nw_cleared)), ept('UC', IPAT), 'CR0.CD=1: caching off'),
  otherwise(ept('WB'), 'non-coherent DMA: RAM is WB and the guest PAT is honoured'),
];

/**
 * Eras that several commits brought in one release: the function after each but the last, in the order of
 * their dates. Read in the mails of the series (6.11-rc1), and worked out from the eras and their reverts (4.2).
 */
const BEFORE_THE_LAST: Readonly<Record<string, readonly CommitStep[]>> = {
  E6: [
    { source: 'kvm/b18d5431acc7', vmx_get_mt_mask: CD_WITHOUT_QUIRK },
    { source: 'kvm/fd717f11015f', vmx_get_mt_mask: MMIO_BY_GUEST_MTRR },
  ],
  E9: [
    { source: 'kvm/0a7b73559b39', vmx_get_mt_mask: CD_WITHOUT_MTRRS },
    // What the revert of the third brought back.
    { source: 'kvm/e1548088ff54', vmx_get_mt_mask: E10.vmx_get_mt_mask },
  ],
};

const LAST: Readonly<Record<string, SourceId>> = { E6: 'kvm/fb279950ba02' };

/** How an era came about, commit by commit; the last one leaves the function as the era has it. */
export function commitsOf(era: VmxEra): readonly CommitStep[] {
  const last = { source: LAST[era.id] ?? era.sources[0], vmx_get_mt_mask: era.vmx_get_mt_mask };
  return [...(BEFORE_THE_LAST[era.id] ?? []), last];
}
