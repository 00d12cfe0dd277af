import { describe, expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { rulesFor } from '../timeline.ts';
import { vmConfig } from './config.ts';
import { createVm, guestAccess } from './create.ts';
import { createVcpu } from './guest-ops.ts';
import { HostMemory } from './host-memory.ts';
import { KVM_MEM_LOG_DIRTY_PAGES } from './memslots.ts';
import { CR0 } from './vcpu.ts';

const PAGE = 4096;
const HVA = 0x7f00_0000_0000;

/** A guest of 4 MiB that the host has in pages of that level, with tdp_mmu=0. */
function newGuest(pml: boolean, level: 1 | 2 = 2) {
  const kernel = parseKernelVersion('6.1');
  const lines: string[] = [];
  const config = vmConfig({
    kernel,
    rules: must(rulesFor(kernel)[0], 'rules'),
    vendor: 'intel',
    paging: 'ept',
    pml,
    trace: (event, _, text) => lines.push(`${event}: ${text}`),
  });
  const host = new HostMemory();
  host.map({
    hva: HVA,
    end: HVA + 1024 * PAGE,
    pfn: 0x400,
    sameFrame: false,
    level,
    present: true,
    writable: true,
    onWrite: 'refused',
    pfnmap: false,
    vma: { start: HVA, end: HVA + 1024 * PAGE },
    vmmType: 'WB',
    poisoned: false,
  });
  const vm = createVm(config, host, false);
  const slot = (flags: number): void => {
    const [memorySize, userspaceAddr] = [1024 * PAGE, HVA];
    vm.setUserMemoryRegion({ slot: 0, flags, guestPhysAddr: 0, memorySize, userspaceAddr });
  };
  slot(0);
  const vcpu = createVcpu(vm);
  vcpu.registers.cr0 = CR0.PE;
  const touch = (gfn: number, kind: 'load' | 'store'): number => {
    const outcome = guestAccess(vm, vcpu, gfn * PAGE, kind);
    if (outcome.is !== 'memory') throw new Error(outcome.is);
    expect(outcome.entry.pfn).toBe(0x400 + gfn);
    return outcome.entry.level;
  };
  const logged = () => vm.dirtyLog(must(vm.slots.byId(0, 0), 'the slot'));
  return { vm, lines, slot, touch, logged };
}

describe('legacy direct roots', () => {
  test('dirty logging splits a huge page at a store, and its end makes it whole again', () => {
    const { slot, touch, logged } = newGuest(false);
    expect(touch(3, 'store')).toBe(2);
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    expect(touch(3, 'load')).toBe(2);
    expect(logged()).toEqual([]);
    expect(touch(3, 'store')).toBe(1);
    expect(touch(4, 'load')).toBe(1);
    expect(touch(5, 'store')).toBe(1);
    expect(logged()).toEqual(expect.arrayContaining([3, 5]));
    slot(0);
    expect(touch(3, 'store')).toBe(2);
  });

  test('a small page that only dirty logging protects is repaired by the fast path', () => {
    const { slot, touch, lines, logged } = newGuest(false, 1);
    expect(touch(3, 'store')).toBe(1);
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    lines.length = 0;
    expect(touch(3, 'store')).toBe(1);
    expect(lines.map((line) => line.split(':')[0])).toEqual(['kvm_page_fault', 'fast_page_fault']);
    expect(lines[1]).toMatch(/spurious 0 fixed 1$/);
    expect(logged()).toEqual([3]);
  });

  test('with PML, D goes instead of W', () => {
    const { slot, touch, lines } = newGuest(true);
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    expect(touch(3, 'store')).toBe(1);
    lines.length = 0;
    expect(touch(3, 'store')).toBe(1);
    expect(lines).toEqual([]);
  });
});
