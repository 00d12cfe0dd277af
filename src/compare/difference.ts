import type { SourceId } from '../cite/sources.ts';
import type { FactValues } from '../facts/facts.ts';
import type { KvmRules } from '../kvm/rules.ts';
import type { EffectiveType } from '../x86/types.ts';
import type { Category } from './categories.ts';
import type { Existing } from './existing/existing.ts';
import type { FamilyResult } from './families/family.ts';
import type { Platform } from './platforms.ts';
import type { Dimension } from './space/cube.ts';

/** One of the two that are compared: a kernel, or a proposal on a kernel. */
export interface Side {
  /** As the user named it: "6.16", "E8", "host-pat". */
  readonly name: string;
  /** "6.16" or "6.16+host-pat": what `explain --kernel` takes. */
  readonly kernel: string;
  /** What it is, in words: "kernels 6.16 to 7.3", "host-pat on 6.16". */
  readonly title: string;
  readonly rules: KvmRules;
  /** What should be known about how the name was read. */
  readonly notes: readonly string[];
}

/** One factor of a condition: the input has one of these values. */
export interface Literal {
  /**
   * An input of the space; `host-mmio`: what kvm_is_mmio_pfn() says, where both sides ask alike; or
   * `live-cr0-cd`: cr0-cd with quirk-cd-nw-cleared off.
   */
  readonly input: Dimension;
  /** As they are written on the command line; never all values of the input. */
  readonly values: readonly string[];
  /** The values left out. */
  readonly others: readonly string[];
}

/** All literals hold. Empty: always. */
export type Condition = readonly Literal[];

/** Any of the conditions; they may overlap. */
export interface Cover {
  readonly conditions: readonly Condition[];
  /** No smaller set of conditions says the same; false: none was found, none was excluded. */
  readonly minimal: boolean;
}

export type { Category } from './categories.ts';

/** What decided on one side. */
export interface DecidedBy {
  /** The line of the decision list, e.g. "vmx_get_mt_mask/E11:2". */
  readonly rule: string;
  /** What KVM installs, e.g. "EPT WB+IPAT", "EPT guest_mtrr, IPAT=0", "nested PTE PA0, g_pat guest". */
  readonly leaf: string;
  readonly why: string;
  readonly source: SourceId;
}

export type ConsequenceKind =
  /** coherence */
  | 'coherent'
  | 'stale'
  | 'alias'
  | 'alias-gone'
  | 'order-lost'
  | 'order-kept'
  | 'unsnooped'
  | 'snooped'
  /** perf */
  | 'slower'
  | 'faster'
  /** mce */
  | 'machine-check'
  | 'machine-check-gone';

/** What the change means for somebody. */
export interface Consequence {
  readonly kind: ConsequenceKind;
  readonly category: Exclude<Category, 'guest-visible'>;
  /** One sentence. */
  readonly text: string;
  /** For whom: a device that does not snoop, a VMM that maps the page otherwise; null: everyone. */
  readonly forWhom: string | null;
  /** Verdicts of `explain` that come or go with it; none for speed without a verdict. */
  readonly codes: readonly string[];
  readonly sources: readonly SourceId[];
}

/** Kinds of page (backing classes) for which the consequences are the same. */
export interface KindGroup {
  readonly backings: readonly FactValues['backing'][];
  readonly consequences: readonly Consequence[];
}

/** Facts that `explain` takes, in its words, and what it answers on either side. */
export interface Witness {
  /** Keys and values of a case file; the kernels of both sides, or of the first where there are two files. */
  readonly facts: Readonly<Record<string, string>>;
  /** The same access on the platform of the second side; null: it is the same platform. */
  readonly other: Readonly<Record<string, string>> | null;
}

/** One change of the effective type within a cause. */
export interface Change {
  readonly before: EffectiveType;
  readonly after: EffectiveType;
  /** Points of the space. */
  readonly points: number;
  /** Within the condition of the cause. */
  readonly when: Cover;
  readonly witness: Witness;
  readonly kinds: readonly KindGroup[];
  /** No kind of page known here gets into this change: it is possible in principle. */
  readonly unknownKind: boolean;
}

/**
 * The types within a cause as a table, where they depend on no more than three inputs. A cell has the
 * type before and after; the two are equal where nothing changes, and null where the cause has no point.
 */
export interface TypeGrid {
  readonly rows: { readonly input: Dimension; readonly values: readonly string[] };
  /** Null: the types depend on one input only, and each row has one cell. */
  readonly columns: { readonly input: Dimension; readonly values: readonly string[] } | null;
  readonly slices: readonly TypeSlice[];
}

export interface TypeSlice {
  /** The value of the third input; null: there is none. */
  readonly at: { readonly input: Dimension; readonly value: string } | null;
  /** By row, then column. */
  readonly cells: readonly (readonly (TypePair | null)[])[];
  /** Kinds of page with this value; empty: none that is known. With `at: null`: of the whole cause. */
  readonly backings: readonly FactValues['backing'][];
}

export interface TypePair {
  readonly before: EffectiveType;
  readonly after: EffectiveType;
}

/** One line of one side against one line of the other: the cause of some changes. */
export interface Cause {
  readonly before: DecidedBy;
  readonly after: DecidedBy;
  /** The answer of kvm_is_mmio_pfn() on either side where the two differ; null where they agree. */
  readonly mmio: { readonly before: DecidedBy; readonly after: DecidedBy } | null;
  /** Points at which these two lines decide, and those of them where the type changes. */
  readonly points: number;
  readonly differing: number;
  readonly when: Cover;
  /** Null: the types depend on more than three inputs. */
  readonly grid: TypeGrid | null;
  readonly changes: readonly Change[];
}

/** Platforms on which exactly the same changes. */
export interface PlatformGroup {
  readonly platforms: readonly Platform[];
  /** Of one platform. */
  readonly points: number;
  readonly differing: number;
  /** The leaf differs and the effective type does not. */
  readonly leafOnly: number;
  readonly causes: readonly Cause[];
  /** Sentences: for whom nothing changes, from what all conditions have in common. */
  readonly unchanged: readonly string[];
}

/** Somebody known by name, and what becomes of them. */
export interface UserChange {
  readonly id: string;
  readonly title: string;
  readonly source: SourceId;
  readonly platforms: readonly Platform[];
  readonly before: readonly EffectiveType[];
  readonly after: readonly EffectiveType[];
  readonly consequences: readonly Consequence[];
  readonly witness: Witness;
}

/** A rule beside the memory type itself that is not the same: an ioctl, a refusal, who counts as non-coherent. */
export interface RuleChange {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  readonly consequence: string;
  readonly source: SourceId;
}

/** Everything that differs between two sides. */
export interface Difference {
  readonly a: Side;
  readonly b: Side;
  /** Points folded: the whole space, once for each platform. */
  readonly points: number;
  readonly differing: number;
  /** Platforms with differences first, then those without, each in the order of PLATFORMS. */
  readonly platforms: readonly PlatformGroup[];
  readonly notCompared: readonly { readonly platform: Platform; readonly why: string }[];
  /** What the fold was restricted to, in words; empty: nothing. */
  readonly restrictedTo: readonly string[];
  readonly only: Category | null;
  readonly users: readonly UserChange[];
  /** Known users that get the same on both sides. */
  readonly usersUnchanged: readonly { readonly id: string; readonly title: string }[];
  readonly rules: readonly RuleChange[];
  /** What happens to mappings that are there already. */
  readonly existing: Existing;
  /** Inputs that are infinite: what was tried, and what differed. */
  readonly families: readonly FamilyResult[];
}

/** 1 when anything differs that was asked for. */
export function exitCodeOfDifference(d: Difference): 0 | 1 {
  const rest =
    d.only === null &&
    (d.rules.length > 0 || d.existing.differs || d.families.some((f) => f.differing > 0));
  return d.differing > 0 || rest ? 1 : 0;
}
