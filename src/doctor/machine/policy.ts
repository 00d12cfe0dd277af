import { must } from '../../base/assert.ts';
import type { Paging } from '../../facts/facts.ts';
import { PROPOSALS } from '../../kvm/policies.ts';
import { QUIRK } from '../../kvm/quirks.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { ALL_KERNEL_RULES, NEWEST_READ, rulesFor } from '../../kvm/timeline.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import { type Fact, ifKnown } from '../fact.ts';
import type { CpuFacts, HostFacts, KernelFacts } from '../host-facts.ts';

/** Which KVM rules run here, how that was decided and how far it can be trusted. */
export interface Policy {
  /** In the order of the history; null: nothing is known of the kernel. */
  readonly rules: readonly KvmRules[] | null;
  /** How the kernel is named in sentences. */
  readonly subject: string | null;
  /**
   * - `capability`: the quirk word of /dev/kvm left one era, which the version alone did not
   * - `version`: by the version alone, which is that of a kernel as released
   * - `guess`: by the version alone, and this kernel may carry other code
   */
  readonly trust: 'capability' | 'version' | 'guess';
  /** Which side of 6.16 the quirk word puts this KVM on; null: it does not say. */
  readonly word: 'before' | 'after' | null;
  readonly how: readonly string[];
}

/** What the quirk word says of KVM_X86_QUIRK_IGNORE_GUEST_PAT. Source: kvm-history, telling the era. */
interface QuirkEvidence {
  readonly has: boolean | null;
  readonly why: string;
}

function hex(word: number): string {
  return `0x${word.toString(16)}`;
}

const LATER = QUIRK.VMCS12_ALLOW_FREEZE_IN_SMM | QUIRK.NESTED_SVM_SHARED_PAT;

function quirkEvidence(
  word: Fact<number>,
  paging: Paging | null,
  cpu: CpuFacts | null,
): QuirkEvidence {
  if (!word.known) return { has: null, why: `the quirk word is not known (${word.why})` };
  const { value } = word;
  if ((value & QUIRK.IGNORE_GUEST_PAT) !== 0) {
    return { has: true, why: `bit 9 of the quirk word ${hex(value)} is set: KVM has the quirk` };
  }
  if ((value & LATER) !== 0) {
    const why = `bit 9 of the quirk word ${hex(value)} is clear, but a later bit is set: KVM has the quirk and cannot disable it here`;
    return { has: true, why };
  }
  if (value === 0)
    return { has: false, why: 'KVM does not know the quirk word: it is before 5.18' };
  const offered = paging === 'npt' || (paging === 'ept' && cpu?.usableSelfSnoop === true);
  if (offered) {
    const why = `bit 9 of the quirk word ${hex(value)} is clear, where a KVM with the quirk would set it`;
    return { has: false, why };
  }
  return {
    has: null,
    why: `bit 9 of the quirk word ${hex(value)} is clear, which says nothing here`,
  };
}

/** The rules of the release, narrowed by the stable version behind it where that is one of them. */
function rulesOfKernel(kernel: KernelFacts): readonly KvmRules[] {
  const all = rulesFor(kernel.version);
  if (kernel.stable === null) return all;
  const stable = new Set(rulesFor(kernel.stable.version).map((r) => r.id));
  const both = all.filter((r) => stable.has(r.id));
  return both.length > 0 ? both : all;
}

function versionNotes(kernel: KernelFacts): readonly string[] {
  const { version, stable } = kernel;
  const base = stable?.version ?? version;
  const notes: string[] = [];
  if (stable !== null) notes.push(`${stable.from}: made from ${stable.version.text}`);
  else if (version.note !== null) notes.push(`${version.text}: ${version.note}`);
  if (isUnread(base)) {
    notes.push(`newer than the newest kernel read (${NEWEST_READ}): assumed unchanged since`);
  }
  return notes;
}

function isUnread(version: KernelVersion): boolean {
  return compareVersions({ ...version, patch: 0 }, parseKernelVersion(NEWEST_READ)) > 0;
}

function isAsReleased(kernel: KernelFacts): boolean {
  return kernel.version.trust === 'exact' && !isUnread(kernel.version);
}

/** Of the rules, those that agree with what the quirk word says; with a note when none does. */
function narrow(
  rules: readonly KvmRules[],
  has: boolean | null,
): { readonly rules: readonly KvmRules[]; readonly note: string | null } {
  if (has === null) return { rules, note: null };
  const left = rules.filter((r) => r.hasPatQuirk === has);
  if (left.length > 0) return { rules: left, note: null };
  if (!has) {
    return { rules, note: 'the version says otherwise: this KVM was changed, or lacks EPT or NPT' };
  }
  const note = 'the version alone would say otherwise: this KVM is newer than its kernel';
  return { rules: ALL_KERNEL_RULES.filter((r) => r.hasPatQuirk), note };
}

// KVM_CAP_PRE_FAULT_MEMORY has number 236 from here on; 239 is a capability of arm64.
const CAP_236_TAKEN = '6.11-rc1';

/** The capability by which a kernel of ChromeOS says that it has KVM_MEM_NON_COHERENT_DMA; null: none does. */
export function slotFlagCapability(facts: Pick<HostFacts, 'kernel' | 'kvm'>): 236 | 239 | null {
  const kernel = ifKnown(facts.kernel);
  const says = (n: 236 | 239): boolean => (ifKnown(facts.kvm.slotFlag[n]) ?? 0) > 0;
  if (says(239)) return 239;
  if (!says(236) || kernel === null || kernel.version.trust === 'backports') return null;
  return compareVersions(kernel.version, parseKernelVersion(CAP_236_TAKEN)) < 0 ? 236 : null;
}

/** The rules with the memslot flag where this kernel has it. */
function withSlotFlag(rules: readonly KvmRules[], capability: number | null): readonly KvmRules[] {
  if (capability === null) return rules;
  const flag = must(
    PROPOSALS.find((p) => p.id === 'slot-flag'),
    'slot-flag',
  );
  return rules.map(flag.apply);
}

function erasOf(rules: readonly KvmRules[]): number {
  return new Set(rules.map((r) => r.vmx.id)).size;
}

/** The KVM rules of this machine: by the version, and above it by what KVM says of its quirks. */
export function policyOf(facts: Pick<HostFacts, 'kernel' | 'kvm' | 'cpu'>): Policy {
  const kernel = ifKnown(facts.kernel);
  const evidence = quirkEvidence(facts.kvm.quirks2, ifKnown(facts.kvm.paging), ifKnown(facts.cpu));
  const given = kernel === null ? ALL_KERNEL_RULES : rulesOfKernel(kernel);
  const { rules: plain, note } = narrow(given, evidence.has);
  const capability = slotFlagCapability(facts);
  const rules = withSlotFlag(plain, capability);
  const notes = kernel === null ? ['the kernel version is not known'] : versionNotes(kernel);
  const trust =
    note === null && erasOf(plain) === 1 && erasOf(given) > 1
      ? 'capability'
      : kernel !== null && isAsReleased(kernel) && note === null
        ? 'version'
        : 'guess';
  return {
    rules: rules.length === 0 ? null : rules,
    subject: kernel === null ? null : `Linux ${kernel.release.slice(0, 64)}`,
    trust,
    word: evidence.has === null ? null : evidence.has ? 'after' : 'before',
    how: [
      evidence.why,
      ...(note === null ? [] : [note]),
      ...(capability === null
        ? []
        : [
            `KVM reports capability ${capability}: a kernel of ChromeOS, whose memslots can be flagged`,
          ]),
      ...notes,
    ],
  };
}
