import { assert } from '../../base/assert.ts';
import { type U64, u64FromNumber } from '../../base/u64.ts';
import { type AccessKind, GUEST_FINAL, GUEST_PAGE, PFERR, pferrOf } from './error-code.ts';
import { hvaOf } from './memslots.ts';
import type { FaultResult, HardwareWalk } from './mmu.ts';
import type { TlbEntry } from './tlb.ts';
import { CR0, CR4, EFER, type Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';
import { type Walk, type WalkMemory, walkTables } from './walk.ts';
import type { WalkSettings } from './walk-format.ts';

/** What an access of the guest came to. */
export type AccessOutcome =
  /** It reached memory, through this translation. */
  | { readonly is: 'memory'; readonly entry: TlbEntry; readonly fromTlb: boolean }
  /** No memory there, or memory that the VMM must write: KVM_EXIT_MMIO. */
  | { readonly is: 'mmio'; readonly gpa: number }
  /** KVM did the access in the place of the guest, through the VMM's own mapping. */
  | { readonly is: 'emulated'; readonly gpa: number; readonly hva: number }
  /** KVM_RUN returns -EFAULT; after a poisoned page the VMM gets SIGBUS. */
  | { readonly is: 'efault' | 'hwpoison'; readonly gpa: number }
  /** The guest gets #PF with these PFERR bits. */
  | { readonly is: 'guest-fault'; readonly code: number };

type Stop = Exclude<AccessOutcome, { readonly is: 'memory' }>;

/** More rounds than any fault needs: every round maps one more table or page. */
const ROUNDS = 64;

/** A guest's paging as the CPU walks it; null: off. */
export function walkSettings(vm: Vm, { registers }: Vcpu): WalkSettings | null {
  const { cr0, cr3, cr4, efer } = registers;
  if ((cr0 & CR0.PG) === 0) return null;
  assert((efer & EFER.LMA) !== 0, 'paging of the guest outside long mode');
  return {
    format: 'long',
    levels: (cr4 & CR4.LA57) === 0 ? 4 : 5,
    root: u64FromNumber(cr3),
    nx: (efer & EFER.NX) !== 0,
    wp: (cr0 & CR0.WP) !== 0,
    smep: (cr4 & CR4.SMEP) !== 0,
    smap: (cr4 & CR4.SMAP) !== 0,
    ac: false,
    pcide: (cr4 & CR4.PCIDE) !== 0,
    accessedDirty: true,
    physicalBits: vm.config.guestMaxphyaddr,
    gbPages: true,
    executeOnly: false,
  };
}

/** The exit qualification of an EPT violation, as kvm_page_fault prints it. Source: SDM 27.2.1. */
function qualification(walk: HardwareWalk, code: number, isFinal: boolean): number {
  const kind = (code & PFERR.FETCH) !== 0 ? 4 : (code & PFERR.WRITE) !== 0 ? 2 : 1;
  const rights = walk.is === 'fault' && walk.present ? (walk.lo & 7) << 3 : 0;
  return kind | rights | 0x80 | (isFinal ? 0x100 : 0);
}

/** One access of the guest on its way through the second stage. */
class SecondStage {
  readonly #vm: Vm;
  readonly #vcpu: Vcpu;
  /** Why the access ends here; null: it goes on. */
  stop: Stop | null = null;

  constructor(vm: Vm, vcpu: Vcpu) {
    this.#vm = vm;
    this.#vcpu = vcpu;
  }

  /** Where the CPU finds a gpa, after as many faults as it takes; null: see `stop`. */
  translate(
    gpa: number,
    code: number,
    isFinal: boolean,
  ): Extract<HardwareWalk, { is: 'leaf' }> | null {
    const { mmu } = this.#vm;
    for (let round = 0; round < ROUNDS; round += 1) {
      const walk = mmu.walk(this.#vcpu, gpa, code);
      if (walk.is === 'leaf') return walk;
      this.stop = this.#exit(walk, gpa, code, isFinal);
      if (this.stop !== null) return null;
    }
    throw new RangeError(`no end of faults at ${gpa.toString(16)}`);
  }

  /** The VM exit and what KVM does in it: kvm_mmu_page_fault(). */
  #exit(
    walk: Extract<HardwareWalk, { is: 'fault' }>,
    gpa: number,
    code: number,
    isFinal: boolean,
  ): Stop | null {
    const { mmu, config } = this.#vm;
    const isEpt = config.paging === 'ept';
    const user = isEpt ? code & ~PFERR.USER : code | PFERR.USER;
    const low =
      user | (walk.present || walk.rsvd ? PFERR.PRESENT : 0) | (walk.rsvd ? PFERR.RSVD : 0);
    const full = low + (isFinal ? GUEST_FINAL : GUEST_PAGE);
    // An EPT misconfiguration is another exit, without this event.
    if (!isEpt || !walk.rsvd) this.#trace(gpa, isEpt ? qualification(walk, code, isFinal) : full);
    if (walk.rsvd) {
      const result = mmu.mmioFault(this.#vcpu, gpa);
      if (result === 'emulate') return this.#emulate(gpa, code);
      if (result === 'retry') return null;
    }
    // A read is U to the MMU: ACC_USER stands for R in an EPT entry.
    const isRead = isEpt && (code & (PFERR.WRITE | PFERR.FETCH)) === 0;
    // An EPT misconfiguration does not say what the access was.
    const error = isEpt && walk.rsvd ? PFERR.RSVD : full + (isRead ? PFERR.USER : 0);
    return this.#after(mmu.pageFault(this.#vcpu, gpa, error), gpa, code);
  }

  #trace(gpa: number, errorCode: number): void {
    const { tracer } = this.#vm;
    const { id, rip } = this.#vcpu;
    tracer?.pageFault(id, rip, gpa, u64FromNumber(errorCode));
  }

  #after(result: FaultResult, gpa: number, code: number): Stop | null {
    switch (result) {
      case 'fixed':
      case 'spurious':
      case 'retry':
        return null;
      case 'emulate':
        return this.#emulate(gpa, code);
      case 'efault':
      case 'hwpoison':
        return { is: result, gpa };
      case 'guest-fault':
        return { is: 'guest-fault', code };
    }
  }

  /** The emulator's access: to memory by its user address, or to nothing, which goes to the VMM. */
  #emulate(gpa: number, code: number): Stop {
    const vm = this.#vm;
    const gfn = Math.floor(gpa / 4096);
    const slot = vm.slots.at(this.#vcpu.registers.smm ? 1 : 0, gfn);
    if (slot === null || (slot.flags & 2) !== 0) return { is: 'mmio', gpa };
    const hva = hvaOf(slot, gfn) + (gpa % 4096);
    if ((code & PFERR.WRITE) !== 0 && !vm.host.fault(hva, true)) return { is: 'mmio', gpa };
    vm.markDirty(slot.asId, gfn);
    if ((code & PFERR.WRITE) !== 0) vm.shadowed?.written(gpa, 8);
    return { is: 'emulated', gpa, hva };
  }
}

/** The guest's tables as the CPU reads them, each read itself translated. With A and D in EPT it is a write. */
function tablesBehind(vm: Vm, stage: SecondStage): WalkMemory {
  const { adBits, paging } = vm.config;
  const code = paging === 'ept' && !adBits ? 0 : PFERR.WRITE;
  return {
    load(gpa): U64 | null {
      const leaf = stage.translate(gpa, code, false);
      return leaf === null ? null : vm.host.read64(leaf.pfn, gpa % 4096);
    },
    store(gpa, value): void {
      const leaf = stage.translate(gpa, PFERR.WRITE, false);
      if (leaf !== null) vm.host.write64(leaf.pfn, gpa % 4096, value);
    },
  };
}

function allowedByTlb(entry: TlbEntry, code: number): boolean {
  if ((code & PFERR.USER) !== 0 && !entry.user) return false;
  if ((code & PFERR.FETCH) !== 0) return entry.executable;
  return (code & PFERR.WRITE) === 0 || (entry.writable && entry.dirty);
}

/** A guest-physical access: the second stage alone, and what of it goes into the TLB. */
function finish(
  vm: Vm,
  vcpu: Vcpu,
  stage: SecondStage,
  gpa: number,
  code: number,
  guest: Walk | null,
): TlbEntry | null {
  const leaf = stage.translate(gpa, code & ~PFERR.USER, true);
  if (leaf === null) return null;
  const access = guest?.access ?? 7;
  const { isEpt, dirty } = vm.sptes;
  const isExecutable = isEpt ? (leaf.lo & 4) !== 0 : leaf.hi >>> 31 === 0;
  return {
    gpaPage: Math.floor(gpa / 4096),
    pfn: leaf.pfn,
    level: leaf.level,
    hi: leaf.hi,
    lo: leaf.lo,
    patIndex: guest?.patIndex ?? null,
    pat: vcpu.registers.pat,
    writable: (leaf.lo & 2) !== 0 && (access & 2) !== 0,
    executable: isExecutable && (access & 1) !== 0,
    user: (access & 4) !== 0,
    dirty: !vm.config.adBits || (leaf.lo & dirty) !== 0,
  };
}

/**
 * An access of the guest with EPT or NPT: TLB, walk of the guest's tables, second stage, faults, until it is
 * through or ends otherwise.
 *
 * @param address linear address; in the upper half as a negative number
 */
export function access(vm: Vm, vcpu: Vcpu, address: number, kind: AccessKind): AccessOutcome {
  vm.mmu.load(vcpu);
  const page = Math.floor(address / 4096);
  const code = pferrOf(kind, vcpu.registers.cpl === 3);
  const cached = vcpu.tlb.get(page);
  if (cached !== null && allowedByTlb(cached, code))
    return { is: 'memory', entry: cached, fromTlb: true };
  const stage = new SecondStage(vm, vcpu);
  const settings = walkSettings(vm, vcpu);
  let gpa = address;
  let guest: Walk | null = null;
  if (settings !== null) {
    const width = 2 ** (settings.levels === 4 ? 48 : 57);
    const walk = walkTables(
      settings,
      tablesBehind(vm, stage),
      ((address % width) + width) % width,
      code,
      'cpu',
    );
    if (stage.stop !== null) return stage.stop;
    if (!walk.ok) return { is: 'guest-fault', code: walk.errorCode };
    guest = walk;
    gpa = walk.gfn * 4096 + (((address % 4096) + 4096) % 4096);
  }
  const entry = finish(vm, vcpu, stage, gpa, code, guest);
  if (entry === null) return stage.stop ?? { is: 'mmio', gpa };
  vcpu.tlb.set(page, entry);
  return { is: 'memory', entry, fromTlb: false };
}
