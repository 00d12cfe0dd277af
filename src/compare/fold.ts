import { everyChoice } from '../base/choice.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { type Access, accessAt } from './access.ts';
import { bits, type Cube, FULL } from './cube.ts';
import type { Platform } from './platforms.ts';
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
  return Uint8Array.from(SWEEP_INPUTS, (key, i) => {
    const allowed = restriction[key];
    if (allowed === undefined) return FULL[i] as number;
    return SWEEP_VALUES[key].reduce<number>(
      (mask, value, v) => (allowed.includes(value) ? mask | (1 << v) : mask),
      0,
    );
  });
}

/**
 * Both sides over the points of one restriction. What the platforms say is no input: it is not counted.
 *
 * Every run through both decision lists with one reader is a cube, so that the cubes are disjoint and
 * leave nothing out; no point is looked at one by one.
 */
function foldOne(a: Standing, b: Standing, restriction: Restriction): Fold {
  const [givenA, givenB] = [givenBy(a.platform), givenBy(b.platform)];
  const fixed = new Set([...Object.keys(givenA), ...Object.keys(givenB)]);
  const start = startCube(restriction);
  const sizes = SWEEP_INPUTS.map((key, i) => (fixed.has(key) ? 1 : bits(start[i] as number)));
  const paths: JointPath[] = [];
  everyChoice((choice) => {
    const cube = Uint8Array.from(start);
    let points = 1;
    const asked = new Set<number>();
    const read: ReadInput = (key) => {
      const i = indexOfInput(key);
      const values = SWEEP_VALUES[key];
      if (!asked.has(i)) {
        asked.add(i);
        const allowed = values
          .map((_, v) => v)
          .filter((v) => ((start[i] as number) & (1 << v)) !== 0);
        cube[i] = 1 << (allowed[choice.pick(allowed.length)] ?? 0);
      }
      return values[31 - Math.clz32(cube[i] as number)] as never;
    };
    const accessA = accessAt(a.rules, wayOf(a.platform), onPlatform(givenA, read));
    const accessB = accessAt(b.rules, wayOf(b.platform), onPlatform(givenB, read));
    for (let i = 0; i < sizes.length; i++) if (!asked.has(i)) points *= sizes[i] as number;
    paths.push({ cube, points, a: accessA, b: accessB });
  });
  return { paths, points: sizes.reduce((n, size) => n * size, 1) };
}

/** Both sides over all points of all restrictions, which must have no point in common. */
export function fold(a: Standing, b: Standing, restrictions: readonly Restriction[]): Fold {
  const folds = restrictions.map((restriction) => foldOne(a, b, restriction));
  return {
    paths: folds.flatMap(({ paths }) => paths),
    points: folds.reduce((n, { points }) => n + points, 0),
  };
}
