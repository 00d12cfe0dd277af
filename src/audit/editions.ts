import { SPTE_EDITIONS, type SpteEdition } from '../kvm/spte-editions.ts';
import { SPANS, type Span } from '../kvm/timeline.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';

/** Editions of SPTEs as a set: bit `i` is `SPTE_EDITIONS[i]`. */
export type EditionSet = number;

export const ALL_EDITIONS: EditionSet = 2 ** SPTE_EDITIONS.length - 1;

function setOf(fits: (edition: SpteEdition) => boolean): EditionSet {
  return SPTE_EDITIONS.reduce((set, edition, i) => (fits(edition) ? set | (1 << i) : set), 0);
}

export function editionSet(list: readonly SpteEdition[]): EditionSet {
  return setOf((edition) => list.includes(edition));
}

export function editionsIn(set: EditionSet): readonly SpteEdition[] {
  return SPTE_EDITIONS.filter((_, i) => ((set >>> i) & 1) === 1);
}

const A = setOf(({ layout }) => layout === 'A');
export const LAYOUT_A: EditionSet = A;
const B = setOf(({ layout }) => layout === 'B');
const C = setOf(({ layout }) => layout === 'C');
const SUPPRESS_VE = setOf(({ suppressVe }) => suppressVe);

/** Bits 57 and 58, 53 and 55: host- and MMU-writable of an EPT entry in layouts B and C. */
const WRITABLE_B = 0x0600_0000;
const WRITABLE_C = 0x00a0_0000;
const BIT_63 = 0x8000_0000;
const FULL_B = 0xe00;
const FULL_A = 0xc00;

/**
 * The editions that a present leaf can be of, by bits that only one of them sets. As `readSpteAs` of the room kvm
 * tells it, for columns of numbers; less is told.
 */
export function editionsOfLeaf(hi: number, lo: number, isEpt: boolean): EditionSet {
  if (!isEpt) return (lo & FULL_B) === FULL_B ? B | C : (lo & FULL_B) === FULL_A ? A : ALL_EDITIONS;
  const bySuppressed = (hi & BIT_63) === 0 ? ALL_EDITIONS & ~SUPPRESS_VE : SUPPRESS_VE;
  if ((hi & WRITABLE_B) === WRITABLE_B) return B & bySuppressed;
  if ((hi & WRITABLE_C) === WRITABLE_C) return C & bySuppressed;
  // Bit 10 of an EPT entry is user X in layout C, and nothing in B.
  if ((hi & ~0xf_ffff) === 0 && (lo & FULL_A) === FULL_A) return A;
  return bySuppressed;
}

/** The editions whose frozen entry this is. */
export function editionsOfFrozen(hi: number, lo: number): EditionSet {
  return setOf(({ frozen }) => frozen !== null && frozen.hi === hi && frozen.lo === lo);
}

/** kvm_mmu_set_spte is printed from 5.3 on. Source: kvm/mmutrace.h. */
const FIRST_TRACED = parseKernelVersion('5.3-rc1');

/** Whether a kernel of the span writes SPTEs of one of these editions, and prints them. */
export function spanWrites(span: Span, set: EditionSet): boolean {
  const isAfter = span.to === null || compareVersions(FIRST_TRACED, span.to) < 0;
  return (
    isAfter &&
    editionsIn(set).some(
      ({ from, before }) =>
        (before === null || compareVersions(span.from, before) < 0) &&
        (from === null || span.to === null || compareVersions(from, span.to) < 0),
    )
  );
}

/** The spans of kernels that write such SPTEs and print them, oldest first. */
export function spansOf(set: EditionSet): readonly Span[] {
  return SPANS.filter((span) => spanWrites(span, set));
}

/** First kernel of editions that is in question, and the first that is not; null: the newest is one. */
export function boundsOf(set: EditionSet): {
  readonly from: KernelVersion;
  readonly before: KernelVersion | null;
} {
  const list = editionsIn(set);
  const first = list[0]?.from ?? FIRST_TRACED;
  const isTraced = compareVersions(first, FIRST_TRACED) > 0;
  return { from: isTraced ? first : FIRST_TRACED, before: list.at(-1)?.before ?? null };
}
