import { must } from '../base/assert.ts';
import { decide, type EptChoice, eptLeaf, eptTypeOf, type VmxInputs } from '../kvm/decision.ts';
import type { PfnInputs } from '../kvm/mmio.ts';
import type { KvmRules } from '../kvm/rules.ts';
import {
  decodedByHost,
  decodedByReset,
  type GuestPatChoice,
  type NptLeafChoice,
  nestedTypeOf,
} from '../kvm/svm.ts';
import { eptLeafBits } from '../x86/ept.ts';
import { EFFECTIVE_CODE, eptCode, NATIVE, nptCode } from '../x86/fast.ts';
import { type PatType, TYPE_CODE, type Vendor } from '../x86/types.ts';
import type { ReadInput, SweepWay } from './space.ts';

function isMmio(rules: KvmRules, read: ReadInput): boolean {
  const reserved = (): boolean => read('page-reserved');
  const tail = (): boolean => read('compound') !== 'no';
  const inputs: PfnInputs = {
    pfn_valid: () => read('pfn-valid'),
    is_zero_pfn: () => read('zero-page'),
    page_tail: tail,
    head_reserved: () => (tail() ? read('compound') === 'tail of a reserved head' : reserved()),
    page_reserved: reserved,
    pat_enabled: () => read('host-pat'),
    host_memtype: () => read('host-memtype'),
    e820_ram: () => read('e820-ram'),
    host_mtrr_not_wb: () => read('host-mtrr') !== 'WB',
  };
  return decide(rules.mmio.kvm_is_mmio_pfn, inputs).decision.returns;
}

/** Before 2.6.29 VMX ran the guest with the host's PAT. */
function livePat(rules: KvmRules, read: ReadInput): PatType {
  const type = read('guest');
  return rules.vmxLoadsGuestPat ? type : decodedByHost(type, read('guest-layout'));
}

function underEpt(rules: KvmRules, read: ReadInput): number {
  const inputs: VmxInputs = {
    is_mmio: () => isMmio(rules, read),
    noncoherent_dma: () => read('noncoherent-dma'),
    cr0_cd: () => read('cr0-cd'),
    quirk_cd_nw_cleared: () => read('quirk-cd-nw-cleared') === 'on',
    // KVM refuses to disable it on a CPU without self-snoop.
    quirk_ignore_guest_pat: () => read('quirk-ignore-guest-pat') === 'on' || !read('self-snoop'),
    self_snoop: () => read('self-snoop'),
    guest_mtrr: () => read('guest-mtrr'),
    host_memtype: () => eptTypeOf(read('host-memtype')),
    host_mtrr: () => read('host-mtrr'),
    slot_noncoherent: () => read('slot-noncoherent'),
  };
  const { decision } = decide<VmxInputs, EptChoice>(rules.vmx.vmx_get_mt_mask, inputs);
  const leaf = eptLeaf(decision.returns, inputs);
  return eptCode(eptLeafBits(leaf), TYPE_CODE[leaf.ipat ? 'WB' : livePat(rules, read)]);
}

/** CR0.CD of an AMD guest reaches the hardware only without the quirk. */
function liveCd(rules: KvmRules, read: ReadInput): boolean {
  return rules.hasCdQuirk && read('cr0-cd') && read('quirk-cd-nw-cleared') === 'off';
}

function nestedType(choice: NptLeafChoice, read: ReadInput): PatType {
  if (choice === 'PA0') return 'WB';
  if (choice === 'host_memtype') return read('host-memtype');
  return nestedTypeOf(read('guest-mtrr'));
}

/** The guest's type as the hardware decodes it. */
function decodedType(gPat: GuestPatChoice, read: ReadInput): PatType {
  if (gPat === 'all-wb') return 'WB';
  const type = read('guest');
  if (gPat === 'guest' || read('guest-layout') === 'reset') return type;
  return decodedByReset(type);
}

function underNpt(rules: KvmRules, read: ReadInput): number {
  const inputs = {
    is_mmio: () => isMmio(rules, read),
    assigned_device: () => read('assigned-device'),
  };
  const host = nestedType(decide(rules.svm.npt_leaf, inputs).decision.returns, read);
  const guest = decodedType(decide(rules.svm.g_pat, inputs).decision.returns, read);
  if (liveCd(rules, read)) return EFFECTIVE_CODE.CD;
  return nptCode(TYPE_CODE[guest], TYPE_CODE[host], TYPE_CODE[read('host-mtrr')]);
}

function underShadow(vendor: Vendor, rules: KvmRules, read: ReadInput): number {
  const host = rules.shadowLeaf === 'PA0' ? 'WB' : read('host-memtype');
  if (vendor === 'amd' && liveCd(rules, read)) return EFFECTIVE_CODE.CD;
  const mtrr = TYPE_CODE[read('host-mtrr')];
  return must(NATIVE[vendor][(mtrr << 3) | TYPE_CODE[host]], 'MTRR x PAT');
}

export const WAYS: Readonly<Record<SweepWay, (rules: KvmRules, read: ReadInput) => number>> = {
  ept: underEpt,
  npt: underNpt,
  'shadow-intel': (rules, read) => underShadow('intel', rules, read),
  'shadow-amd': (rules, read) => underShadow('amd', rules, read),
};
