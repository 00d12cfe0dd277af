import type { SourceId } from '../cite/sources.ts';
import type { FactValues } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { decide, type EptChoice, eptLeaf, eptTypeOf, type VmxInputs } from '../kvm/decision.ts';
import { SHADOW_PA0, type ShadowChoice, type ShadowInputs, shadowTypeOf } from '../kvm/shadow.ts';
import { decodedByHost, decodedByReset, type NptLeafChoice, nestedTypeOf } from '../kvm/svm.ts';
import { combineMtrrPat, type UcOrigin } from '../x86/combine.ts';
import { type EptLeaf, eptEffective } from '../x86/ept.ts';
import { type NptResult, nptEffective } from '../x86/npt.ts';
import type { EffectiveType, PatType, Vendor } from '../x86/types.ts';
import type { Scene } from './scene.ts';
import { inTdx, quirkAsked, slotFlag } from './vmm.ts';

/** What KVM put into its own page tables. */
export type KvmLeaf =
  | {
      readonly paging: 'ept';
      readonly ept: EptLeaf;
      /** The memory type is the guest's MTRR type. */
      readonly fromGuestMtrr: boolean;
      /** Why KVM chose it, in words. */
      readonly why: string;
    }
  | {
      readonly paging: 'npt';
      readonly hostPat: PatType;
      readonly gPat: 'reset' | 'all-wb' | 'guest';
    }
  | {
      readonly paging: 'shadow';
      readonly hostPat: PatType;
      /** The guest's type is part of it: proposals only. */
      readonly withGuestPat: boolean;
    };

export interface Effective {
  readonly type: EffectiveType;
  readonly ucOrigin: UcOrigin | null;
  readonly leaf: KvmLeaf;
  /** The guest's own PAT had a say in the result. */
  readonly guestPatHonoured: boolean;
}

/** The type the access ends up with, and what KVM installed for it. */
export function effective(scene: Scene, paging: FactValues['paging'], vendor: Vendor): Effective {
  switch (paging) {
    case 'ept':
      return underEpt(scene);
    case 'npt':
      return underNpt(scene);
    case 'shadow':
      return underShadow(scene, vendor);
  }
}

// ---- Intel, EPT -------------------------------------------------------------------------------

/**
 * The quirk in force? A VMM may ask to disable it, but KVM refuses on a CPU without self-snoop. When
 * it is said to be off, the CPU must have self-snoop.
 */
function ignoreGuestPat(scene: Scene): boolean {
  const { inquiry, steps, quirkOffered } = scene;
  if (inTdx(scene)) return false;
  if (quirkAsked(scene) === 'on') return true;
  if (quirkOffered === false) {
    steps.add(
      'vmm',
      'kvm/quirks',
      { 'disable IGNORE_GUEST_PAT': 'asked', 'bit 9 of the capability': 'clear' },
      'refused (-EINVAL): still in force',
      'kvm/x86.c-quirks',
    );
    return true;
  }
  const selfSnoop = inquiry.imply('self-snoop', true, 'the quirk could not be disabled otherwise');
  steps.add(
    'vmm',
    'kvm/quirks',
    { 'disable IGNORE_GUEST_PAT': 'asked', 'self-snoop': selfSnoop ? 'yes' : 'no' },
    selfSnoop ? 'disabled' : 'refused (-EINVAL): still in force',
    'kvm/x86.c-quirks',
  );
  return !selfSnoop;
}

function vmxInputs(scene: Scene, seen: Record<string, string>): VmxInputs {
  const { inquiry, rules, page, guest } = scene;
  const bit = (name: string, value: boolean): boolean => {
    seen[name] = value ? '1' : '0';
    return value;
  };
  const type = <T extends string>(name: string, value: T): T => {
    seen[name] = value;
    return value;
  };
  return {
    is_mmio: () => bit('is_mmio', page.isMmio(rules)),
    noncoherent_dma: () => bit('noncoherent_dma', inquiry.ask('noncoherent-dma')),
    cr0_cd: () => bit('cr0_cd', inquiry.ask('cr0-cd')),
    quirk_cd_nw_cleared: () =>
      bit('quirk_cd_nw_cleared', inquiry.ask('quirk-cd-nw-cleared') === 'on'),
    quirk_ignore_guest_pat: () => bit('quirk_ignore_guest_pat', ignoreGuestPat(scene)),
    self_snoop: () => bit('self_snoop', inquiry.ask('self-snoop')),
    guest_mtrr: () => type('guest_mtrr', guest.mtrr()),
    host_memtype: () => type('host_memtype', eptTypeOf(page.fact('host-memtype'))),
    vmm_mapping: () => type('vmm_mapping', eptTypeOf(page.fact('vmm-mapping'))),
    host_mtrr: () => type('host_mtrr', page.fact('host-mtrr')),
    slot_noncoherent: () => bit('slot_noncoherent', slotFlag(scene)),
    slot_host_memtype: () => bit('slot_host_memtype', inquiry.ask('slot-host-memtype')),
    assigned_device: () => bit('assigned_device', assignedDevice(inquiry)),
  };
}

function eptWords(leaf: EptLeaf): string {
  return `EPT ${leaf.memtype}${leaf.ipat ? '+IPAT' : ', IPAT=0'}`;
}

/** The guest's type, or before 2.6.29 what its index means in the host's PAT. */
function livePat({ inquiry, rules, guest }: Scene): PatType {
  const type = guest.type();
  return rules.vmxLoadsGuestPat ? type : decodedByHost(type, inquiry.ask('guest-layout'));
}

function underEpt(scene: Scene): Effective {
  const { rules, steps } = scene;
  const seen: Record<string, string> = {};
  const inputs = vmxInputs(scene, seen);
  const { line, decision } = decide<VmxInputs, EptChoice>(rules.vmx.vmx_get_mt_mask, inputs);
  const leaf = eptLeaf(decision.returns, inputs);
  steps.add(
    'kvm',
    `vmx_get_mt_mask/${rules.vmx.id}:${line}`,
    seen,
    eptWords(leaf),
    decision.source ?? rules.vmx.sources[0],
    decision.why,
  );
  const pat = leaf.ipat ? 'WB' : livePat(scene);
  const result = eptEffective({ liveCr0Cd: false, cr0Pg: true, leaf, pat });
  steps.add(
    'cpu',
    'x86/ept-combine',
    leaf.ipat ? { leaf: eptWords(leaf) } : { leaf: eptWords(leaf), 'guest PAT': pat },
    result.type,
    leaf.ipat ? 'sdm/ept-types' : 'sdm/t11-7',
    leaf.ipat ? 'IPAT=1: the type of the leaf alone' : 'the leaf in the place of the MTRR',
  );
  return {
    type: result.type,
    ucOrigin: result.ucOrigin,
    leaf: {
      paging: 'ept',
      ept: leaf,
      fromGuestMtrr: decision.returns.memtype === 'guest_mtrr',
      why: decision.why,
    },
    guestPatHonoured: !leaf.ipat,
  };
}

// ---- AMD, NPT ---------------------------------------------------------------------------------

function nptLeaf(scene: Scene, choice: NptLeafChoice): PatType {
  switch (choice) {
    case 'PA0':
      return 'WB';
    case 'guest_mtrr':
      return nestedTypeOf(scene.guest.mtrr());
    case 'host_memtype':
      return scene.page.fact('host-memtype');
    case 'vmm_mapping':
      return scene.page.fact('vmm-mapping');
    case 'PCD':
      return 'UC-';
  }
}

/** The type that the hardware decodes from the guest's PTE. */
function guestPatInHardware(scene: Scene, gPat: 'reset' | 'all-wb' | 'guest'): PatType {
  if (gPat === 'all-wb') return 'WB';
  const type = scene.guest.type();
  if (gPat === 'guest' || scene.inquiry.ask('guest-layout') === 'reset') return type;
  return decodedByReset(type);
}

/** The guest's CR0.CD reaches AMD hardware only without KVM_X86_QUIRK_CD_NW_CLEARED. */
function liveCdOnAmd({ inquiry, rules }: Scene): boolean {
  return rules.hasCdQuirk && inquiry.ask('cr0-cd') && inquiry.ask('quirk-cd-nw-cleared') === 'off';
}

/** A VM said to have non-coherent DMA has a device behind it. */
function assignedDevice(inquiry: Inquiry): boolean {
  if (!inquiry.isGiven('noncoherent-dma') || !inquiry.ask('noncoherent-dma')) {
    return inquiry.ask('assigned-device');
  }
  return inquiry.imply('assigned-device', true, 'non-coherent DMA comes from a device');
}

/** Which of the two tables decided, or CR0.CD. */
function nptSource({ type, combined, by }: NptResult): SourceId {
  if (by === 'CR0.CD') return 'apm/npt-cd';
  return type === combined ? 'apm/t15-19' : 'apm/t15-20';
}

function underNpt(scene: Scene): Effective {
  const { inquiry, rules, page, steps } = scene;
  const inputs = {
    is_mmio: () => page.isMmio(rules),
    assigned_device: () => assignedDevice(inquiry),
    slot_host_memtype: () => inquiry.ask('slot-host-memtype'),
  };
  const { svm } = rules;
  const leaf = decide(svm.npt_leaf, inputs);
  const hostPat = nptLeaf(scene, leaf.decision.returns);
  const nested = `nested PTE ${hostPat}`;
  steps.add(
    'kvm',
    `svm_npt_leaf/${svm.id}:${leaf.line}`,
    {},
    nested,
    svm.sources[0],
    leaf.decision.why,
  );
  const gPat = decide(svm.g_pat, inputs);
  const { returns, why } = gPat.decision;
  const guestPat = guestPatInHardware(scene, returns);
  const gPatWords = { g_pat: returns };
  steps.add(
    'kvm',
    `svm_g_pat/${svm.id}:${gPat.line}`,
    gPatWords,
    `guest PAT ${guestPat}`,
    svm.sources[0],
    why,
  );
  const cr0Cd = liveCdOnAmd(scene);
  const hostMtrr = page.fact('host-mtrr');
  const result = nptEffective({ cr0Cd, cr0Pg: true, guestPat, hostPat, hostMtrr });
  steps.add(
    'cpu',
    'x86/npt-combine',
    {
      'guest PAT': guestPat,
      'host PAT': hostPat,
      'host MTRR': hostMtrr,
      'CR0.CD': cr0Cd ? '1' : '0',
    },
    result.type,
    nptSource(result),
    cr0Cd ? 'CR0.CD of the guest is live' : `guest PAT x host PAT gives ${result.combined}`,
  );
  const ucOrigin =
    result.type === 'UC' ? 'mtrr' : result.type === 'CD' ? (cr0Cd ? 'cd' : 'page') : null;
  return {
    type: result.type,
    ucOrigin,
    leaf: { paging: 'npt', hostPat, gPat: returns },
    guestPatHonoured: returns === 'guest',
  };
}

// ---- shadow paging ----------------------------------------------------------------------------

function shadowInputs({ inquiry, page, rules }: Scene, vendor: Vendor): ShadowInputs {
  return {
    is_mmio: () => page.isMmio(rules),
    noncoherent_dma: () => inquiry.ask('noncoherent-dma'),
    self_snoop: () => inquiry.ask('self-snoop'),
    amd: () => vendor === 'amd',
    slot_host_memtype: () => inquiry.ask('slot-host-memtype'),
  };
}

/** The PAT type of the shadow PTE. */
function shadowPte({ page, guest }: Scene, choice: ShadowChoice): PatType {
  if (choice.host === 'PA0') return 'WB';
  const host = page.fact(choice.host === 'vmm_mapping' ? 'vmm-mapping' : 'host-memtype');
  return choice.guest ? shadowTypeOf(host, guest.type()) : host;
}

function underShadow(scene: Scene, vendor: Vendor): Effective {
  const { rules, page, steps } = scene;
  const { shadow } = rules;
  const { line, decision } = decide(shadow.shadow_leaf, shadowInputs(scene, vendor));
  const hostPat = shadowPte(scene, decision.returns);
  steps.add(
    'kvm',
    shadow === SHADOW_PA0 ? 'kvm/shadow-leaf' : `shadow_leaf/${shadow.id}:${line}`,
    {},
    `shadow PTE ${hostPat}`,
    decision.source ?? shadow.sources[0],
    decision.why,
  );
  const cd = vendor === 'amd' && liveCdOnAmd(scene);
  const hostMtrr = page.fact('host-mtrr');
  const combined = combineMtrrPat(vendor, hostMtrr, hostPat);
  const type = cd ? 'CD' : combined.type;
  steps.add(
    'cpu',
    `x86/mtrr-x-pat-${vendor}`,
    { 'host MTRR': hostMtrr, 'host PAT': hostPat },
    type,
    vendor === 'intel' ? 'sdm/t11-7' : 'apm/t7-11',
  );
  return {
    type,
    ucOrigin: cd ? 'cd' : combined.ucOrigin,
    leaf: { paging: 'shadow', hostPat, withGuestPat: decision.returns.guest },
    guestPatHonoured: decision.returns.guest,
  };
}
