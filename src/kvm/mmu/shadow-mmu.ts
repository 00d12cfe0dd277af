import { must } from '../../base/assert.ts';
import type { U64 } from '../../base/u64.ts';
import { PFERR, unsigned48 } from './error-code.ts';
import { directPageFault } from './legacy-direct.ts';
import { hvaOf, isReadonly, type Memslot } from './memslots.ts';
import type { FaultResult, HardwareWalk, Mmu } from './mmu.ts';
import { frameOf, type MmuPage } from './page-tables.ts';
import { dropCollapsible } from './shadow-collapse.ts';
import type { ShadowContext } from './shadow-context.ts';
import { protectEntry } from './shadow-entries.ts';
import { indexAt, noteMmio, type ShadowFaultResult, shadowPageFault } from './shadow-fault.ts';
import { usesGuestPat } from './shadow-leaf.ts';
import { roleWord, type ShadowPage } from './shadow-page.ts';
import type { Paging } from './shadow-paging.ts';
import { freeRoots, reload, switchRoot } from './shadow-roots.ts';
import { ShadowState } from './shadow-state.ts';
import { syncOne } from './shadow-sync.ts';
import { trackWrite } from './shadow-write.ts';
import { unprotectPage, zapAll, zapLeaves, zapObsolete } from './shadow-zap.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';
import type { WalkMemory } from './walk.ts';

function isFrom({ from, rootRole }: ShadowContext, { registers }: Vcpu): boolean {
  if (from === null || rootRole.smm !== registers.smm) return false;
  const [cr0, cr3, cr4, efer] = from;
  const isSame = cr0 === registers.cr0 && cr3 === registers.cr3 && cr4 === registers.cr4;
  return isSame && efer === registers.efer;
}

/** First of the memslots that KVM makes for itself: KVM_USER_MEM_SLOTS. */
const PRIVATE_SLOTS = 32764;

/** Guest memory as KVM reads tables in it: through the memslots, with the rights of the VMM. */
export function slotMemory(vm: Vm): WalkMemory {
  const place = (gpa: number, write: boolean): { pfn: number; offset: number } | null => {
    const gfn = Math.floor(gpa / 4096);
    const slot = vm.slots.at(0, gfn);
    if (slot === null || (write && isReadonly(slot))) return null;
    const hva = hvaOf(slot, gfn);
    if (!vm.host.fault(hva, write)) return null;
    const mapping = vm.host.mappingOf(hva);
    if (mapping === null || mapping.poisoned) return null;
    return { pfn: vm.host.frameIn(mapping, hva), offset: gpa % 4096 };
  };
  return {
    load(gpa): U64 | null {
      const at = place(gpa, false);
      return at === null ? null : vm.host.read64(at.pfn, at.offset);
    },
    store(gpa, value): void {
      const at = place(gpa, true);
      if (at === null) return;
      vm.host.write64(at.pfn, at.offset, value);
      vm.markDirty(0, Math.floor(gpa / 4096));
    },
  };
}

/**
 * The shadow code of KVM: shadow paging, and EPT or NPT without the TDP MMU. `paging` says what stands for the
 * guest at a time. Source: kvm/shadow-fetch, kvm/direct_map.
 */
export class ShadowMmu implements Mmu {
  readonly vm: Vm;
  readonly state: ShadowState;
  readonly #paging: (vcpu: Vcpu) => Paging;
  readonly #memory: WalkMemory;
  readonly #contexts = new Map<Vcpu, ShadowContext>();

  /**
   * @param paging what a vCPU is paged by as its registers are
   * @param mmioCaching enable_mmio_caching: accesses without memory leave an MMIO SPTE
   */
  constructor(
    vm: Vm,
    paging: (vcpu: Vcpu) => Paging,
    mmioCaching: boolean = true,
    memory: WalkMemory = slotMemory(vm),
  ) {
    this.vm = vm;
    this.state = new ShadowState(vm, mmioCaching);
    this.#paging = paging;
    this.#memory = memory;
  }

  /** What KVM keeps of a vCPU, as its registers are now. */
  context(vcpu: Vcpu): ShadowContext {
    let context = this.#contexts.get(vcpu);
    if (context !== undefined && isFrom(context, vcpu)) return context;
    const { rootRole, settings, pgd } = this.#paging(vcpu);
    const { cr0, cr3, cr4, efer } = vcpu.registers;
    const from = [cr0, cr3, cr4, efer] as const;
    if (context === undefined) {
      context = {
        vm: this.vm,
        vcpu,
        memory: this.#memory,
        usesGuestPat: usesGuestPat(this.vm),
        executeOnly: settings.format === 'ept' && settings.executeOnly,
        settings,
        rootRole,
        pgd,
        from,
        root: null,
        previous: [],
        needsSync: false,
      };
      this.#contexts.set(vcpu, context);
    } else if (roleWord(context.rootRole) !== roleWord(rootRole)) {
      // kvm_mmu_reset_context(): permissions mean something else now.
      freeRoots(this.state, context);
      context.rootRole = rootRole;
    }
    Object.assign(context, { settings, pgd, from });
    return context;
  }

  /** What the paging of a vCPU follows from has changed, and it is not in its registers. */
  forget(vcpu: Vcpu): void {
    const context = this.#contexts.get(vcpu);
    if (context !== undefined) context.from = null;
  }

  load(vcpu: Vcpu): void {
    const context = this.context(vcpu);
    if (context.root !== null && context.root.pgd !== context.pgd) this.newPgd(vcpu);
    reload(this.state, context);
    // Of L2 the roots are beside those of L1.
    if (!context.rootRole.guestMode) vcpu.root = context.root?.page ?? null;
  }

  #rootOf(vcpu: Vcpu): ShadowPage {
    return must(this.#contexts.get(vcpu)?.root, 'a root').page;
  }

  unload(vcpu: Vcpu): void {
    const context = this.#contexts.get(vcpu);
    if (context === undefined) return;
    freeRoots(this.state, context);
    if (!context.rootRole.guestMode) vcpu.root = null;
  }

  /** kvm_mmu_new_pgd(): CR3 has another value. */
  newPgd(vcpu: Vcpu): void {
    const context = this.context(vcpu);
    switchRoot(this.state, context);
    vcpu.mmio = null;
  }

  /** A write of CR3: everything below the root is synced at the next entry. */
  flushGuest(vcpu: Vcpu): void {
    vcpu.tlb.flush();
    this.context(vcpu).needsSync = true;
  }

  /** kvm_mmu_invlpg(): syncs the entry of one address, under all roots that the vCPU keeps. */
  invlpg(vcpu: Vcpu, linear: number): void {
    const context = this.context(vcpu);
    if (context.rootRole.direct) {
      vcpu.tlb.flush(Math.floor(linear / 4096));
      return;
    }
    const address = unsigned48(linear);
    vcpu.tlb.flush(Math.floor(address / 4096));
    if (vcpu.mmio?.gva === address - (address % 4096)) vcpu.mmio = null;
    const roots = context.root === null ? context.previous : [context.root, ...context.previous];
    for (const { page } of roots) this.#invalidate(context, page, address);
  }

  /** __kvm_mmu_invalidate_addr(). */
  #invalidate(context: ShadowContext, root: ShadowPage, address: number): void {
    let sp = root;
    for (;;) {
      const index = indexAt(address, sp.level);
      if (sp.unsync) syncOne(this.state, context, sp, index);
      if (sp.unsyncChildren === 0) return;
      const [hi, lo] = [sp.hi(index), sp.lo(index)];
      if (!this.state.bits.isPresent(hi, lo) || this.state.bits.isLast(lo, sp.level)) return;
      sp = this.state.child(hi, lo);
    }
  }

  /** The last entry on the way to an address. */
  #last(root: ShadowPage, address: number): { readonly sp: ShadowPage; readonly index: number } {
    let sp = root;
    for (;;) {
      const index = indexAt(address, sp.level);
      const [hi, lo] = [sp.hi(index), sp.lo(index)];
      const { bits } = this.state;
      if (!bits.isPresent(hi, lo) || bits.isLast(lo, sp.level)) return { sp, index };
      sp = this.state.child(hi, lo);
    }
  }

  /** The gfn that KVM's tables translate an address to. */
  gfnAt(vcpu: Vcpu, address: number): number {
    const { sp, index } = this.#last(this.#rootOf(vcpu), address);
    return sp.gfnAt(index) + (Math.floor(address / 4096) % 512 ** (sp.level - 1));
  }

  walk(vcpu: Vcpu, address: number, code: number): HardwareWalk {
    this.load(vcpu);
    const { bits } = this.state;
    const { sp, index } = this.#last(this.#rootOf(vcpu), address);
    const [hi, lo] = [sp.hi(index), sp.lo(index)];
    const { level } = sp;
    if (!bits.isPresent(hi, lo))
      return { is: 'fault', level, hi, lo, rsvd: bits.isMmio(hi, lo), present: false };
    if (!this.#allows(vcpu, hi, lo, code))
      return { is: 'fault', level, hi, lo, rsvd: false, present: true };
    this.#touch(sp, index, code);
    const size = 512 ** (level - 1);
    const pfn = frameOf(hi, lo);
    const inside = Math.floor(address / 4096) % size;
    return { is: 'leaf', level, hi, lo: sp.lo(index), pfn: pfn - (pfn % size) + inside };
  }

  /** The CPU runs with CR0.WP and EFER.NX set, whatever the guest set. */
  #allows(vcpu: Vcpu, hi: number, lo: number, code: number): boolean {
    const { bits } = this.state;
    if ((code & PFERR.WRITE) !== 0 && !bits.isWritable(lo)) return false;
    if ((code & PFERR.FETCH) !== 0 && !bits.isExecutable(hi, lo)) return false;
    const { paging } = this.vm.config;
    if (paging === 'ept') return (lo & 1) !== 0 || (code & PFERR.FETCH) !== 0;
    const isUserPage = (lo & 4) !== 0;
    // Every access of a guest is one of user code to NPT.
    if (paging === 'npt') return isUserPage;
    if ((code & PFERR.USER) !== 0) return isUserPage;
    const { smep, smap, ac } = this.context(vcpu).settings;
    if (!isUserPage) return true;
    return (code & PFERR.FETCH) !== 0 ? !smep : !smap || ac;
  }

  #touch(sp: ShadowPage, index: number, code: number): void {
    if (sp.role.adDisabled) return;
    const { accessed, dirty } = this.state.maker(false);
    const isWrite = (code & PFERR.WRITE) !== 0;
    const lo = sp.lo(index) | accessed | (isWrite ? dirty : 0);
    sp.set(index, sp.hi(index), lo);
  }

  /** As pageFault(), with what the guest gets. */
  fault(vcpu: Vcpu, address: number, code: number): ShadowFaultResult {
    this.load(vcpu);
    const context = this.context(vcpu);
    if (!context.rootRole.direct) return shadowPageFault(this.state, context, address, code);
    const is = directPageFault(this.state, context, address, code);
    return { is, gfn: Math.floor(address / 4096) };
  }

  pageFault(vcpu: Vcpu, address: number, code: number): FaultResult {
    return this.fault(vcpu, address, code).is;
  }

  mmioFault(vcpu: Vcpu, address: number): 'emulate' | 'invalid' | 'retry' {
    const { vm, state } = this;
    const context = this.context(vcpu);
    const { direct } = context.rootRole;
    const { generation } = vm.slots;
    if (vcpu.mmio?.generation === generation && this.#isCached(vcpu, address, direct))
      return 'emulate';
    const { sp, index } = this.#last(this.#rootOf(vcpu), address);
    const [hi, lo] = [sp.hi(index), sp.lo(index)];
    if (!state.bits.isMmio(hi, lo)) return 'retry';
    const maker = state.maker(sp.role.adDisabled);
    const then = maker.generationOf(hi, lo);
    vm.tracer?.checkMmio(hi, lo, generation, then);
    if (then !== generation) return 'invalid';
    const gfn = state.bits.mmioGfn(hi, lo);
    const access = maker.isEpt ? 0 : lo & 6;
    const gva = direct ? 0 : address;
    vm.tracer?.handleMmio(gva, gfn, access);
    noteMmio(state, context, gva, gfn, access);
    return 'emulate';
  }

  #isCached({ mmio }: Vcpu, address: number, direct: boolean): boolean {
    if (mmio === null) return false;
    if (direct) return mmio.gfn === Math.floor(address / 4096);
    return mmio.gva !== 0 && mmio.gva === address - (address % 4096);
  }

  /** kvm_mmu_track_write(): KVM wrote guest memory in the place of the guest. */
  written(gpa: number, bytes: number): void {
    trackWrite(this.state, gpa, bytes);
  }

  /** kvm_mmu_unprotect_page(). */
  unprotect(gfn: number): boolean {
    return unprotectPage(this.state, gfn);
  }

  zapAllFast(): void {
    const { state } = this;
    state.tracer?.zapAllFast(state.generation, state.used);
    state.generation = state.generation === 0 ? 1 : 0;
    zapObsolete(state);
  }

  zapGfnRange(start: number, end: number): void {
    if (zapLeaves(this.state, start, end)) this.state.flush();
  }

  unmapGfnRange(slot: Memslot, start: number, end: number): boolean {
    return slot.asId === 0 && zapLeaves(this.state, start, end);
  }

  flushSlot(_slot: Memslot): void {
    this.zapAllFast();
  }

  /** kvm_mmu_slot_remove_write_access(), and with PML kvm_mmu_slot_leaf_clear_dirty(). */
  dirtyLogOn(slot: Memslot): void {
    const { state } = this;
    const end = slot.baseGfn + slot.npages;
    const usesPml = this.vm.config.pml;
    if (usesPml) this.#clearDirty(slot.baseGfn, end);
    for (const ref of state.rmap.inRange(slot.baseGfn, end, usesPml ? 2 : 1))
      protectEntry(state, ref, false);
    state.flush();
  }

  #clearDirty(start: number, end: number): void {
    const { state } = this;
    for (const ref of state.rmap.inRange(start, end, 1, 1)) {
      const sp = state.pageOf(ref);
      const index = ref % 512;
      const { dirty } = state.maker(sp.role.adDisabled);
      if (sp.role.adDisabled) protectEntry(state, ref, false);
      else sp.set(index, sp.hi(index), (sp.lo(index) & ~dirty) >>> 0);
    }
  }

  dirtyLogOff(slot: Memslot): void {
    const vcpu = this.vm.vcpus[0];
    if (vcpu !== undefined && dropCollapsible(this.state, vcpu, slot)) this.state.flush();
  }

  /** kvm_mmu_zap_all(), then the memslots of KVM itself go, then the roots of the vCPUs. */
  destroy(): void {
    zapAll(this.state);
    for (const slot of this.vm.slots.all()) if (slot.id >= PRIVATE_SLOTS) this.flushSlot(slot);
    for (const vcpu of this.#contexts.keys()) this.unload(vcpu);
  }

  roots(): readonly MmuPage[] {
    const pages = [...this.#contexts.values()].flatMap(({ root }) => root?.page ?? []);
    return [...new Set(pages)];
  }
}
