import type { Inquiry } from '../facts/inquiry.ts';
import type { KvmRules } from '../kvm/rules.ts';
import type { MtrrType, PatType } from '../x86/types.ts';
import type { Page } from './page.ts';
import type { Steps } from './step.ts';

/** The guest's type and MTRR, asked only if a rule looks at them. */
export interface GuestSide {
  /** The PAT type in the guest's page tables. */
  readonly type: () => PatType;
  /** The guest MTRR type as these KVM rules evaluate it. */
  readonly mtrr: () => MtrrType;
}

/** One world while it is worked out. */
export interface Scene {
  readonly inquiry: Inquiry;
  readonly rules: KvmRules;
  readonly page: Page;
  readonly guest: GuestSide;
  readonly steps: Steps;
  /** Bit 9 of the capability word, when that is known. */
  readonly quirkOffered: boolean | null;
}
