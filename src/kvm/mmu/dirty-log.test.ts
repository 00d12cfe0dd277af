import { describe, expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { u64 } from '../../base/u64.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { eptLeafOf } from '../../x86/ept.ts';
import { rulesOfPolicy } from '../policies.ts';
import { KVM_CAP_DISABLE_QUIRKS2, QUIRK } from '../quirks.ts';
import { rulesFor } from '../timeline.ts';
import { type HostChoice, vmConfig } from './config.ts';
import { createVm, guestAccess } from './create.ts';
import { RAM_FRAME } from './frames.ts';
import { createVcpu, writeMsr } from './guest-ops.ts';
import { type HostMapping, HostMemory } from './host-memory.ts';
import { KVM_MEM_LOG_DIRTY_PAGES } from './memslots.ts';

const HVA = 0x7f00_0000_0000;
const PFN = 0x10_0000;
const SIZE = 2 ** 31;

/** A guest with 2 GiB at 0 that the host has in pages of one size. */
function newGuest(
  version: string,
  { tdpMmu = null, ...mapping }: Partial<HostMapping> & { readonly tdpMmu?: boolean | null },
  more: Partial<HostChoice> = {},
) {
  const kernel = parseKernelVersion(version);
  const host = new HostMemory(0x90_0000);
  host.map({
    hva: HVA,
    end: HVA + SIZE,
    pfn: PFN,
    sameFrame: false,
    level: 2,
    present: true,
    writable: true,
    onWrite: 'refused',
    pfnmap: false,
    vma: null,
    vmmType: 'WB',
    poisoned: false,
    ...mapping,
  });
  const rules = must(rulesFor(kernel)[0], version);
  const vm = createVm(
    vmConfig({ kernel, rules, vendor: 'intel', paging: 'ept', ...more }),
    host,
    tdpMmu,
  );
  const vcpu = createVcpu(vm);
  vcpu.registers.cr0 = 0x11;
  const slot = (flags: number) =>
    expect(
      vm.setUserMemoryRegion({
        slot: 0,
        flags,
        guestPhysAddr: 0,
        memorySize: SIZE,
        userspaceAddr: HVA,
      }),
    ).toBe(null);
  slot(0);
  const touch = (gpa: number, kind: 'load' | 'store' | 'fetch' = 'load'): void => {
    expect(guestAccess(vm, vcpu, gpa, kind).is).toBe('memory');
  };
  /** "level type rights" of what maps a gpa. */
  const leaf = (gpa: number): string => {
    const walk = vm.mmu.walk(vcpu, gpa, 0);
    if (walk.is !== 'leaf') return 'none';
    const { memtype, ipat } = must(eptLeafOf(walk.lo), 'a type');
    const rights = `${(walk.lo & 2) === 0 ? '-' : 'W'}${(walk.lo & 4) === 0 ? '-' : 'X'}`;
    return `${walk.level} ${memtype}${ipat ? ' ipat' : ''} ${rights}`;
  };
  const log = (): void => {
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    slot(0);
  };
  return { vm, vcpu, host, slot, touch, leaf, log };
}

describe('fast_page_fault() after dirty logging', () => {
  test.each([
    ['6.16', true, '2 WB ipat WX'],
    ['6.16', false, '2 WB ipat WX'],
    ['5.17', true, '2 WB ipat WX'],
    ['5.17', false, '2 WB ipat WX'],
    ['5.16', true, '2 UC WX'],
    ['5.16', false, '2 UC WX'],
    ['5.12', false, '2 UC WX'],
    ['5.12', true, '2 UC WX'],
    ['5.4', false, '2 UC WX'],
  ] as const)('%s, tdp_mmu=%s: the first store to a huge page finds %s', (version, tdpMmu, is) => {
    const { vm, touch, leaf, log } = newGuest(version, { tdpMmu });
    touch(0);
    if (version === '6.16') vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, QUIRK.IGNORE_GUEST_PAT);
    else vm.registerNoncoherentDma();
    log();
    touch(0, 'store');
    expect(leaf(0)).toBe(is);
  });
});

describe.each([
  [true, true],
  [true, false],
  [false, true],
  [false, false],
])('KVM_GET_DIRTY_LOG with tdp_mmu=%s, PML %s', (tdpMmu, pml) => {
  test('each pass has the stores since the last one, and changes no type', () => {
    const { vm, slot, touch, leaf } = newGuest('6.16', { tdpMmu }, { pml });
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    const logged = () => vm.getDirtyLog(must(vm.slots.byId(0, 0), 'the slot'));
    touch(0x1000, 'store');
    touch(0x3000, 'store');
    // A load may map a page writable: it counts as written.
    touch(0x5000);
    expect(logged()).toEqual([1, 3, 5]);
    expect(logged()).toEqual([]);
    vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, QUIRK.IGNORE_GUEST_PAT);
    touch(0x5000);
    touch(0x3000, 'store');
    expect(logged()).toEqual([3]);
    touch(0x7000);
    expect(leaf(0x7000)).toMatch(/^1 WB W/);
    expect(leaf(0x3000)).toMatch(/^1 WB ipat/);
  });
});

describe('huge pages come back when dirty logging ends', () => {
  test('1G of 4K and 2M pages, by the first leaf at any depth', () => {
    const { slot, touch, leaf } = newGuest('6.16', { level: 3 });
    touch(0);
    expect(leaf(0)).toMatch(/^3/);
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    touch(0x3000, 'store');
    expect(leaf(0)).toMatch(/^1/);
    slot(0);
    expect(leaf(0)).toBe('3 WB ipat -X');
  });

  test('without X where no huge page is executable', () => {
    const { slot, touch, leaf } = newGuest('6.16', {}, { nxHugePages: true });
    touch(0);
    slot(KVM_MEM_LOG_DIRTY_PAGES);
    expect(leaf(0)).toBe('1 WB ipat -X');
    slot(0);
    expect(leaf(0)).toBe('2 WB ipat --');
  });

  test('not where a proposal maps no block of two types', () => {
    const [rules] = rulesOfPolicy('host-pat-tracked');
    const guest = newGuest('6.16', { pfnmap: true }, { rules: must(rules, 'rules') });
    guest.host.frames({ pfn: PFN + 5, end: PFN + 6, facts: { ...RAM_FRAME, memtype: 'WC' } });
    guest.touch(0);
    guest.touch(0x5000);
    guest.log();
    expect(guest.leaf(0)).toMatch(/^1 WB/);
    expect(guest.leaf(0x5000)).toMatch(/^1 WC/);
  });

  test.each(['5.19', '6.1'])('%s without the TDP MMU: whatever the guest MTRRs say', (version) => {
    const { vm, vcpu, touch, leaf, log } = newGuest(version, { tdpMmu: false });
    vm.registerNoncoherentDma();
    writeMsr(vm, vcpu, 0x2ff, u64(0, 0x806));
    writeMsr(vm, vcpu, 0x200, u64(0, 0));
    writeMsr(vm, vcpu, 0x201, u64(2 ** 14 - 1, 0xffff_0800));
    touch(0);
    expect(leaf(0)).toMatch(/^1/);
    log();
    expect(leaf(0)).toBe('none');
  });
});

test('a page that is split or remade for a fault flushes no TLB', () => {
  const split = newGuest('6.12', {}, { nxHugePages: true });
  const other = createVcpu(split.vm);
  other.registers.cr0 = 0x11;
  guestAccess(split.vm, other, 0, 'load');
  split.touch(0x1000, 'fetch');
  expect(split.leaf(0x1000)).toMatch(/^1/);
  expect(other.tlb.entries().length).toBe(1);
});

test('NPT: the small pages of a huge one that code runs in are executable', () => {
  const { vm, vcpu, touch } = newGuest(
    '6.12',
    {},
    { vendor: 'amd', paging: 'npt', nxHugePages: true },
  );
  touch(0);
  touch(0x1000, 'fetch');
  const walk = vm.mmu.walk(vcpu, 0x2000, 0);
  expect(walk).toMatchObject({ is: 'leaf', level: 1 });
  expect(walk.hi >>> 31).toBe(0);
});
