import {
  type HugePageInputs,
  type HugePageRule,
  LEVELS,
  type Level,
  mappedLevel,
} from '../huge-page.ts';
import { type MapLevel, PAGE_SIZE, pagesOf } from './host-memory.ts';
import { guestMtrrs, isMmioPfn } from './memory-type.ts';
import {
  disallowsHuge,
  hvaOf,
  isDirtyLogged,
  KVM_MEM_HOST_MEMTYPE,
  type Memslot,
} from './memslots.ts';
import type { PageFault } from './page-fault.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** All frames of a block are alike, and so are they in the page tables of the VMM. */
function isOneHostType(vm: Vm, slot: Memslot, gfn: number, pages: number): boolean {
  const start = hvaOf(slot, gfn - (gfn % pages));
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

function limitsOf({ config }: Vm): readonly HugePageRule[] {
  const { hugePage, hugeFlagged } = config.rules;
  return hugeFlagged ? [hugePage, 'one-host-type-in-flagged-slots'] : [hugePage];
}

/** The largest level up to `most` that the rules let pass; 4K where 4.2 and 4.3 read beside their array. */
function limited(
  vm: Vm,
  slot: Memslot,
  most: MapLevel,
  asks: Pick<HugePageInputs, 'mtrr_consistent' | 'one_host_type'>,
): MapLevel {
  if (most === 1) return 1;
  const { paging } = vm.config;
  const inputs: HugePageInputs = {
    ept: () => paging === 'ept',
    tdp: () => paging !== 'shadow',
    noncoherent_dma: () => vm.noncoherentDma,
    slot_host_memtype: () => (slot.flags & KVM_MEM_HOST_MEMTYPE) !== 0,
    ...asks,
  };
  const mapped = mappedLevel(limitsOf(vm), inputs, LEVELS[most - 1] as Level);
  return (mapped === null ? 1 : LEVELS.indexOf(mapped) + 1) as MapLevel;
}

const pagesAt = (level: Level): number => pagesOf(LEVELS.indexOf(level) + 1);

/**
 * kvm_mmu_max_mapping_level(): by memslot, guest tables that are shadowed, and the page tables of the VMM; in
 * proposals by the types of the host too. Guest MTRRs are not asked.
 */
export function maxMappingLevel(vm: Vm, slot: Memslot, gfn: number, most: MapLevel = 3): MapLevel {
  let level = most;
  while (level > 1 && (disallowsHuge(slot, gfn, level) || !vm.largePages.isAllowed(gfn, level)))
    level = (level - 1) as MapLevel;
  if (level === 1) return 1;
  const hva = hvaOf(slot, gfn);
  const mapping = vm.host.mappingOf(hva);
  if (mapping === null || (mapping.pfnmap && !vm.config.behaviour.hugePfnmap)) return 1;
  return limited(vm, slot, Math.min(level, vm.host.levelIn(mapping, hva)) as MapLevel, {
    mtrr_consistent: () => true,
    one_host_type: (at) => isOneHostType(vm, slot, gfn, pagesAt(at)),
  });
}

/** kvm_mmu_hugepage_adjust(): the level to map at. While dirty pages are logged it is 4K. */
export function mappingLevel(vm: Vm, fault: PageFault): MapLevel {
  const { slot, pfn, gfn, maxLevel } = fault;
  if (slot === null || pfn === null || isDirtyLogged(slot)) return 1;
  return maxMappingLevel(vm, slot, gfn, maxLevel);
}

/**
 * kvm_tdp_page_fault(): the block that is mapped has one type by the guest's MTRRs, in the kernels that ask
 * them. Only direct faults come here: those of L2 and of shadow paging do not.
 */
export function directMappingLevel(vm: Vm, vcpu: Vcpu, fault: PageFault): MapLevel {
  const { slot, gfn } = fault;
  const most = mappingLevel(vm, fault);
  if (slot === null) return most;
  return limited(vm, slot, most, {
    mtrr_consistent: (level) => {
      const pages = pagesAt(level);
      return guestMtrrs(vm, vcpu)?.consistent(gfn - (gfn % pages), pages) ?? true;
    },
    one_host_type: () => true,
  });
}
