import type { Situation, Verdict, VerdictDefinition } from '../verdict.ts';
import { COHERENCE } from './coherence.ts';
import { GUEST } from './guest.ts';
import { MAP_INFO } from './map-info.ts';
import { POLICY } from './policy.ts';
import { SAFETY } from './safety.ts';
import { SPEED } from './speed.ts';
import { VMM_VERDICTS } from './vmm.ts';

/** Every kind of verdict, by ascending code. */
export const VERDICTS: readonly VerdictDefinition[] = [
  ...COHERENCE,
  ...POLICY,
  ...GUEST,
  ...SPEED,
  ...SAFETY,
  ...MAP_INFO,
  ...VMM_VERDICTS,
].sort((a, b) => (a.code < b.code ? -1 : 1));

const WEIGHT = { error: 0, warning: 1, info: 2 } as const;

/** What there is to say about a situation, gravest first. */
export function judge(situation: Situation): readonly Verdict[] {
  return VERDICTS.flatMap((definition) => {
    const finding = definition.find(situation);
    if (finding === null) return [];
    const { code, severity, title } = definition;
    return [{ code, severity, title, ...finding }];
  }).sort((a, b) => WEIGHT[a.severity] - WEIGHT[b.severity] || (a.code < b.code ? -1 : 1));
}
