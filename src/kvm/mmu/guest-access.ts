import { type AccessOutcome, access } from './access.ts';
import { type AccessKind, unsigned48 } from './error-code.ts';
import { type Instruction, shadowAccess } from './shadow-access.ts';
import { ShadowMmu } from './shadow-mmu.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/**
 * An access of the guest, whatever its VM is paged by.
 *
 * @param address linear address; in the upper half as a negative number
 */
export function guestAccess(
  vm: Vm,
  vcpu: Vcpu,
  address: number,
  kind: AccessKind,
  instruction?: Instruction,
): AccessOutcome {
  const { mmu } = vm;
  if (vm.config.paging === 'shadow' && mmu instanceof ShadowMmu)
    return shadowAccess(mmu, vcpu, unsigned48(address), kind, instruction);
  return access(vm, vcpu, address, kind);
}
