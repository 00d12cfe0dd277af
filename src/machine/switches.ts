import type { SourceId } from '../cite/sources.ts';

/** What the manuals leave open, where they disagree, or what differs between CPUs: one switch each. */
export interface Switches {
  readonly selfSnoop: boolean;
  readonly busSnoop: boolean;
  readonly specFill: boolean;
  readonly evict: boolean;
  readonly ntPassesOlder: boolean;
  readonly ucPosted: boolean;
  readonly ucDrainsFlush: boolean;
  readonly ntInPlace: boolean;
  readonly fwdNT: boolean;
  readonly amdCD: boolean;
  readonly clflushWaits: boolean;
  readonly exitDrains: boolean;
  readonly flushAnyType: boolean;
}

export interface SwitchInfo {
  readonly name: keyof Switches;
  /** What it says when it is on. */
  readonly on: string;
  readonly default: boolean | 'intel' | 'amd';
  /** `cpu`: CPUs differ, and say so. `contested`: sources are silent or disagree. `search`: what is explored. */
  readonly kind: 'cpu' | 'contested' | 'search';
  readonly evidence: string;
  readonly sources: readonly SourceId[];
  /** A test whose outcome is possible on one side only. */
  readonly separatedBy: string;
}
