import { assert } from '../../base/assert.ts';
import { u64 } from '../../base/u64.ts';
import { walkSettings } from './access.ts';
import { ACC } from './error-code.ts';
import type { ShadowRole } from './shadow-page.ts';
import { ACC_READ } from './spte-maker.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';
import type { WalkSettings } from './walk-format.ts';

/** What a vCPU is paged by: the role of its root, and how tables of the guest are read. */
export interface Paging {
  readonly rootRole: ShadowRole;
  readonly settings: WalkSettings;
  /** CR3, nCR3 or EPTP; 0 of direct roots. */
  readonly pgd: number;
}

/** What all roles of a VM have in common. */
export function baseRole(vm: Vm, smm: boolean): ShadowRole {
  return {
    direct: false,
    level: 4,
    access: vm.sptes.accessAll,
    has4ByteGpte: false,
    quadrant: 0,
    // KVM runs the CPU with EFER.NX, and under EPT or NPT there is no other way.
    efer_nx: true,
    adDisabled: false,
    smm,
    guestMode: false,
    cr0Wp: true,
    smepAndnotWp: false,
    smapAndnotWp: false,
    patIndex: 0,
  };
}

/** Shadow paging of a guest in long mode: kvm_init_shadow_mmu(). */
export function shadowPaging(vm: Vm, vcpu: Vcpu): Paging {
  const settings = walkSettings(vm, vcpu);
  assert(settings !== null, 'shadow paging of a guest that has no paging');
  const { wp, smep, smap } = settings;
  const rootRole: ShadowRole = {
    ...baseRole(vm, vcpu.registers.smm),
    level: settings.levels,
    cr0Wp: wp,
    smepAndnotWp: smep && !wp,
    smapAndnotWp: smap && !wp,
  };
  return { rootRole, settings, pgd: vcpu.registers.cr3 };
}

/** No table of the guest is read where all pages are direct. */
const UNUSED: WalkSettings = {
  format: 'long',
  levels: 4,
  root: u64(0, 0),
  nx: true,
  wp: true,
  smep: false,
  smap: false,
  ac: false,
  pcide: false,
  accessedDirty: true,
  physicalBits: 52,
  gbPages: true,
  executeOnly: false,
};

/** EPT or NPT without the TDP MMU: kvm_calc_tdp_mmu_root_page_role(). */
export function directPaging(vm: Vm, vcpu: Vcpu): Paging {
  const rootRole: ShadowRole = {
    ...baseRole(vm, vcpu.registers.smm),
    direct: true,
    level: vm.config.tdpLevels,
    adDisabled: !vm.config.adBits,
  };
  return { rootRole, settings: UNUSED, pgd: 0 };
}

/**
 * ACC bits of a walk as roles have them: from 7.2 on R has a bit of its own, and U of an EPT entry stands for
 * execution by user code.
 */
export function roleAccess(vm: Vm, { format }: WalkSettings, access: number): number {
  if ((vm.sptes.accessAll & ACC_READ) === 0) return access;
  if (format === 'long') return access | ACC_READ;
  const kept = access & (ACC.WRITE | ACC.EXEC);
  const user = (access & ACC.EXEC) === 0 ? 0 : ACC.USER;
  return kept | user | ((access & ACC.USER) === 0 ? 0 : ACC_READ);
}
