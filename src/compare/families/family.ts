import type { SourceId } from '../../cite/sources.ts';
import type { Platform } from '../platforms.ts';
import type { Restriction } from '../space/fold.ts';
import type { SweepInput } from '../space/space.ts';

/** The part of the comparison that was asked for. */
export interface Scope {
  readonly platforms: readonly Platform[];
  readonly facts: Restriction;
}

/** Whether a scope leaves an input this value. */
export function allows({ facts }: Scope, input: SweepInput, value: unknown): boolean {
  return facts[input]?.includes(value) ?? true;
}

/** One way in which members of a family come out differently. */
export interface FamilyCase {
  /** In words, e.g. "a UC range with a higher base inside a WB range". */
  readonly cause: string;
  readonly count: number;
  readonly before: string;
  readonly after: string;
  /** A member, in a form that can be repeated: MTRR ranges and an address, two kinds of page and a level. */
  readonly example: string;
  readonly source: SourceId;
}

/** Inputs that are infinite, and how far they were tried. */
export interface FamilyResult {
  readonly id: 'guest-mtrr-layouts' | 'huge-pages' | 'devices';
  readonly title: string;
  /** What was generated and where it ends: nothing is claimed beyond it. */
  readonly bound: string;
  readonly members: number;
  readonly differing: number;
  readonly cases: readonly FamilyCase[];
}
