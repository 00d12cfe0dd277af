import { type U64, u64 } from '../../base/u64.ts';
import { PAT_RESET, patLayout } from '../../x86/pat.ts';
import { mtrrTypeOf } from '../../x86/types.ts';
import { type GuestMtrrState, rangeOfMtrrWrite } from '../guest-mtrr.ts';
import { Tlb } from './tlb.ts';
import { CR0, type Registers, type Vcpu } from './vcpu.ts';
import type { Vm } from './vm.ts';

const FIXED_MSRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const MSR_PAT = 0x277;
const MSR_DEF_TYPE = 0x2ff;
const FIRST_VARIABLE = 0x200;
const LAST_VARIABLE = 0x20f;

const ZERO = u64(0, 0);

/** KVM_CREATE_VCPU: the registers as after reset, caches off, MTRRs off. */
export function createVcpu(vm: Vm, tlb: Tlb = new Tlb()): Vcpu {
  const registers: Registers = {
    cr0: CR0.CD + CR0.NW + 0x10,
    cr3: 0,
    cr4: 0,
    efer: 0,
    cpl: 0,
    pat: PAT_RESET,
    smm: false,
  };
  const vcpu: Vcpu = {
    id: vm.vcpus.length,
    registers,
    mtrrs: {
      defType: 0,
      fixed: FIXED_MSRS.map(() => ZERO),
      variable: Array.from({ length: 8 }, () => ({ base: ZERO, mask: ZERO })),
      maxphyaddr: vm.config.guestMaxphyaddr,
      cpuidMtrr: true,
    },
    root: null,
    tlb,
    mmio: null,
    rip: 0,
  };
  vm.vcpus.push(vcpu);
  return vcpu;
}

function isTypeByte(byte: number): boolean {
  return mtrrTypeOf(byte) !== null;
}

/** kvm_mtrr_valid(): a wrong type or a reserved bit raises #GP. */
function isValidMtrr(index: number, value: U64, maxphyaddr: number): boolean {
  if (index === MSR_DEF_TYPE)
    return value.hi === 0 && (value.lo & ~0xcff) === 0 && isTypeByte(value.lo & 0xff);
  if (FIXED_MSRS.includes(index))
    return [value.hi, value.lo].every((word) =>
      [0, 8, 16, 24].every((shift) => isTypeByte((word >>> shift) & 0xff)),
    );
  if (value.hi >= 2 ** (maxphyaddr - 32)) return false;
  const isBase = index % 2 === 0;
  return isBase
    ? (value.lo & 0xf00) === 0 && isTypeByte(value.lo & 0xff)
    : (value.lo & 0x7ff) === 0;
}

/** The state after a write. */
function withMtrr(state: GuestMtrrState, index: number, value: U64): GuestMtrrState {
  if (index === MSR_DEF_TYPE) return { ...state, defType: value.lo };
  const fixed = FIXED_MSRS.indexOf(index);
  if (fixed >= 0) return { ...state, fixed: state.fixed.with(fixed, value) };
  const at = (index - FIRST_VARIABLE) >> 1;
  const old = state.variable[at] ?? { base: ZERO, mask: ZERO };
  const now = index % 2 === 0 ? { ...old, base: value } : { ...old, mask: value };
  return { ...state, variable: state.variable.with(at, now) };
}

/**
 * WRMSR of IA32_PAT or an MTRR by the guest.
 *
 * @returns false: #GP
 */
export function writeMsr(vm: Vm, vcpu: Vcpu, index: number, value: U64): boolean {
  if (index === MSR_PAT) {
    if (patLayout(value) === null) return false;
    // No flush: the guest has to do that itself, as without KVM.
    vcpu.registers.pat = value;
    vm.zapFor('guestPatWrite', null);
  } else {
    const isMtrr =
      index === MSR_DEF_TYPE ||
      FIXED_MSRS.includes(index) ||
      (index >= FIRST_VARIABLE && index <= LAST_VARIABLE);
    if (!isMtrr || !isValidMtrr(index, value, vm.config.guestMaxphyaddr)) return false;
    writeMtrr(vm, vcpu, index, value);
  }
  vm.tracer?.msrWrite(index, value);
  return true;
}

function writeMtrr(vm: Vm, vcpu: Vcpu, index: number, value: U64): void {
  vcpu.mtrrs = withMtrr(vcpu.mtrrs, index, value);
  const range = rangeOfMtrrWrite(index, vcpu.mtrrs);
  if (range === null) return;
  const start = Math.floor(range.start / 4096);
  vm.zapFor('mtrrWrite', { start, end: Math.ceil(range.end / 4096) });
}

/** A write of CR0 by the guest. */
export function writeCr0(vm: Vm, vcpu: Vcpu, value: number): void {
  const { registers } = vcpu;
  const changed = registers.cr0 ^ value;
  if (vm.config.vendor === 'intel') vm.tracer?.crWrite(0, value);
  registers.cr0 = value;
  if ((changed & CR0.CD) !== 0) vm.zapFor('cdToggle', null);
  if ((changed & (CR0.PG | CR0.WP)) !== 0) vcpu.tlb.flush();
}

/** A write of CR3: flushes the TLB, under shadow paging with all that KVM has to do for it. */
export function writeCr3(vm: Vm, vcpu: Vcpu, value: number): void {
  vcpu.registers.cr3 = value;
  vm.mmu.flushGuest(vcpu);
}

/** INVLPG. @param address linear address; in the upper half as a negative number */
export function invlpg(vm: Vm, vcpu: Vcpu, address: number): void {
  vm.mmu.invlpg(vcpu, address);
}
