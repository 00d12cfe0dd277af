import type { KernelVersion } from '../../linux/version.ts';
import type { PatLayout } from '../../x86/pat.ts';
import type { Vendor } from '../../x86/types.ts';
import {
  disabledAtCreation,
  type EnableCapResult,
  enableCap,
  hasQuirk,
  QUIRK,
  type QuirkCaps,
} from '../quirks.ts';
import type { KvmRules, PagingMode } from '../rules.ts';
import type { SpteEdition } from '../spte-editions.ts';
import { isZapped, type ZapEvent, type ZapInputs, zapOn } from '../zap.ts';
import type { MmuBehaviour } from './behaviour.ts';
import type { FrameFacts } from './frames.ts';
import type { HostMemory } from './host-memory.ts';
import {
  isDirtyLogged,
  KVM_MEM_HOST_MEMTYPE,
  KVM_MEM_NON_COHERENT_DMA,
  type MemoryRegion,
  type Memslot,
  Memslots,
  type SlotErrno,
} from './memslots.ts';
import type { Mmu, TableWatch } from './mmu.ts';
import { PageTables } from './page-tables.ts';
import { SpteMaker } from './spte-maker.ts';
import { Tracer, type TraceSink } from './trace.ts';
import type { Vcpu } from './vcpu.ts';

const ALL_GFNS = { start: 0, end: 2 ** 40 };

/** The host that a VM runs on, and how its KVM was loaded. */
export interface VmConfig {
  readonly kernel: KernelVersion;
  readonly rules: KvmRules;
  readonly behaviour: MmuBehaviour;
  readonly edition: SpteEdition;
  readonly vendor: Vendor;
  readonly paging: PagingMode;
  /** EPT with A and D bits in the CPU; NPT and shadow paging always have them. */
  readonly adBits: boolean;
  /** VMX with page-modification logging, on a CPU with A and D bits. */
  readonly pml: boolean;
  /** The iTLB multihit mitigation: no huge page is executable. */
  readonly nxHugePages: boolean;
  /** X86_FEATURE_SELFSNOOP after errata. */
  readonly selfSnoop: boolean;
  /** PAT is enabled on the host, and the layout it has. */
  readonly hostPat: PatLayout | null;
  /** Physical address bits of the host's caches where it has the L1TF bug: MMIO SPTEs are guarded. */
  readonly l1tfCacheBits: number | null;
  readonly quirks: QuirkCaps;
  /** CPUID.80000008H:EAX of the guest. */
  readonly guestMaxphyaddr: number;
  /** Levels of the tables of EPT or NPT. */
  readonly tdpLevels: 4 | 5;
  /** KVM_MEM_* that KVM_SET_USER_MEMORY_REGION knows. */
  readonly slotFlags: number;
  /** Frame of the first page-table page. */
  readonly tablesPfn: number;
  readonly trace: TraceSink | null;
}

/** A virtual machine as KVM has it: struct kvm with its memslots, its quirks and its page tables. */
export class Vm {
  readonly config: VmConfig;
  readonly host: HostMemory;
  readonly mmu: Mmu;
  readonly slots = new Memslots();
  readonly vcpus: Vcpu[] = [];
  readonly tables: PageTables;
  readonly sptes: SpteMaker;
  readonly tracer: Tracer | null;
  /** kvm_is_mmio_pfn() of frames that are alike, as far as it was asked. */
  readonly mmioFrames = new WeakMap<FrameFacts, boolean>();
  /** mmu_invalidate_seq: a fault during which it changes is tried again. */
  invalidations = 0;
  /** Tables of the guest that are shadowed beside its MMU; null: none. */
  shadowed: TableWatch | null = null;
  readonly #dirty = new Map<Memslot, Set<number>>();
  readonly #leave: readonly (() => void)[];
  #disabledQuirks: number;
  #isGone = false;
  #noncoherent = 0;
  #assigned = 0;

  /** @param mmu makes the MMU of this VM: the TDP MMU or the shadow code */
  constructor(config: VmConfig, host: HostMemory, mmu: (vm: Vm) => Mmu) {
    this.config = config;
    this.host = host;
    const { edition, behaviour, trace } = config;
    this.tables = new PageTables(config.tablesPfn, edition.empty);
    this.sptes = new SpteMaker(config);
    this.tracer = trace === null ? null : new Tracer(trace, behaviour.trace);
    this.#disabledQuirks = disabledAtCreation(config.quirks, false);
    this.mmu = mmu(this);
    this.#leave = [
      host.onInvalidate((start, end) => this.notifierInvalidate(start, end)),
      host.onRetype((start, end) => this.hostRetyped(start, end)),
    ];
  }

  get noncoherentDma(): boolean {
    return this.#noncoherent > 0;
  }

  get assignedDevice(): boolean {
    return this.#assigned > 0;
  }

  hasQuirk(quirk: number): boolean {
    return hasQuirk(this.#disabledQuirks, quirk);
  }

  /** KVM_ENABLE_CAP(KVM_CAP_DISABLE_QUIRKS or KVM_CAP_DISABLE_QUIRKS2). */
  disableQuirks(cap: Parameters<typeof enableCap>[0], mask: number): EnableCapResult {
    const result = enableCap(cap, this.config.quirks, this.#disabledQuirks, mask);
    this.#disabledQuirks = result.disabled;
    this.zapFor('quirkDisabled', null);
    return result;
  }

  /** What the conditions of zapping see now. */
  zapInputs(): ZapInputs {
    const { paging, vendor, selfSnoop } = this.config;
    return {
      ept: () => paging === 'ept',
      tdp: () => paging !== 'shadow',
      amd: () => vendor === 'amd',
      noncoherent_dma: () => this.noncoherentDma,
      assigned_device: () => this.assignedDevice,
      self_snoop: () => selfSnoop,
      quirk_cd_nw_cleared: () => this.hasQuirk(QUIRK.CD_NW_CLEARED),
      quirk_ignore_guest_pat: () => this.hasQuirk(QUIRK.IGNORE_GUEST_PAT),
      slot_host_memtype: () =>
        this.slots.all().some(({ flags }) => (flags & KVM_MEM_HOST_MEMTYPE) !== 0),
    };
  }

  /** Zaps what the rules of this kernel zap on an event. @param range of gfns, where the event has one */
  zapFor(event: ZapEvent, range: { start: number; end: number } | null): void {
    const action = zapOn(this.config.rules.zap, event, this.zapInputs());
    if (!isZapped(action)) return;
    const { start, end } = action === 'zap-all' || range === null ? ALL_GFNS : range;
    this.mmu.zapGfnRange(start, end);
  }

  /** kvm_arch_register_noncoherent_dma(). */
  registerNoncoherentDma(): void {
    this.#noncoherent += 1;
    if (this.#noncoherent === 1) this.zapFor('noncoherentToggle', null);
  }

  /** kvm_arch_unregister_noncoherent_dma(). */
  unregisterNoncoherentDma(): void {
    this.#noncoherent -= 1;
    if (this.#noncoherent === 0) this.zapFor('noncoherentToggle', null);
  }

  /** kvm_arch_start_assignment(). */
  startAssignment(): void {
    this.#assigned += 1;
    if (this.#assigned === 1) this.zapFor('deviceAssigned', null);
  }

  /** kvm_arch_end_assignment(). */
  endAssignment(): void {
    this.#assigned -= 1;
    if (this.#assigned === 0) this.zapFor('deviceAssigned', null);
  }

  #install(old: Memslot | null, now: Memslot | null): void {
    this.slots.commit(old, now);
    // The memslots of SMM have a generation of their own, which no MMIO SPTE of today asks for.
    if ((now ?? old)?.asId !== 0) return;
    this.slots.generation += 2;
    // kvm_mmu_invalidate_mmio_sptes(): an old entry would pass for one of today.
    if (this.slots.generation % this.sptes.generations === 0) this.mmu.zapAllFast();
  }

  /** KVM_SET_USER_MEMORY_REGION. @returns null: done */
  setUserMemoryRegion(region: MemoryRegion): SlotErrno | null {
    const plan = this.slots.plan(region, this.config.slotFlags);
    switch (plan.is) {
      case 'error':
        return plan.errno;
      case 'nothing':
        return null;
      case 'create':
        this.#install(null, plan.now);
        return null;
      case 'delete':
        this.mmu.flushSlot(plan.old);
        this.#install(plan.old, null);
        return null;
      case 'move':
        this.mmu.flushSlot(plan.old);
        this.#install(plan.old, plan.now);
        return null;
      case 'flags': {
        if (this.#isRefused(plan.old, plan.now)) return 'EINVAL';
        this.#install(plan.old, plan.now);
        const [was, is] = [isDirtyLogged(plan.old), isDirtyLogged(plan.now)];
        if (!was && is) this.mmu.dirtyLogOn(plan.now);
        if (was && !is) this.mmu.dirtyLogOff(plan.now);
        return null;
      }
    }
  }

  /** Flags of proposals that cannot change while the slot is there. */
  #isRefused(old: Memslot, now: Memslot): boolean {
    const proposed = KVM_MEM_HOST_MEMTYPE | KVM_MEM_NON_COHERENT_DMA;
    if (((old.flags ^ now.flags) & proposed) === 0) return false;
    return zapOn(this.config.rules.zap, 'slotFlagChange', this.zapInputs()) === 'refused';
  }

  /** The host tracks another type for what the VMM has at [start, end). */
  hostRetyped(start: number, end: number): void {
    for (const { gfn, end: to } of this.slots.inHvaRange(start, end))
      this.zapFor('hostTypeChange', { start: gfn, end: to });
  }

  /** kvm_destroy_vm(); a second time it does nothing. */
  destroy(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    for (const leave of this.#leave) leave();
    this.mmu.destroy();
  }

  /** kvm_mmu_notifier_invalidate_range_start(): zaps what the memslots show of [start, end). */
  notifierInvalidate(start: number, end: number): void {
    this.invalidations += 1;
    this.tracer?.unmapHvaRange(start, end);
    let flush = false;
    for (const { slot, gfn, end: to } of this.slots.inHvaRange(start, end))
      flush = this.mmu.unmapGfnRange(slot, gfn, to) || flush;
    if (flush) this.flushTlbs();
  }

  /** Notes a page in the dirty log of its slot, if that has one; of a huge mapping, the page of the access. */
  markDirty(asId: number, gfn: number): void {
    const slot = this.slots.at(asId, gfn);
    if (slot === null || !isDirtyLogged(slot)) return;
    const log = this.#dirty.get(slot) ?? new Set<number>();
    this.#dirty.set(slot, log.add(gfn));
  }

  /** KVM_GET_DIRTY_LOG, less the clearing: the gfns noted since dirty logging began. */
  dirtyLog(slot: Memslot): readonly number[] {
    return [...(this.#dirty.get(slot) ?? [])].sort((a, b) => a - b);
  }

  /** kvm_flush_remote_tlbs(). */
  flushTlbs(): void {
    for (const vcpu of this.vcpus) vcpu.tlb.flush();
  }
}
