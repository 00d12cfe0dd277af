import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { must } from '../../base/assert.ts';
import { u64FromNumber } from '../../base/u64.ts';
import { LINUX_PAT } from '../../linux/pat-layout.ts';
import { parseKernelVersion } from '../../linux/version.ts';
import { patIndex } from '../../x86/pat.ts';
import { PAT_TYPES, type PatType, type Vendor } from '../../x86/types.ts';
import { decide } from '../decision.ts';
import { PROPOSALS, proposalRules } from '../policies.ts';
import type { KvmRules } from '../rules.ts';
import { shadowTypeOf } from '../shadow.ts';
import { ALL_KERNEL_RULES, rulesFor } from '../timeline.ts';
import { walkSettings } from './access.ts';
import { vmConfig } from './config.ts';
import { guestAccess } from './create.ts';
import { type AccessKind, pferrOf } from './error-code.ts';
import { createVcpu, invlpg, writeCr3 } from './guest-ops.ts';
import { HostMemory } from './host-memory.ts';
import { entryRef } from './rmap.ts';
import { shadowAccess } from './shadow-access.ts';
import { ShadowMmu, slotMemory } from './shadow-mmu.ts';
import type { ShadowPage } from './shadow-page.ts';
import { shadowPaging } from './shadow-paging.ts';
import { CR0, CR4, EFER, type Vcpu } from './vcpu.ts';
import { Vm } from './vm.ts';
import { walkTables } from './walk.ts';

/**
 * Guest memory: 512 pages. The tables are in pages 16 to 23 and map themselves and the rest one to one by
 * 4K pages in the first 2M; what lies at WINDOW is up to the operations.
 */
const PAGE = 4096;
const HVA = 0x7f00_0000_0000;
const PML4 = [16 * PAGE, 17 * PAGE] as const;
const PDPT = 18 * PAGE;
const PD = 19 * PAGE;
const IDENTITY = 20 * PAGE;
/** Tables of level 1 that the operations write. */
const TABLES = [21 * PAGE, 22 * PAGE] as const;
const WINDOW = 0x20_0000;
const US = 0x7;

interface Guest {
  readonly vm: Vm;
  readonly mmu: ShadowMmu;
  readonly vcpu: Vcpu;
  readonly lines: string[];
}

function poke(host: HostMemory, gpa: number, value: number): void {
  host.write64(Math.floor(gpa / PAGE), gpa % PAGE, u64FromNumber(value));
}

interface Choice {
  readonly rules?: KvmRules;
  readonly vendor?: Vendor;
  readonly selfSnoop?: boolean;
  /** Of the VMM's mapping. */
  readonly vmmType?: PatType;
}

function newGuest(choice: Choice = {}): Guest {
  const kernel = parseKernelVersion('6.16');
  const lines: string[] = [];
  const config = vmConfig({
    kernel,
    rules: choice.rules ?? must(rulesFor(kernel)[0], 'rules'),
    vendor: choice.vendor ?? 'amd',
    selfSnoop: choice.selfSnoop ?? true,
    paging: 'shadow',
    trace: (event, _, text) => lines.push(`${event}: ${text}`),
  });
  const host = new HostMemory();
  const end = HVA + 512 * PAGE;
  host.map({
    hva: HVA,
    end,
    pfn: 0,
    sameFrame: false,
    level: 1,
    present: true,
    writable: true,
    onWrite: 'refused',
    pfnmap: false,
    vma: { start: HVA, end },
    vmmType: choice.vmmType ?? 'WB',
    poisoned: false,
  });
  const vm = new Vm(config, host, (of) => new ShadowMmu(of, (vcpu) => shadowPaging(of, vcpu)));
  vm.setUserMemoryRegion({
    slot: 0,
    flags: 0,
    guestPhysAddr: 0,
    memorySize: 512 * PAGE,
    userspaceAddr: HVA,
  });
  for (const top of PML4) poke(host, top, PDPT | US);
  poke(host, PDPT, PD | US);
  poke(host, PD, IDENTITY | US);
  poke(host, PD + 8, TABLES[0] | US);
  for (let i = 0; i < 512; i += 1) poke(host, IDENTITY + i * 8, (i * PAGE) | US);
  const vcpu = createVcpu(vm);
  Object.assign(vcpu.registers, {
    cr0: CR0.PG + CR0.WP + CR0.PE,
    cr3: PML4[0],
    cr4: CR4.PAE,
    efer: EFER.LME | EFER.LMA | EFER.NX,
    cpl: 0,
  });
  vcpu.rip = 0x1000;
  return { vm, mmu: vm.mmu as ShadowMmu, vcpu, lines };
}

/** A store of eight bytes by the guest, with its data. */
function store({ vm, vcpu }: Guest, address: number, value: number): string {
  const outcome = guestAccess(vm, vcpu, address, 'store');
  if (outcome.is === 'memory')
    vm.host.write64(outcome.entry.pfn, address % PAGE, u64FromNumber(value));
  if (outcome.is === 'emulated')
    vm.host.write64(
      (outcome.hva - HVA - (outcome.hva % PAGE)) / PAGE,
      address % PAGE,
      u64FromNumber(value),
    );
  return outcome.is;
}

/** What the architecture says of an access when nothing is cached: the gpa, or the error code of #PF. */
function oracle({ vm, vcpu }: Guest, address: number, kind: AccessKind): string {
  const settings = must(walkSettings(vm, vcpu), 'paging');
  const code = pferrOf(kind, vcpu.registers.cpl === 3);
  const readOnly = { ...slotMemory(vm), store: () => undefined };
  const walk = walkTables(settings, readOnly, address, code, 'kvm');
  if (!walk.ok) return `#PF ${walk.errorCode}`;
  return walk.gfn < 512 ? `page ${walk.gfn}` : 'mmio';
}

function seen(guest: Guest, address: number, kind: AccessKind): string {
  const outcome = guestAccess(guest.vm, guest.vcpu, address, kind);
  if (outcome.is === 'guest-fault') return `#PF ${outcome.code}`;
  if (outcome.is === 'memory') return `page ${outcome.entry.pfn}`;
  return outcome.is === 'mmio' ? 'mmio' : `page ${Math.floor(outcome.gpa / PAGE)}`;
}

/** What is wrong with an entry that points to a table. */
function wrongTable({ state }: ShadowMmu, sp: ShadowPage, index: number): string | null {
  const child = state.child(sp.hi(index), sp.lo(index));
  if (child.parents.filter((p) => p === entryRef(sp, index)).length !== 1) return 'not a parent';
  const isStale = child.unsync || child.unsyncChildren > 0;
  return isStale && !sp.unsyncIndexes.has(index) ? 'not marked as out of date' : null;
}

function wrongLeaf({ state }: ShadowMmu, sp: ShadowPage, index: number): string | null {
  const lo = sp.lo(index);
  const gfn = sp.gfnAt(index);
  if (state.rmap.of(gfn, sp.level).filter((r) => r === entryRef(sp, index)).length !== 1)
    return 'not in the reverse map';
  // PWT, PCD and PAT: no kernel sets them, whatever the guest has.
  if ((lo & (sp.level === 1 ? 0x98 : 0x1018)) !== 0) return 'has cache bits';
  if (!state.bits.isWritable(lo)) return null;
  if (state.isTracked(gfn)) return 'writes a table that is guarded';
  return state.withTables(gfn).every((table) => table.unsync) ? null : 'writes a table in sync';
}

/** What must hold of KVM's pages at any time. */
function check({ mmu }: Guest): void {
  const { state } = mmu;
  const { bits } = state;
  const wrong: string[] = [];
  let leaves = 0;
  for (const sp of state.active)
    for (let index = 0; index < 512; index += 1) {
      if (!bits.isPresent(sp.hi(index), sp.lo(index))) continue;
      const isLeaf = bits.isLast(sp.lo(index), sp.level);
      if (isLeaf) leaves += 1;
      const why = isLeaf ? wrongLeaf(mmu, sp, index) : wrongTable(mmu, sp, index);
      if (why !== null) wrong.push(`gfn ${sp.gfn} level ${sp.level} entry ${index}: ${why}`);
    }
  expect(wrong).toEqual([]);
  expect(state.rmap.inRange(0, 2 ** 40)).toHaveLength(leaves);
}

type Op = readonly [kind: number, a: number, b: number, c: number];

const ENTRY_BITS = [0x67, 0x65, 0x63, 0x27, 0x7f, 0] as const;
/** Few frames, among them those of tables. */
const FRAMES = [1, 2, 21] as const;

/** Operations, and whether the guest flushed its TLB since it last wrote a table. */
class Machine {
  readonly guest = newGuest();
  #isFlushed = true;

  constructor() {
    for (const [i, table] of TABLES.entries())
      for (const slot of [0, 1])
        poke(this.guest.vm.host, table + slot * 8, (FRAMES[i] ?? 1) * PAGE + 0x67);
  }

  step([kind, a, b, c]: Op): void {
    const { vm, vcpu } = this.guest;
    const slot = a % 2;
    if (kind < 5) this.#look(WINDOW + slot * PAGE + (b % 2) * 0x20_0000, c);
    else if (kind < 9) {
      const bits = ENTRY_BITS[c % ENTRY_BITS.length] ?? 0;
      this.#write((TABLES[b % 2] ?? 0) + slot * 8, (FRAMES[b % FRAMES.length] ?? 0) * PAGE + bits);
    } else if (kind < 10)
      this.#write(PD + 8 + (a % 2) * 8, c % 4 === 0 ? 0 : (TABLES[b % 2] ?? 0) + US);
    else if (kind < 13) {
      writeCr3(vm, vcpu, PML4[a % 2] ?? PML4[0]);
      this.#isFlushed = true;
    } else if (kind === 13) {
      const hva = HVA + (FRAMES[b % FRAMES.length] ?? 0) * PAGE;
      vm.notifierInvalidate(hva, hva + PAGE);
    } else if (kind === 14 && a % 4 === 0) vm.mmu.zapAllFast();
    else {
      vcpu.registers.cpl = a % 2 === 0 ? 3 : 0;
      vcpu.registers.cr0 = CR0.PG + CR0.PE + (b % 3 === 0 ? 0 : CR0.WP);
    }
    check(this.guest);
  }

  #write(gpa: number, value: number): void {
    const { registers } = this.guest.vcpu;
    const { cpl, cr0 } = registers;
    registers.cpl = 0;
    store(this.guest, gpa, value);
    Object.assign(registers, { cpl, cr0 });
    this.#isFlushed = false;
  }

  /** The architecture says what has to come of an address that was flushed. */
  #look(address: number, c: number): void {
    const { vm, vcpu } = this.guest;
    const kind = (['load', 'store', 'fetch'] as const)[c % 3] ?? 'load';
    if (!this.#isFlushed) invlpg(vm, vcpu, address);
    const expected = oracle(this.guest, address, kind);
    expect(`${kind} ${seen(this.guest, address, kind)}`).toBe(`${kind} ${expected}`);
  }
}

describe('shadow paging', () => {
  test('a flushed address is translated as the tables of the guest say, and pages stay consistent', () => {
    const op = fc.tuple(fc.nat(15), fc.nat(31), fc.nat(31), fc.nat(31));
    fc.assert(
      fc.property(fc.array(op, { minLength: 40, maxLength: 80, size: 'max' }), (ops) => {
        const machine = new Machine();
        for (const one of ops) machine.step(one);
      }),
      { numRuns: 60 },
    );
  });

  /** The window's first page maps page 1 with these bits. */
  function mapped(bits: number): Guest {
    const guest = newGuest();
    poke(guest.vm.host, TABLES[0], PAGE + bits);
    expect(seen(guest, WINDOW, 'store')).toBe('page 1');
    return guest;
  }

  test('a table of level 1 that the guest writes is out of date until it flushes', () => {
    const guest = mapped(0x67);
    guest.lines.length = 0;
    store(guest, TABLES[0], PAGE + 0x65);
    expect(guest.lines.filter((line) => line.includes('unsync_page'))).toHaveLength(1);
    expect(seen(guest, WINDOW, 'store')).toBe('page 1');
    invlpg(guest.vm, guest.vcpu, WINDOW);
    expect(seen(guest, WINDOW, 'store')).toBe('#PF 3');
  });

  /** A table of level 2 that translates no address below 1 GiB. */
  const FAR = 23 * PAGE;

  function farMapped(): Guest {
    const guest = newGuest();
    poke(guest.vm.host, PDPT + 8, FAR + US);
    poke(guest.vm.host, FAR, TABLES[0] + US);
    poke(guest.vm.host, TABLES[0], PAGE + 0x67);
    expect(seen(guest, 2 ** 30, 'load')).toBe('page 1');
    guest.lines.length = 0;
    return guest;
  }

  const ZAPPED = 'kvm_mmu_prepare_zap_page: sp gen 0 gfn 17 l2 8-byte q0 wux nxe ad root 0 sync';

  test('a third write in a row to a table of level 2 takes its page away', () => {
    const guest = farMapped();
    for (const i of [2, 3, 4]) {
      expect(guest.lines.includes(ZAPPED)).toBe(false);
      expect(store(guest, FAR + i * 8, 0)).toBe('emulated');
    }
    expect(guest.lines.includes(ZAPPED)).toBe(true);
    // Nothing guards the table any more, until it is used again.
    expect(store(guest, FAR + 16, 0)).toBe('memory');
    expect(seen(guest, 2 ** 30, 'load')).toBe('page 1');
    expect(store(guest, FAR + 16, 0)).toBe('emulated');
    check(guest);
  });

  test('a use in between begins the count anew', () => {
    const guest = farMapped();
    for (const i of [2, 3, 4]) {
      store(guest, FAR + i * 8, 0);
      invlpg(guest.vm, guest.vcpu, 2 ** 30);
      guest.vm.notifierInvalidate(HVA + PAGE, HVA + 2 * PAGE);
      expect(seen(guest, 2 ** 30, 'load')).toBe('page 1');
    }
    expect(guest.lines.includes(ZAPPED)).toBe(false);
  });

  test('what does not write page tables gets the page instead of being emulated', () => {
    const guest = farMapped();
    const memcpy = { bytes: 16, writesTables: false };
    expect(shadowAccess(guest.mmu, guest.vcpu, FAR + 16, 'store', memcpy).is).toBe('memory');
    expect(guest.lines.includes(ZAPPED)).toBe(true);
    // The table that translates the store itself would come back for ever: it is emulated then.
    expect(shadowAccess(guest.mmu, guest.vcpu, PD + 16, 'store', memcpy).is).toBe('emulated');
    check(guest);
  });

  test('three roots are kept beside the current one', () => {
    const guest = mapped(0x67);
    const { vm, vcpu, lines } = guest;
    const made = (): number => lines.filter((line) => / l4 .* new$/.test(line)).length;
    writeCr3(vm, vcpu, PML4[1]);
    expect(seen(guest, WINDOW, 'load')).toBe('page 1');
    expect(made()).toBe(2);
    writeCr3(vm, vcpu, PML4[0]);
    expect(seen(guest, WINDOW, 'load')).toBe('page 1');
    expect(made()).toBe(2);
    expect(lines.filter((line) => / l4 .* existing$/.test(line))).toHaveLength(0);
  });
});

/** The type in the host's PAT that the leaf of an address picks. */
function typeAt({ mmu, vcpu }: Guest, address: number): PatType {
  const walk = mmu.walk(vcpu, address, 0);
  if (walk.is !== 'leaf') throw new Error(`no leaf at ${address.toString(16)}`);
  return must(LINUX_PAT['wt-wp'][patIndex(walk.lo, walk.level > 1)], 'a type');
}

const EVERY_HOST = (['intel', 'amd'] as const).flatMap((vendor) =>
  [true, false].flatMap((selfSnoop) =>
    [true, false].flatMap((noncoherent) =>
      PAT_TYPES.map((vmmType) => ({ vendor, selfSnoop, noncoherent, vmmType })),
    ),
  ),
);

describe('the type of a shadow leaf', () => {
  const all = [...ALL_KERNEL_RULES, ...PROPOSALS.map(proposalRules)];
  const shadowed = all.filter((rules) => rules.pagings.includes('shadow'));
  const sets = [...new Map(shadowed.map((rules) => [rules.shadow, rules])).values()];

  test('is what the rules of kernel or proposal say, for each alias of the guest', () => {
    let leaves = 0;
    for (const rules of sets)
      for (const { vendor, selfSnoop, noncoherent, vmmType } of EVERY_HOST) {
        const guest = newGuest({ rules, vendor, selfSnoop, vmmType });
        if (noncoherent) guest.vm.registerNoncoherentDma();
        guest.vcpu.registers.pat = { hi: 0x0007_0501, lo: 0x0007_0406 };
        for (const [i, type] of (['WB', 'WT', 'UC-', 'UC', 'WC', 'WP'] as const).entries()) {
          const cache = ((i & 3) << 3) | (i & 4 ? 0x80 : 0);
          poke(guest.vm.host, TABLES[0] + i * 8, PAGE + 0x67 + cache);
          seen(guest, WINDOW + i * PAGE, 'load');
          const { host, guest: own } = decide(rules.shadow.shadow_leaf, {
            is_mmio: () => false,
            noncoherent_dma: () => noncoherent,
            self_snoop: () => selfSnoop,
            amd: () => vendor === 'amd',
            slot_host_memtype: () => false,
          }).decision.returns;
          const page = host === 'vmm_mapping' ? vmmType : 'WB';
          const expected = own ? shadowTypeOf(page, type) : page;
          expect([rules.id, type, typeAt(guest, WINDOW + i * PAGE)]).toEqual([
            rules.id,
            type,
            expected,
          ]);
          leaves += 1;
        }
      }
    expect(leaves).toBe(sets.length * EVERY_HOST.length * 6);
  });
});
