import type { U64 } from '../../base/u64.ts';
import { rule } from '../../cite/rule.ts';
import { PFERR } from './error-code.ts';
import type { Memslot } from './memslots.ts';
import type { FaultResult, HardwareWalk, Mmu } from './mmu.ts';
import type { MmuPage } from './page-tables.ts';
import { ShadowMmu } from './shadow-mmu.ts';
import { baseRole, type Paging } from './shadow-paging.ts';
import { tryToUnsync } from './shadow-sync.ts';
import type { Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';
import type { WalkFault } from './walk.ts';
import type { WalkSettings } from './walk-format.ts';

rule({
  id: 'kvm/nested-walk',
  room: 'kvm',
  title: 'EPT and NPT of a nested guest',
  text:
    'KVM shadows the tables that L1 made for L2, by the shadow code, in entries of the kind that the CPU uses. ' +
    'A leaf gets the type that L1 itself would get for its page; of the entry of L1 the permissions count, ' +
    'the type bits and IPAT, or PWT, PCD and PAT, do not. What the tables of L1 refuse is an EPT violation or ' +
    'a nested page fault of L1, a reserved bit or type an EPT misconfiguration. Tables of L1 are ' +
    'write-protected in its own EPT or NPT too.',
  sources: ['kvm/nested-ept', 'kvm/shadow-fetch', 'kvm/mmu_try_to_unsync_pages'],
});

/** What L1 gave for L2 in VMCS12 or VMCB12. */
export interface NestedTables {
  /** EPTP or nCR3. */
  readonly pointer: U64;
  /** EFER.NX of L1; NPT only. */
  readonly nx: boolean;
  /** Physical address bits of L1. */
  readonly physicalBits: number;
  /** KVM lets L1 use entries that allow X without R; EPT only. */
  readonly executeOnly: boolean;
}

export type NestedOutcome =
  | Extract<HardwareWalk, { is: 'leaf' }>
  /** L1 gets it: an EPT violation or misconfiguration, or a nested page fault with this error code. */
  | {
      readonly is: 'l1-fault';
      readonly why: 'violation' | 'misconfiguration';
      readonly fault: WalkFault;
    }
  /** KVM emulates the access of L2. */
  | { readonly is: 'emulate' }
  | { readonly is: 'efault' | 'hwpoison' };

/** More rounds than any fault needs. */
const ROUNDS = 16;
const EPTP_AD = 1 << 6;

function settingsOf(vm: Vm, tables: NestedTables): WalkSettings {
  const isEpt = vm.config.paging === 'ept';
  return {
    format: isEpt ? 'ept' : 'long',
    levels: isEpt && ((tables.pointer.lo >>> 3) & 7) === 4 ? 5 : 4,
    root: tables.pointer,
    nx: isEpt || tables.nx,
    wp: true,
    smep: false,
    smap: false,
    ac: false,
    pcide: false,
    accessedDirty: !isEpt || (tables.pointer.lo & EPTP_AD) !== 0,
    physicalBits: tables.physicalBits,
    gbPages: true,
    executeOnly: tables.executeOnly,
  };
}

/** kvm_calc_shadow_ept_root_page_role(), kvm_init_shadow_npt_mmu(). */
function nestedPaging(vm: Vm, tables: NestedTables): Paging {
  const settings = settingsOf(vm, tables);
  const isEpt = settings.format === 'ept';
  const rootRole = {
    ...baseRole(vm, false),
    level: settings.levels,
    guestMode: true,
    adDisabled: !settings.accessedDirty,
    efer_nx: !isEpt && tables.nx,
    cr0Wp: !isEpt,
  };
  const { hi, lo } = tables.pointer;
  return { rootRole, settings, pgd: (hi & 0xf_ffff) * 2 ** 32 + ((lo & ~0xfff) >>> 0) };
}

/**
 * A VM whose guest runs guests of its own: L1 by `l1`, the TDP MMU or legacy direct roots, L2 by the shadow code.
 * It is the VM's MMU, so that what zaps L1's mappings zaps L2's.
 */
export class NestedMmu implements Mmu {
  readonly vm: Vm;
  readonly l1: Mmu;
  readonly l2: ShadowMmu;
  readonly #tables = new Map<Vcpu, NestedTables>();

  constructor(vm: Vm, l1: Mmu) {
    this.vm = vm;
    this.l1 = l1;
    this.l2 = new ShadowMmu(vm, (vcpu) => nestedPaging(vm, this.#tablesOf(vcpu)));
    vm.shadowed = {
      isGuarded: (gfn) => this.l2.state.isTracked(gfn),
      isHugeAllowed: (gfn, level) => this.l2.state.isHugeAllowed(gfn, level),
      mayWrite: (gfn) => tryToUnsync(this.l2.state, gfn, false) === null,
      written: (gpa, bytes) => this.l2.written(gpa, bytes),
    };
  }

  #tablesOf(vcpu: Vcpu): NestedTables {
    const tables = this.#tables.get(vcpu);
    if (tables === undefined) throw new RangeError(`vCPU ${vcpu.id} runs no nested guest`);
    return tables;
  }

  /** VMLAUNCH, VMRUN: L2 runs with these tables. */
  enter(vcpu: Vcpu, tables: NestedTables): void {
    this.#tables.set(vcpu, tables);
    this.l2.forget(vcpu);
    vcpu.tlb.flush();
    this.l2.load(vcpu);
  }

  /** INVEPT, or a flush of the ASID by L1: what L1 changed in its tables counts from now on. */
  invalidate(vcpu: Vcpu): void {
    this.l2.flushGuest(vcpu);
  }

  /**
   * Where the CPU finds a guest-physical address of L2, after as many faults as it takes.
   *
   * @param code PFERR bits; of NPT every access is one of user code
   */
  translate(vcpu: Vcpu, gpa: number, code: number): NestedOutcome {
    const isEpt = this.vm.config.paging === 'ept';
    // ACC_USER stands for R: a read of L2 asks for it.
    const isRead = (code & (PFERR.WRITE | PFERR.FETCH)) === 0;
    const asked = isEpt && !isRead ? code : code | PFERR.USER;
    for (let round = 0; round < ROUNDS; round += 1) {
      const walk = this.l2.walk(vcpu, gpa, asked);
      if (walk.is === 'leaf') return walk;
      if (walk.rsvd && this.l2.mmioFault(vcpu, gpa) === 'emulate') return { is: 'emulate' };
      const present = walk.present ? PFERR.PRESENT : 0;
      const result = this.l2.fault(vcpu, gpa, asked | present);
      if (result.is === 'guest-fault') {
        const isReserved = (result.fault.errorCode & PFERR.RSVD) !== 0;
        const why = isEpt && isReserved ? 'misconfiguration' : 'violation';
        return { is: 'l1-fault', why, fault: result.fault };
      }
      if (result.is === 'emulate' || result.is === 'efault' || result.is === 'hwpoison')
        return { is: result.is };
    }
    throw new RangeError(`no end of faults at ${gpa.toString(16)} of L2`);
  }

  load(vcpu: Vcpu): void {
    this.l1.load(vcpu);
  }

  unload(vcpu: Vcpu): void {
    this.l1.unload(vcpu);
    this.l2.unload(vcpu);
  }

  walk(vcpu: Vcpu, address: number, code: number): HardwareWalk {
    return this.l1.walk(vcpu, address, code);
  }

  pageFault(vcpu: Vcpu, address: number, code: number): FaultResult {
    return this.l1.pageFault(vcpu, address, code);
  }

  mmioFault(vcpu: Vcpu, address: number): 'emulate' | 'invalid' | 'retry' {
    return this.l1.mmioFault(vcpu, address);
  }

  flushGuest(vcpu: Vcpu): void {
    this.l1.flushGuest(vcpu);
  }

  invlpg(vcpu: Vcpu, address: number): void {
    this.l1.invlpg(vcpu, address);
  }

  protectGfn(gfn: number): boolean {
    return this.l1.protectGfn?.(gfn) ?? false;
  }

  zapAllFast(): void {
    this.l2.zapAllFast();
    this.l1.zapAllFast();
  }

  zapGfnRange(start: number, end: number): void {
    this.l2.zapGfnRange(start, end);
    this.l1.zapGfnRange(start, end);
  }

  unmapGfnRange(slot: Memslot, start: number, end: number): boolean {
    const flush = this.l2.unmapGfnRange(slot, start, end);
    return this.l1.unmapGfnRange(slot, start, end) || flush;
  }

  flushSlot(slot: Memslot): void {
    this.l2.zapAllFast();
    this.l1.flushSlot(slot);
  }

  dirtyLogOn(slot: Memslot): void {
    this.l2.dirtyLogOn(slot);
    this.l1.dirtyLogOn(slot);
  }

  dirtyLogOff(slot: Memslot): void {
    this.l2.dirtyLogOff(slot);
    this.l1.dirtyLogOff(slot);
  }

  destroy(): void {
    this.l2.destroy();
    this.l1.destroy();
  }

  roots(): readonly MmuPage[] {
    return [...this.l1.roots(), ...this.l2.roots()];
  }
}
