import { must } from '../base/assert.ts';
import { refuse } from '../base/diagnostic.ts';
import type { FactKey, Facts, FactValues, Paging } from '../facts/facts.ts';
import type { MtrrLayout } from '../facts/layout.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { ALL_KERNEL_RULES } from '../kvm/timeline.ts';
import { BACKINGS } from '../linux/backing.ts';
import type { KernelVersion } from '../linux/version.ts';
import { hasSelfSnoopErratum } from '../x86/self-snoop.ts';

/** What is asked: the facts, and the KVM rules that may hold. */
export interface Question {
  readonly facts: Facts;
  /** The possible rules by id, in order. */
  readonly rules: ReadonlyMap<string, KvmRules>;
  /** How the user named the kernel or policy; for rules taken for want of one, their kernels. */
  readonly subject: (rules: KvmRules) => string;
  /** The kernel, or the one under a proposal; null: nothing was said, or an era. */
  readonly kernel: KernelVersion | null;
  /** Of the guest. */
  readonly layout: MtrrLayout | null;
  readonly hostLayout: MtrrLayout | null;
  readonly cpuModel: CpuModel | null;
  /** Bit 9 of KVM_CAP_DISABLE_QUIRKS2: KVM offers the opt-out. Null: not known. */
  readonly quirkOffered: boolean | null;
  /** What should be known about how the question was read, e.g. of a distribution's kernel. */
  readonly notes: readonly string[];
}

export interface CpuModel {
  readonly family: number;
  readonly model: number;
}

export interface QuestionInput {
  readonly facts: Facts;
  /** Null: nothing is said of kernel or policy. */
  readonly rules: readonly KvmRules[] | null;
  readonly subject: string | null;
  readonly kernel?: KernelVersion | null;
  readonly layout?: MtrrLayout | null;
  readonly hostLayout?: MtrrLayout | null;
  readonly cpuModel?: CpuModel | null;
  readonly quirkOffered?: boolean | null;
  readonly notes?: readonly string[];
}

const PAGING_OF: Readonly<Record<FactValues['cpu'], readonly Paging[]>> = {
  intel: ['ept', 'shadow'],
  amd: ['npt', 'shadow'],
};

function meet<K extends FactKey>(
  facts: Facts,
  key: K,
  allowed: readonly FactValues[K][],
  why: string,
): readonly FactValues[K][] {
  const given = facts[key] ?? allowed;
  const left = given.filter((value) => allowed.includes(value));
  if (left.length < given.length) refuse(`--${key} ${given.join(',')} does not go with ${why}`);
  return left;
}

const CONFIDENTIAL_PAGING = { tdx: 'ept', snp: 'npt' } as const;

/** KVM runs a TDX guest with EPT only (tdx_bringup), an SEV-SNP guest with NPT (sev_hardware_setup). */
function confidentialPaging(facts: Facts, paging: readonly Paging[]): readonly Paging[] {
  const kinds = facts.confidential ?? ['no'];
  const needed = kinds.flatMap((kind) => (kind === 'no' ? [] : [CONFIDENTIAL_PAGING[kind]]));
  if (needed.length < kinds.length) return paging;
  const left = paging.filter((p) => needed.some((n) => n === p));
  const [wanted = 'ept'] = needed;
  if (left.length === 0) {
    refuse(
      `--paging ${paging.join(',')} does not go with --confidential ${kinds.join(',')}`,
      `it runs with ${wanted}`,
    );
  }
  return left;
}

/** KVM runs TDX guests from 6.16 on, so with the quirk. Source: kvm/x86.c-quirks. */
function rulesForTdx(rules: readonly KvmRules[], facts: Facts): readonly KvmRules[] {
  if (facts.confidential?.every((kind) => kind === 'tdx') !== true) return rules;
  const left = rules.filter((r) => r.confidential.includes('tdx'));
  if (left.length === 0) {
    refuse(
      'KVM runs TDX guests from 6.16 on',
      'name a later kernel, or leave out --confidential tdx',
    );
  }
  return left;
}

/** KVM offers the opt-out only with EPT or NPT, and on Intel only with self-snoop. */
function checkOffer(facts: Facts, paging: Paging, errata: boolean): void {
  if (paging === 'shadow')
    refuse('bit 9 of quirks2 is never set without EPT or NPT', 'check --paging');
  const without = errata || facts['self-snoop']?.every((v) => !v) === true;
  if (paging === 'ept' && without) {
    refuse(
      'bit 9 of quirks2 is never set on an Intel CPU without self-snoop',
      'check --self-snoop and --cpu',
    );
  }
}

/**
 * Facts that exclude each other are refused; what follows at once from others is filled in.
 *
 * @throws InputError on a contradiction, e.g. EPT on an AMD CPU.
 */
export function question(input: QuestionInput): Question {
  const rules = rulesForTdx(input.rules ?? ALL_KERNEL_RULES.toReversed(), input.facts);
  const byId = new Map(rules.map((r) => [r.id, r]));
  const { facts } = input;
  const cpus = facts.cpu ?? (['intel', 'amd'] as const);
  const pagings = [...new Set(cpus.flatMap((cpu) => PAGING_OF[cpu]))];
  const paging = confidentialPaging(
    facts,
    meet(facts, 'paging', pagings, `--cpu ${cpus.join(',')}`),
  );
  const model = input.cpuModel ?? null;
  const errata = model !== null && hasSelfSnoopErratum(model.family, model.model);
  if (input.quirkOffered === true && paging.length === 1)
    checkOffer(facts, paging[0] ?? 'ept', errata);
  if (errata && facts['self-snoop']?.includes(true) && facts['self-snoop'].length === 1) {
    refuse(
      `family ${model.family} model ${model.model} has the self-snoop erratum`,
      'leave out --self-snoop, or name another CPU model',
    );
  }
  return {
    facts: {
      ...facts,
      paging,
      policy: [...byId.keys()],
      ...(errata ? { 'self-snoop': [false] } : {}),
    },
    rules: byId,
    subject: (r) => input.subject ?? r.kernels,
    kernel: input.kernel ?? null,
    layout: input.layout ?? null,
    hostLayout: input.hostLayout ?? null,
    cpuModel: model,
    quirkOffered: input.quirkOffered ?? null,
    notes: input.notes ?? [],
  };
}

/** Values of the facts whose set is open, when nothing is said of them. */
export function openSets(q: Question): { backing: readonly string[]; policy: readonly string[] } {
  return { backing: BACKINGS.map((b) => b.id), policy: must([...q.rules.keys()], 'rules') };
}
