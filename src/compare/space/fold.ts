import { type Choice, everyChoice } from '../../base/choice.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import type { Platform } from '../platforms.ts';
import { type Access, accessAt, type Known } from './access.ts';
import {
  bits,
  type Cube,
  DIMENSIONS,
  type Dimension,
  FULL,
  HOST_MMIO,
  isDerived,
  LIVE_CR0_CD,
  supercube,
  valuesOf,
} from './cube.ts';
import {
  type ReadInput,
  SWEEP_INPUTS,
  SWEEP_VALUES,
  type SweepInput,
  type SweepWay,
} from './space.ts';

/** Values to which inputs are restricted; an input that is not named has all of them. */
export type Restriction = { readonly [K in SweepInput]?: readonly unknown[] };

/** Both sides at the points of one cube: all that either looks at is the same there. */
export interface JointPath {
  readonly cube: Cube;
  readonly points: number;
  readonly a: Access;
  readonly b: Access;
}

/** Every point, in disjoint cubes. */
export interface Fold {
  readonly paths: readonly JointPath[];
  readonly points: number;
  /** The values that were folded at all: conditions speak of no others. */
  readonly allowed: Cube;
}

/** What a platform says of the inputs by itself. */
export function givenBy({ selfSnoop, confidential }: Platform): Restriction {
  return {
    ...(selfSnoop === null ? {} : { 'self-snoop': [selfSnoop] }),
    // KVM disables the quirk as it makes a TDX guest.
    ...(confidential === 'tdx' ? { 'quirk-ignore-guest-pat': ['off'] } : {}),
  };
}

export function wayOf({ paging, vendor }: Platform): SweepWay {
  if (paging !== 'shadow') return paging;
  return vendor === 'intel' ? 'shadow-intel' : 'shadow-amd';
}

const INDEX: ReadonlyMap<SweepInput, number> = new Map(SWEEP_INPUTS.map((key, i) => [key, i]));

export function indexOfInput(key: SweepInput): number {
  return INDEX.get(key) ?? 0;
}

/** One set of rules on one platform. */
export interface Standing {
  readonly rules: KvmRules;
  readonly platform: Platform;
}

/** A reader that knows what its platform says and leaves the rest to another. */
function onPlatform(given: Restriction, read: ReadInput): ReadInput {
  return (key) => {
    const fixed = given[key];
    return fixed === undefined ? read(key) : (fixed[0] as ReturnType<typeof read<typeof key>>);
  };
}

/** The masks of a restriction: all values of what it does not name. */
function startCube(restriction: Restriction): Cube {
  return Uint8Array.from(DIMENSIONS, (key, i) => {
    const allowed = isDerived(key) ? undefined : restriction[key];
    if (allowed === undefined) return FULL[i] as number;
    return valuesOf(key).reduce<number>(
      (mask, value, v) => (allowed.includes(value) ? mask | (1 << v) : mask),
      0,
    );
  });
}

/** Picks a value for a dimension once, of those that are left, and writes it into the cube. */
function picking(choice: Choice, start: Cube, cube: Cube): (i: number) => number {
  const asked = new Set<number>();
  return (i) => {
    if (!asked.has(i)) {
      asked.add(i);
      const mask = start[i] as number;
      const allowed = BIT_NUMBERS.filter((v) => (mask & (1 << v)) !== 0);
      cube[i] = 1 << (allowed[choice.pick(allowed.length)] ?? 0);
    }
    return 31 - Math.clz32(cube[i] as number);
  };
}

/** What both sides answer to kvm_is_mmio_pfn(), where both ask it alike: for conditions to speak of. */
function mmioMask(a: Access, b: Access): number {
  const [x, y] = [a, b].map(({ mmio }) => mmio?.decision.returns as boolean | undefined);
  if (x === undefined || y === undefined || x !== y) return FULL[HOST_MMIO] as number;
  return x ? 2 : 1;
}

interface Opaque {
  readonly mmio: boolean;
  readonly liveCd: boolean;
}

const TRANSPARENT: Opaque = { mmio: false, liveCd: false };

const BIT_NUMBERS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7];

/**
 * Both sides over the points of one restriction. What the platforms say is no input: it is not counted.
 *
 * Every run through both decision lists with one reader is a cube, so that the cubes are disjoint and
 * leave nothing out; no point is looked at one by one.
 *
 * @param opaque what is a dimension of its own, so that the inputs it follows from are not looked at for
 *   it: for conditions, not for counting
 */
function foldOne(a: Standing, b: Standing, restriction: Restriction, opaque: Opaque): Fold {
  const [givenA, givenB] = [givenBy(a.platform), givenBy(b.platform)];
  const fixed = new Set([...Object.keys(givenA), ...Object.keys(givenB)]);
  const start = startCube(restriction);
  const sizes = SWEEP_INPUTS.map((key, i) => (fixed.has(key) ? 1 : bits(start[i] as number)));
  const paths: JointPath[] = [];
  everyChoice((choice) => {
    const cube = Uint8Array.from(start);
    const pick = picking(choice, start, cube);
    const read: ReadInput = (key) => SWEEP_VALUES[key][pick(indexOfInput(key))] as never;
    const known: Known = {
      ...(opaque.mmio ? { isMmio: () => pick(HOST_MMIO) === 1 } : {}),
      ...(opaque.liveCd ? { liveCd: () => pick(LIVE_CR0_CD) === 1 } : {}),
    };
    const accessA = accessAt(a.rules, wayOf(a.platform), onPlatform(givenA, read), known);
    const accessB = accessAt(b.rules, wayOf(b.platform), onPlatform(givenB, read), known);
    if (!opaque.mmio) cube[HOST_MMIO] = mmioMask(accessA, accessB);
    const points = sizes.reduce((n, size, i) => (cube[i] === start[i] ? n * size : n), 1);
    paths.push({ cube, points, a: accessA, b: accessB });
  });
  const allowed = Uint8Array.from(start, (mask, i) =>
    isDerived(DIMENSIONS[i] as Dimension)
      ? paths.reduce((m, p) => m | (p.cube[i] as number), 0)
      : mask,
  );
  return { paths, points: sizes.reduce((n, size) => n * size, 1), allowed };
}

/** Both sides over all points of all restrictions, which must have no point in common. */
export function fold(a: Standing, b: Standing, restrictions: readonly Restriction[]): Fold {
  const folds = restrictions.map((restriction) => foldOne(a, b, restriction, TRANSPARENT));
  return {
    paths: folds.flatMap(({ paths }) => paths),
    points: folds.reduce((n, { points }) => n + points, 0),
    allowed: folds.map(({ allowed }) => allowed).reduce(supercube),
  };
}

/**
 * The same with the answer of kvm_is_mmio_pfn() and a live CR0.CD in the place of what they follow from,
 * for conditions that people read: where the two sides ask alike and what they ask is not restricted.
 */
export function foldAsSaid(
  a: Standing,
  b: Standing,
  restrictions: readonly Restriction[],
): Fold | null {
  const [only, more] = restrictions;
  if (only === undefined || more !== undefined) return null;
  const restricted = (...keys: readonly SweepInput[]): boolean =>
    keys.some((key) => only[key] !== undefined);
  const mmio =
    a.rules.mmio.kvm_is_mmio_pfn === b.rules.mmio.kvm_is_mmio_pfn &&
    !restricted('pfn-valid', 'zero-page', 'page-reserved', 'compound', 'host-pat') &&
    !restricted('host-memtype', 'e820-ram', 'host-mtrr');
  const liveCd =
    a.rules.hasCdQuirk === b.rules.hasCdQuirk && !restricted('cr0-cd', 'quirk-cd-nw-cleared');
  return foldOne(a, b, only, { mmio, liveCd });
}
