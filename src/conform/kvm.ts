import { own } from '../base/own.ts';
import { type U64, u64FromHex } from '../base/u64.ts';
import { decide, type EptChoice, eptLeaf, type VmxInputs } from '../kvm/decision.ts';
import { compileGuestMtrrs, guestMtrrCode } from '../kvm/guest-mtrr.ts';
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
import { mtrrTypeOf, PAT_TYPES, TYPE_CODE } from '../x86/types.ts';
import {
  arrayField,
  bitField,
  compare,
  numberField,
  type Replay,
  type Replayed,
  type Row,
  RowError,
  stringField,
  wordField,
} from './table.ts';

/** Rules by the name of a directory of golden tables. */
export interface Era {
  /** Null for directories that stand for a proposal or for no version. */
  readonly rules: KvmRules | null;
  readonly mmio: MmioRule | null;
}

const PROPOSED: Readonly<Record<string, MmioRule>> = {
  'proposed-2024-03-11-seed-wc-as-mmio': MMIO_SEED_PATCH,
  'proposed-2024-05-07-invalid-ram-pat': MMIO_INVALID_RAM_PAT,
};

/** The rules a directory stands for: "v4.2.0", "common", "proposed-..."; null for any other name. */
export function eraOfDirectory(name: string): Era | null {
  const proposed = own(PROPOSED, name);
  if (proposed !== undefined) return { rules: null, mmio: proposed };
  if (name === 'common') return { rules: null, mmio: null };
  if (!/^v\d+\.\d+(\.\d+)?(-rc\d+)?$/.test(name)) return null;
  const rules = spanOf(parseKernelVersion(name))?.rules[0] ?? null;
  return rules === null ? null : { rules, mmio: rules.mmio };
}

/** Replays rows of one function for one era; null when the era has no such function. */
export function replayOf(fn: string, era: Era): Replay | null {
  const { rules, mmio } = era;
  switch (fn) {
    case 'leaf_spte_memtype':
    case 'vmx_get_mt_mask':
      return rules === null ? null : (row) => replayLeaf(row, rules);
    case 'kvm_is_mmio_pfn':
      return mmio === null ? null : (row) => replayMmio(row, mmio);
    case 'kvm_mtrr_get_guest_memory_type':
      return rules === null || rules.guestMtrr === null
        ? null
        : (row) => replayGuestMtrr(row, rules);
    case 'quirk_caps':
      return replayQuirks;
    case 'pat_mtrr_type_validity':
      return replayValidity;
    default:
      return null;
  }
}

// ---- vmx_get_mt_mask and its forerunners ------------------------------------------------------

/** 2.6.31 to 3.12 derive non-coherence from the legacy IOMMU domain. */
function noncoherent(row: Row): boolean {
  if (row['iommu_domain'] === undefined) return bitField(row, 'noncoherent_dma');
  return bitField(row, 'iommu_domain') && !bitField(row, 'iommu_cache_coherency');
}

function vmxInputs(row: Row): VmxInputs {
  return {
    is_mmio: () => bitField(row, 'is_mmio'),
    noncoherent_dma: () => noncoherent(row),
    cr0_cd: () => bitField(row, 'cr0_cd'),
    quirk_cd_nw_cleared: () => bitField(row, 'quirk_cd_nw_cleared'),
    quirk_ignore_guest_pat: () => bitField(row, 'quirk_ignore_guest_pat'),
    self_snoop: () => bitField(row, 'self_snoop'),
    guest_mtrr: () => {
      const type = mtrrTypeOf(numberField(row, 'guest_mtrr'));
      if (type === null) throw new RowError('"guest_mtrr" is not an MTRR type');
      return type;
    },
    host_memtype: () => {
      throw new RowError('a released kernel does not look at the host type');
    },
    slot_noncoherent: () => false,
  };
}

function replayLeaf(row: Row, rules: KvmRules): Replayed {
  const inputs = vmxInputs(row);
  const { line, decision } = decide<VmxInputs, EptChoice>(rules.vmx.vmx_get_mt_mask, inputs);
  const leaf = eptLeaf(decision.returns, inputs);
  const got = { spte_bits: eptLeafBits(leaf), memtype: TYPE_CODE[leaf.memtype], ipat: leaf.ipat };
  return compare(row, got, [
    `${rules.vmx.id}, line ${line}: ${decision.when?.text ?? 'otherwise'}`,
    `returns ${leaf.memtype}${leaf.ipat ? ' | IPAT' : ''} (${decision.why})`,
  ]);
}

// ---- kvm_is_mmio_pfn --------------------------------------------------------------------------

function replayMmio(row: Row, mmio: MmioRule): Replayed {
  const inputs: PfnInputs = {
    pfn_valid: () => bitField(row, 'pfn_valid'),
    is_zero_pfn: () => bitField(row, 'is_zero_pfn'),
    page_tail: () => bitField(row, 'page_tail'),
    head_reserved: () => bitField(row, 'head_reserved'),
    page_reserved: () => bitField(row, 'page_reserved'),
    pat_enabled: () => bitField(row, 'pat_enabled'),
    host_memtype: () => wordField(row, 'host_memtype', PAT_TYPES),
    e820_ram: () => bitField(row, 'e820_ram'),
    host_mtrr_not_wb: () => {
      throw new RowError('a released kernel does not look at the host MTRR');
    },
  };
  const { line, decision } = decide(mmio.kvm_is_mmio_pfn, inputs);
  return compare(row, { is_mmio: decision.returns }, [
    `${mmio.id}, line ${line}: ${decision.when?.text ?? 'otherwise'} (${decision.why})`,
  ]);
}

// ---- guest MTRRs ------------------------------------------------------------------------------

function hex(value: unknown, field: string): U64 {
  const parsed = typeof value === 'string' ? u64FromHex(value) : null;
  if (parsed === null) throw new RowError(`"${field}" must be a hexadecimal string`);
  return parsed;
}

function gfnOf(item: Row): number {
  const gfn = Number(stringField(item, 'gfn'));
  if (!Number.isSafeInteger(gfn))
    throw new RowError('"gfn" must be a hexadecimal string below 2^53');
  return gfn;
}

function replayGuestMtrr(row: Row, rules: KvmRules): Replayed {
  if (rules.guestMtrr === null) throw new RowError('this kernel does not evaluate guest MTRRs');
  const mtrrs = compileGuestMtrrs(rules.guestMtrr, {
    maxphyaddr: numberField(row, 'maxphyaddr'),
    cpuidMtrr: bitField(row, 'cpuid_mtrr'),
    defType: hex(row['def_type'], 'def_type').lo,
    fixed: arrayField(row, 'fixed').map((v) => hex(v, 'fixed')),
    variable: arrayField(row, 'var').map((pair) => {
      const [base, mask] = Array.isArray(pair) ? pair : [];
      return { base: hex(base, 'var'), mask: hex(mask, 'var') };
    }),
  });
  const steps: string[] = [];
  const queries = arrayField(row, 'queries').map((q) => {
    const gfn = gfnOf(q as Row);
    const { type, by, items } = mtrrs.lookup(gfn);
    steps.push(
      `gfn 0x${gfn.toString(16)}: ${type ?? 'undefined'} by ${by} of [${items.join(' ')}]`,
    );
    return { gfn: (q as Row)['gfn'], type: type === null ? 'undefined' : guestMtrrCode(type) };
  });
  if (row['ranges'] === undefined) return compare(row, { queries }, steps);
  const ranges = arrayField(row, 'ranges').map((r) => {
    const item = r as Row;
    const consistent = mtrrs.consistent(gfnOf(item), numberField(item, 'npages'));
    return {
      gfn: item['gfn'],
      npages: item['npages'],
      consistent: consistent === null ? 'undefined' : Number(consistent),
    };
  });
  return compare(row, { queries, ranges }, steps);
}

// ---- quirks and validity ----------------------------------------------------------------------

const CAPS = { KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2 } as const;

function replayQuirks(row: Row): Replayed {
  const cap = CAPS[wordField(row, 'cap', ['KVM_CAP_DISABLE_QUIRKS', 'KVM_CAP_DISABLE_QUIRKS2'])];
  const caps = quirkCaps({
    vendor: wordField(row, 'vendor', ['intel', 'amd']),
    tdpEnabled: bitField(row, 'tdp_enabled'),
    selfSnoop: bitField(row, 'self_snoop'),
    valid: QUIRKS_6_16,
  });
  const born = disabledAtCreation(caps, bitField(row, 'vm_type_tdx'));
  const { ret, disabled } = enableCap(cap, caps, born, numberField(row, 'arg0'));
  const ignores = hasQuirk(disabled, QUIRK.IGNORE_GUEST_PAT);
  return compare(
    row,
    {
      check_extension_quirks2: caps.supported,
      enable_cap_ret: ret,
      disabled_quirks: disabled,
      has_quirk_ignore_guest_pat: ignores,
      has_quirk_cd_nw_cleared: hasQuirk(disabled, QUIRK.CD_NW_CLEARED),
      ignore_guest_pat_predicate: ignores && !bitField(row, 'noncoherent_dma'),
      zap_on_noncoherent_toggle: ignores,
    },
    [
      `supported ${caps.supported}, inapplicable ${caps.inapplicable}, disabled at creation ${born}`,
    ],
  );
}

function replayValidity(row: Row): Replayed {
  const pat = isValidPatByte(numberField(row, 'pat_byte'));
  return compare(row, {
    kvm_pat_valid: pat,
    valid_pat_type: pat,
    valid_mtrr_type: mtrrTypeOf(numberField(row, 'mtrr_type_byte')) !== null,
  });
}
