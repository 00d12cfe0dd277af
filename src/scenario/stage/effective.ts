import { must } from '../../base/assert.ts';
import type { U64 } from '../../base/u64.ts';
import { decide } from '../../kvm/decision.ts';
import type { KvmRules, PagingMode } from '../../kvm/rules.ts';
import { LINUX_PAT } from '../../linux/pat-layout.ts';
import type { AccessType } from '../../machine/types.ts';
import { combineMtrrPat, type UcOrigin } from '../../x86/combine.ts';
import { eptEffective, eptLeafOf } from '../../x86/ept.ts';
import { nptEffective } from '../../x86/npt.ts';
import { PAT_RESET, type PatLayout, patIndex, patLayout } from '../../x86/pat.ts';
import type { EffectiveType, MtrrType, PatType, Vendor } from '../../x86/types.ts';

/** What the CPU has before it when the guest accesses a page. */
export interface GuestAccess {
  readonly paging: PagingMode;
  readonly vendor: Vendor;
  readonly rules: KvmRules;
  /** KVM's entry for the page, and its level: 1 is 4 KiB. */
  readonly spte: U64;
  readonly level: number;
  /** PAT index of the guest's own leaf. */
  readonly index: number;
  /** IA32_PAT of the guest. */
  readonly guestPat: PatLayout;
  readonly hostMtrr: MtrrType;
  /** CR0.CD as the hardware has it while the guest runs. */
  readonly liveCd: boolean;
  /** Asked by the SVM rules of 4.2 only. */
  readonly assignedDevice: boolean;
  readonly isMmio: () => boolean;
}

export interface Typed {
  readonly type: EffectiveType;
  readonly ucOrigin: UcOrigin | null;
  /** What KVM's leaf says, in words. */
  readonly leaf: string;
}

const HOST_PAT = LINUX_PAT['wt-wp'];
const RESET = must(patLayout(PAT_RESET), 'reset value of the PAT');
const ALL_WB: PatLayout = ['WB', 'WB', 'WB', 'WB', 'WB', 'WB', 'WB', 'WB'];

function at(layout: PatLayout, index: number): PatType {
  return must(layout[index], 'PAT index');
}

function underEpt(a: GuestAccess): Typed {
  const leaf = must(eptLeafOf(a.spte.lo), 'an EPT leaf of a memory type');
  // Before 2.6.29 the guest ran with the PAT MSR of the host.
  const pat = at(a.rules.vmxLoadsGuestPat ? a.guestPat : LINUX_PAT.wc, a.index);
  const { type, ucOrigin } = eptEffective({ liveCr0Cd: a.liveCd, cr0Pg: true, leaf, pat });
  return { type, ucOrigin, leaf: `EPT ${leaf.memtype}${leaf.ipat ? '+IPAT' : ', IPAT=0'}` };
}

function underNpt(a: GuestAccess): Typed {
  const hostPat = at(HOST_PAT, patIndex(a.spte.lo, a.level > 1));
  const g_pat = decide(a.rules.svm.g_pat, {
    is_mmio: a.isMmio,
    assigned_device: () => a.assignedDevice,
    slot_host_memtype: () => false,
  }).decision.returns;
  const layout = { reset: RESET, 'all-wb': ALL_WB, guest: a.guestPat }[g_pat];
  const { type } = nptEffective({
    cr0Cd: a.liveCd,
    cr0Pg: true,
    guestPat: at(layout, a.index),
    hostPat,
    hostMtrr: a.hostMtrr,
  });
  return { type, ucOrigin: type === 'UC' ? 'mtrr' : null, leaf: `nested PTE ${hostPat}` };
}

function underShadow(a: GuestAccess): Typed {
  const pte = at(HOST_PAT, patIndex(a.spte.lo, a.level > 1));
  const leaf = `shadow PTE ${pte}`;
  if (a.liveCd) return { type: 'CD', ucOrigin: 'cd', leaf };
  const { type, ucOrigin } = combineMtrrPat(a.vendor, a.hostMtrr, pte);
  return { type, ucOrigin, leaf };
}

/** The type of an access, from what stands in the page tables: as the CPU combines it. */
export function guestAccessType(access: GuestAccess): Typed {
  if (access.paging === 'ept') return underEpt(access);
  return access.paging === 'npt' ? underNpt(access) : underShadow(access);
}

/** UC by the page tables and UC by the MTRR or EPT leaf are two types to the machine. */
export function machineType({ type, ucOrigin }: Pick<Typed, 'type' | 'ucOrigin'>): AccessType {
  if (type !== 'UC') return type;
  return ucOrigin === 'page' ? 'UC' : 'UCM';
}

/** The type of an access by the VMM, through its own page tables. */
export function vmmAccessType(vendor: Vendor, hostMtrr: MtrrType, mapped: PatType): AccessType {
  return machineType(combineMtrrPat(vendor, hostMtrr, mapped));
}

/** The type as the manuals name it. */
export function effectiveOf(type: AccessType): EffectiveType {
  return type === 'UCM' ? 'UC' : type;
}
