import { must } from '../../base/assert.ts';
import { type U64, u64, u64FromNumber } from '../../base/u64.ts';
import { type AccessOutcome, access } from '../../kvm/mmu/access.ts';
import { vmConfig } from '../../kvm/mmu/config.ts';
import { createVcpu, writeCr0 } from '../../kvm/mmu/guest-ops.ts';
import { type HostMapping, HostMemory, PAGE_SIZE } from '../../kvm/mmu/host-memory.ts';
import { isMmioPfn } from '../../kvm/mmu/memory-type.ts';
import { KVM_MEM_HOST_MEMTYPE, KVM_MEM_NON_COHERENT_DMA } from '../../kvm/mmu/memslots.ts';
import type { Mmu } from '../../kvm/mmu/mmu.ts';
import { shadowAccess } from '../../kvm/mmu/shadow-access.ts';
import { ShadowMmu } from '../../kvm/mmu/shadow-mmu.ts';
import { directPaging, shadowPaging } from '../../kvm/mmu/shadow-paging.ts';
import { TdpMmu } from '../../kvm/mmu/tdp-mmu.ts';
import type { TraceSink } from '../../kvm/mmu/trace.ts';
import { CR0, CR4, EFER, type Vcpu } from '../../kvm/mmu/vcpu.ts';
import { Vm } from '../../kvm/mmu/vm.ts';
import {
  KVM_CAP_DISABLE_QUIRKS,
  KVM_CAP_DISABLE_QUIRKS2,
  QUIRK,
  type QuirkCaps,
} from '../../kvm/quirks.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import { LINUX_PAT } from '../../linux/pat-layout.ts';
import { compareVersions, type KernelVersion, parseKernelVersion } from '../../linux/version.ts';
import type { AccessType } from '../../machine/types.ts';
import { knowsSlotFlag } from '../../platform/vmm.ts';
import { patMsr } from '../../x86/pat.ts';
import type { Vendor } from '../../x86/types.ts';
import type { Region } from '../compile.ts';
import { guestAccessType, machineType, type Typed, vmmAccessType } from './effective.ts';
import type { MtrrPlanned } from './firmware.ts';
import type { GuestMapping } from './guest-kernel.ts';
import type { HostPage } from './host.ts';
import type { Known } from './known.ts';
import { vendorOf } from './vmm.ts';

/** Guest RAM: page tables, code, and a page for the `ram` of programs. Above 1 MiB, where no fixed MTRR is. */
const RAM = { gpa: 2 ** 21, hva: 0x7f00_0000_0000, pfn: 0x1_0000, pages: 32 };
const RAM_PAGE = RAM.gpa + 16 * PAGE_SIZE;
const CODE_PAGE = RAM_PAGE + PAGE_SIZE;
const BLOB = { hva: 0x7e00_0000_0000, pfn: 0x8_0000, pages: 1 };

/** Present, writable, accessed and dirty. */
const TABLE_BITS = 0x63;

/** What an access of the guest came to. */
export interface Touched {
  readonly type: AccessType;
  readonly typed: Typed;
  /** KVM's entry for the page. */
  readonly spte: U64;
  /** KVM had to map the page. */
  readonly faulted: boolean;
  /** Lines of KVM's tracepoints. */
  readonly trace: readonly string[];
  /** Why there is no access: KVM gives up. */
  readonly failed: string | null;
}

function kernelOf(known: Known, rules: KvmRules): KernelVersion {
  return known.question.kernel ?? parseKernelVersion(rules.id);
}

function blobMapping(page: HostPage): HostMapping {
  const { zeroPage } = page;
  return {
    hva: BLOB.hva,
    end: BLOB.hva + BLOB.pages * PAGE_SIZE,
    pfn: BLOB.pfn,
    sameFrame: zeroPage,
    level: 1,
    present: true,
    writable: !zeroPage,
    onWrite: zeroPage ? 'copy' : 'make-writable',
    pfnmap: page.device || page.highOrder,
    vma: null,
    vmmType: page.vmm,
    poisoned: false,
  };
}

/** tdp_mmu=1 is the default from here on. */
const TDP_MMU = parseKernelVersion('5.15-rc1');

function mmuOf(vm: Vm, kernel: KernelVersion): Mmu {
  if (vm.config.paging === 'shadow') return new ShadowMmu(vm, (vcpu) => shadowPaging(vm, vcpu));
  if (compareVersions(kernel, TDP_MMU) >= 0) return new TdpMmu(vm);
  return new ShadowMmu(vm, (vcpu) => directPaging(vm, vcpu));
}

/** The address space of the VMM, and what is behind it. */
function hostMemory(page: HostPage): HostMemory {
  const host = new HostMemory();
  const end = RAM.hva + RAM.pages * PAGE_SIZE;
  const ram = { ...blobMapping(page), vmmType: 'WB', pfnmap: false, sameFrame: false } as const;
  host.map({ ...ram, hva: RAM.hva, end, pfn: RAM.pfn, writable: true, onWrite: 'copy' });
  const { pfnValid, reserved, zeroPage, memtype, hostMtrr, e820Ram, compound } = page;
  host.frames({
    pfn: BLOB.pfn,
    end: BLOB.pfn + BLOB.pages,
    facts: {
      pfnValid,
      reserved,
      zeroPage,
      tail: compound !== 'no',
      headReserved: compound === 'tail-of-reserved',
      refcounted: true,
      memtype,
      hostMtrr,
      e820Ram,
    },
  });
  return host;
}

/**
 * The virtual machine of a run: KVM's MMU over the host's memory, one vCPU whose page tables lie in guest RAM
 * and map what programs use at its own address, and the host's side of the pages.
 */
export class GuestMachine {
  readonly #vm: Vm;
  readonly #vcpu: Vcpu;
  readonly #page: HostPage;
  readonly #planned: MtrrPlanned;
  readonly #rules: KvmRules;
  readonly #vendor: Vendor;
  readonly #trace: string[] = [];
  #mapping: GuestMapping | null = null;

  constructor(
    known: Known,
    rules: KvmRules,
    quirks: QuirkCaps,
    page: HostPage,
    planned: MtrrPlanned,
  ) {
    const kernel = kernelOf(known, rules);
    const paging = known.ask('paging');
    this.#rules = rules;
    this.#page = page;
    this.#planned = planned;
    this.#vendor = vendorOf(known);
    const slotFlags =
      (knowsSlotFlag(rules) ? KVM_MEM_NON_COHERENT_DMA : 0) |
      (rules.hugeFlagged ? KVM_MEM_HOST_MEMTYPE : 0);
    const trace: TraceSink = (event, _context, text) => this.#trace.push(`${event}: ${text}`);
    this.#vm = new Vm(
      vmConfig({
        kernel,
        rules,
        vendor: this.#vendor,
        paging,
        selfSnoop: this.#vendor === 'intel' && known.ask('self-snoop'),
        hostPat: known.ask('host-pat') ? LINUX_PAT['wt-wp'] : null,
        quirks,
        slotFlags,
        trace,
      }),
      hostMemory(page),
      (vm) => mmuOf(vm, kernel),
    );
    this.#vcpu = createVcpu(this.#vm);
    this.#vcpu.mtrrs = planned.state;
    this.#vm.setUserMemoryRegion({
      slot: 0,
      flags: 0,
      guestPhysAddr: RAM.gpa,
      memorySize: RAM.pages * PAGE_SIZE,
      userspaceAddr: RAM.hva,
    });
    if (known.ask('quirk-cd-nw-cleared') === 'off') {
      this.#vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS, QUIRK.CD_NW_CLEARED);
    }
    if (known.said('confidential') === 'tdx') this.disableQuirk();
  }

  /** The lines since the last call. */
  #taken(): readonly string[] {
    return this.#trace.splice(0);
  }

  /** KVM_ENABLE_CAP(KVM_CAP_DISABLE_QUIRKS2, IGNORE_GUEST_PAT). @returns false: -EINVAL */
  disableQuirk(): boolean {
    return this.#vm.disableQuirks(KVM_CAP_DISABLE_QUIRKS2, QUIRK.IGNORE_GUEST_PAT).ret === 0;
  }

  /** A device that enforces nothing joins. */
  attach(): void {
    this.#vm.startAssignment();
    this.#vm.registerNoncoherentDma();
  }

  detach(): void {
    this.#vm.unregisterNoncoherentDma();
    this.#vm.endAssignment();
  }

  /** A device whose DMA is coherent joins. */
  assign(): void {
    this.#vm.startAssignment();
  }

  /** The memslot of the blob; its mapping in the VMM comes first. */
  addSlot(flags: { readonly noncoherent: boolean; readonly hostMemtype: boolean }): void {
    const { host } = this.#vm;
    host.map(blobMapping(this.#page));
    this.#vm.setUserMemoryRegion({
      slot: 1,
      flags:
        (flags.noncoherent ? KVM_MEM_NON_COHERENT_DMA : 0) |
        (flags.hostMemtype ? KVM_MEM_HOST_MEMTYPE : 0),
      guestPhysAddr: this.#planned.address,
      memorySize: BLOB.pages * PAGE_SIZE,
      userspaceAddr: BLOB.hva,
    });
  }

  /** The VMM maps the same pages anew: MAP_FIXED over the old mapping. */
  remap(): void {
    this.#vm.host.map(blobMapping(this.#page));
  }

  /** The blob goes: its memslot is deleted. */
  removeSlot(): void {
    this.#vm.setUserMemoryRegion({
      slot: 1,
      flags: 0,
      guestPhysAddr: this.#planned.address,
      memorySize: 0,
      userspaceAddr: BLOB.hva,
    });
  }

  #write(gpa: number, value: U64): void {
    const pfn = RAM.pfn + Math.floor((gpa - RAM.gpa) / PAGE_SIZE);
    this.#vm.host.write64(pfn, gpa % PAGE_SIZE, value);
  }

  /** Entries of the guest's page tables down to the leaf of an address, which maps itself. */
  #mapAt(address: number, firstTable: number, leafBits: number): void {
    const entry = (table: number, level: number, value: number): void => {
      const index = Math.floor(address / 2 ** (3 + 9 * level)) % 512;
      this.#write(table + index * 8, u64FromNumber(value));
    };
    const tables = [firstTable, firstTable + PAGE_SIZE] as const;
    entry(RAM.gpa, 4, RAM.gpa + PAGE_SIZE + TABLE_BITS);
    entry(RAM.gpa + PAGE_SIZE, 3, tables[0] + TABLE_BITS);
    entry(tables[0], 2, tables[1] + TABLE_BITS);
    entry(tables[1], 1, address + TABLE_BITS + leafBits);
  }

  /** The guest's page tables, its PAT, and long mode. */
  mapInGuest(mapping: GuestMapping): void {
    this.#mapping = mapping;
    const { registers } = this.#vcpu;
    const index = mapping.index;
    const bits = ((index & 1) << 3) | ((index & 2) << 3) | ((index & 4) << 5);
    const { address } = this.#planned;
    // A blob in the first GiB shares the directory of the RAM.
    const own = address < 2 ** 30 ? RAM.gpa + 2 * PAGE_SIZE : RAM.gpa + 4 * PAGE_SIZE;
    this.#mapAt(RAM_PAGE, RAM.gpa + 2 * PAGE_SIZE, 0);
    this.#mapAt(CODE_PAGE, RAM.gpa + 2 * PAGE_SIZE, 0);
    this.#vcpu.rip = CODE_PAGE;
    if (own === RAM.gpa + 2 * PAGE_SIZE) this.#mapBeside(address, bits);
    else this.#mapAt(address, own, bits);
    registers.cr0 = CR0.PG + CR0.WP + CR0.PE;
    registers.cr3 = RAM.gpa;
    registers.cr4 = CR4.PAE;
    registers.efer = EFER.LME | EFER.LMA | EFER.NX;
    registers.pat = patMsr(mapping.pat);
  }

  #mapBeside(address: number, bits: number): void {
    const directory = RAM.gpa + 2 * PAGE_SIZE;
    const table = RAM.gpa + 6 * PAGE_SIZE;
    const index = Math.floor(address / 2 ** 21) % 512;
    this.#write(directory + index * 8, u64FromNumber(table + TABLE_BITS));
    const leaf = Math.floor(address / PAGE_SIZE) % 512;
    this.#write(table + leaf * 8, u64FromNumber(address + TABLE_BITS + bits));
  }

  /** The guest writes CR0.CD. */
  setCd(on: boolean): void {
    const { cr0 } = this.#vcpu.registers;
    const isOn = (cr0 & CR0.CD) !== 0;
    if (isOn !== on) writeCr0(this.#vm, this.#vcpu, on ? cr0 + CR0.CD : cr0 - CR0.CD);
  }

  /** Runs a change of the stage: what KVM printed, and whether the blob's mapping went with it. */
  during(change: () => void): { readonly trace: readonly string[]; readonly zapped: boolean } {
    const before = this.#isMapped();
    this.#taken();
    change();
    const trace = this.#taken();
    return { trace, zapped: before && !this.#isMapped() };
  }

  #isMapped(): boolean {
    if (this.#mapping === null) return false;
    const { mmu } = this.#vm;
    return mmu.walk(this.#vcpu, this.#planned.address, 0).is === 'leaf';
  }

  /** CR0.CD of the guest reaches AMD hardware only without KVM_X86_QUIRK_CD_NW_CLEARED. */
  #liveCd(): boolean {
    if (this.#vendor !== 'amd' || !this.#rules.hasCdQuirk) return false;
    const isOn = (this.#vcpu.registers.cr0 & CR0.CD) !== 0;
    return isOn && !this.#vm.hasQuirk(QUIRK.CD_NW_CLEARED);
  }

  /** An access of the guest, after as many faults as it takes. */
  access(region: Region, write: boolean): Touched {
    const address = region === 'blob' ? this.#planned.address : RAM_PAGE;
    this.#taken();
    const kind = write ? 'store' : 'load';
    const { mmu, config } = this.#vm;
    const outcome =
      config.paging === 'shadow' && mmu instanceof ShadowMmu
        ? shadowAccess(mmu, this.#vcpu, address, kind)
        : access(this.#vm, this.#vcpu, address, kind);
    return this.#touched(outcome, this.#taken());
  }

  #touched(outcome: AccessOutcome, trace: readonly string[]): Touched {
    const faulted = trace.some((line) => line.startsWith('kvm_page_fault'));
    if (outcome.is !== 'memory') {
      const failed = `the access fails: ${outcome.is}`;
      const typed: Typed = { type: 'UC', ucOrigin: null, leaf: 'nothing' };
      return { type: 'UC', typed, spte: u64(0, 0), faulted, trace, failed };
    }
    const { entry } = outcome;
    const { paging } = this.#vm.config;
    const mapping = must(this.#mapping, 'the guest has mapped the blob');
    const spte = { hi: entry.hi, lo: entry.lo };
    const typed = guestAccessType({
      paging,
      vendor: this.#vendor,
      rules: this.#rules,
      spte,
      level: entry.level,
      index: entry.patIndex ?? 0,
      guestPat: mapping.pat,
      hostMtrr: this.#vm.host.factsOf(entry.pfn).hostMtrr,
      liveCd: this.#liveCd(),
      assignedDevice: this.#vm.assignedDevice,
      isMmio: () => isMmioPfn(this.#vm, entry.pfn),
    });
    return { type: machineType(typed), typed, spte, faulted, trace, failed: null };
  }

  /** The type of an access by the VMM, through its own page tables. */
  vmmType(region: Region): AccessType {
    const hva = region === 'blob' ? BLOB.hva : RAM.hva;
    const mapping = must(this.#vm.host.mappingOf(hva), 'the VMM maps it');
    const { hostMtrr } = this.#vm.host.factsOf(this.#vm.host.frameIn(mapping, hva));
    return vmmAccessType(this.#vendor, hostMtrr, mapping.vmmType);
  }
}
