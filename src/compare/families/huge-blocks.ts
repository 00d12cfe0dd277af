import { type LayoutRange, rangeMsrs } from '../../facts/layout.ts';
import type { GuestMtrrState } from '../../kvm/guest-mtrr.ts';
import { type HugeLevel, PAGES_OF } from '../../kvm/huge-page.ts';
import { BACKINGS, type BackingClass } from '../../linux/backing.ts';
import { type MtrrType, TYPE_CODE } from '../../x86/types.ts';
import type { Side } from '../difference.ts';
import { pageOf } from '../kinds.ts';
import { PLATFORMS, type Platform } from '../platforms.ts';
import { allows, type Scope } from './family.ts';

/** One class of backing for each combination of facts that KVM can see. */
export const KINDS: readonly BackingClass[] = BACKINGS.filter(
  (backing, i) =>
    BACKINGS.findIndex((b) => JSON.stringify(pageOf(b)) === JSON.stringify(pageOf(backing))) === i,
);

/** Where the second kind begins. */
const BOUNDARIES = ['after the first page', 'from the middle on', 'at the last page'] as const;
export type Boundary = (typeof BOUNDARIES)[number];

/** Pages of the first kind in a block. */
export function firstPart(level: HugeLevel, boundary: Boundary): number {
  if (boundary === 'from the middle on') return PAGES_OF[level] / 2;
  return boundary === 'after the first page' ? 1 : PAGES_OF[level] - 1;
}

const GUEST_MTRRS = [
  'one guest MTRR type',
  'another guest MTRR type at the boundary',
  'one guest MTRR type by two ranges',
] as const;
export type GuestMtrrPlan = (typeof GUEST_MTRRS)[number];

const HUGE: readonly HugeLevel[] = ['2M', '1G'];

export interface Scene {
  readonly platform: Platform;
  readonly noncoherent: boolean;
  readonly flagged: boolean;
}

/** Blocks that differ in nothing but the kinds of their pages. */
export interface Setting {
  readonly scene: Scene;
  readonly level: HugeLevel;
  readonly plan: GuestMtrrPlan;
  readonly boundary: Boundary;
}

// ---- the members --------------------------------------------------------------------------------

const PAGINGS: readonly Platform[] = PLATFORMS.filter(({ id }) =>
  ['intel-ept', 'amd-npt', 'intel-shadow'].includes(id),
);

export function scenesFor(sides: readonly Side[], scope: Scope): readonly Scene[] {
  const hasFlag = sides.some(({ rules }) => rules.hugeFlagged);
  const asked = PAGINGS.filter(
    ({ paging }) =>
      scope.platforms.some((p) => p.paging === paging) &&
      sides.every(({ rules }) => rules.pagings.includes(paging)),
  );
  const noncoherents = [false, true].filter((v) => allows(scope, 'noncoherent-dma', v));
  const flags = (hasFlag ? [false, true] : [false]).filter(
    (v) => !hasFlag || allows(scope, 'slot-host-memtype', v),
  );
  return asked.flatMap((platform) =>
    noncoherents.flatMap((noncoherent) =>
      flags.map((flagged) => ({ platform, noncoherent, flagged })),
    ),
  );
}

export function settingsOf(scenes: readonly Scene[]): readonly Setting[] {
  return scenes.flatMap((scene) =>
    HUGE.flatMap((level) =>
      GUEST_MTRRS.flatMap((plan) =>
        BOUNDARIES.map((boundary) => ({ scene, level, plan, boundary })),
      ),
    ),
  );
}

/** Pairs of kinds, by number; the same one twice is mixed only where the guest MTRRs make it so. */
export function pairsIn({ plan }: Setting): readonly (readonly [number, number])[] {
  return plan === 'one guest MTRR type' ? MIXED : [...MIXED, ...SAME];
}

const SAME = KINDS.map((_, kind) => [kind, kind] as const);
const MIXED = KINDS.flatMap((_, x) => KINDS.flatMap((__, y) => (x === y ? [] : [[x, y] as const])));

// ---- guest MTRRs over a block -------------------------------------------------------------------

/** The first page of every block: 4 GiB, where no fixed range is. */
export const BASE = 2 ** 20;
const PAGE = 4096;
const PHYS_BITS = 46;

/** Ranges that hold a power of two of pages: the smaller part of the block is UC. */
function rangesOf(
  plan: GuestMtrrPlan,
  level: HugeLevel,
  boundary: Boundary,
): readonly LayoutRange[] {
  const half = PAGES_OF[level] / 2;
  const range = (type: MtrrType, first: number, pages: number): LayoutRange => ({
    type,
    base: (BASE + first) * PAGE,
    size: pages * PAGE,
  });
  if (plan === 'one guest MTRR type') return [];
  if (plan === 'one guest MTRR type by two ranges')
    return [range('WB', 0, half), range('WB', half, half)];
  const first = firstPart(level, boundary);
  if (boundary === 'after the first page') return [range('UC', 0, 1)];
  return [range('UC', first, PAGES_OF[level] - first)];
}

export function mtrrState(
  plan: GuestMtrrPlan,
  level: HugeLevel,
  boundary: Boundary,
): GuestMtrrState {
  const byDefault = plan === 'one guest MTRR type by two ranges' ? 'UC' : 'WB';
  return {
    defType: (1 << 11) | TYPE_CODE[byDefault],
    fixed: [],
    variable: rangesOf(plan, level, boundary).map((r) => rangeMsrs(r, PHYS_BITS)),
    maxphyaddr: PHYS_BITS,
    cpuidMtrr: true,
  };
}
