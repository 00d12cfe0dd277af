import { compareVersions, parseKernelVersion } from '../../linux/version.ts';
import { type AccessOutcome, access } from './access.ts';
import type { AccessKind } from './error-code.ts';
import type { HostMemory } from './host-memory.ts';
import type { Mmu } from './mmu.ts';
import { shadowAccess } from './shadow-access.ts';
import { ShadowMmu } from './shadow-mmu.ts';
import { directPaging, shadowPaging } from './shadow-paging.ts';
import { TdpMmu } from './tdp-mmu.ts';
import type { Vcpu } from './vcpu.ts';
import { Vm, type VmConfig } from './vm.ts';

/** tdp_mmu=1 is the default from here on. Source: kvm/tdp-history. */
const TDP_MMU = parseKernelVersion('5.15-rc1');

/** The MMU that a kernel has for a VM. @param tdpMmu the parameter of kvm.ko; null: its default */
function mmuOf(vm: Vm, tdpMmu: boolean | null): Mmu {
  const { paging, kernel } = vm.config;
  if (paging === 'shadow') return new ShadowMmu(vm, (vcpu) => shadowPaging(vm, vcpu));
  if (tdpMmu ?? compareVersions(kernel, TDP_MMU) >= 0) return new TdpMmu(vm);
  return new ShadowMmu(vm, (vcpu) => directPaging(vm, vcpu));
}

/** KVM_CREATE_VM. @param tdpMmu the parameter of kvm.ko; null: its default */
export function createVm(config: VmConfig, host: HostMemory, tdpMmu: boolean | null = null): Vm {
  return new Vm(config, host, (vm) => mmuOf(vm, tdpMmu));
}

/**
 * An access of a guest, however it is paged.
 *
 * @param address linear address; in the upper half as a negative number
 */
export function guestAccess(vm: Vm, vcpu: Vcpu, address: number, kind: AccessKind): AccessOutcome {
  const { mmu, config } = vm;
  if (config.paging !== 'shadow' || !(mmu instanceof ShadowMmu))
    return access(vm, vcpu, address, kind);
  return shadowAccess(mmu, vcpu, ((address % 2 ** 48) + 2 ** 48) % 2 ** 48, kind);
}
