import type { Cause, Change } from '../../compare/difference.ts';
import { BACKINGS, type BackingClass } from '../../linux/backing.ts';

const IDS: readonly string[] = BACKINGS.map(({ id }) => id);

function kindOf(id: string): BackingClass | undefined {
  return BACKINGS.find((b) => b.id === id);
}

const isDevice = (id: string): boolean => kindOf(id)?.page.device === true;
const isRam = (id: string): boolean => kindOf(id)?.page.device === false;

/** Kinds of page without repetition, in the order in which they are listed elsewhere. */
export function ordered(backings: Iterable<string>): readonly string[] {
  const set = new Set(backings);
  return [...IDS.filter((id) => set.has(id)), ...[...set].filter((id) => !IDS.includes(id))];
}

/** The kinds of page that get into a change. */
export function pagesOf(change: Change): readonly string[] {
  return ordered(change.kinds.flatMap(({ backings }) => backings));
}

/** Every kind of page that gets into some change of a cause. */
export function pagesOfCause({ changes }: Cause): readonly string[] {
  return ordered(changes.flatMap(pagesOf));
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}

const RAM_IDS = IDS.filter(isRam);

function ramWords(ram: readonly string[]): string {
  const others = RAM_IDS.filter((id) => !ram.includes(id));
  if (others.length === 0) return 'all RAM';
  return others.length * 2 < ram.length ? `all RAM but ${others.join(', ')}` : ram.join(', ');
}

/** Kinds of page in words. */
export function pageWords(pages: readonly string[]): string {
  const ram = pages.filter(isRam);
  const rest = pages.filter((id) => !isRam(id));
  return [...(ram.length === 0 ? [] : [ramWords(ram)]), ...rest].join(', ');
}

// ---- a part of the kinds of page ----------------------------------------------------------------

/** Some kinds of page among those that get into a change, in words; empty: all of them. */
export type Scope = (part: readonly string[], whole: readonly string[]) => string;

/** So few kinds are named one by one. */
const FEW = 3;

const vmmType = (id: string): string => kindOf(id)?.page.vmm ?? '';

/**
 * One way to say the parts of several changes: in a word where the same word fits each of them, else
 * kind by kind.
 */
export function scopeOf(
  parts: readonly (readonly [part: readonly string[], whole: readonly string[]])[],
): Scope {
  const fits = (is: (id: string) => boolean): boolean =>
    parts.every(([part, whole]) => sameSet(part, whole.filter(is)));
  const union = ordered(parts.flatMap(([part]) => part));
  if (fits(() => true)) return () => '';
  if (union.length <= FEW && fits((id) => union.includes(id))) return () => union.join(', ');
  if (fits(isRam)) return () => 'RAM';
  if (fits(isDevice)) return () => 'device memory';
  const types = [...new Set(union.map(vmmType))];
  if (fits((id) => isRam(id) && types.includes(vmmType(id)))) {
    return () => `RAM that the VMM maps ${types.join(' or ')}`;
  }
  return (part, whole) => (sameSet(part, whole) ? '' : pageWords(part));
}
