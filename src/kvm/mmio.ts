import type { SourceId } from '../cite/sources.ts';
import type { PatType } from '../x86/types.ts';
import { all, any, type Condition, type DecisionList, not, otherwise, when } from './decision.ts';

/** What kvm_is_mmio_pfn() of any version looks at, asked only when the function would. */
export interface PfnInputs {
  /** There is a struct page. */
  readonly pfn_valid: () => boolean;
  readonly is_zero_pfn: () => boolean;
  /** The page is a tail of a compound page. */
  readonly page_tail: () => boolean;
  /** PageReserved() of the compound head; of the page itself when it is not a tail. */
  readonly head_reserved: () => boolean;
  readonly page_reserved: () => boolean;
  /** PAT is enabled on the host. */
  readonly pat_enabled: () => boolean;
  /** lookup_memtype(): what the host's tracker says, not what the page tables say. */
  readonly host_memtype: () => PatType;
  /** The raw e820 has RAM anywhere in the page. */
  readonly e820_ram: () => boolean;
  /** The host MTRR type of the page is not WB; asked by a proposal only. */
  readonly host_mtrr_not_wb: () => boolean;
}

export interface MmioRule {
  readonly id: string;
  readonly kernels: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
  readonly kvm_is_mmio_pfn: DecisionList<PfnInputs, boolean>;
  readonly note?: string;
}

function fact<K extends keyof PfnInputs>(name: K): Condition<PfnInputs> {
  return { text: name, holds: (q) => q[name]() === true };
}

export const pfn_valid = fact('pfn_valid');
const is_zero_pfn = fact('is_zero_pfn');
const page_tail = fact('page_tail');
const head_reserved = fact('head_reserved');
const page_reserved = fact('page_reserved');
const pat_enabled = fact('pat_enabled');
const e820_ram = fact('e820_ram');
const host_mtrr_not_wb = fact('host_mtrr_not_wb');

/** pat_pfn_immune_to_uc_mtrr(): the host tracks the page as UC, UC- or WC. */
const immune_to_uc_mtrr: Condition<PfnInputs> = {
  text: 'pat_pfn_immune_to_uc_mtrr',
  holds: (q) => ['UC', 'UC-', 'WC'].includes(q.host_memtype()),
};

/** The seed patch's pat_pfn_is_wc(). */
const pat_pfn_is_wc: Condition<PfnInputs> = {
  text: 'pat_pfn_is_wc',
  holds: (q) => q.host_memtype() === 'WC',
};

const MMIO = true;
const RAM = false;
/** Before 2.6.28 nothing asked whether a page is MMIO. */
export const MMIO_NONE: MmioRule = {
  id: 'none',
  kernels: 'before 2.6.28-rc1',
  sources: ['kvm/1439442c7b25'],
  kvm_is_mmio_pfn: [otherwise(RAM, 'this kernel does not ask')],
};

export const MMIO_2_6_28: MmioRule = {
  id: '2.6.28',
  kernels: '2.6.28 to 2.6.29',
  sources: ['kvm/cbff90a7caa4', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, page_reserved), MMIO, 'PageReserved'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

export const MMIO_2_6_30: MmioRule = {
  id: '2.6.30',
  kernels: '2.6.30 to 2.6.37',
  sources: ['kvm/fc5659c8c6b6', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, head_reserved), MMIO, 'PageReserved of the compound head'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

export const MMIO_2_6_38: MmioRule = {
  id: '2.6.38',
  kernels: '2.6.38 to 3.11 (or 3.12)',
  sources: ['kvm/936a5fe6e614', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, page_tail, head_reserved), MMIO, 'PageReserved of the head of a tail page'),
    when(all(pfn_valid, not(page_tail), page_reserved), MMIO, 'PageReserved'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
  note: 'safe against transparent huge pages being split meanwhile',
};

export const MMIO_3_13: MmioRule = {
  id: '3.13',
  kernels: '3.12 (or 3.13) to 3.16',
  sources: ['kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, page_reserved), MMIO, 'PageReserved'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

export const MMIO_3_17: MmioRule = {
  id: '3.17',
  kernels: '3.17',
  sources: ['kvm/85c8555ff07e'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, not(is_zero_pfn), page_reserved), MMIO, 'PageReserved, not the zero page'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
  note: 'undone by the renaming in 3.18',
};

export const MMIO_3_18: MmioRule = {
  id: '3.18',
  kernels: '3.18 to 4.1',
  sources: ['kvm/bf4bea8e9a90', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, page_reserved), MMIO, 'PageReserved, the zero page included'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
  note: 'the function is called kvm_is_reserved_pfn here, and maps the shared zero page UC',
};

export const MMIO_4_2: MmioRule = {
  id: '4.2',
  kernels: '4.2 to 4.15',
  sources: ['kvm/d1fe9219551e', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(all(pfn_valid, not(is_zero_pfn), page_reserved), MMIO, 'PageReserved, not the zero page'),
    when(pfn_valid, RAM, 'an ordinary page', 'kvm/kvm_is_mmio_pfn'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

export const MMIO_4_16: MmioRule = {
  id: '4.16',
  kernels: '4.16 to 5.1',
  sources: ['kvm/aa2e063aea56', 'kvm/b8d7044bcff7', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(
      all(pfn_valid, not(is_zero_pfn), page_reserved, any(not(pat_enabled), immune_to_uc_mtrr)),
      MMIO,
      'PageReserved, and the host tracks it as UC, UC- or WC (or has no PAT)',
      'kvm/aa2e063aea56',
    ),
    when(
      pfn_valid,
      RAM,
      'not PageReserved, or reserved but WB for the host (DAX), or the zero page',
      'kvm/kvm_is_mmio_pfn',
    ),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

export const MMIO_5_2: MmioRule = {
  id: '5.2',
  kernels: '5.2 to 7.3',
  sources: ['kvm/0c55671f84ff', 'kvm/b8d7044bcff7', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(
      all(pfn_valid, not(is_zero_pfn), page_reserved, any(not(pat_enabled), immune_to_uc_mtrr)),
      MMIO,
      'PageReserved, and the host tracks it as UC, UC- or WC (or has no PAT)',
      'kvm/aa2e063aea56',
    ),
    when(
      pfn_valid,
      RAM,
      'not PageReserved, or reserved but WB for the host (DAX), or the zero page',
      'kvm/kvm_is_mmio_pfn',
    ),
    when(e820_ram, RAM, 'no struct page, but the raw e820 says RAM (mem=)', 'kvm/0c55671f84ff'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

/** "[PATCH] KVM: x86/mmu: treat WC memory as MMIO", as posted. */
export const MMIO_SEED_PATCH: MmioRule = {
  id: 'wc-as-mmio',
  kernels: 'posted 2024-03-11, not merged',
  sources: ['mail/seed-patch', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(
      all(
        pfn_valid,
        not(is_zero_pfn),
        any(page_reserved, pat_pfn_is_wc),
        any(not(pat_enabled), immune_to_uc_mtrr),
      ),
      MMIO,
      'the host tracks it as WC, or it is PageReserved and tracked as UC or UC-',
    ),
    when(
      pfn_valid,
      RAM,
      'not PageReserved, or reserved but WB for the host (DAX), or the zero page',
      'kvm/kvm_is_mmio_pfn',
    ),
    when(e820_ram, RAM, 'no struct page, but the raw e820 says RAM (mem=)', 'kvm/0c55671f84ff'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

/** Patch 2 of Yan Zhao's series of 2024-05-07, as posted: an invalid pfn in RAM asks the tracker. */
export const MMIO_INVALID_RAM_PAT: MmioRule = {
  id: 'invalid-ram-pat',
  kernels: 'posted 2024-05-07, not merged',
  sources: ['mail/invalid-ram', 'kvm/kvm_is_mmio_pfn'],
  kvm_is_mmio_pfn: [
    when(
      all(pfn_valid, not(is_zero_pfn), page_reserved, any(not(pat_enabled), immune_to_uc_mtrr)),
      MMIO,
      'PageReserved, and the host tracks it as UC, UC- or WC (or has no PAT)',
      'kvm/aa2e063aea56',
    ),
    when(
      pfn_valid,
      RAM,
      'not PageReserved, or reserved but WB for the host (DAX), or the zero page',
      'kvm/kvm_is_mmio_pfn',
    ),
    when(
      all(e820_ram, pat_enabled, not(immune_to_uc_mtrr)),
      RAM,
      'no struct page, RAM in the raw e820, and the host does not track it as UC, UC- or WC',
    ),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
};

/**
 * Our reading of what the maintainer said on 2026-04-01, and of the hunk header of his trial patch: the
 * branch for pages with a struct page goes, a question to the MTRRs comes, the raw e820 stays. Which
 * types of MTRR count, and whether memory without RAM in the e820 but under a WB MTRR (DAX) stays RAM, is
 * not public: WB is taken for RAM, and a struct page too.
 */
export const MMIO_BY_MTRR: MmioRule = {
  id: 'mmio-by-mtrr',
  kernels: 'an idea of 2026, never posted in full',
  sources: ['pr/dosemu2-2813'],
  kvm_is_mmio_pfn: [
    when(host_mtrr_not_wb, MMIO, 'the host MTRRs do not say WB'),
    when(pfn_valid, RAM, 'a struct page under a WB MTRR, reserved or not'),
    when(e820_ram, RAM, 'no struct page, but the raw e820 says RAM (mem=)', 'kvm/0c55671f84ff'),
    otherwise(MMIO, 'no struct page', 'kvm/cbff90a7caa4'),
  ],
  note: 'our reading: the new lines of the trial patch are not public',
};

/** Every version of the predicate, oldest first, then the proposals. */
export const MMIO_RULES: readonly MmioRule[] = [
  MMIO_NONE,
  MMIO_2_6_28,
  MMIO_2_6_30,
  MMIO_2_6_38,
  MMIO_3_13,
  MMIO_3_17,
  MMIO_3_18,
  MMIO_4_2,
  MMIO_4_16,
  MMIO_5_2,
  MMIO_SEED_PATCH,
  MMIO_INVALID_RAM_PAT,
  MMIO_BY_MTRR,
];
