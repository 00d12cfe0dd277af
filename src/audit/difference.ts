import type { U64 } from '../base/u64.ts';
import { factWord } from '../facts/facts.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { editionsOfLeaf, spansOf } from './editions.ts';
import { givenBy, type Point } from './point.ts';
import type { FactSet } from './predict-facts.ts';

/** Facts that may be other than they were said to be, each with its other value. */
const FLIPS: readonly (keyof FactSet)[] = [
  'noncoherent-dma',
  'quirk-ignore-guest-pat',
  'quirk-cd-nw-cleared',
  'cr0-cd',
  'self-snoop',
  'host-pat',
];

function flipped(facts: FactSet, key: keyof FactSet): FactSet | null {
  const value = facts[key];
  if (typeof value === 'boolean') return { ...facts, [key]: !value };
  if (value === 'on') return { ...facts, [key]: 'off' };
  return value === 'off' ? { ...facts, [key]: 'on' } : null;
}

function changed(points: readonly Point[], rules: readonly KvmRules[], installed: string): boolean {
  return points.some((point) => givenBy(point, installed).some((found) => rules.includes(found)));
}

/**
 * Which one fact, were it otherwise, or which other kernel gives what was installed. Such a fact may have
 * been otherwise before, and the entry is stale. Kernels that write their entries otherwise are none of them.
 */
export function explainDifference(
  point: Point,
  rules: readonly KvmRules[],
  installed: string,
  spte: U64,
): readonly string[] {
  const reasons: string[] = [];
  for (const key of FLIPS) {
    const facts = flipped(point.facts, key);
    if (facts === null || !changed([{ ...point, facts }], rules, installed)) continue;
    const value = facts[key];
    reasons.push(`${key} ${value === undefined ? '' : factWord(value)} gives it`);
  }
  // The quirk counts only where the CPU can do without it.
  const both: FactSet = { ...point.facts, 'quirk-ignore-guest-pat': 'off', 'self-snoop': true };
  if (reasons.length === 0 && changed([{ ...point, facts: both }], rules, installed))
    reasons.push('quirk-ignore-guest-pat off on a CPU with self-snoop gives it');
  for (const isMmio of [true, false])
    if (point.isMmio !== isMmio && changed([{ ...point, isMmio }], rules, installed))
      reasons.push(
        isMmio ? 'a page that KVM takes for host MMIO gets it' : 'a page of RAM gets it',
      );
  const types = (['UC', 'WC', 'WT', 'WP', 'WB'] as const).filter((type) =>
    changed([{ ...point, facts: { ...point.facts, 'guest-mtrr': type } }], rules, installed),
  );
  if (types.length > 0 && types.length < 5)
    reasons.push(`guest MTRRs that say ${types.join(' or ')} give it`);
  const editions = editionsOfLeaf(spte.hi, spte.lo, point.way === 'ept');
  const writing = new Set(spansOf(editions).flatMap((span) => span.rules));
  const kernels = givenBy(point, installed)
    .filter((found) => writing.has(found))
    .map((found) => found.kernels);
  if (kernels.length > 0) reasons.push(`kernels that give it: ${spans(kernels)}`);
  return reasons;
}

function spans(kernels: readonly string[]): string {
  const unique = [...new Set(kernels)];
  const last = unique.at(-1) ?? '';
  return unique.length <= 2 ? unique.join(', ') : `${unique[0]}, ..., ${last}`;
}
