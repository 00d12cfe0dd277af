import { must } from '../base/assert.ts';
import { type U64, u64FromHex } from '../base/u64.ts';
import { rule } from '../cite/rule.ts';
import { PAT_RESET, type PatLayout, patLayout, slotOf } from '../x86/pat.ts';
import type { PatType, Vendor } from '../x86/types.ts';

rule({
  id: 'linux/pat-layout',
  room: 'guest',
  title: 'The PAT that a Linux kernel sets up, or finds and keeps',
  text:
    'A kernel writes WB WC UC- UC WB WP UC- WT; older ones had WC in slot 5, and the oldest UC in slot 7. ' +
    'On Intel family 15 up to model 6 (Willamette to Cedarmill) the upper half is a copy of the lower ' +
    'one, because of errata. The same code lists family 6 up to model 13 (Pentium Pro to Dothan), but ' +
    'early_init_intel() takes X86_FEATURE_PAT away from every Intel family 6 below model 15, so that ' +
    'those never get there. Without PAT the two bits PCD and PWT mean WB WT UC- UC. With nopat the ' +
    'kernel keeps the MSR that it finds (after reset: WB WT UC- UC), and takes a value of 0 for no PAT. ' +
    'A Xen PV guest has the PAT of Xen: WB WT UC- UC WC WP UC UC.',
  sources: [
    'linux/pat_bp_init',
    'linux/init_cache_modes',
    'linux/early_init_intel',
    'lab/pat-dmesg',
    'xen/XEN_MSR_PAT',
  ],
});

rule({
  id: 'linux/pat-redirect',
  room: 'guest',
  title: 'A type that the PAT has no slot for is mapped with slot 2, UC-',
  text:
    'A type is encoded as the lowest slot that holds it. WC, WT and WP without a slot get PCD alone, ' +
    'slot 2, which is UC- in every layout that Linux uses; WB stays 0 and UC stays 3.',
  sources: ['linux/init_cache_modes'],
});

/**
 * Which of the three full layouts a kernel writes: `wc` before WT had a slot, `wt` before WP had one,
 * `wt-wp` since. (4.2 and 4.14 brought the slots as far as we recall.)
 */
export type PatEra = 'wc' | 'wt' | 'wt-wp';

function layout(msr: string): PatLayout {
  const value = must(u64FromHex(msr), `not a number: ${msr}`);
  return must(patLayout(value), `not a PAT: ${msr}`);
}

/** Layouts by the MSR value that holds them. */
export const LINUX_PAT: Readonly<Record<PatEra, PatLayout>> = {
  wc: layout('0x0007010600070106'),
  wt: layout('0x0407010600070106'),
  'wt-wp': layout('0x0407050600070106'),
};

/** WB WC UC- UC, twice: the upper half is not used on these CPUs. */
export const PAT_LOWER_HALF: PatLayout = layout('0x0007010600070106');
/** WB WT UC- UC, twice: what PCD and PWT mean without a PAT. */
export const NO_PAT: PatLayout = must(patLayout(PAT_RESET), 'reset value of the PAT');
export const XEN_PAT: PatLayout = layout('0x0000050100070406');

export interface PatBoot {
  readonly vendor: Vendor;
  readonly family: number;
  readonly model: number;
  readonly era: PatEra;
  /** CPUID has PAT. */
  readonly cpuHasPat: boolean;
  /** `nopat` on the command line, or CONFIG_X86_PAT off. */
  readonly nopat: boolean;
  readonly xenPv: boolean;
  /** IA32_PAT when the kernel starts; the reset value unless firmware or a kernel before wrote it. */
  readonly msrAtBoot: U64;
}

export interface PatSetup {
  readonly layout: PatLayout;
  /** `pat_enabled()`: the tracker works only then. */
  readonly enabled: boolean;
  readonly why: string;
}

const EARLY_FAMILY_6 = 15;
const LAST_P4_MODEL = 6;

/** The PAT in force once the kernel is up. Source: `pat_bp_init`, `init_cache_modes`. */
export function kernelPat(boot: PatBoot): PatSetup {
  const { vendor, family, model, msrAtBoot } = boot;
  if (boot.xenPv) return { layout: XEN_PAT, enabled: true, why: 'Xen PV: the PAT of Xen' };
  if (vendor === 'intel' && family === 6 && model < EARLY_FAMILY_6) {
    return { layout: NO_PAT, enabled: false, why: 'early family 6: PAT feature cleared (errata)' };
  }
  if (!boot.cpuHasPat) return { layout: NO_PAT, enabled: false, why: 'no PAT in the CPU' };
  const found = patLayout(msrAtBoot);
  if (found === null || (msrAtBoot.hi === 0 && msrAtBoot.lo === 0)) {
    return { layout: NO_PAT, enabled: false, why: 'PAT switched off by the firmware (MSR is 0)' };
  }
  if (boot.nopat) return { layout: found, enabled: false, why: 'nopat: the MSR as found' };
  if (vendor === 'intel' && family === 15 && model <= LAST_P4_MODEL) {
    return {
      layout: PAT_LOWER_HALF,
      enabled: true,
      why: 'Pentium 4 errata: lower four slots only',
    };
  }
  return { layout: LINUX_PAT[boot.era], enabled: true, why: 'written by the kernel' };
}

/** Slots of types that a layout lacks: PCD and PWT as without PAT, PCD alone for WC, WT and WP. */
const DEFAULT_SLOT: Readonly<Record<PatType, number>> = {
  WB: 0,
  WC: 2,
  'UC-': 2,
  UC: 3,
  WT: 2,
  WP: 2,
};

/** The PAT index with which Linux maps a type (`cachemode2protval`). */
export function slotFor(pat: PatLayout, type: PatType): number {
  return slotOf(pat, type) ?? DEFAULT_SLOT[type];
}

/** The type that a mapping of `type` really has under this layout. */
export function mappedType(pat: PatLayout, type: PatType): PatType {
  return pat[slotFor(pat, type)] ?? 'UC-';
}
