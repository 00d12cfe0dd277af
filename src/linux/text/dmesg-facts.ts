import type { U64 } from '../../base/u64.ts';
import type { MtrrType, PatType } from '../../x86/types.ts';
import type { E820Entry, E820Type } from './e820.ts';

interface Range {
  readonly start: number;
  readonly endInclusive: number;
}

/** As the memtype tracker counts; some wordings print the last byte instead, which is converted. */
interface TrackedRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** The name of the task may hold blanks, slashes and colons: "CPU 0/KVM". */
interface Task {
  readonly comm: string;
  readonly pid: number;
}

/** Who and where: kernel, command line, hypervisor, machine. */
type PlaceFact =
  | { readonly kind: 'kernel'; readonly release: string; readonly text: string }
  | { readonly kind: 'command-line'; readonly text: string }
  | { readonly kind: 'hypervisor'; readonly name: string }
  | { readonly kind: 'dmi'; readonly text: string }
  /** "AMD SEV SEV-ES SEV-SNP", "Intel TDX": of a host or of a guest. */
  | { readonly kind: 'memory-encryption'; readonly features: string };

/** `map` is who gave the map: BIOS-e820, user, modified, extended, Xen, ... */
type E820Fact =
  | ({ readonly kind: 'e820'; readonly map: string } & Omit<E820Entry, 'line'>)
  | ({ readonly kind: 'e820-gap'; readonly map: string } & Range)
  | ({ readonly kind: 'e820-update'; readonly from: E820Type; readonly to: E820Type } & Range)
  /** `type` null: whatever was there. */
  | ({ readonly kind: 'e820-remove'; readonly type: E820Type | null } & Range);

type IommuFact =
  | {
      readonly kind: 'dmar-unit';
      readonly name: string;
      readonly base: number;
      readonly version: string;
      readonly cap: U64;
      /** Bit 7 is snoop control. */
      readonly ecap: U64;
    }
  /** Bit 0 of `flags`: the unit takes every device that no other unit names. */
  | { readonly kind: 'dmar-drhd'; readonly base: number; readonly flags: number }
  /** The units do not agree on a feature; `sc_support` is snoop control. */
  | { readonly kind: 'iommu-inconsistent'; readonly feature: string };

type MtrrFact =
  | { readonly kind: 'mtrr-default'; readonly type: MtrrType }
  | { readonly kind: 'mtrr-fixed-ranges'; readonly enabled: boolean }
  | ({ readonly kind: 'mtrr-fixed'; readonly type: MtrrType } & Range)
  | { readonly kind: 'mtrr-variable-ranges'; readonly enabled: boolean }
  | {
      readonly kind: 'mtrr-variable';
      readonly reg: number;
      readonly base: number;
      readonly mask: number;
      readonly type: MtrrType;
    }
  | { readonly kind: 'mtrr-unused'; readonly reg: number }
  | {
      readonly kind: 'mtrr-map';
      readonly entries: number;
      readonly fixed: number;
      readonly variable: number;
      readonly max: number;
      /** Variable registers, and one more where TOM2 is in use. */
      readonly registers: number;
    }
  | ({ readonly kind: 'mtrr-map-entry'; readonly index: number; readonly type: MtrrType } & Range)
  | { readonly kind: 'mtrr-off'; readonly reason: MtrrOffReason }
  | { readonly kind: 'mtrr-read-only' }
  | { readonly kind: 'mtrr-inconsistent'; readonly what: 'fixed' | 'variable' | 'default' }
  | { readonly kind: 'tom2'; readonly address: number };

export type MtrrOffReason = 'not available' | 'by firmware' | 'out of memory' | 'not said';

type PatFact =
  | { readonly kind: 'pat-layout'; readonly layout: readonly PatType[] }
  | { readonly kind: 'pat-msr'; readonly cpu: number; readonly before: U64; readonly after: U64 }
  | { readonly kind: 'pat-off'; readonly reason: PatOffReason };

export type PatOffReason =
  | 'no PAT in the CPU'
  | 'boot option'
  | 'by firmware'
  | 'kernel configuration'
  | 'MTRRs off'
  | 'not said';

type ConflictFact =
  /** `found` overlaps first and would have been given; `existing` overlaps too and differs. */
  | ({
      readonly kind: 'conflicting-types';
      readonly task: Task;
      readonly found: PatType;
      readonly existing: PatType;
    } & TrackedRange)
  | ({
      readonly kind: 'reserve-failed';
      readonly tracked: PatType;
      readonly requested: PatType;
    } & TrackedRange)
  /** The same for pages of RAM. */
  | ({
      readonly kind: 'reserve-ram-failed';
      readonly tracked: PatType;
      readonly requested: PatType;
    } & TrackedRange)
  /** A kernel bug: the range ends before it begins. */
  | ({ readonly kind: 'reserve-inverted'; readonly requested: PatType } & Range)
  | { readonly kind: 'ioremap-reserve-failed'; readonly errno: number }
  | ({
      readonly kind: 'ioremap-refused';
      readonly requested: PatType;
      readonly got: PatType;
    } & TrackedRange)
  /** A mapping of RAM got the tracked type instead of the requested one. */
  | ({
      readonly kind: 'ram-type-forced';
      readonly task: Task;
      readonly requested: PatType;
      readonly got: PatType;
    } & TrackedRange)
  /** A mapping failed, because the tracked type is not acceptable in place of the requested one. */
  | ({
      readonly kind: 'map-refused';
      readonly task: Task;
      readonly requested: PatType;
      readonly got: PatType;
    } & TrackedRange)
  | {
      readonly kind: 'mtrr-mismatch';
      readonly base: number;
      readonly size: number;
      readonly old: MtrrType;
      readonly wanted: MtrrType;
    };

/** What a line says. */
export type LogStatement = PlaceFact | E820Fact | IommuFact | MtrrFact | PatFact | ConflictFact;

/** A statement and the line it stands in. */
export type LogFact = LogStatement & { readonly line: number };

export type LogFactOf<K extends LogFact['kind']> = Extract<LogFact, { readonly kind: K }>;
