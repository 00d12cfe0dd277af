import { must } from '../../base/assert.ts';
import {
  type Decision,
  decide,
  type EptChoice,
  eptLeaf,
  eptTypeOf,
  type VmxInputs,
} from '../../kvm/decision.ts';
import type { PfnInputs } from '../../kvm/mmio.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { type ShadowChoice, type ShadowInputs, shadowTypeOf } from '../../kvm/shadow.ts';
import {
  decodedByHost,
  decodedByReset,
  type GuestPatChoice,
  type NptLeafChoice,
  nestedTypeOf,
  type SvmInputs,
} from '../../kvm/svm.ts';
import { eptLeafBits } from '../../x86/ept.ts';
import { EFFECTIVE_CODE, eptCode, NATIVE, nptCode } from '../../x86/fast.ts';
import { type PatType, TYPE_CODE, type Vendor } from '../../x86/types.ts';
import type { ReadInput, SweepWay } from './space.ts';

/** A line of a decision list that was reached. */
export interface Line {
  /** "vmx_get_mt_mask/E11:2" */
  readonly rule: string;
  readonly decision: Decision<never, unknown>;
  /** The list's own first source, for a line without one. */
  readonly list: KvmRules['vmx' | 'svm' | 'mmio' | 'shadow'];
}

/** What one set of rules gives at one point. */
export interface Access {
  /** The effective type, as a code of x86/fast. */
  readonly code: number;
  /**
   * Under EPT, where a UC comes from: the leaf does not oblige the CPU to look into its caches, the PAT
   * of the guest does. Null for other types and without EPT.
   */
  readonly ucBy: 'leaf' | 'guest' | null;
  /** What KVM puts into its own page tables, as words that are equal when the entry is: "WB+IPAT", "PA0". */
  readonly leaf: string;
  /** The line that typed the leaf, then that of g_pat where there is one. */
  readonly lines: readonly [Line, ...Line[]];
  /** The line of kvm_is_mmio_pfn(); null when it was not asked. */
  readonly mmio: Line | null;
}

/** Answers that are known without a look at what they follow from. */
export interface Known {
  /** kvm_is_mmio_pfn() */
  readonly isMmio?: () => boolean;
  /** CR0.CD of an AMD guest is live in the hardware. */
  readonly liveCd?: () => boolean;
}

class Reader {
  readonly rules: KvmRules;
  readonly read: ReadInput;
  mmio: Line | null = null;
  #isMmio = false;

  readonly #known: Known;

  constructor(rules: KvmRules, read: ReadInput, known: Known) {
    this.rules = rules;
    this.read = read;
    this.#known = known;
  }

  /** The guest's CR0.CD reaches AMD hardware: only without the quirk. */
  liveCd(): boolean {
    if (!this.rules.hasCdQuirk) return false;
    if (this.#known.liveCd !== undefined) return this.#known.liveCd();
    return this.read('cr0-cd') && this.read('quirk-cd-nw-cleared') === 'off';
  }

  isMmio(): boolean {
    if (this.#known.isMmio !== undefined) return this.#known.isMmio();
    if (this.mmio !== null) return this.#isMmio;
    const { mmio } = this.rules;
    const { line, decision } = decide(mmio.kvm_is_mmio_pfn, pfnInputs(this.read));
    this.mmio = { rule: `kvm_is_mmio_pfn/${mmio.id}:${line}`, decision, list: mmio };
    this.#isMmio = decision.returns;
    return this.#isMmio;
  }
}

function pfnInputs(read: ReadInput): PfnInputs {
  const reserved = (): boolean => read('page-reserved');
  const tail = (): boolean => read('compound') !== 'no';
  return {
    pfn_valid: () => read('pfn-valid'),
    is_zero_pfn: () => read('zero-page'),
    page_tail: tail,
    head_reserved: () => (tail() ? read('compound') === 'tail-of-reserved' : reserved()),
    page_reserved: reserved,
    pat_enabled: () => read('host-pat'),
    host_memtype: () => read('host-memtype'),
    e820_ram: () => read('e820-ram'),
    host_mtrr_not_wb: () => read('host-mtrr') !== 'WB',
  };
}

/** Before 2.6.29 VMX ran the guest with the host's PAT. */
function livePat(rules: KvmRules, read: ReadInput): PatType {
  const type = read('guest');
  return rules.vmxLoadsGuestPat ? type : decodedByHost(type, read('guest-layout'));
}

function vmxInputs(reader: Reader): VmxInputs {
  const { read } = reader;
  return {
    is_mmio: () => reader.isMmio(),
    noncoherent_dma: () => read('noncoherent-dma'),
    cr0_cd: () => read('cr0-cd'),
    quirk_cd_nw_cleared: () => read('quirk-cd-nw-cleared') === 'on',
    // KVM refuses to disable it on a CPU without self-snoop.
    quirk_ignore_guest_pat: () => read('quirk-ignore-guest-pat') === 'on' || !read('self-snoop'),
    self_snoop: () => read('self-snoop'),
    guest_mtrr: () => read('guest-mtrr'),
    host_memtype: () => eptTypeOf(read('host-memtype')),
    vmm_mapping: () => eptTypeOf(read('vmm-mapping')),
    host_mtrr: () => read('host-mtrr'),
    slot_noncoherent: () => read('slot-noncoherent'),
    slot_host_memtype: () => read('slot-host-memtype'),
    assigned_device: () => read('assigned-device'),
  };
}

function typedByVmx(reader: Reader) {
  const inputs = vmxInputs(reader);
  const { vmx_get_mt_mask } = reader.rules.vmx;
  const { line, decision } = decide<VmxInputs, EptChoice>(vmx_get_mt_mask, inputs);
  const leaf = eptLeaf(decision.returns, inputs);
  return { line, decision, leaf, words: `EPT ${leaf.memtype}${leaf.ipat ? '+IPAT' : ''}` };
}

function underEpt(reader: Reader): Access {
  const { rules, read } = reader;
  const { line, decision, leaf, words } = typedByVmx(reader);
  const pat = leaf.ipat ? 'WB' : livePat(rules, read);
  const code = eptCode(eptLeafBits(leaf), TYPE_CODE[pat]);
  return {
    code,
    ucBy: code !== EFFECTIVE_CODE.UC ? null : leaf.memtype === 'UC' ? 'leaf' : 'guest',
    leaf: words,
    lines: [{ rule: `vmx_get_mt_mask/${rules.vmx.id}:${line}`, decision, list: rules.vmx }],
    mmio: reader.mmio,
  };
}

function nestedType(choice: NptLeafChoice, read: ReadInput): PatType {
  switch (choice) {
    case 'PA0':
      return 'WB';
    case 'PCD':
      return 'UC-';
    case 'host_memtype':
      return read('host-memtype');
    case 'vmm_mapping':
      return read('vmm-mapping');
    case 'guest_mtrr':
      return nestedTypeOf(read('guest-mtrr'));
  }
}

/** The guest's type as the hardware decodes it. */
function decodedType(gPat: GuestPatChoice, read: ReadInput): PatType {
  if (gPat === 'all-wb') return 'WB';
  const type = read('guest');
  if (gPat === 'guest' || read('guest-layout') === 'reset') return type;
  return decodedByReset(type);
}

function svmInputs(reader: Reader): SvmInputs {
  const { read } = reader;
  return {
    is_mmio: () => reader.isMmio(),
    assigned_device: () => read('assigned-device'),
    slot_host_memtype: () => read('slot-host-memtype'),
  };
}

function typedBySvm(reader: Reader, inputs: SvmInputs) {
  const { line, decision } = decide(reader.rules.svm.npt_leaf, inputs);
  const host = nestedType(decision.returns, reader.read);
  return { line, decision, host, words: `NPT ${host}` };
}

function underNpt(reader: Reader): Access {
  const { rules, read } = reader;
  const { svm } = rules;
  const inputs = svmInputs(reader);
  const leaf = typedBySvm(reader, inputs);
  const { host } = leaf;
  const gPat = decide(svm.g_pat, inputs);
  const guest = (): PatType => decodedType(gPat.decision.returns, read);
  return {
    code: reader.liveCd()
      ? EFFECTIVE_CODE.CD
      : nptCode(TYPE_CODE[guest()], TYPE_CODE[host], TYPE_CODE[read('host-mtrr')]),
    ucBy: null,
    leaf: leaf.words,
    lines: [
      { rule: `svm_npt_leaf/${svm.id}:${leaf.line}`, decision: leaf.decision, list: svm },
      { rule: `svm_g_pat/${svm.id}:${gPat.line}`, decision: gPat.decision, list: svm },
    ],
    mmio: reader.mmio,
  };
}

function shadowType({ host, guest }: ShadowChoice, read: ReadInput): PatType {
  if (host === 'PA0') return 'WB';
  const type = read(host === 'vmm_mapping' ? 'vmm-mapping' : 'host-memtype');
  return guest ? shadowTypeOf(type, read('guest')) : type;
}

function typedInShadow(vendor: Vendor, reader: Reader) {
  const { rules, read } = reader;
  const inputs: ShadowInputs = {
    is_mmio: () => reader.isMmio(),
    noncoherent_dma: () => read('noncoherent-dma'),
    self_snoop: () => read('self-snoop'),
    amd: () => vendor === 'amd',
    slot_host_memtype: () => read('slot-host-memtype'),
  };
  const { line, decision } = decide(rules.shadow.shadow_leaf, inputs);
  const type = shadowType(decision.returns, read);
  return { line, decision, type, words: `shadow PTE ${type}` };
}

function underShadow(vendor: Vendor, reader: Reader): Access {
  const { rules, read } = reader;
  const { line, decision, type, words } = typedInShadow(vendor, reader);
  const mtrr = (): number => TYPE_CODE[read('host-mtrr')];
  return {
    code:
      vendor === 'amd' && reader.liveCd()
        ? EFFECTIVE_CODE.CD
        : must(NATIVE[vendor][(mtrr() << 3) | TYPE_CODE[type]], 'MTRR x PAT'),
    ucBy: null,
    leaf: words,
    lines: [{ rule: `shadow_leaf/${rules.shadow.id}:${line}`, decision, list: rules.shadow }],
    mmio: reader.mmio,
  };
}

/** What a set of rules gives at the point that `read` stands for; only what the rules look at is read. */
export function accessAt(
  rules: KvmRules,
  way: SweepWay,
  read: ReadInput,
  known: Known = {},
): Access {
  const reader = new Reader(rules, read, known);
  switch (way) {
    case 'ept':
      return underEpt(reader);
    case 'npt':
      return underNpt(reader);
    case 'shadow-intel':
      return underShadow('intel', reader);
    case 'shadow-amd':
      return underShadow('amd', reader);
  }
}

/** The leaf alone, as `accessAt` has it: what only the effective type depends on is not read. */
export function leafAt(rules: KvmRules, way: SweepWay, read: ReadInput, known: Known = {}): string {
  const reader = new Reader(rules, read, known);
  switch (way) {
    case 'ept':
      return typedByVmx(reader).words;
    case 'npt':
      return typedBySvm(reader, svmInputs(reader)).words;
    case 'shadow-intel':
      return typedInShadow('intel', reader).words;
    case 'shadow-amd':
      return typedInShadow('amd', reader).words;
  }
}

/** Whether these rules take the page for host MMIO. */
export function isMmioAt(rules: KvmRules, read: ReadInput): boolean {
  return new Reader(rules, read, {}).isMmio();
}
