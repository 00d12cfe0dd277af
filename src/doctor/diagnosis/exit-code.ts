import type { Severity } from '../../resolve/verdict.ts';

/**
 * What `memtype doctor` fails on, each with what stands before it:
 *
 * - `never`: nothing
 * - `error`: a certain error
 * - `warning`: a certain error or warning
 * - `info`: any certain finding
 *
 * and `undetermined`, which is not a step further but the contract without the flag: as `warning`, and where
 * nothing is certain, what is possible or open fails too, with a code of its own.
 */
export const FAIL_ON = ['error', 'warning', 'info', 'undetermined', 'never'] as const;
export type FailOn = (typeof FAIL_ON)[number];

export const FAIL_ON_DEFAULT: FailOn = 'undetermined';

/** What an exit code depends on. */
export interface Outcome {
  readonly findings: readonly { readonly severity: Severity; readonly certain: boolean }[];
  /** What had to be known and is not. */
  readonly undetermined: readonly string[];
}

const FAILING: Readonly<Record<FailOn, readonly Severity[]>> = {
  never: [],
  error: ['error'],
  warning: ['error', 'warning'],
  info: ['error', 'warning', 'info'],
  undetermined: ['error', 'warning'],
};

/** 1: a certain finding fails; 3: only a possible one, or an open question, and these fail too; else 0. */
export function exitCodeFor({ findings, undetermined }: Outcome, failOn: FailOn): 0 | 1 | 3 {
  const failing = findings.filter((f) => FAILING[failOn].includes(f.severity));
  if (failing.some((f) => f.certain)) return 1;
  const open = failing.length > 0 || undetermined.length > 0;
  return failOn === 'undetermined' && open ? 3 : 0;
}
