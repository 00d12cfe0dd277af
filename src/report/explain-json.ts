import { factWord } from '../facts/facts.ts';
import type { Flip } from '../resolve/flips.ts';
import { exitCodeOf, factName, type Resolution } from '../resolve/resolution.ts';

/** Version of the JSON that `explain` prints; it grows when a field changes its meaning or goes. */
export const EXPLAIN_SCHEMA_VERSION = 1;

function leafJson(r: Resolution): object {
  const { leaf } = r.world.result;
  const same = r.common.leaf !== null;
  return {
    ept: same && leaf.paging === 'ept' ? leaf.ept : null,
    npt: same && leaf.paging === 'npt' ? { hostPat: leaf.hostPat, gPat: leaf.gPat } : null,
    shadow: same && leaf.paging === 'shadow' ? { hostPat: leaf.hostPat } : null,
  };
}

/** The eras that may hold: of vmx_get_mt_mask(), or of SVM where only NPT is possible. */
function policiesOf({ question, world, unknown }: Resolution): readonly string[] {
  const npt = world.paging === 'npt' && !unknown.includes('paging');
  const names = [...question.rules.values()].map((rules) =>
    eraOf(npt ? rules.svm.id : rules.vmx.id, rules.id),
  );
  return [...new Set(names)];
}

/** A resolution as a plain object, field order fixed. The schema is printed by `memtype schema`. */
export function explainJson(r: Resolution, flips: readonly Flip[]): object {
  const { question, world } = r;
  const policies = policiesOf(r);
  return {
    schemaVersion: EXPLAIN_SCHEMA_VERSION,
    subject:
      question.rules.size === 1 || r.question.notes.length > 0
        ? question.subject(world.rules)
        : null,
    notes: question.notes,
    effective: {
      types: r.types,
      undefined: r.undefined,
      ucOrigin: r.types.length === 1 ? world.result.ucOrigin : null,
    },
    kvm: {
      policy: policies.length === 1 ? policies[0] : null,
      policies,
      paging: r.unknown.includes('paging') ? null : world.paging,
      isMmio: r.common.isMmio,
      ...leafJson(r),
    },
    verdicts: r.verdicts.map(({ code, severity, title, certain, when, agents, text, fix }) => ({
      code,
      severity,
      title,
      certain,
      when,
      agents,
      text,
      fix,
    })),
    steps: r.steps,
    unknown: r.unknown,
    alternatives: r.alternatives,
    assumptions: r.assumptions,
    facts: world.answers
      .filter((a) => a.key !== 'policy')
      .map((a) => ({ fact: factName(a.key), value: factWord(a.value), origin: a.origin })),
    flips,
    worlds: r.worlds,
    exitCode: exitCodeOf(r),
  };
}

/** A proposal goes by its own name, a kernel by its era. */
function eraOf(era: string, id: string): string {
  return /^\d/.test(id) ? era : id.replace(/ \(\d+\)$/, '');
}
