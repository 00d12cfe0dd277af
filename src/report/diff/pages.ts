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

/** Fewer kinds than these are named one by one. */
const FEW = 3;

/** The RAM among the kinds of page that the VMM maps with one of some types, where that is what a set is. */
function byMapping(part: readonly string[], pages: readonly string[]): string | null {
  const types = [...new Set(part.flatMap((id) => kindOf(id)?.page.vmm ?? []))];
  const all = pages.filter((id) => isRam(id) && types.some((t) => t === kindOf(id)?.page.vmm));
  return sameSet(part, all) ? `RAM that the VMM maps ${types.join(' or ')}` : null;
}

/** Some of the kinds of page that were named before. */
export function partWords(part: readonly string[], pages: readonly string[]): string {
  if (part.length <= FEW) return part.join(', ');
  if (sameSet(part, pages.filter(isRam))) return 'RAM';
  if (sameSet(part, pages.filter(isDevice))) return 'device memory';
  return byMapping(part, pages) ?? pageWords(part);
}
