import type { Room } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import type { DeviceAccess, FactValues, MapInfo } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import type { MtrrLayout } from '../facts/layout.ts';
import type { GuestMtrrAnswer } from '../kvm/guest-mtrr.ts';
import type { KvmRules } from '../kvm/rules.ts';
import type { BackingClass } from '../linux/backing.ts';
import type { VmmModel } from '../platform/vmm.ts';
import type { MtrrAnswer } from '../x86/mtrr.ts';
import type { MtrrType, PatType, Vendor } from '../x86/types.ts';
import type { Effective } from './effective.ts';
import type { GuestGrant } from './guest.ts';

/** `error`: wrong results or a crash; `warning`: slow or fragile; `info`: worth knowing. */
export type Severity = 'error' | 'warning' | 'info';

export type VerdictCode = `MT${number}`;

/** One world, resolved: what the verdicts look at. */
export interface Situation {
  readonly inquiry: Inquiry;
  readonly rules: KvmRules;
  /** How the user named the kernel or policy. */
  readonly subject: string;
  readonly vendor: Vendor;
  readonly paging: FactValues['paging'];
  readonly result: Effective;
  readonly isMmio: boolean;
  /** Null when the class of backing is not known. */
  readonly backing: BackingClass | null;
  readonly hostMemtype: PatType;
  readonly vmmMapping: PatType;
  /** Asked only where something turns on it. */
  readonly hostMtrr: () => MtrrType;
  /** Null when the guest's type is not known and did not matter. */
  readonly guest: GuestGrant | null;
  /** Null when nothing is said of a device and nothing suggests one. */
  readonly device: DeviceAccess | null;
  /** As this world has it; null when nothing turns on it. */
  readonly selfSnoop: boolean | null;
  /** As far as it is known and not supposed: what advice may build on. */
  readonly selfSnoopKnown: boolean | null;
  /** Bit 9 of the capability word, when that is known. */
  readonly quirkOffered: boolean | null;
  /** Null when none was named. */
  readonly vmm: VmmModel | null;
  /** What the guest was told of the blob; null when nothing was said of it. */
  readonly mapInfo: MapInfo | null;
  /** The VMM was told to have the guest PAT honoured, cannot, and ends with an error. */
  readonly vmmRefuses: boolean;
  /** Guest MTRRs, when a layout was given and KVM looked at it: KVM's answer and the manual's. */
  readonly guestMtrrs: { readonly kvm: GuestMtrrAnswer; readonly manual: MtrrAnswer } | null;
  /** The host's MTRRs and the address asked about, when they were given. */
  readonly hostLayout: MtrrLayout | null;
}

/** What a verdict says of one situation. */
export interface Finding {
  /** Between whom, e.g. "guest CPU" and "device". */
  readonly agents: readonly string[];
  /** What happens here, in one or two sentences. */
  readonly text: string;
  /** What to do about it. */
  readonly fix: string;
}

/** A kind of finding, as its page has it. Codes are stable. */
export interface VerdictKind {
  readonly code: VerdictCode;
  readonly severity: Severity;
  readonly title: string;
  readonly room: Room;
  readonly cause: string;
  readonly consequence: string;
  /** In general; `Finding.fix` is for the case at hand. */
  readonly fix: string;
  readonly sources: readonly [SourceId, ...SourceId[]];
  /**
   * What shows it. Of the resolver: arguments of `memtype explain`. Of doctor: in words, the captured host in
   * docs/examples/CODE.yaml.
   */
  readonly example: string;
}

/** A kind of finding of the resolver. Its example is the arguments of `memtype explain` that show it. */
export interface VerdictDefinition extends VerdictKind {
  readonly find: (situation: Situation) => Finding | null;
}

/** A finding with its kind, as a resolution carries it. */
export interface Verdict extends Finding {
  readonly code: VerdictCode;
  readonly severity: Severity;
  readonly title: string;
}
