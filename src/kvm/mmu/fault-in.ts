import { PFERR } from './error-code.ts';
import type { HostMapping } from './host-memory.ts';
import { hvaOf, isReadonly } from './memslots.ts';
import type { FaultResult } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** What ends a fault before anything is mapped; null: go on. */
type Early = Extract<FaultResult, 'retry' | 'emulate' | 'efault' | 'hwpoison'> | null;

/**
 * A page of a VM_PFNMAP or VM_IO mapping; where the VMM has no entry for it yet, its fault handler is asked
 * first: fixup_user_fault(). One without a count of its own is refused by kernels that take
 * references; one that the VMM may not write is emulated, KVM_PFN_ERR_RO_FAULT.
 * Source: linux/hva_to_pfn_remapped.
 */
function remapped(vm: Vm, fault: PageFault, found: HostMapping): Early {
  const isWrite = (fault.code & PFERR.WRITE) !== 0;
  if (!found.present && !vm.host.fault(fault.hva, isWrite)) return 'efault';
  const mapping = found.present ? found : vm.host.mappingOf(fault.hva);
  if (mapping === null) return 'efault';
  const pfn = vm.host.frameIn(mapping, fault.hva);
  const facts = vm.host.factsOf(pfn);
  if (isWrite && !mapping.writable) return 'emulate';
  const isCounted = facts.refcounted || facts.reserved || !facts.pfnValid;
  if (vm.config.rules.needsRefcountedPages && !isCounted) return 'efault';
  fault.pfn = pfn;
  fault.mapWritable = mapping.writable;
  return null;
}

/** hva_to_pfn(). Source: kvm/hva_to_pfn. */
function hvaToPfn(vm: Vm, fault: PageFault): Early {
  const mapping = vm.host.mappingOf(fault.hva);
  if (mapping === null) return 'efault';
  if (mapping.poisoned) return 'hwpoison';
  if (mapping.pfnmap) return remapped(vm, fault, mapping);
  const isWrite = (fault.code & PFERR.WRITE) !== 0;
  const isReady = mapping.present && (mapping.writable || !isWrite);
  if (!isReady && !vm.host.fault(fault.hva, isWrite)) return 'efault';
  const now = isReady ? mapping : vm.host.mappingOf(fault.hva);
  if (now === null) return 'efault';
  fault.pfn = vm.host.frameIn(now, fault.hva);
  fault.mapWritable = now.writable;
  return null;
}

/**
 * kvm_mmu_faultin_pfn(): finds memslot, user address and frame. A change of the VMM's mappings on the way, by
 * this fault itself, makes it start over.
 */
export function faultIn(vm: Vm, vcpu: Vcpu, fault: PageFault): Early {
  const slot = vm.slots.at(vcpu.registers.smm ? 1 : 0, fault.gfn);
  fault.slot = slot;
  if (slot === null) return null;
  fault.hva = hvaOf(slot, fault.gfn);
  if (isReadonly(slot) && (fault.code & PFERR.WRITE) !== 0) return 'emulate';
  const before = vm.invalidations;
  const early = hvaToPfn(vm, fault);
  if (early !== null) return early;
  if (vm.invalidations !== before) return 'retry';
  if (isReadonly(slot)) fault.mapWritable = false;
  return null;
}
