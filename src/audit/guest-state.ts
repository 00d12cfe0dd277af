import { type U64, u64 } from '../base/u64.ts';
import { compileGuestMtrrs, type GuestMtrrs, type GuestMtrrVersion } from '../kvm/guest-mtrr.ts';
import type { Moment } from './vm-map.ts';

/** A register as the guest wrote it last. */
export interface Written extends Moment {
  readonly value: U64;
  /** How often it was written, with whatever value. */
  readonly times: number;
}

const PAT_MSR = 0x277;
const DEF_TYPE = 0x2ff;
const FIXED = [
  0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
] as const;
const VARIABLE_FIRST = 0x200;
const VARIABLE_END = 0x220;
const VARIABLE_PAIRS = 8;
const CD = 0x4000_0000;

function isMtrr(msr: number): boolean {
  return (
    msr === DEF_TYPE ||
    (msr >= VARIABLE_FIRST && msr < VARIABLE_END) ||
    (FIXED as readonly number[]).includes(msr)
  );
}

/**
 * What one guest was seen to write: PAT, MTRRs, CR0. The last value counts, of whichever vCPU; guests set
 * these alike on all of them.
 */
export class GuestState {
  readonly #msrs = new Map<number, Written>();
  #cr0: Written | null = null;
  #compiled: { readonly version: GuestMtrrVersion; readonly mtrrs: GuestMtrrs } | null = null;
  #generation = 0;

  /** Goes up with each write that may change a type. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether this MSR is one that is kept. */
  static keeps(msr: number): boolean {
    return msr === PAT_MSR || isMtrr(msr);
  }

  wrote(msr: number, value: U64, moment: Moment): void {
    if (!GuestState.keeps(msr)) return;
    const times = (this.#msrs.get(msr)?.times ?? 0) + 1;
    this.#msrs.set(msr, { place: moment.place, time: moment.time, value, times });
    if (!isMtrr(msr)) return;
    this.#compiled = null;
    this.#generation += 1;
  }

  wroteCr0(value: U64, moment: Moment): void {
    const before = this.cd;
    const times = (this.#cr0?.times ?? 0) + 1;
    this.#cr0 = { place: moment.place, time: moment.time, value, times };
    if (before !== this.cd) this.#generation += 1;
  }

  get pat(): Written | null {
    return this.#msrs.get(PAT_MSR) ?? null;
  }

  get cr0(): Written | null {
    return this.#cr0;
  }

  /** CR0.CD; null: CR0 was not seen being written. */
  get cd(): boolean | null {
    return this.#cr0 === null ? null : (this.#cr0.value.lo & CD) !== 0;
  }

  /** The MTRRs by number of the MSR. */
  get mtrrs(): readonly (readonly [msr: number, written: Written])[] {
    return [...this.#msrs].filter(([msr]) => isMtrr(msr)).sort(([a], [b]) => a - b);
  }

  /** The guest's MTRRs as that KVM takes them; what was not written is 0, as after reset. */
  compiled(version: GuestMtrrVersion, maxphyaddr: number): GuestMtrrs {
    if (this.#compiled?.version === version) return this.#compiled.mtrrs;
    const msr = (index: number): U64 => this.#msrs.get(index)?.value ?? u64(0, 0);
    const variable = Array.from({ length: VARIABLE_PAIRS }, (_, i) => ({
      base: msr(VARIABLE_FIRST + 2 * i),
      mask: msr(VARIABLE_FIRST + 2 * i + 1),
    }));
    const state = {
      defType: msr(DEF_TYPE).lo,
      fixed: FIXED.map(msr),
      variable,
      maxphyaddr,
      cpuidMtrr: true,
    };
    const mtrrs = compileGuestMtrrs(version, state);
    this.#compiled = { version, mtrrs };
    return mtrrs;
  }
}
