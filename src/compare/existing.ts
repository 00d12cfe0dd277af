import type { SourceId } from '../cite/sources.ts';
import type { Platform } from './platforms.ts';

/** What can change a fact that an installed mapping was typed by. */
export const EVENTS = [
  'noncoherent-appears',
  'noncoherent-goes',
  'cr0-cd-toggles',
  'guest-writes-mtrr',
  'quirk-ignore-guest-pat-disabled',
  'quirk-cd-nw-cleared-disabled',
  'host-type-changes',
  'slot-flag-changes',
] as const;
export type EventId = (typeof EVENTS)[number];

/** An event on one side: does a mapping that would get another type now keep the old one? */
export interface AfterEvent {
  /** States (points before the event) in which the leaf would now be another one. */
  readonly affected: number;
  /** Of those, states in which nothing zaps it: it stays stale until something else refaults it. */
  readonly stale: number;
  /** What KVM does, e.g. "zap-all when EPT on, first or last device"; "nothing". */
  readonly action: string;
  /** An example of a stale mapping: installed, and what would be installed now; null: none. */
  readonly example: {
    readonly installed: string;
    readonly now: string;
    readonly state: string;
  } | null;
}

export interface EventChange {
  readonly event: EventId;
  readonly title: string;
  readonly platforms: readonly Platform[];
  readonly before: AfterEvent;
  readonly after: AfterEvent;
  /** One sentence: what that means for those who have the event. */
  readonly consequence: string;
  readonly source: SourceId;
}

/** What happens to mappings that are there already. */
export interface Existing {
  readonly differs: boolean;
  /** States x events folded. */
  readonly points: number;
  /** Events after which the two sides do not do the same. */
  readonly changes: readonly EventChange[];
  /** Events after which both leave mappings stale: no change, but worth knowing. */
  readonly staleOnBoth: readonly { readonly event: EventId; readonly title: string }[];
}
