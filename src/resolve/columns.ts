import type { Facts } from '../facts/facts.ts';
import { didYouMean } from '../facts/words.ts';
import {
  NAMED_POLICIES,
  POLICY_NAMES,
  PROPOSALS,
  proposalRules,
  rulesOfPolicy,
} from '../kvm/policies.ts';
import { QUIRK } from '../kvm/quirks.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { ALL_KERNEL_RULES, NEWEST_READ, rulesFor } from '../kvm/timeline.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../linux/version.ts';
import { at, complain, type Entry, type Word, words } from './entries.ts';

/** One column of the answer: a kernel or a policy. */
export interface Column {
  readonly rules: readonly KvmRules[] | null;
  readonly subject: string | null;
  /** The kernel, or the one under a proposal; null: nothing was said, or an era. */
  readonly kernel: KernelVersion | null;
  readonly notes: readonly string[];
}

function kernelOf(word: Word): KernelVersion {
  return at(word, () => parseKernelVersion(word.text));
}

/** "6.16+host-pat": a version, and a proposal on it. Versions have plus signs of their own. */
function splitPolicy(word: Word): { readonly kernel: Word; readonly policy: Word | null } {
  const plus = word.text.lastIndexOf('+');
  const name = word.text.slice(plus + 1).toLowerCase();
  if (plus <= 0 || !NAMED_POLICIES.some((p) => p.id === name))
    return { kernel: word, policy: null };
  return {
    kernel: { ...word, text: word.text.slice(0, plus) },
    policy: { ...word, text: word.text.slice(plus + 1) },
  };
}

function kernelColumn(word: Word, offer: Offer): Column {
  const { kernel, policy } = splitPolicy(word);
  if (policy !== null) return policyColumn(policy, kernel);
  const version = kernelOf(word);
  const rules = rulesFor(version);
  if (rules.length === 0) {
    complain(
      word,
      `${word.text} is before 2.6.26-rc2, the oldest kernel known here`,
      'that kernel brought EPT; NPT came one candidate earlier',
    );
  }
  const notes: string[] = [];
  if (version.note !== null) notes.push(`${version.text}: ${version.note}`);
  if (version.trust === 'exact' && rules.length > 1) {
    notes.push(`${version.text}: the sources do not settle which of these rules it has`);
  }
  if (compareVersions(version, parseKernelVersion(NEWEST_READ)) > 0) {
    notes.push(
      `${version.text} is newer than the newest kernel read (${NEWEST_READ}): its rules are assumed unchanged`,
    );
  }
  return { rules: narrowed(rules, offer, word), subject: version.text, kernel: version, notes };
}

const QUIRK_ERA_BITS =
  QUIRK.IGNORE_GUEST_PAT | QUIRK.VMCS12_ALLOW_FREEZE_IN_SMM | QUIRK.NESTED_SVM_SHARED_PAT;

/** What is said of paging and self-snoop, as far as it decides whether bit 9 must be set. */
export interface Offer {
  readonly quirks2: number | null;
  /** EPT with self-snoop, or NPT: a kernel with the quirk would offer it here. */
  readonly wouldBeOffered: boolean;
}

export function offerOf(facts: Facts, quirks2: number | null): Offer {
  const paging = facts.paging ?? [];
  const selfSnoop = facts['self-snoop']?.every((v) => v) === true;
  const npt = paging.length > 0 && paging.every((p) => p === 'npt');
  const ept = paging.length > 0 && paging.every((p) => p === 'ept');
  return { quirks2, wouldBeOffered: npt || (ept && selfSnoop) };
}

/**
 * The capability word beats the version: bits 9 to 11 exist in kernels with the quirk only, and where
 * such a kernel would offer bit 9, a clear one says that it is none.
 */
function narrowed(rules: readonly KvmRules[], offer: Offer, word: Word): readonly KvmRules[] {
  const { quirks2, wouldBeOffered } = offer;
  if (quirks2 === null) return rules;
  if ((quirks2 & QUIRK_ERA_BITS) !== 0) {
    if (wouldBeOffered && (quirks2 & QUIRK.IGNORE_GUEST_PAT) === 0) {
      complain(word, 'quirks2 has bit 10 or 11 but not bit 9, which this host would have to offer');
    }
    const left = rules.filter((r) => r.hasPatQuirk);
    return left.length > 0 ? left : rulesFor(parseKernelVersion('6.12.78'));
  }
  const left = wouldBeOffered ? rules.filter((r) => !r.hasPatQuirk) : rules;
  if (left.length > 0) return left;
  return complain(word, 'quirks2 has no bit 9, which this kernel would have to offer here');
}

function policyColumn(word: Word, kernel: Word | null): Column {
  const name = word.text;
  const proposal = NAMED_POLICIES.find((p) => p.id === name.toLowerCase());
  if (proposal === undefined) {
    const rules = rulesOfPolicy(name);
    if (rules.length === 0) {
      const near = didYouMean(name, POLICY_NAMES);
      complain(
        word,
        `unknown policy "${name}"`,
        `${near === null ? '' : `did you mean ${near}? `}one of ${POLICY_NAMES.join(' ')}`,
      );
    }
    if (kernel !== null)
      complain(word, `an era (${name}) is a span of kernels: give either --kernel or the era`);
    return { rules, subject: name.toUpperCase(), kernel: null, notes: [] };
  }
  if (kernel === null) {
    const base = proposalRules(proposal);
    return {
      rules: [base],
      subject: proposal.id,
      kernel: parseKernelVersion(proposal.base),
      notes: PROPOSALS.includes(proposal)
        ? [`${proposal.id} on the kernel it belongs to, ${proposal.base}`]
        : [],
    };
  }
  const version = kernelOf(kernel);
  const under = rulesFor(version);
  return {
    rules: under.map((rules, i) => ({
      ...proposal.apply(rules),
      id: under.length > 1 ? `${proposal.id} (${i + 1})` : proposal.id,
    })),
    subject: `${proposal.id} on ${kernel.text}`,
    kernel: version,
    notes: [],
  };
}

/**
 * Which answers are asked for: one kernel with one proposal is the proposal on that kernel; several of
 * either stand side by side.
 */
export function columnsOf(entries: readonly Entry[], offer: Offer): readonly Column[] {
  const kernels = words(entries, 'kernel');
  const policies = words(entries, 'policy');
  const [policy] = policies;
  if (policy !== undefined && offer.quirks2 !== null) {
    complain(
      policy,
      'quirks2 says which kernel it is, and a policy is none',
      'leave out one of them',
    );
  }
  const [kernel] = kernels;
  if (kernels.length === 1 && policies.length >= 1) {
    const under = policies.map((p) => policyColumn(p, kernel ?? null));
    return policies.length === 1 || kernel === undefined
      ? under
      : [kernelColumn(kernel, offer), ...under];
  }
  const all = [
    ...kernels.map((k) => kernelColumn(k, offer)),
    ...policies.map((p) => policyColumn(p, null)),
  ];
  if (all.length > 0) return all;
  const rules = offer.quirks2 === null ? null : narrowed(ALL_KERNEL_RULES, offer, { text: '' });
  return [{ rules, subject: null, kernel: null, notes: [] }];
}
