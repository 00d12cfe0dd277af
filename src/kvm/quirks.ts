import { rule } from '../cite/rule.ts';
import type { Vendor } from '../x86/types.ts';

/** KVM_X86_QUIRK_* by bit number (uapi). */
export const QUIRK = {
  LINT0_REENABLED: 1 << 0,
  CD_NW_CLEARED: 1 << 1,
  LAPIC_MMIO_HOLE: 1 << 2,
  OUT_7E_INC_RIP: 1 << 3,
  MISC_ENABLE_NO_MWAIT: 1 << 4,
  FIX_HYPERCALL_INSN: 1 << 5,
  MWAIT_NEVER_UD_FAULTS: 1 << 6,
  SLOT_ZAP_ALL: 1 << 7,
  STUFF_FEATURE_MSRS: 1 << 8,
  IGNORE_GUEST_PAT: 1 << 9,
  VMCS12_ALLOW_FREEZE_IN_SMM: 1 << 10,
  NESTED_SVM_SHARED_PAT: 1 << 11,
} as const;

/** KVM_CAP_DISABLE_QUIRKS: unknown bits are ignored. */
export const KVM_CAP_DISABLE_QUIRKS = 116;
/** KVM_CAP_DISABLE_QUIRKS2: unknown bits are refused; CHECK_EXTENSION gives the supported ones. */
export const KVM_CAP_DISABLE_QUIRKS2 = 213;

const EINVAL = 22;

rule({
  id: 'kvm/quirks',
  room: 'kvm',
  title: 'Which quirks can be disabled, and which are in force (6.16, 6.12.78)',
  text:
    'IGNORE_GUEST_PAT and CD_NW_CLEARED start as inapplicable: supported, and born disabled. VMX makes ' +
    'IGNORE_GUEST_PAT applicable, and takes it out of the supported set on a CPU without self-snoop; SVM ' +
    'makes CD_NW_CLEARED applicable. Without EPT or NPT, IGNORE_GUEST_PAT is not supported. A TDX VM has ' +
    'it disabled. KVM_ENABLE_CAP(DISABLE_QUIRKS2) refuses what is not supported with -EINVAL; nothing is ' +
    'ever re-enabled; disabling zaps nothing, so it must come before memory is touched.',
  sources: ['kvm/x86.c-quirks', 'kvm/bd7d5362b4c4', 'kvm/c9c1e20b4c7d'],
});

export interface QuirkHost {
  readonly vendor: Vendor;
  /** EPT or NPT is on. */
  readonly tdpEnabled: boolean;
  /** X86_FEATURE_SELFSNOOP after errata. */
  readonly selfSnoop: boolean;
  /** All quirk bits this kernel knows. */
  readonly valid: number;
}

/** The valid quirks of 6.16 and 6.12.78: bits 0 to 9. */
export const QUIRKS_6_16 = 0x3ff;

export interface QuirkCaps {
  /** What CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2) answers. */
  readonly supported: number;
  /** Supported, but disabled from birth because they mean nothing on this host. */
  readonly inapplicable: number;
}

/** The quirk words of a host with 6.16 or later rules. */
export function quirkCaps({ vendor, tdpEnabled, selfSnoop, valid }: QuirkHost): QuirkCaps {
  let supported = valid;
  let inapplicable = QUIRK.CD_NW_CLEARED | QUIRK.IGNORE_GUEST_PAT;
  if (vendor === 'intel') {
    if (!selfSnoop) supported &= ~QUIRK.IGNORE_GUEST_PAT;
    inapplicable &= ~QUIRK.IGNORE_GUEST_PAT;
  } else {
    inapplicable &= ~QUIRK.CD_NW_CLEARED;
  }
  if (!tdpEnabled) supported &= ~QUIRK.IGNORE_GUEST_PAT;
  return { supported, inapplicable };
}

/** The disabled quirks of a VM just created. */
export function disabledAtCreation(caps: QuirkCaps, tdx: boolean): number {
  return (caps.inapplicable & caps.supported) | (tdx ? QUIRK.IGNORE_GUEST_PAT : 0);
}

export interface EnableCapResult {
  /** 0 or -EINVAL. */
  readonly ret: number;
  readonly disabled: number;
}

/** KVM_ENABLE_CAP(DISABLE_QUIRKS or DISABLE_QUIRKS2) on a VM. */
export function enableCap(
  cap: typeof KVM_CAP_DISABLE_QUIRKS | typeof KVM_CAP_DISABLE_QUIRKS2,
  caps: QuirkCaps,
  disabled: number,
  mask: number,
): EnableCapResult {
  const refused = cap === KVM_CAP_DISABLE_QUIRKS2 && (mask & ~caps.supported) !== 0;
  if (refused) return { ret: -EINVAL, disabled };
  return { ret: 0, disabled: disabled | (mask & caps.supported) };
}

/** kvm_check_has_quirk(): in force unless disabled. */
export function hasQuirk(disabled: number, quirk: number): boolean {
  return (disabled & quirk) === 0;
}
