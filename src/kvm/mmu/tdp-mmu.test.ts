import { describe, expect, test } from 'vitest';
import { u64 } from '../../base/u64.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { rulesOfPolicy } from '../policies.ts';
import { KVM_CAP_DISABLE_QUIRKS2, QUIRK } from '../quirks.ts';
import { decodeSpte } from '../spte.ts';
import { rulesFor } from '../timeline.ts';
import { type HostChoice, vmConfig } from './config.ts';
import { createVm, guestAccess } from './create.ts';
import { RAM_FRAME } from './frames.ts';
import { createVcpu, invlpg, writeMsr } from './guest-ops.ts';
import { type HostMapping, HostMemory } from './host-memory.ts';
import { KVM_MEM_HOST_MEMTYPE } from './memslots.ts';
import type { TdpMmu } from './tdp-mmu.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

const HVA = 0x7f00_0000_0000;
const PAGES = 2 * 512;
const PFN = 0x10_0000;

const MAPPING: HostMapping = {
  hva: HVA,
  end: HVA + PAGES * 4096,
  pfn: PFN,
  sameFrame: false,
  level: 1,
  present: true,
  writable: true,
  onWrite: 'refused',
  pfnmap: false,
  vma: null,
  vmmType: 'WB',
  poisoned: false,
};

const REGION = {
  slot: 0,
  flags: 0,
  guestPhysAddr: 0,
  memorySize: PAGES * 4096,
  userspaceAddr: HVA,
};

interface Made {
  readonly vm: Vm;
  readonly vcpu: Vcpu;
  readonly host: HostMemory;
}

function make(
  version: string,
  mapping: Partial<HostMapping>,
  more: Partial<HostChoice> = {},
): Made {
  const kernel = parseKernelVersion(version);
  const [rules] = rulesFor(kernel);
  if (rules === undefined) throw new Error(version);
  const host = new HostMemory(0x90_0000);
  host.map({ ...MAPPING, ...mapping });
  const vm = createVm(
    vmConfig({ kernel, rules, vendor: 'intel', paging: 'ept', ...more }),
    host,
    true,
  );
  const vcpu = createVcpu(vm);
  vcpu.registers.cr0 = 0x11;
  expect(vm.setUserMemoryRegion(REGION)).toBe(null);
  return { vm, vcpu, host };
}

const load = ({ vm, vcpu }: Made, gpa: number) => guestAccess(vm, vcpu, gpa, 'load');
const store = ({ vm, vcpu }: Made, gpa: number) => guestAccess(vm, vcpu, gpa, 'store');

/** "level type" of what maps a gfn. */
function leaf({ vm }: Made, gfn: number): string {
  const found: string[] = [];
  const { tables } = vm.mmu as TdpMmu;
  for (const root of vm.mmu.roots())
    tables.leaves(root, gfn, gfn + 1, (page, _index, hi, lo) => {
      const spte = decodeSpte({ hi, lo }, 'ept', vm.config.edition.layout, page.level);
      if (spte.kind === 'leaf')
        found.push(`${page.level} ${spte.memtype}${spte.ipat === true ? ' ipat' : ''}`);
    });
  return found.join(', ');
}

describe('hva_to_pfn()', () => {
  test('a store to a mapping that allows none: -EFAULT; a load is mapped', () => {
    const made = make('6.12', { writable: false });
    expect(store(made, 0)).toEqual({ is: 'efault', gpa: 0 });
    expect(load(made, 0)).toMatchObject({ is: 'memory', entry: { pfn: PFN, writable: false } });
  });

  test('nothing mapped there: -EFAULT; poison: the VMM is told', () => {
    expect(load(make('6.12', { end: HVA + 4096 }), 0x1000)).toEqual({ is: 'efault', gpa: 0x1000 });
    expect(load(make('6.12', { poisoned: true }), 0)).toEqual({ is: 'hwpoison', gpa: 0 });
  });

  test('a private page is copied, and the guest faults once more', () => {
    const made = make('6.12', { writable: false, onWrite: 'copy' });
    expect(load(made, 0)).toMatchObject({ entry: { pfn: PFN } });
    expect(store(made, 0)).toMatchObject({ is: 'memory', entry: { pfn: 0x90_0000 } });
  });

  test('VM_PFNMAP, read-only in the page tables: the first store is emulated, the next is mapped', () => {
    const made = make('6.12', { pfnmap: true, writable: false, onWrite: 'make-writable' });
    expect(load(made, 0)).toMatchObject({ is: 'memory', entry: { writable: false } });
    expect(store(made, 8)).toEqual({ is: 'emulated', gpa: 8, hva: HVA + 8 });
    expect(store(made, 8)).toMatchObject({ is: 'memory', entry: { pfn: PFN, writable: true } });
  });

  test.each([
    ['5.12', 'memory'],
    ['5.13', 'efault'],
    ['6.12', 'efault'],
    ['6.13', 'memory'],
  ])('%s: a VM_PFNMAP page without a count of its own: %s', (version, is) => {
    const made = make(version, { pfnmap: true });
    made.host.frames({ pfn: PFN, end: PFN + 1, facts: { ...RAM_FRAME, refcounted: false } });
    expect(load(made, 0).is).toBe(is);
    expect(load(made, 4096).is).toBe('memory');
  });

  test('a store to a read-only memslot goes to the VMM, a load does not', () => {
    const made = make('7.3', {});
    expect(made.vm.setUserMemoryRegion({ ...REGION, flags: 2 })).toBe('EINVAL');
    made.vm.setUserMemoryRegion({ ...REGION, memorySize: 0 });
    expect(made.vm.setUserMemoryRegion({ ...REGION, flags: 2 })).toBe(null);
    expect(store(made, 0)).toEqual({ is: 'mmio', gpa: 0 });
    expect(load(made, 0).is).toBe('memory');
  });
});

describe('memslots', () => {
  test('what KVM refuses', () => {
    const { vm } = make('6.12', {});
    const set = (change: Partial<typeof REGION>) =>
      vm.setUserMemoryRegion({ ...REGION, ...change });
    expect(set({ slot: 1 })).toBe('EEXIST');
    expect(set({ slot: 1, guestPhysAddr: 1 })).toBe('EINVAL');
    expect(set({ slot: 1, memorySize: 0 })).toBe('EINVAL');
    expect(set({ memorySize: 4096 })).toBe('EINVAL');
    expect(set({ userspaceAddr: HVA + 4096 })).toBe('EINVAL');
    expect(set({ flags: 4 })).toBe('EINVAL');
    expect(set({ slot: 3 << 16 })).toBe('EINVAL');
    expect(set({})).toBe(null);
    // SMM has an address space of its own.
    expect(set({ slot: 1 << 16 })).toBe(null);
  });

  test('a moved slot takes its mappings along', () => {
    const made = make('6.12', {});
    load(made, 0);
    expect(made.vm.setUserMemoryRegion({ ...REGION, guestPhysAddr: 0x4000_0000 })).toBe(null);
    expect(leaf(made, 0)).toBe('');
    expect(load(made, 0)).toEqual({ is: 'mmio', gpa: 0 });
    expect(load(made, 0x4000_0000)).toMatchObject({ entry: { pfn: PFN } });
  });

  test('a slot that goes takes all mappings, or its own without KVM_X86_QUIRK_SLOT_ZAP_ALL', () => {
    const left = (disable: number): string => {
      const made = make('6.12', {});
      made.host.map({ ...MAPPING, hva: HVA + 2 ** 32, end: HVA + 2 ** 32 + 4096, pfn: 0x20_0000 });
      const other = {
        slot: 1,
        guestPhysAddr: 2 ** 32,
        memorySize: 4096,
        userspaceAddr: HVA + 2 ** 32,
      };
      made.vm.setUserMemoryRegion({ ...REGION, ...other });
      made.vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, disable);
      load(made, 0);
      load(made, 2 ** 32);
      made.vm.setUserMemoryRegion({ ...REGION, ...other, memorySize: 0 });
      return leaf(made, 0);
    };
    expect(left(0)).toBe('');
    expect(left(QUIRK.SLOT_ZAP_ALL)).toBe('1 WB ipat');
  });

  test('entries of MMIO are as old as the memslots, and never pass for new ones', () => {
    const made = make('6.12', {});
    expect(load(made, 2 ** 33)).toEqual({ is: 'mmio', gpa: 2 ** 33 });
    const { vm } = made;
    const other = { ...REGION, slot: 1, guestPhysAddr: 2 ** 33 };
    expect(vm.setUserMemoryRegion(other)).toBe(null);
    expect(load(made, 2 ** 33)).toMatchObject({ is: 'memory', entry: { pfn: PFN } });
    vm.slots.generation = vm.sptes.generations - 2;
    vm.setUserMemoryRegion({ ...REGION, slot: 2, guestPhysAddr: 2 ** 34 });
    expect(vm.slots.generation % vm.sptes.generations).toBe(0);
    expect(vm.mmu.roots()).toEqual([]);
  });
});

describe('stale types', () => {
  test('set_memory_wc() on a page that is mapped tells nobody', () => {
    const made = make('6.12', {});
    made.host.frames({ pfn: PFN, end: PFN + 1, facts: { ...RAM_FRAME, reserved: true } });
    load(made, 0);
    made.host.retype(PFN, PFN + 1, { memtype: 'WC' });
    expect(leaf(made, 0)).toBe('1 WB ipat');
    made.host.protect(HVA, HVA + 4096, true);
    load(made, 0);
    expect(leaf(made, 0)).toBe('1 UC');
  });

  test('the TLB keeps the type of the PAT that it was filled under, until it is flushed', () => {
    const made = make('6.12', {});
    const before = made.vcpu.registers.pat;
    const pat = u64(0x0007_0106, 0x0007_0106);
    load(made, 0);
    expect(writeMsr(made.vm, made.vcpu, 0x277, pat)).toBe(true);
    expect(load(made, 0)).toMatchObject({ fromTlb: true, entry: { pat: before } });
    invlpg(made.vm, made.vcpu, 0);
    expect(load(made, 0)).toMatchObject({ fromTlb: false, entry: { pat } });
  });

  test('the ideal by the tracker has a hook for it', () => {
    const [rules] = rulesOfPolicy('host-pat-tracked');
    if (rules === undefined) throw new Error('no such policy');
    const made = make('7.3', {}, { rules });
    load(made, 0);
    expect(leaf(made, 0)).toMatch(/^1 WB/);
    made.host.retype(PFN, PFN + 1, { memtype: 'WC' });
    expect(leaf(made, 0)).toBe('');
    load(made, 0);
    expect(leaf(made, 0)).toMatch(/^1 WC/);
  });

  test('the flag of a proposal cannot change on a slot that is there', () => {
    const [rules] = rulesOfPolicy('host-pat-slot');
    if (rules === undefined) throw new Error('no such policy');
    const { vm } = make('7.3', {}, { rules, slotFlags: 3 | KVM_MEM_HOST_MEMTYPE });
    expect(vm.setUserMemoryRegion({ ...REGION, flags: KVM_MEM_HOST_MEMTYPE })).toBe('EINVAL');
    expect(vm.setUserMemoryRegion({ ...REGION, flags: 1 })).toBe(null);
  });
});

describe('huge pages', () => {
  test('1G, 2M and 4K, as alignment and the VMM allow', () => {
    const size = 2 ** 31;
    const mapping = { level: 3, end: HVA + size, pfn: 0x10_0000 } as const;
    const made = make('6.12', mapping);
    made.vm.setUserMemoryRegion({ ...REGION, memorySize: 0 });
    made.vm.setUserMemoryRegion({ ...REGION, memorySize: size - 2 ** 21 });
    for (const gpa of [0x1000, 2 ** 30 + 0x1000]) load(made, gpa);
    expect([leaf(made, 0), leaf(made, 2 ** 18)]).toEqual(['3 WB ipat', '2 WB ipat']);
  });

  test('with the iTLB multihit mitigation code runs in small pages, and the block stays small', () => {
    const made = make('6.12', { level: 2 }, { nxHugePages: true });
    load(made, 0);
    expect(leaf(made, 0)).toBe('2 WB ipat');
    expect(guestAccess(made.vm, made.vcpu, 0x5000, 'fetch').is).toBe('memory');
    expect([leaf(made, 5), leaf(made, 6)]).toEqual(['1 WB ipat', '1 WB ipat']);
    made.host.protect(HVA + 0x6000, HVA + 0x7000, true);
    load(made, 0x6000);
    expect(leaf(made, 6)).toBe('1 WB ipat');
  });
});
