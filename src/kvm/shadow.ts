import { must } from '../base/assert.ts';
import type { SourceId } from '../cite/sources.ts';
import { INTEL_MTRR_X_PAT } from '../x86/combine.ts';
import { PAT_TYPES, type PatType } from '../x86/types.ts';
import { type Condition, type DecisionList, eptTypeOf, otherwise } from './decision.ts';

/** What a shadow PTE could be typed by. KVM looks at none of it. */
export interface ShadowInputs {
  readonly is_mmio: () => boolean;
  readonly noncoherent_dma: () => boolean;
  readonly self_snoop: () => boolean;
  /** The CPU is of AMD. */
  readonly amd: () => boolean;
  readonly slot_host_memtype: () => boolean;
}

/** The type of a shadow PTE, before the host MTRR has its say. */
export interface ShadowChoice {
  /** PAT index 0, which is WB; in proposals the type of the VMM's mapping, or the type the host tracks. */
  readonly host: 'PA0' | 'vmm_mapping' | 'host_memtype';
  /** The guest's PAT type is combined with it, as the CPU combines it with an EPT leaf. */
  readonly guest: boolean;
}

/** How KVM types shadow PTEs. */
export interface ShadowEra {
  readonly id: string;
  readonly kernels: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
  readonly shadow_leaf: DecisionList<ShadowInputs, ShadowChoice>;
}

function input<K extends keyof ShadowInputs>(name: K): Condition<ShadowInputs> {
  return { text: name, holds: (q) => q[name]() };
}

export const shadow = {
  is_mmio: input('is_mmio'),
  noncoherent_dma: input('noncoherent_dma'),
  self_snoop: input('self_snoop'),
  amd: input('amd'),
  slot_host_memtype: input('slot_host_memtype'),
};

/** Every version: see the rule kvm/shadow-leaf. */
export const SHADOW_PA0: ShadowEra = {
  id: 'kvm',
  kernels: 'all kernels',
  sources: ['kvm/make_spte'],
  shadow_leaf: [
    otherwise(
      { host: 'PA0', guest: false },
      'PWT, PCD and PAT are 0; guest PTE cache bits, guest PAT and guest MTRRs are not looked at',
    ),
  ],
};

/**
 * The type of a shadow PTE that has both sides in it: what an EPT leaf of the host's type and the
 * guest's PAT would give. Source: SDM Table 11-7.
 */
export function shadowTypeOf(host: PatType, guest: PatType): PatType {
  return must(
    PAT_TYPES.find((t) => t === INTEL_MTRR_X_PAT.at(eptTypeOf(host), guest)),
    'a PAT type',
  );
}
