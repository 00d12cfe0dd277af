import { u64FromNumber } from '../../base/u64.ts';
import type { AccessOutcome } from './access.ts';
import { ACC, type AccessKind, PFERR, pferrOf } from './error-code.ts';
import { hvaOf, isReadonly } from './memslots.ts';
import type { HardwareWalk } from './mmu.ts';
import type { ShadowMmu } from './shadow-mmu.ts';
import type { TlbEntry } from './tlb.ts';
import type { Vcpu } from './vcpu.ts';
import { walkTables } from './walk.ts';

/** More rounds than any fault needs: each maps one more page. */
const ROUNDS = 64;

/** How an instruction reaches memory, as KVM's emulator cares. */
export interface Instruction {
  /** Bytes read or written. */
  readonly bytes: number;
  /** x86_page_table_writing_insn(): what a kernel may write page tables with, so that KVM emulates it. */
  readonly writesTables: boolean;
}

const MOV: Instruction = { bytes: 8, writesTables: true };

function entryOf(
  mmu: ShadowMmu,
  vcpu: Vcpu,
  address: number,
  leaf: Extract<HardwareWalk, { is: 'leaf' }>,
): TlbEntry {
  const { level, hi, lo, pfn } = leaf;
  return {
    gpaPage: mmu.gfnAt(vcpu, address),
    pfn,
    level,
    hi,
    lo,
    // The CPU walks KVM's tables: the PAT index is that of `lo`.
    patIndex: null,
    pat: vcpu.registers.pat,
    writable: (lo & 2) !== 0,
    executable: hi >>> 31 === 0,
    user: (lo & 4) !== 0,
    dirty: (lo & 0x40) !== 0,
  };
}

function allows(entry: TlbEntry, code: number): boolean {
  if ((code & PFERR.USER) !== 0 && !entry.user) return false;
  if ((code & PFERR.FETCH) !== 0) return entry.executable;
  return (code & PFERR.WRITE) === 0 || (entry.writable && entry.dirty);
}

/** gva_to_gpa() of the emulator; null: the guest gets a fault. */
function translate(mmu: ShadowMmu, vcpu: Vcpu, address: number, code: number): number | null {
  const { settings, memory } = mmu.context(vcpu);
  const { tracer } = mmu.vm;
  const trace = tracer === null ? null : (e: string, text: string) => tracer.sink(e, 0, text);
  const walk = walkTables(settings, memory, address, code, 'kvm', trace);
  return walk.ok ? walk.gfn * 4096 + (address % 4096) : null;
}

/**
 * KVM's emulator reads the instruction at RIP: of a guest that it steps over an instruction without knowing its
 * length (SVM without next-RIP), as of one whose access it does. False: the guest gets a #PF.
 */
export function fetchInstruction(mmu: ShadowMmu, vcpu: Vcpu): boolean {
  const user = vcpu.registers.cpl === 3 ? PFERR.USER : 0;
  return translate(mmu, vcpu, vcpu.rip, PFERR.FETCH | user) !== null;
}

/** One access of a guest under shadow paging, with the exits it takes. */
class ShadowAccess {
  readonly #mmu: ShadowMmu;
  readonly #vcpu: Vcpu;
  readonly #address: number;
  /** WRITE, USER, FETCH. */
  readonly #code: number;
  readonly #instruction: Instruction;
  /** last_retry_eip: a table that translates the instruction itself would be made again for ever. */
  #wasRetried = false;

  constructor(mmu: ShadowMmu, vcpu: Vcpu, address: number, code: number, instruction: Instruction) {
    this.#mmu = mmu;
    this.#vcpu = vcpu;
    this.#address = address;
    this.#code = code;
    this.#instruction = instruction;
  }

  run(): AccessOutcome {
    const page = Math.floor(this.#address / 4096);
    const { tlb } = this.#vcpu;
    for (let round = 0; round < ROUNDS; round += 1) {
      this.#mmu.load(this.#vcpu);
      const cached = tlb.get(page);
      if (cached !== null && allows(cached, this.#code))
        return { is: 'memory', entry: cached, fromTlb: true };
      const walk = this.#mmu.walk(this.#vcpu, this.#address, this.#code);
      if (walk.is === 'leaf') {
        const entry = entryOf(this.#mmu, this.#vcpu, this.#address, walk);
        tlb.set(page, entry);
        return { is: 'memory', entry, fromTlb: false };
      }
      const stop = this.#exit(walk) ?? this.#restart();
      if (stop !== null) return stop;
    }
    throw new RangeError(`no end of faults at ${this.#address.toString(16)}`);
  }

  /** The instruction starts over, and is fetched first: its page may be gone with the TLB. */
  #restart(): AccessOutcome | null {
    if ((this.#code & PFERR.FETCH) !== 0) return null;
    const code = (this.#code & PFERR.USER) | PFERR.FETCH;
    const { rip } = this.#vcpu;
    const fetched = new ShadowAccess(this.#mmu, this.#vcpu, rip, code, this.#instruction).run();
    return fetched.is === 'memory' ? null : fetched;
  }

  /** The #PF that KVM intercepts: kvm_mmu_page_fault(). */
  #exit(walk: Extract<HardwareWalk, { is: 'fault' }>): AccessOutcome | null {
    const mmu = this.#mmu;
    const vcpu = this.#vcpu;
    const rsvd = walk.rsvd ? PFERR.RSVD | PFERR.PRESENT : 0;
    const code = this.#code | rsvd | (walk.present ? PFERR.PRESENT : 0);
    mmu.vm.tracer?.pageFault(vcpu.id, vcpu.rip, this.#address, u64FromNumber(code));
    vcpu.tlb.flush(Math.floor(this.#address / 4096));
    if (walk.rsvd) {
      const result = mmu.mmioFault(vcpu, this.#address);
      if (result === 'emulate') return this.#emulate(false);
      if (result === 'retry') return null;
    }
    const result = mmu.fault(vcpu, this.#address, code);
    switch (result.is) {
      case 'fixed':
      case 'spurious':
      case 'retry':
        return null;
      case 'emulate':
        return this.#emulate(true);
      case 'guest-fault':
        return { is: 'guest-fault', code: result.fault.errorCode };
      case 'efault':
      case 'hwpoison':
        return { is: result.is, gpa: result.gfn * 4096 + (this.#address % 4096) };
    }
  }

  /** vcpu_mmio_gva_to_gpa(): what was emulated just before is known without a walk. */
  #gpa(): number | null {
    const { mmio } = this.#vcpu;
    const { generation } = this.#mmu.vm.slots;
    const page = this.#address - (this.#address % 4096);
    const isKnown = mmio !== null && mmio.generation === generation && mmio.gva === page;
    const needs = this.#code & (ACC.WRITE | ACC.USER);
    if (isKnown && (mmio.access & needs) === needs) return mmio.gfn * 4096 + (this.#address % 4096);
    return translate(this.#mmu, this.#vcpu, this.#address, this.#code);
  }

  /** x86_emulate_instruction(): the instruction is read first, then it does its access. */
  #emulate(mayRetry: boolean): AccessOutcome | null {
    if (!fetchInstruction(this.#mmu, this.#vcpu)) return this.#guestFault();
    const gpa = this.#gpa();
    if (gpa === null) return this.#guestFault();
    const gfn = Math.floor(gpa / 4096);
    const isStore = (this.#code & PFERR.WRITE) !== 0;
    // retry_instruction(): what does not write page tables gets the page back instead, once.
    const mayUnprotect =
      mayRetry && isStore && !this.#instruction.writesTables && !this.#wasRetried;
    this.#wasRetried = mayUnprotect;
    if (mayUnprotect && this.#mmu.unprotect(gfn)) return null;
    return this.#perform(gpa, isStore);
  }

  #guestFault(): AccessOutcome {
    return { is: 'guest-fault', code: this.#code };
  }

  #perform(gpa: number, isStore: boolean): AccessOutcome {
    const { vm } = this.#mmu;
    const gfn = Math.floor(gpa / 4096);
    const slot = vm.slots.at(0, gfn);
    if (slot === null || (isStore && isReadonly(slot))) return { is: 'mmio', gpa };
    const hva = hvaOf(slot, gfn) + (gpa % 4096);
    if (isStore && !vm.host.fault(hva, true)) return { is: 'mmio', gpa };
    if (isStore) {
      vm.markDirty(slot.asId, gfn);
      this.#mmu.written(gpa, this.#instruction.bytes);
    }
    return { is: 'emulated', gpa, hva };
  }
}

/**
 * An access of a guest under shadow paging: TLB, KVM's tables, faults, until it is through or ends otherwise.
 * The data itself is the caller's: `entry.pfn`, or `hva` where KVM did the access.
 *
 * @param address linear address, bits 47:0
 */
export function shadowAccess(
  mmu: ShadowMmu,
  vcpu: Vcpu,
  address: number,
  kind: AccessKind,
  instruction: Instruction = MOV,
): AccessOutcome {
  const code = pferrOf(kind, vcpu.registers.cpl === 3);
  return new ShadowAccess(mmu, vcpu, address, code, instruction).run();
}
