import { slotFor } from '../../linux/pat-layout.ts';
import { eptLeafBits } from '../../x86/ept.ts';
import type { MtrrType, PatType } from '../../x86/types.ts';
import { decide, eptLeaf, eptTypeOf, type VmxInputs } from '../decision.ts';
import { compileGuestMtrrs, type GuestMtrrs } from '../guest-mtrr.ts';
import type { PfnInputs } from '../mmio.ts';
import { QUIRK } from '../quirks.ts';
import { type NptLeafChoice, nestedTypeOf } from '../svm.ts';
import type { FrameFacts } from './frames.ts';
import { KVM_MEM_HOST_MEMTYPE, KVM_MEM_NON_COHERENT_DMA, type Memslot } from './memslots.ts';
import { CR0, type Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** A page that is about to be mapped. */
export interface MappedPage {
  readonly slot: Memslot;
  /** First gfn and frame of the mapping, not those of the access. */
  readonly gfn: number;
  readonly pfn: number;
  readonly hva: number;
}

function pfnInputs(vm: Vm, facts: FrameFacts): PfnInputs {
  return {
    pfn_valid: () => facts.pfnValid,
    is_zero_pfn: () => facts.zeroPage,
    page_tail: () => facts.tail,
    head_reserved: () => (facts.tail ? facts.headReserved : facts.reserved),
    page_reserved: () => facts.reserved,
    pat_enabled: () => vm.config.hostPat !== null,
    host_memtype: () => facts.memtype,
    e820_ram: () => facts.e820Ram,
    host_mtrr_not_wb: () => facts.hostMtrr !== 'WB',
  };
}

/** kvm_is_mmio_pfn() of this kernel. */
export function isMmioPfn(vm: Vm, pfn: number): boolean {
  const facts = vm.host.factsOf(pfn);
  const known = vm.mmioFrames.get(facts);
  if (known !== undefined) return known;
  const is = decide(vm.config.rules.mmio.kvm_is_mmio_pfn, pfnInputs(vm, facts)).decision.returns;
  vm.mmioFrames.set(facts, is);
  return is;
}

const COMPILED = new WeakMap<Vcpu['mtrrs'], GuestMtrrs>();

/** The guest's MTRRs as this kernel evaluates them; null: it does not. */
export function guestMtrrs(vm: Vm, vcpu: Vcpu): GuestMtrrs | null {
  const version = vm.config.rules.guestMtrr;
  if (version === null) return null;
  const known = COMPILED.get(vcpu.mtrrs);
  if (known !== undefined) return known;
  const compiled = compileGuestMtrrs(version, vcpu.mtrrs);
  COMPILED.set(vcpu.mtrrs, compiled);
  return compiled;
}

/** Where 4.2 and 4.3 read beside their array the result is undefined: UC is taken. */
function guestMtrrType(vm: Vm, vcpu: Vcpu, gfn: number): MtrrType {
  return guestMtrrs(vm, vcpu)?.typeOf(gfn) ?? 'UC';
}

function vmmType(vm: Vm, hva: number): PatType {
  return vm.host.mappingOf(hva)?.vmmType ?? 'WB';
}

/** What vmx_get_mt_mask() of any era sees for a page. */
export function vmxInputs(vm: Vm, vcpu: Vcpu, page: MappedPage): VmxInputs {
  const facts = vm.host.factsOf(page.pfn);
  return {
    is_mmio: () => isMmioPfn(vm, page.pfn),
    noncoherent_dma: () => vm.noncoherentDma,
    cr0_cd: () => (vcpu.registers.cr0 & CR0.CD) !== 0,
    quirk_cd_nw_cleared: () => vm.hasQuirk(QUIRK.CD_NW_CLEARED),
    quirk_ignore_guest_pat: () => vm.hasQuirk(QUIRK.IGNORE_GUEST_PAT),
    self_snoop: () => vm.config.selfSnoop,
    guest_mtrr: () => guestMtrrType(vm, vcpu, page.gfn),
    host_memtype: () => eptTypeOf(facts.memtype),
    vmm_mapping: () => eptTypeOf(vmmType(vm, page.hva)),
    host_mtrr: () => facts.hostMtrr,
    slot_noncoherent: () => (page.slot.flags & KVM_MEM_NON_COHERENT_DMA) !== 0,
    slot_host_memtype: () => (page.slot.flags & KVM_MEM_HOST_MEMTYPE) !== 0,
    assigned_device: () => vm.assignedDevice,
  };
}

function nptType(vm: Vm, vcpu: Vcpu, page: MappedPage, choice: NptLeafChoice): PatType | null {
  switch (choice) {
    case 'PA0':
    case 'PCD':
      return null;
    case 'guest_mtrr':
      return nestedTypeOf(guestMtrrType(vm, vcpu, page.gfn));
    case 'host_memtype':
      return vm.host.factsOf(page.pfn).memtype;
    case 'vmm_mapping':
      return vmmType(vm, page.hva);
  }
}

/** PWT, PCD and PAT of an index into the host's PAT. */
export function patIndexBits(index: number, level: number): number {
  return ((index & 3) << 3) | ((index & 4) === 0 ? 0 : level === 1 ? 1 << 7 : 1 << 12);
}

/** All that the conditions of vmx_get_mt_mask() look at, but the frame. */
function vmxState(vm: Vm, vcpu: Vcpu, slot: Memslot): number {
  return (
    (vm.noncoherentDma ? 1 : 0) |
    ((vcpu.registers.cr0 & CR0.CD) === 0 ? 0 : 2) |
    (vm.hasQuirk(QUIRK.CD_NW_CLEARED) ? 4 : 0) |
    (vm.hasQuirk(QUIRK.IGNORE_GUEST_PAT) ? 8 : 0) |
    (vm.assignedDevice ? 16 : 0) |
    (slot.flags & (KVM_MEM_HOST_MEMTYPE | KVM_MEM_NON_COHERENT_DMA))
  );
}

/** What the last fault of a VM was answered: the next is likely to be alike. */
interface LastType {
  readonly facts: FrameFacts;
  readonly state: number;
  readonly bits: number;
}

const LAST = new WeakMap<Vm, LastType>();

function eptTypeBits(vm: Vm, vcpu: Vcpu, page: MappedPage): number {
  const facts = vm.host.factsOf(page.pfn);
  const state = vmxState(vm, vcpu, page.slot);
  const last = LAST.get(vm);
  if (last !== undefined && last.facts === facts && last.state === state) return last.bits;
  const inputs = vmxInputs(vm, vcpu, page);
  const choice = decide(vm.config.rules.vmx.vmx_get_mt_mask, inputs).decision.returns;
  const bits = eptLeafBits(eptLeaf(choice, inputs));
  const isOfPage = choice.memtype === 'guest_mtrr' || choice.memtype === 'vmm_mapping';
  if (!isOfPage) LAST.set(vm, { facts, state, bits });
  return bits;
}

/** The low word of the bits that say the memory type in a leaf of EPT or NPT: the get_mt_mask() hook. */
export function leafTypeBits(vm: Vm, vcpu: Vcpu, page: MappedPage, level: number): number {
  const { rules, paging, hostPat } = vm.config;
  if (paging === 'ept') return eptTypeBits(vm, vcpu, page);
  const choice = decide(rules.svm.npt_leaf, {
    is_mmio: () => isMmioPfn(vm, page.pfn),
    assigned_device: () => vm.assignedDevice,
    slot_host_memtype: () => (page.slot.flags & KVM_MEM_HOST_MEMTYPE) !== 0,
  }).decision.returns;
  if (choice === 'PCD') return patIndexBits(2, level);
  const type = nptType(vm, vcpu, page, choice);
  return type === null || hostPat === null ? 0 : patIndexBits(slotFor(hostPat, type), level);
}
