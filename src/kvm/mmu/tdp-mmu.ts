import { PFERR } from './error-code.ts';
import { faultIn, mappingLevel } from './fault-in.ts';
import { errorCodeText } from './fault-text.ts';
import { pagesOf } from './host-memory.ts';
import { leafTypeBits } from './memory-type.ts';
import { hvaOf, type Memslot } from './memslots.ts';
import type { FaultResult, HardwareWalk, Mmu } from './mmu.ts';
import type { PageFault } from './page-fault.ts';
import { entryIndex, frameOf, type MmuPage } from './page-tables.ts';
import { gfnOf, type Place, TdpTables } from './tdp-tables.ts';
import * as zap from './tdp-zap.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

/** The TDP MMU: EPT or NPT from 5.10 on, where tdp_mmu=1. Source: kvm/tdp_mmu.c. */
export class TdpMmu implements Mmu {
  readonly vm: Vm;
  readonly tables: TdpTables;
  #roots: MmuPage[] = [];

  constructor(vm: Vm) {
    this.vm = vm;
    this.tables = new TdpTables(vm);
  }

  roots(): readonly MmuPage[] {
    return this.#roots;
  }

  /** kvm_tdp_mmu_alloc_root(). */
  load(vcpu: Vcpu): void {
    if (vcpu.root !== null && !vcpu.root.invalid && vcpu.root.role.smm === vcpu.registers.smm)
      return;
    const { smm } = vcpu.registers;
    vcpu.tlb.flush();
    vcpu.root = this.#roots.find((root) => root.role.smm === smm) ?? this.#newRoot(smm);
  }

  #newRoot(smm: boolean): MmuPage {
    const root = this.vm.tables.allocate({
      level: this.vm.config.tdpLevels,
      gfn: 0,
      tdpMmu: true,
      role: { ...this.tables.role, smm },
      parent: null,
    });
    this.vm.tracer?.getPage(root, true, this.vm.config.behaviour.rootContext);
    this.#roots.push(root);
    return root;
  }

  unload(vcpu: Vcpu): void {
    vcpu.root = null;
  }

  walk(vcpu: Vcpu, gpa: number, code: number): HardwareWalk {
    this.load(vcpu);
    const { tables } = this;
    const gfn = Math.floor(gpa / 4096);
    const { page, index } = tables.last(vcpu.root as MmuPage, gfn);
    const hi = tables.hi(page, index);
    const lo = tables.lo(page, index);
    const { level } = page;
    if (!tables.isPresent(hi, lo))
      return { is: 'fault', level, hi, lo, rsvd: tables.isMmio(hi, lo), present: false };
    if (!tables.allows(hi, lo, code))
      return { is: 'fault', level, hi, lo, rsvd: false, present: true };
    this.#touch({ page, index }, gfn, code);
    const pfn = frameOf(hi, lo);
    const size = pagesOf(level);
    return {
      is: 'leaf',
      level,
      hi,
      lo: tables.lo(page, index),
      pfn: pfn - (pfn % size) + (gfn % size),
    };
  }

  /** The CPU sets A, and D for a write; the first write after D was cleared is logged with PML. */
  #touch({ page, index }: Place, gfn: number, code: number): void {
    const { adBits, pml } = this.vm.config;
    if (!adBits) return;
    const { accessed, dirty } = this.vm.sptes;
    const lo = this.tables.lo(page, index);
    const isWrite = (code & PFERR.WRITE) !== 0;
    page.entries[index * 2] = lo | accessed | (isWrite ? dirty : 0);
    if (pml && isWrite && (lo & dirty) === 0) this.vm.markDirty(page.role.smm ? 1 : 0, gfn);
  }

  pageFault(vcpu: Vcpu, gpa: number, code: number): FaultResult {
    this.load(vcpu);
    const fault: PageFault = {
      address: gpa,
      code,
      gfn: Math.floor(gpa / 4096),
      slot: null,
      pfn: null,
      hva: 0,
      mapWritable: false,
      maxLevel: 3,
      reqLevel: 1,
      goalLevel: 1,
    };
    const isStore = (code & PFERR.PRESENT) !== 0 && (code & PFERR.WRITE) !== 0;
    if (isStore && this.vm.shadowed?.isGuarded(fault.gfn) === true) return 'emulate';
    const fast = this.#fastPageFault(vcpu, fault);
    if (fast !== null) return fast;
    const early = faultIn(this.vm, vcpu, fault);
    return early ?? this.#map(vcpu, fault);
  }

  /** fast_page_fault(): W comes back without a look at the host, where KVM took it away itself. */
  #fastPageFault(vcpu: Vcpu, fault: PageFault): FaultResult | null {
    const { code } = fault;
    const isPresent = (code & PFERR.PRESENT) !== 0;
    if ((code & PFERR.RSVD) !== 0) return null;
    if (!isPresent && this.vm.config.adBits) return null;
    if (isPresent && (code & PFERR.WRITE) === 0) return null;
    const { tables } = this;
    const { page, index } = tables.last(vcpu.root as MmuPage, fault.gfn);
    const old = { hi: tables.hi(page, index), lo: tables.lo(page, index) };
    const result = this.#fastResult(fault, { page, index }, old.hi, old.lo);
    const { tracer } = this.vm;
    if (tracer !== null) {
      const now = { hi: tables.hi(page, index), lo: tables.lo(page, index) };
      const text = errorCodeText(this.vm, code);
      tracer.fastPageFault(vcpu.id, fault.address, text, old, now, result ?? 'other');
    }
    return result;
  }

  #fastResult(
    fault: PageFault,
    { page, index }: Place,
    hi: number,
    lo: number,
  ): 'fixed' | 'spurious' | null {
    const { tables, vm } = this;
    if (!tables.isPresent(hi, lo)) return null;
    if (tables.allows(hi, lo, fault.code)) return 'spurious';
    const [mmuHi, mmuLo] = vm.sptes.mmuWritable;
    const isMmuWritable = (hi & mmuHi) !== 0 || (lo & mmuLo) !== 0;
    const isWrite = (fault.code & PFERR.WRITE) !== 0;
    if (!isWrite || !isMmuWritable || page.level > 1) return null;
    page.entries[index * 2] = lo | 2;
    vm.markDirty(page.role.smm ? 1 : 0, fault.gfn);
    return 'fixed';
  }

  /** kvm_tdp_mmu_map(). */
  #map(vcpu: Vcpu, fault: PageFault): FaultResult {
    const { vm, tables } = this;
    while (fault.maxLevel > 1 && vm.shadowed?.isHugeAllowed(fault.gfn, fault.maxLevel) === false)
      fault.maxLevel = (fault.maxLevel - 1) as PageFault['maxLevel'];
    fault.reqLevel = mappingLevel(vm, vcpu, fault);
    const noHugeExec = vm.config.nxHugePages && (fault.code & PFERR.FETCH) !== 0;
    fault.goalLevel = noHugeExec ? 1 : fault.reqLevel;
    const { accessAll } = vm.sptes;
    vm.tracer?.spteRequested(fault.gfn, fault.pfn, fault.goalLevel, accessAll);
    let page = vcpu.root as MmuPage;
    for (;;) {
      const index = entryIndex(fault.gfn, page.level);
      const hi = tables.hi(page, index);
      const lo = tables.lo(page, index);
      const isTable = tables.isPresent(hi, lo) && !tables.isLeaf(page.level, lo);
      // Small pages that run code stay small: disallowed_hugepage_adjust().
      if (isTable && page.level === fault.goalLevel && tables.child(hi, lo).nxHugePageDisallowed)
        fault.goalLevel = (page.level - 1) as PageFault['goalLevel'];
      if (page.level === fault.goalLevel) return this.#mapLeaf(vcpu, fault, { page, index });
      page = isTable ? tables.child(hi, lo) : this.#descend(fault, { page, index }, hi, lo);
    }
  }

  /** A table under an entry that has none: new, or of a huge page that is in the way. */
  #descend(fault: PageFault, { page, index }: Place, hi: number, lo: number): MmuPage {
    const { tables, vm } = this;
    const isHuge = tables.isPresent(hi, lo);
    if (isHuge && vm.config.behaviour.splitOnFault) {
      tables.split(page, index);
      vm.flushTlbs();
    } else {
      if (isHuge) {
        tables.clear(page, index);
        vm.flushTlbs();
      }
      tables.link(page, index, tables.newChild(page, index));
    }
    const child = tables.child(tables.hi(page, index), tables.lo(page, index));
    child.nxHugePageDisallowed = fault.reqLevel > fault.goalLevel && fault.reqLevel >= page.level;
    return child;
  }

  /** tdp_mmu_map_handle_target_level(). */
  #mapLeaf(vcpu: Vcpu, fault: PageFault, { page, index }: Place): FaultResult {
    const { tables, vm } = this;
    const { sptes } = vm;
    if (fault.slot === null || fault.pfn === null)
      return this.#mapMmio(vcpu, fault, { page, index });
    const gfn = gfnOf(page, index);
    const pfn = fault.pfn - (fault.gfn - gfn);
    const mapped = { slot: fault.slot, gfn, pfn, hva: hvaOf(fault.slot, gfn) };
    const type = leafTypeBits(vm, vcpu, mapped, page.level);
    const mmuWritable = !fault.mapWritable || vm.shadowed?.mayWrite(gfn) !== false;
    sptes.leaf({
      pfn,
      level: page.level,
      access: sptes.accessAll,
      hostWritable: fault.mapWritable,
      mmuWritable,
      prefetch: false,
      type,
    });
    const { hi, lo } = sptes;
    const [oldHi, oldLo] = [tables.hi(page, index), tables.lo(page, index)];
    const wasPresent = tables.isPresent(oldHi, oldLo);
    const isRefused = !mmuWritable && (fault.code & PFERR.WRITE) !== 0;
    if (oldHi === hi && oldLo === lo) return isRefused ? 'emulate' : 'spurious';
    tables.set(page, index, hi, lo);
    if (wasPresent) vm.flushTlbs();
    if ((lo & 2) !== 0) vm.markDirty(page.role.smm ? 1 : 0, fault.gfn);
    this.#traceSet(gfn, hi, lo, { page, index });
    if (isRefused) return 'emulate';
    return 'fixed';
  }

  #traceSet(gfn: number, hi: number, lo: number, place: Place): void {
    const { tracer, sptes, config } = this.vm;
    if (tracer === null) return;
    const x = sptes.isEpt ? (lo & 4) !== 0 : hi >>> 31 === 0;
    const userBit = sptes.isEpt ? (config.edition.saved.xu === null ? 1 : 1 << 10) : 4;
    const printed = { r: true, w: (lo & 2) !== 0, x, u: (lo & userBit) !== 0 };
    tracer.setSpte(gfn, hi, lo, printed, place);
  }

  #mapMmio(vcpu: Vcpu, fault: PageFault, { page, index }: Place): FaultResult {
    const { tables, vm } = this;
    const { generation } = vm.slots;
    const { hi, lo } = vm.sptes.mmio(fault.gfn, vm.sptes.accessAll, generation);
    tables.set(page, index, hi, lo);
    vm.tracer?.markMmio(fault.gfn, lo & 7, generation);
    const access = vm.sptes.isEpt ? 0 : lo & 6;
    vcpu.mmio = { gva: 0, gfn: fault.gfn, access, generation };
    return 'emulate';
  }

  /** handle_mmio_page_fault(). */
  mmioFault(vcpu: Vcpu, gpa: number): 'emulate' | 'invalid' | 'retry' {
    const { vm, tables } = this;
    const gfn = Math.floor(gpa / 4096);
    const { generation } = vm.slots;
    if (vcpu.mmio?.gfn === gfn && vcpu.mmio.generation === generation) return 'emulate';
    const { page, index } = tables.last(vcpu.root as MmuPage, gfn);
    const hi = tables.hi(page, index);
    const lo = tables.lo(page, index);
    if (!tables.isMmio(hi, lo)) return 'retry';
    const then = vm.sptes.generationOf(hi, lo);
    vm.tracer?.checkMmio(hi, lo, generation, then);
    if (then !== generation) return 'invalid';
    const access = vm.sptes.isEpt ? 0 : lo & 6;
    vm.tracer?.handleMmio(0, gfn, access);
    vcpu.mmio = { gva: 0, gfn, access, generation };
    return 'emulate';
  }

  /** The CPU does it: no exit. */
  flushGuest(vcpu: Vcpu): void {
    vcpu.tlb.flush();
  }

  invlpg(vcpu: Vcpu, address: number): void {
    vcpu.tlb.flush(Math.floor(address / 4096));
  }

  protectGfn(gfn: number): boolean {
    const { tables, vm } = this;
    const [mmuHi, mmuLo] = vm.sptes.mmuWritable;
    let any = false;
    for (const root of this.#roots)
      tables.leaves(root, gfn, gfn + 1, (page, index, hi, lo) => {
        if ((lo & (mmuLo | 2)) === 0 && (hi & mmuHi) === 0) return;
        tables.set(page, index, (hi & ~mmuHi) >>> 0, (lo & ~(mmuLo | 2)) >>> 0);
        any = true;
      });
    return any;
  }

  zapAllFast(): void {
    const roots = this.#roots;
    this.#roots = [];
    zap.zapRoots(this.tables, roots);
  }

  zapGfnRange(start: number, end: number): void {
    if (zap.zapLeaves(this.tables, this.#roots, start, end)) this.vm.flushTlbs();
  }

  unmapGfnRange(slot: Memslot, start: number, end: number): boolean {
    const roots = this.#roots.filter((root) => root.role.smm === (slot.asId === 1));
    return zap.zapLeaves(this.tables, roots, start, end);
  }

  flushSlot(slot: Memslot): void {
    zap.flushSlot(this, slot);
  }

  dirtyLogOn(slot: Memslot): void {
    zap.dirtyLogOn(this.tables, this.#rootsOf(slot), slot);
  }

  dirtyLogOff(slot: Memslot): void {
    zap.dirtyLogOff(this.tables, this.#rootsOf(slot), slot);
  }

  #rootsOf(slot: Memslot): readonly MmuPage[] {
    return this.#roots.filter((root) => root.role.smm === (slot.asId === 1));
  }

  destroy(): void {
    this.zapAllFast();
  }
}
