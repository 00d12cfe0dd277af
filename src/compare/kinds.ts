import { must } from '../base/assert.ts';
import type { FactKey, FactValues } from '../facts/facts.ts';
import { factDefinition, factWord } from '../facts/facts.ts';
import { BACKINGS, type BackingClass } from '../linux/backing.ts';
import type { Side, Witness } from './difference.ts';
import type { Platform } from './platforms.ts';
import {
  bits,
  type Cube,
  DIMENSIONS,
  FULL,
  intersection,
  isDerived,
  valuesOf,
} from './space/cube.ts';
import { givenBy, type Restriction } from './space/fold.ts';
import { SWEEP_INPUTS, SWEEP_VALUES, type SweepInput } from './space/space.ts';

/** Facts of a page that its class settles. */
const PAGE_INPUTS = [
  'pfn-valid',
  'zero-page',
  'page-reserved',
  'compound',
  'host-memtype',
  'vmm-mapping',
  'e820-ram',
  'host-mtrr',
] as const satisfies readonly SweepInput[];

/** The page of a class as the inputs of the space have it, on a host that has PAT. */
export function pageOf({ page }: BackingClass): Restriction {
  return {
    'pfn-valid': [page.pfnValid],
    'zero-page': [page.zeroPage],
    'page-reserved': [page.reserved],
    compound: ['no'],
    'host-memtype': [page.memtype],
    'vmm-mapping': [page.vmm],
    'e820-ram': [page.e820Ram],
    'host-mtrr': [page.hostMtrr],
    'host-pat': [true],
  };
}

function cubeOf(restriction: Restriction): Cube {
  return Uint8Array.from(DIMENSIONS, (key, i) => {
    const allowed = isDerived(key) ? undefined : restriction[key];
    if (allowed === undefined) return FULL[i] as number;
    return valuesOf(key).reduce<number>(
      (mask, value, v) => (allowed.includes(value) ? mask | (1 << v) : mask),
      0,
    );
  });
}

/** Classes of backing whose pages are alike in every fact, with the cube of those facts. */
export interface PageKind {
  readonly backings: readonly BackingClass[];
  readonly cube: Cube;
}

/** In the order of BACKINGS. */
export const PAGE_KINDS: readonly PageKind[] = (() => {
  const kinds = new Map<string, BackingClass[]>();
  for (const backing of BACKINGS) {
    const key = JSON.stringify(backing.page);
    const same = kinds.get(key);
    if (same === undefined) kinds.set(key, [backing]);
    else same.push(backing);
  }
  return [...kinds.values()].map((backings) => ({
    backings,
    cube: cubeOf(pageOf(must(backings[0], 'a kind has a class'))),
  }));
})();

/** The first part of some cubes that a kind of page can be in; null when there is none. */
export function partOf(cubes: readonly Cube[], kind: PageKind): Cube | null {
  for (const cube of cubes) {
    const common = intersection(cube, kind.cube);
    if (common !== null) return common;
  }
  return null;
}

/** One value for an input: its starting state where the mask has it, else the first. */
function valueIn(input: SweepInput, mask: number): FactValues[SweepInput] {
  const values: readonly FactValues[SweepInput][] = SWEEP_VALUES[input];
  const { initial } = factDefinition(input);
  const start = initial === undefined ? -1 : values.indexOf(initial.value);
  const v = start >= 0 && (mask & (1 << start)) !== 0 ? start : 31 - Math.clz32(mask & -mask);
  return must(values[v], input);
}

/** Facts with one value each, as `explain` asks them. */
export type PointFacts = ReadonlyMap<FactKey, FactValues[FactKey]>;

/**
 * One point of a cube as facts for `explain`: what the platform says, what the page is, and every input
 * that the cube does not leave free or that `explain` would have to guess.
 *
 * @param backing the class of the page; null: its facts are listed one by one
 */
export function pointOf(cube: Cube, platform: Platform, backing: BackingClass | null): PointFacts {
  const facts = new Map<FactKey, FactValues[FactKey]>([
    ['cpu', platform.vendor],
    ['paging', platform.paging],
  ]);
  if (platform.confidential !== 'no') facts.set('confidential', platform.confidential);
  const given = givenBy(platform);
  if (platform.selfSnoop !== null) facts.set('self-snoop', platform.selfSnoop);
  if (backing !== null) facts.set('backing', backing.id);
  const ofPage: readonly string[] = PAGE_INPUTS;
  SWEEP_INPUTS.forEach((input, i) => {
    if (given[input] !== undefined) return;
    if (backing !== null && ofPage.includes(input)) return;
    const mask = cube[i] as number;
    const value = valueIn(input, mask);
    const needed = input === 'guest' || (backing === null && ofPage.includes(input));
    const starts = factDefinition(input).initial?.value === value;
    // `explain` takes a VM with non-coherent DMA for one with a device, unless it is told.
    const untold = !starts || input === 'assigned-device';
    if (needed || (bits(mask) < bits(FULL[i] as number) && untold)) facts.set(input, value);
  });
  return facts;
}

/** The same access on either side; one and the same facts where both are on one platform. */
export interface PointPair {
  readonly a: PointFacts;
  readonly b: PointFacts;
}

/** `pointOf` on the platforms of both sides. */
export function pointPairOf(
  cube: Cube,
  { against, ...here }: Platform,
  backing: BackingClass | null,
): PointPair {
  const a = pointOf(cube, here, backing);
  return { a, b: against === undefined ? a : pointOf(cube, against, backing) };
}

function caseFile(kernel: string, facts: PointFacts): Witness['facts'] {
  const words = [...facts].map(([key, value]) => [key, factWord(value)]);
  return { kernel, ...Object.fromEntries(words) };
}

/** As a case file that asks both sides, or two where the sides are on two platforms. */
export function witnessOf(facts: PointPair, a: Side, b: Side): Witness {
  if (facts.a === facts.b) {
    return { facts: caseFile(`${a.kernel}, ${b.kernel}`, facts.a), other: null };
  }
  return { facts: caseFile(a.kernel, facts.a), other: caseFile(b.kernel, facts.b) };
}
