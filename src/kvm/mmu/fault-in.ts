import { type HugePageInputs, LEVELS, type Level, mappedLevel } from '../huge-page.ts';
import { PFERR } from './error-code.ts';
import { type HostMapping, type MapLevel, PAGE_SIZE, pagesOf } from './host-memory.ts';
import { guestMtrrs, isMmioPfn } from './memory-type.ts';
import {
  disallowsHuge,
  hvaOf,
  isDirtyLogged,
  isReadonly,
  KVM_MEM_HOST_MEMTYPE,
} from './memslots.ts';
import type { FaultResult } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** What ends a fault before anything is mapped; null: go on. */
type Early = Extract<FaultResult, 'retry' | 'emulate' | 'efault' | 'hwpoison'> | null;

/**
 * A page of a VM_PFNMAP or VM_IO mapping. One without a count of its own is refused by kernels that take
 * references; one that the VMM may not write is emulated, KVM_PFN_ERR_RO_FAULT.
 * Source: linux/hva_to_pfn_remapped.
 */
function remapped(vm: Vm, fault: PageFault, mapping: HostMapping): Early {
  const pfn = vm.host.frameIn(mapping, fault.hva);
  const facts = vm.host.factsOf(pfn);
  if ((fault.code & PFERR.WRITE) !== 0 && !mapping.writable) return 'emulate';
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

/** All frames of a block are alike, and so are they in the page tables of the VMM. */
function isOneHostType(vm: Vm, fault: PageFault, pages: number): boolean {
  const start = fault.hva - ((fault.gfn % pages) * PAGE_SIZE + (fault.hva % PAGE_SIZE));
  const types = new Set<string>();
  for (let page = 0; page < pages && types.size < 2; page += 1) {
    const mapping = vm.host.mappingOf(start + page * PAGE_SIZE);
    if (mapping === null) return false;
    const pfn = vm.host.frameIn(mapping, start + page * PAGE_SIZE);
    const { memtype } = vm.host.factsOf(pfn);
    types.add(`${memtype} ${mapping.vmmType} ${isMmioPfn(vm, pfn)}`);
  }
  return types.size < 2;
}

function hugeInputs(vm: Vm, vcpu: Vcpu, fault: PageFault): HugePageInputs {
  const { paging } = vm.config;
  const pagesAt = (level: Level): number => pagesOf(LEVELS.indexOf(level) + 1);
  return {
    ept: () => paging === 'ept',
    tdp: () => paging !== 'shadow',
    noncoherent_dma: () => vm.noncoherentDma,
    slot_host_memtype: () => ((fault.slot?.flags ?? 0) & KVM_MEM_HOST_MEMTYPE) !== 0,
    mtrr_consistent: (level) => {
      const pages = pagesAt(level);
      const mtrrs = guestMtrrs(vm, vcpu);
      return mtrrs === null ? true : mtrrs.consistent(fault.gfn - (fault.gfn % pages), pages);
    },
    one_host_type: (level) => isOneHostType(vm, fault, pagesAt(level)),
  };
}

/**
 * kvm_mmu_hugepage_adjust(): the level to map at, by memslot, the page tables of the VMM, dirty logging and
 * the rules of this kernel. Where 4.2 and 4.3 read beside their array, 4K is taken.
 */
export function mappingLevel(vm: Vm, vcpu: Vcpu, fault: PageFault): MapLevel {
  const { slot, pfn } = fault;
  if (slot === null || pfn === null || isDirtyLogged(slot) || fault.maxLevel === 1) return 1;
  const mapping = vm.host.mappingOf(fault.hva);
  if (mapping === null || (mapping.pfnmap && !vm.config.behaviour.hugePfnmap)) return 1;
  let level = Math.min(fault.maxLevel, vm.host.levelIn(mapping, fault.hva)) as MapLevel;
  while (level > 1 && disallowsHuge(slot, fault.gfn, level)) level = (level - 1) as MapLevel;
  if (level === 1) return 1;
  const rules = vm.config.rules;
  const limits = rules.hugeFlagged
    ? ([rules.hugePage, 'one-host-type-in-flagged-slots'] as const)
    : rules.hugePage;
  const host = LEVELS[level - 1] as Level;
  const mapped = mappedLevel(limits, hugeInputs(vm, vcpu, fault), host);
  return (mapped === null ? 1 : LEVELS.indexOf(mapped) + 1) as MapLevel;
}
