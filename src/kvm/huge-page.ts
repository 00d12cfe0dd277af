import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import { all, type Condition } from './decision.ts';

/** What limits a huge mapping. */
export type HugePageRule =
  | 'first-4k-page'
  | 'every-vm'
  | 'noncoherent-only'
  | 'unlimited'
  /** The ideal's: only where all pages of the block have one host type. */
  | 'one-host-type'
  | 'one-host-type-in-flagged-slots';

export const LEVELS = ['4K', '2M', '1G'] as const;
export type Level = (typeof LEVELS)[number];

/** 4K pages in a mapping. */
export const PAGES_OF: Readonly<Record<Level, number>> = { '4K': 1, '2M': 512, '1G': 262144 };

/** A level that is not 4K. */
export type HugeLevel = Exclude<Level, '4K'>;

/** What a fault that could be huge is asked; of the block around it at the level in question. */
export interface HugePageInputs {
  /** EPT is on. */
  readonly ept: () => boolean;
  /** EPT or NPT is on. */
  readonly tdp: () => boolean;
  readonly noncoherent_dma: () => boolean;
  readonly slot_host_memtype: () => boolean;
  /** kvm_mtrr_check_gfn_range_consistency() of the block; null where that reads uninitialised memory. */
  readonly mtrr_consistent: (level: HugeLevel) => boolean | null;
  /** All pages of the block have one host type, and are all host MMIO or all not. */
  readonly one_host_type: (level: HugeLevel) => boolean;
}

interface Limit {
  /** Null: always. */
  readonly when: Condition<HugePageInputs> | null;
  readonly agrees: 'mtrr_consistent' | 'one_host_type';
}

interface HugePageLaw {
  readonly words: string;
  /** Null: every level that the host has is taken. */
  readonly limit: Limit | null;
  readonly source: SourceId;
}

function input(name: 'ept' | 'tdp' | 'noncoherent_dma' | 'slot_host_memtype') {
  return { text: name, holds: (q: HugePageInputs) => q[name]() };
}

const ept = input('ept');
const tdp = input('tdp');
const noncoherent_dma = input('noncoherent_dma');
const slot_host_memtype = input('slot_host_memtype');

export const HUGE_PAGE: Readonly<Record<HugePageRule, HugePageLaw>> = {
  'first-4k-page': {
    words: 'to 4.1: no limit, a huge SPTE gets the type of its first 4K page',
    limit: null,
    source: 'kvm/range-consistency',
  },
  'every-vm': {
    words:
      '4.2 to 5.19: the largest level whose block has one guest MTRR type, for all vendors and VMs',
    limit: { when: tdp, agrees: 'mtrr_consistent' },
    source: 'kvm/range-consistency',
  },
  'noncoherent-only': {
    words: '6.0 to 6.10: the same, only for EPT with non-coherent DMA',
    limit: { when: all(ept, noncoherent_dma), agrees: 'mtrr_consistent' },
    source: 'kvm/d5e90a699875',
  },
  unlimited: {
    words: 'from 6.11 on: no limit',
    limit: null,
    source: 'kvm/0a7b73559b39',
  },
  'one-host-type': {
    words: 'host-pat: only where all pages of the block have one host type',
    limit: { when: null, agrees: 'one_host_type' },
    source: 'memtype/ideal',
  },
  'one-host-type-in-flagged-slots': {
    words:
      'host-pat-slot: in flagged memslots, only where all pages of the block have one host type',
    limit: { when: slot_host_memtype, agrees: 'one_host_type' },
    source: 'memtype/ideal',
  },
};

/** What kernels had; the rest is proposed. */
const OF_KERNELS = ['first-4k-page', 'every-vm', 'noncoherent-only', 'unlimited'] as const;

/**
 * The level at which a fault is mapped, given the level of the host's own mapping: the largest whose
 * block passes. Kernels up to 5.4 ask 2M first and 1G only then, which is the same: a block of 1G does
 * not pass unless each 2M in it does. Null: an answer rests on uninitialised memory.
 *
 * @param id one rule, or several that must all let the block pass
 */
export function mappedLevel(
  id: HugePageRule | readonly HugePageRule[],
  inputs: HugePageInputs,
  host: Level,
): Level | null {
  const limits = [id]
    .flat()
    .map((rule) => HUGE_PAGE[rule].limit)
    .filter((limit) => limit !== null && (limit.when?.holds(inputs) ?? true));
  for (let i = LEVELS.indexOf(host); i > 0; i--) {
    const level = LEVELS[i] as HugeLevel;
    const passes = limits.map((limit) => limit === null || inputs[limit.agrees](level));
    if (passes.includes(null)) return null;
    if (passes.every(Boolean)) return level;
  }
  return '4K';
}

rule({
  id: 'kvm/huge-page',
  room: 'kvm',
  title: 'Huge mappings and guest MTRRs',
  text:
    `${OF_KERNELS.map((id) => HUGE_PAGE[id].words).join('; ')}. No version checks that all pfns of a huge ` +
    'page agree on MMIO or on the host type: the first pfn decides. Shadow paging is never limited.',
  sources: ['kvm/range-consistency', 'kvm/d5e90a699875', 'kvm/0a7b73559b39'],
});
