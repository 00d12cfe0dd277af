import type { Agreement, GuestAnswer } from '../doctor/diagnosis/answers.ts';
import type { Diagnosis } from '../doctor/diagnosis/diagnose.ts';
import type { GuestPat } from '../doctor/diagnosis/guest-pat.ts';
import type { Fact } from '../doctor/fact.ts';
import type { Policy } from '../doctor/machine/policy.ts';
import type { KvmLeaf } from '../resolve/effective.ts';

/** 536870912 as "512 MiB". */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "1 VM", "2 VMs"; "1 entry", "2 entries". */
export function count(n: number, word: string, many = `${word}s`): string {
  return `${n} ${n === 1 ? word : many}`;
}

/** Whether KVM_X86_QUIRK_IGNORE_GUEST_PAT exists in this KVM, or may, and bears on its VMs. */
export function patQuirkMatters({ facts, policy }: Diagnosis): boolean {
  const paging = facts.kvm.paging.known ? facts.kvm.paging.value : 'ept';
  return policy.rules?.some((r) => r.hasPatQuirk) !== false && paging === 'ept';
}

/** The value in words, or that it is not known. */
export function factWords<T>(fact: Fact<T>, words: (value: T) => string): string {
  return fact.known ? words(fact.value) : `not known: ${fact.why}`;
}

const G_PAT = {
  guest: 'honoured',
  reset: 'not passed on',
  'all-wb': 'replaced by all WB',
} as const;

/** What KVM puts into its page tables, in a few words. */
export function leafWords(leaf: KvmLeaf | null): string {
  if (leaf === null) return 'depends on what is not known';
  switch (leaf.paging) {
    case 'ept':
      return leaf.ept.ipat
        ? `EPT ${leaf.ept.memtype}+IPAT (guest PAT ignored)`
        : `EPT ${leaf.ept.memtype}, IPAT=0 (guest PAT honoured)`;
    case 'npt':
      return `NPT leaf ${leaf.hostPat}, guest PAT ${G_PAT[leaf.gPat]}`;
    case 'shadow':
      return `shadow PTE ${leaf.hostPat} (guest PAT ${leaf.withGuestPat ? 'in it' : 'ignored'})`;
  }
}

/** One cell of the table of coherence. */
export function agreementWords(agreement: Agreement | null): string {
  if (agreement === null) return '-';
  if (agreement.code === null) return agreement.certain ? 'coherent' : 'coherent?';
  const word = agreement.code === 'MT105' ? 'with care' : 'stale';
  return `${word} ${agreement.code}${agreement.certain ? '' : '?'}`;
}

/** The types of an answer; "?" where nothing narrows them. */
export function typeWords(answer: GuestAnswer): string {
  return answer.types.join('|');
}

/** The sets of rules that may hold. */
export function rulesWords({ rules, trust, word }: Policy): string {
  if (rules === null) return 'not known';
  const side = { before: 'before 6.16', after: '6.16 or later' };
  const said = word === null ? '' : `; the quirk word says ${side[word]}`;
  const by = {
    capability: 'settled by the quirk word of KVM',
    version: `by the kernel version${said}`,
    guess: `by the kernel version, which may not tell all${said}`,
  }[trust];
  const [only, second] = rules;
  if (only !== undefined && second === undefined) {
    return `those of ${only.kernels} (${only.vmx.id}), ${by}`;
  }
  const eras = [...new Set(rules.map((r) => r.vmx.id))].join(', ');
  return `one of ${rules.length} sets (${eras}), ${by}`;
}

const HONOURED: Readonly<Record<GuestPat['answer'], string>> = {
  always: 'honoured for every VM',
  'on request': 'honoured for a VM whose VMM asks for it',
  never: 'ignored, and no VMM can change that',
  'not known': 'whether it is honoured is not known',
};

/** The answer to "does this KVM honour the guest PAT?", with its reason and what to do. */
export function guestPatWords({ answer, why, how }: GuestPat): string {
  return `guest PAT: ${HONOURED[answer]} (${why}); ${how}`;
}
