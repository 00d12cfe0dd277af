import { describe, expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { u64FromNumber } from '../../base/u64.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { eptLeafOf } from '../../x86/ept.ts';
import { rulesFor } from '../timeline.ts';
import { access } from './access.ts';
import { vmConfig } from './config.ts';
import { PFERR } from './error-code.ts';
import { RAM_FRAME } from './frames.ts';
import { createVcpu } from './guest-ops.ts';
import { type HostMapping, HostMemory } from './host-memory.ts';
import { NestedMmu, type NestedOutcome } from './nested-mmu.ts';
import { TdpMmu } from './tdp-mmu.ts';
import { CR0, type Vcpu } from './vcpu.ts';
import { Vm } from './vm.ts';

const PAGE = 4096;
const HVA = 0x7f00_0000_0000;
const BAR_GFN = 0x100;
/** Tables of L1: one of each level, the last maps the first 2M of L2. */
const TABLES = [16, 17, 18, 19] as const;

interface Host {
  readonly vm: Vm;
  readonly mmu: NestedMmu;
  readonly vcpu: Vcpu;
}

function mapping(hva: number, pages: number, pfn: number, isBar: boolean): HostMapping {
  return {
    hva,
    end: hva + pages * PAGE,
    pfn,
    sameFrame: false,
    level: 1,
    present: true,
    writable: true,
    onWrite: 'refused',
    pfnmap: isBar,
    vma: null,
    vmmType: isBar ? 'UC-' : 'WB',
    poisoned: false,
  };
}

function slot(vm: Vm, id: number, gfn: number, pages: number, hva: number): void {
  vm.setUserMemoryRegion({
    slot: id,
    flags: 0,
    guestPhysAddr: gfn * PAGE,
    memorySize: pages * PAGE,
    userspaceAddr: hva,
  });
}

/** L1 with 64 pages of RAM and a BAR, that it maps for L2 one to one with these bits. */
function newHost(paging: 'ept' | 'npt', bits: number, kernel = '6.12'): Host {
  const version = parseKernelVersion(kernel);
  const rules = must(rulesFor(version)[0], kernel);
  const host = new HostMemory();
  host.map(mapping(HVA, 64, 0, false));
  host.map(mapping(HVA + 64 * PAGE, 16, 0x10_0000, true));
  const facts = { ...RAM_FRAME, pfnValid: false, e820Ram: false, memtype: 'UC-' as const };
  host.frames({ pfn: 0x10_0000, end: 0x10_0010, facts });
  const config = vmConfig({
    kernel: version,
    rules,
    vendor: paging === 'ept' ? 'intel' : 'amd',
    paging,
    selfSnoop: true,
  });
  const vm = new Vm(config, host, (of) => new NestedMmu(of, new TdpMmu(of)));
  slot(vm, 0, 0, 64, HVA);
  slot(vm, 1, BAR_GFN, 16, HVA + 64 * PAGE);
  for (const [i, table] of TABLES.slice(0, 3).entries())
    host.write64(table, 0, u64FromNumber((TABLES[i + 1] ?? 0) * PAGE + 7));
  for (let i = 0; i < 512; i += 1) host.write64(19, i * 8, u64FromNumber(i * PAGE + bits));
  const vcpu = createVcpu(vm);
  vcpu.registers.cr0 = CR0.PE;
  const mmu = vm.mmu as NestedMmu;
  const pointer = u64FromNumber(16 * PAGE + (paging === 'ept' ? 0x5e : 0));
  mmu.enter(vcpu, { pointer, nx: true, physicalBits: 46, executeOnly: false });
  return { vm, mmu, vcpu };
}

function leaf(outcome: NestedOutcome): string {
  if (outcome.is !== 'leaf') return outcome.is === 'l1-fault' ? outcome.why : outcome.is;
  const type = must(eptLeafOf(outcome.lo), 'a type');
  return `${outcome.pfn.toString(16)} ${type.memtype}${type.ipat ? ' IPAT' : ''}`;
}

describe('EPT of a nested guest', () => {
  const RWX = 7;
  const types = [
    ['UC', 0x00],
    ['WC', 0x08],
    ['WT', 0x20],
    ['WP', 0x28],
    ['WB', 0x30],
    ['WB IPAT', 0x70],
    ['UC IPAT', 0x40],
  ] as const;

  test.each(types)('the type of L1 does not count: %s', (_, bits) => {
    const { vm, mmu, vcpu } = newHost('ept', bits | RWX | 0x300);
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('2 WB IPAT');
    expect(leaf(mmu.translate(vcpu, BAR_GFN * PAGE, 0))).toBe('100000 UC');
    // What decides is the VM of L1.
    vm.registerNoncoherentDma();
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('2 WB');
  });

  test.each([0x10, 0x18, 0x38])('a reserved type is a misconfiguration: %i', (bits) => {
    const { mmu, vcpu } = newHost('ept', bits | RWX | 0x300);
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('misconfiguration');
  });

  test('permissions of L1 count', () => {
    const { mmu, vcpu } = newHost('ept', 0x30 | 1 | 0x300);
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('2 WB IPAT');
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, PFERR.WRITE))).toBe('violation');
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, PFERR.FETCH))).toBe('violation');
  });

  test('A and D are set in the entries of L1', () => {
    const { vm, mmu, vcpu } = newHost('ept', 0x30 | RWX);
    mmu.translate(vcpu, 2 * PAGE, 0);
    expect(vm.host.read64(19, 16).lo & 0xfff).toBe(0x137);
    mmu.translate(vcpu, 2 * PAGE, PFERR.WRITE);
    expect(vm.host.read64(19, 16).lo & 0xfff).toBe(0x337);
  });

  test('L1 writes its last table freely, and what it wrote counts after INVEPT', () => {
    const { vm, mmu, vcpu } = newHost('ept', 0x30 | RWX | 0x300);
    mmu.translate(vcpu, 2 * PAGE, 0);
    const entry = 19 * PAGE + 2 * 8;
    const written = access(vm, vcpu, entry, 'store');
    expect(written.is).toBe('memory');
    vm.host.write64(19, 16, u64FromNumber(3 * PAGE + (0x30 | RWX | 0x300)));
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('2 WB IPAT');
    mmu.invalidate(vcpu);
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('3 WB IPAT');
    // Synced, the table is write-protected again, in the EPT of L1.
    expect(access(vm, vcpu, entry, 'store').is).toBe('memory');
  });

  test('a store of L1 to a higher table is emulated, and counts at once', () => {
    const { vm, mmu, vcpu } = newHost('ept', 0x30 | RWX | 0x300);
    access(vm, vcpu, 18 * PAGE, 'store');
    mmu.translate(vcpu, 2 * PAGE, 0);
    expect(access(vm, vcpu, 18 * PAGE, 'store').is).toBe('emulated');
    vm.host.write64(18, 0, u64FromNumber(0));
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('violation');
  });

  test('what the host takes away L2 loses too', () => {
    const { vm, mmu, vcpu } = newHost('ept', 0x30 | RWX | 0x300);
    mmu.translate(vcpu, 2 * PAGE, 0);
    vm.host.map(mapping(HVA + 2 * PAGE, 1, 0x55, false));
    expect(leaf(mmu.translate(vcpu, 2 * PAGE, 0))).toBe('55 WB IPAT');
  });
});

test('NPT of a nested guest: PWT, PCD and PAT of L1 do not count', () => {
  for (const bits of [0, 0x08, 0x10, 0x18, 0x80, 0x98]) {
    const { mmu, vcpu } = newHost('npt', bits | 0x67);
    const outcome = mmu.translate(vcpu, 2 * PAGE, PFERR.WRITE);
    expect(outcome.is === 'leaf' && outcome.lo & 0xfff).toBe(0xe67);
  }
});
