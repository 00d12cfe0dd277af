import { slotFor } from '../../linux/pat-layout.ts';
import { patLayout } from '../../x86/pat.ts';
import type { PatType } from '../../x86/types.ts';
import { decide } from '../decision.ts';
import { type ShadowInputs, shadowTypeOf } from '../shadow.ts';
import { ACC } from './error-code.ts';
import { isMmioPfn, leafTypeBits, patIndexBits } from './memory-type.ts';
import { hvaOf, KVM_MEM_HOST_MEMTYPE, type Memslot } from './memslots.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** What a leaf of the shadow MMU is made of. */
export interface ShadowLeaf {
  readonly slot: Memslot;
  /** First gfn and frame of the mapping. */
  readonly gfn: number;
  readonly pfn: number;
  /** ACC_*. */
  readonly access: number;
  readonly hostWritable: boolean;
  /** False: KVM guards a table of the guest in the page. */
  readonly mmuWritable: boolean;
  /** Not for an access of now: A stays clear. */
  readonly prefetch: boolean;
  /** Of the guest's leaf. Kernels do not look at it; proposals may. */
  readonly patIndex: number;
}

/** Leaves depend on the guest's PAT index, so that pages and entries must not be shared across it. */
export function usesGuestPat(vm: Vm): boolean {
  const { paging, rules } = vm.config;
  return paging === 'shadow' && rules.shadow.shadow_leaf.some((branch) => branch.returns.guest);
}

function hostType(vm: Vm, hva: number, pfn: number, from: 'vmm_mapping' | 'host_memtype'): PatType {
  if (from === 'host_memtype') return vm.host.factsOf(pfn).memtype;
  return vm.host.mappingOf(hva)?.vmmType ?? 'WB';
}

/**
 * PWT, PCD and PAT of a shadow leaf: what the shadow rules of this kernel or proposal say.
 * Source: src/kvm/shadow.ts.
 */
function shadowTypeBits(vm: Vm, vcpu: Vcpu, leaf: ShadowLeaf, level: number): number {
  const { config } = vm;
  const inputs: ShadowInputs = {
    is_mmio: () => isMmioPfn(vm, leaf.pfn),
    noncoherent_dma: () => vm.noncoherentDma,
    self_snoop: () => config.selfSnoop,
    amd: () => config.vendor === 'amd',
    slot_host_memtype: () => (leaf.slot.flags & KVM_MEM_HOST_MEMTYPE) !== 0,
  };
  const { host, guest } = decide(config.rules.shadow.shadow_leaf, inputs).decision.returns;
  if ((host === 'PA0' && !guest) || config.hostPat === null) return 0;
  const own = host === 'PA0' ? 'WB' : hostType(vm, hvaOf(leaf.slot, leaf.gfn), leaf.pfn, host);
  const type = guest ? shadowTypeOf(own, guestType(vcpu, leaf.patIndex)) : own;
  return patIndexBits(slotFor(config.hostPat, type), level);
}

function guestType(vcpu: Vcpu, patIndex: number): PatType {
  return patLayout(vcpu.registers.pat)?.[patIndex] ?? 'WB';
}

/** make_spte() for an entry of a page of the shadow MMU. */
export function makeLeaf(
  state: ShadowState,
  vcpu: Vcpu,
  sp: ShadowPage,
  leaf: ShadowLeaf,
): { readonly hi: number; readonly lo: number } {
  const { vm } = state;
  const { slot, gfn, pfn, access, hostWritable, mmuWritable, prefetch } = leaf;
  const { level } = sp;
  const type =
    vm.config.paging === 'shadow'
      ? shadowTypeBits(vm, vcpu, leaf, level)
      : leafTypeBits(vm, vcpu, { slot, gfn, pfn, hva: hvaOf(slot, gfn) }, level);
  const maker = state.maker(sp.role.adDisabled);
  const { hi, lo } = maker.leaf({ pfn, level, access, hostWritable, mmuWritable, prefetch, type });
  return { hi, lo };
}

/** mark_mmio_spte(): an entry that faults at every access, so that KVM emulates it. */
export function markMmio(
  state: ShadowState,
  sp: ShadowPage,
  index: number,
  gfn: number,
  access: number,
): void {
  const generation = state.vm.slots.generation;
  const { hi, lo } = state.maker(sp.role.adDisabled).mmio(gfn, access, generation);
  state.tracer?.markMmio(gfn, lo & ACC.ALL, generation);
  sp.set(index, hi, lo);
}
