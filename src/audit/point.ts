import { leafAt } from '../compare/space/access.ts';
import type { ReadInput, SweepInput, SweepWay } from '../compare/space/space.ts';
import type { FactValues } from '../facts/facts.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { ALL_KERNEL_RULES } from '../kvm/timeline.ts';
import type { MtrrType } from '../x86/types.ts';
import type { AuditRegion } from './audit.ts';
import { leafType, leafWord } from './leaf-word.ts';
import type { FactSet } from './predict-facts.ts';

/** A rule looked at a fact that was not given. */
export class Missing extends Error {
  override name = 'Missing';
  readonly fact: SweepInput | 'maxphyaddr';
  constructor(fact: SweepInput | 'maxphyaddr') {
    super(fact);
    this.fact = fact;
  }
}

type Leaf = Pick<AuditRegion, 'memtype' | 'ipat' | 'patIndex'>;

/** Everything that a prediction for one entry looks at. */
export interface Point {
  readonly way: SweepWay;
  readonly facts: FactSet;
  readonly isMmio: boolean | null;
  readonly guestMtrr: (rules: KvmRules) => MtrrType | null;
}

/** Facts as rules ask for them. @throws Missing for one that was not given. */
export function readerOf(facts: FactSet, guestMtrr: () => MtrrType | null): ReadInput {
  return <K extends SweepInput>(key: K): FactValues[K] => {
    const value = facts[key] as FactValues[K] | undefined;
    if (value !== undefined) return value;
    const mtrr = key === 'guest-mtrr' ? guestMtrr() : null;
    if (mtrr === null) throw new Missing(key);
    return mtrr as FactValues[K];
  };
}

/** What rules install at a point. @throws Missing for a fact that was not given. */
export function leafOf(rules: KvmRules, point: Point): string {
  const { facts, isMmio } = point;
  const read = readerOf(facts, () => point.guestMtrr(rules));
  return leafAt(rules, point.way, read, isMmio === null ? {} : { isMmio: () => isMmio });
}

/** The same words for what a trace has. */
export function installedWords(lo: number, level: number, way: SweepWay): string {
  return leafWords(leafType(leafWord(lo, level), way === 'ept'), way);
}

/** The words for a type of leaf. */
export function leafWords(leaf: Leaf, way: SweepWay): string {
  const { memtype, ipat, patIndex } = leaf;
  if (patIndex === null) return `EPT ${memtype ?? 'reserved type'}${ipat === true ? '+IPAT' : ''}`;
  const name = way === 'npt' ? 'NPT' : 'shadow PTE';
  return patIndex === 0 ? `${name} WB` : `${name} PAT index ${patIndex}`;
}

/** Whether any kernel installs this at a point; false where a fact is missing. */
export function givenBy(point: Point, installed: string): readonly KvmRules[] {
  return ALL_KERNEL_RULES.filter((rules) => {
    try {
      return leafOf(rules, point) === installed;
    } catch (error) {
      if (error instanceof Missing) return false;
      throw error;
    }
  });
}
