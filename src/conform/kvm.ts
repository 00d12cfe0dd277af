import { own } from '../base/own.ts';
import { decide, type EptChoice, eptLeaf, type VmxInputs } from '../kvm/decision.ts';
import {
  MMIO_INVALID_RAM_PAT,
  MMIO_SEED_PATCH,
  type MmioRule,
  type PfnInputs,
} from '../kvm/mmio.ts';
import {
  disabledAtCreation,
  enableCap,
  hasQuirk,
  KVM_CAP_DISABLE_QUIRKS,
  KVM_CAP_DISABLE_QUIRKS2,
  QUIRK,
  QUIRKS_6_16,
  quirkCaps,
} from '../kvm/quirks.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { spanOf } from '../kvm/timeline.ts';
import { parseKernelVersion } from '../linux/version.ts';
import { eptLeafBits } from '../x86/ept.ts';
import { isValidPatByte } from '../x86/pat.ts';
import { type MtrrType, mtrrTypeOf, PAT_TYPES, TYPE_CODE } from '../x86/types.ts';
import { replayGuestMtrr } from './kvm-guest-mtrr.ts';
import {
  bitField,
  compare,
  integerField,
  numberField,
  type Replay,
  type Replayed,
  type Row,
  RowError,
  wordField,
} from './table.ts';
import { expectFields } from './x86-rows.ts';

/** The rules that the name of a directory of golden tables stands for. */
export interface Era {
  /**
   * Every reading of a version whose boundary the sources do not settle, almost always one. Empty for
   * directories that stand for a proposal or for no version.
   */
  readonly rules: readonly KvmRules[];
  readonly mmio: readonly MmioRule[];
}

const PROPOSED: Readonly<Record<string, MmioRule>> = {
  'proposed-2024-03-11-seed-wc-as-mmio': MMIO_SEED_PATCH,
  'proposed-2024-05-07-invalid-ram-pat': MMIO_INVALID_RAM_PAT,
};

/** The rules a directory stands for: "v4.2.0", "common", "proposed-..."; null for any other name. */
export function eraOfDirectory(name: string): Era | null {
  const proposed = own(PROPOSED, name);
  if (proposed !== undefined) return { rules: [], mmio: [proposed] };
  if (name === 'common') return { rules: [], mmio: [] };
  if (!/^v\d+\.\d+(\.\d+)?(-rc\d+)?$/.test(name)) return null;
  const rules = spanOf(parseKernelVersion(name))?.rules ?? null;
  return rules === null ? null : { rules, mmio: rules.map((r) => r.mmio) };
}

/** What each function of the tables gives for an era: one replay for every reading of it. */
const REPLAYS: Readonly<Record<string, (era: Era) => readonly Replay[]>> = {
  leaf_spte_memtype: ({ rules }) => rules.filter(isBeforeMask).map(leafReplay(LEAF_INPUTS)),
  vmx_get_mt_mask: ({ rules }) => rules.map(leafReplay(MASK_INPUTS)),
  kvm_is_mmio_pfn: ({ mmio }) => mmio.map((rule) => (row) => replayMmio(row, rule)),
  kvm_mtrr_get_guest_memory_type: ({ rules }) =>
    rules.flatMap(({ guestMtrr }) =>
      guestMtrr === null ? [] : [(row) => replayGuestMtrr(row, guestMtrr)],
    ),
  quirk_caps: ({ rules }) => rules.filter((r) => r.hasPatQuirk).map(() => replayQuirks),
  pat_mtrr_type_validity: () => [replayValidity],
};

/** Whether there are tables of a function of this name, of whatever era. */
export function isTableFunction(fn: string): boolean {
  return own(REPLAYS, fn) !== undefined;
}

/**
 * The replays of rows of one function, one for each reading of the era; a table conforms when all its rows
 * agree with one of them. Empty when the era has no such function.
 */
export function replaysOf(fn: string, era: Era): readonly Replay[] {
  return own(REPLAYS, fn)?.(era) ?? [];
}

// ---- vmx_get_mt_mask and its forerunners ------------------------------------------------------

/** Before 2.6.31 nothing but the page and the guest's MTRRs counted, and no function had the name. */
function isBeforeMask({ vmx }: KvmRules): boolean {
  return ['E0', 'E1', 'E2', 'E3'].includes(vmx.id);
}

const LEAF_INPUTS = 'is_mmio guest_mtrr';
const MASK_INPUTS =
  'is_mmio cr0_cd quirk_cd_nw_cleared self_snoop quirk_ignore_guest_pat guest_mtrr';
const LEAF_OUTPUTS = 'spte_bits memtype ipat';
const SPTE_BITS = 0x78;

function mtrrField(row: Row, field: string): MtrrType {
  const code = numberField(row, field);
  const type = mtrrTypeOf(code);
  if (type === null) throw new RowError(`"${field}" must be an MTRR type, is ${code}`);
  return type;
}

/** 2.6.31 to 3.12 derive non-coherence from the legacy IOMMU domain. */
function noncoherent(row: Row): boolean {
  if (row['iommu_domain'] === undefined) return bitField(row, 'noncoherent_dma');
  const coherent = bitField(row, 'iommu_cache_coherency');
  const derived = bitField(row, 'iommu_domain') && !coherent;
  if (row['noncoherent_dma'] !== undefined && bitField(row, 'noncoherent_dma') !== derived) {
    throw new RowError('"noncoherent_dma" is not what the IOMMU domain gives');
  }
  return derived;
}

function expectLeafFields(row: Row, inputs: string, rules: KvmRules): void {
  const fields = `${inputs} ${LEAF_OUTPUTS}`;
  if (inputs === LEAF_INPUTS) expectFields(row, fields, 'id');
  else if (rules.noncoherent.id === 'legacy-domain' && 'iommu_domain' in row) {
    expectFields(row, `${fields} iommu_domain iommu_cache_coherency`, 'id noncoherent_dma');
  } else expectFields(row, `${fields} noncoherent_dma`, 'id');
}

/** Reads every input of the table, also those that the era does not look at. */
function vmxInputs(row: Row, inputs: string): VmxInputs {
  const bits = inputs.split(' ').filter((field) => field !== 'guest_mtrr');
  const read = new Map(bits.map((field) => [field, bitField(row, field)]));
  const bit = (field: string) => (): boolean => {
    const value = read.get(field);
    if (value === undefined) throw new RowError(`this table has no "${field}"`);
    return value;
  };
  const guestMtrr = mtrrField(row, 'guest_mtrr');
  if (inputs === MASK_INPUTS) read.set('noncoherent_dma', noncoherent(row));
  return {
    is_mmio: bit('is_mmio'),
    noncoherent_dma: bit('noncoherent_dma'),
    cr0_cd: bit('cr0_cd'),
    quirk_cd_nw_cleared: bit('quirk_cd_nw_cleared'),
    quirk_ignore_guest_pat: bit('quirk_ignore_guest_pat'),
    self_snoop: bit('self_snoop'),
    guest_mtrr: () => guestMtrr,
    host_memtype: () => {
      throw new RowError('a released kernel does not look at the host type');
    },
    host_mtrr: () => {
      throw new RowError('KVM does not look at the host MTRRs');
    },
    slot_noncoherent: () => false,
    slot_host_memtype: () => false,
    assigned_device: () => false,
    vmm_mapping: () => {
      throw new RowError('no kernel asks for the mapping of the VMM');
    },
  };
}

function leafReplay(inputs: string): (rules: KvmRules) => Replay {
  return (rules) => (row) => {
    expectLeafFields(row, inputs, rules);
    integerField(row, 'spte_bits', 0, SPTE_BITS);
    mtrrField(row, 'memtype');
    bitField(row, 'ipat');
    const asked = vmxInputs(row, inputs);
    const { line, decision } = decide<VmxInputs, EptChoice>(rules.vmx.vmx_get_mt_mask, asked);
    const leaf = eptLeaf(decision.returns, asked);
    const got = { spte_bits: eptLeafBits(leaf), memtype: TYPE_CODE[leaf.memtype], ipat: leaf.ipat };
    return compare(row, got, [
      `${rules.vmx.id}, line ${line}: ${decision.when?.text ?? 'otherwise'}`,
      `returns ${leaf.memtype}${leaf.ipat ? ' | IPAT' : ''} (${decision.why})`,
    ]);
  };
}

// ---- kvm_is_mmio_pfn --------------------------------------------------------------------------

const PFN_BITS = [
  'pfn_valid',
  'is_zero_pfn',
  'page_tail',
  'head_reserved',
  'page_reserved',
  'pat_enabled',
  'e820_ram',
] as const;

function replayMmio(row: Row, mmio: MmioRule): Replayed {
  expectFields(row, [...PFN_BITS, 'host_memtype', 'is_mmio'].join(' '), 'id');
  bitField(row, 'is_mmio');
  const hostMemtype = wordField(row, 'host_memtype', PAT_TYPES);
  const read = new Map<string, boolean>(PFN_BITS.map((field) => [field, bitField(row, field)]));
  const bit = (field: (typeof PFN_BITS)[number]) => (): boolean => read.get(field) === true;
  const inputs: PfnInputs = {
    pfn_valid: bit('pfn_valid'),
    is_zero_pfn: bit('is_zero_pfn'),
    page_tail: bit('page_tail'),
    head_reserved: bit('head_reserved'),
    page_reserved: bit('page_reserved'),
    pat_enabled: bit('pat_enabled'),
    host_memtype: () => hostMemtype,
    e820_ram: bit('e820_ram'),
    host_mtrr_not_wb: () => {
      throw new RowError('a released kernel does not look at the host MTRR');
    },
  };
  const { line, decision } = decide(mmio.kvm_is_mmio_pfn, inputs);
  return compare(row, { is_mmio: decision.returns }, [
    `${mmio.id}, line ${line}: ${decision.when?.text ?? 'otherwise'} (${decision.why})`,
  ]);
}

// ---- quirks and validity ----------------------------------------------------------------------

const CAPS = { KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2 } as const;

const QUIRK_INPUTS = 'vendor tdp_enabled self_snoop vm_type_tdx cap arg0 noncoherent_dma';
const QUIRK_NUMBERS = ['check_extension_quirks2', 'enable_cap_ret', 'disabled_quirks'] as const;
const QUIRK_BITS = [
  'has_quirk_ignore_guest_pat',
  'has_quirk_cd_nw_cleared',
  'ignore_guest_pat_predicate',
  'zap_on_noncoherent_toggle',
] as const;

function replayQuirks(row: Row): Replayed {
  expectFields(row, [QUIRK_INPUTS, ...QUIRK_NUMBERS, ...QUIRK_BITS].join(' '), 'id');
  for (const field of QUIRK_NUMBERS) numberField(row, field);
  for (const field of QUIRK_BITS) bitField(row, field);
  const cap = CAPS[wordField(row, 'cap', ['KVM_CAP_DISABLE_QUIRKS', 'KVM_CAP_DISABLE_QUIRKS2'])];
  const caps = quirkCaps({
    vendor: wordField(row, 'vendor', ['intel', 'amd']),
    tdpEnabled: bitField(row, 'tdp_enabled'),
    selfSnoop: bitField(row, 'self_snoop'),
    valid: QUIRKS_6_16,
  });
  const born = disabledAtCreation(caps, bitField(row, 'vm_type_tdx'));
  const { ret, disabled } = enableCap(cap, caps, born, integerField(row, 'arg0', 0, 0xffff_ffff));
  const ignores = hasQuirk(disabled, QUIRK.IGNORE_GUEST_PAT);
  const noncoherentDma = bitField(row, 'noncoherent_dma');
  return compare(
    row,
    {
      check_extension_quirks2: caps.supported,
      enable_cap_ret: ret,
      disabled_quirks: disabled,
      has_quirk_ignore_guest_pat: ignores,
      has_quirk_cd_nw_cleared: hasQuirk(disabled, QUIRK.CD_NW_CLEARED),
      ignore_guest_pat_predicate: ignores && !noncoherentDma,
      zap_on_noncoherent_toggle: ignores,
    },
    [
      `supported ${caps.supported}, inapplicable ${caps.inapplicable}, disabled at creation ${born}`,
    ],
  );
}

const VALIDITY = ['kvm_pat_valid', 'valid_pat_type', 'valid_mtrr_type'] as const;

function replayValidity(row: Row): Replayed {
  expectFields(row, ['pat_byte mtrr_type_byte', ...VALIDITY].join(' '), 'id');
  for (const field of VALIDITY) bitField(row, field);
  const pat = isValidPatByte(integerField(row, 'pat_byte', 0, 0xff));
  return compare(row, {
    kvm_pat_valid: pat,
    valid_pat_type: pat,
    valid_mtrr_type: mtrrTypeOf(integerField(row, 'mtrr_type_byte', 0, 0xff)) !== null,
  });
}
