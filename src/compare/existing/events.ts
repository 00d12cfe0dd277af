import type { ZapEvent } from '../../kvm/zap.ts';
import type { SweepInput } from '../space/space.ts';

/** What can change a fact that an installed mapping was typed by. */
export const EVENTS = [
  'noncoherent-appears',
  'noncoherent-goes',
  'cr0-cd-toggles',
  'guest-writes-mtrr',
  'quirk-ignore-guest-pat-disabled',
  'quirk-cd-nw-cleared-disabled',
  'host-type-changes',
  'vmm-mapping-changes',
  'slot-flag-changes',
  'device-assigned',
  'guest-writes-pat',
] as const;
export type EventId = (typeof EVENTS)[number];

/** Inputs that take one new value together. */
export interface Flip {
  readonly inputs: readonly SweepInput[];
  /** Of one input: the value before; absent: any. */
  readonly from?: unknown;
  /** The value after; absent: any other. */
  readonly to?: unknown;
}

export interface EventKind {
  readonly title: string;
  readonly rule: ZapEvent;
  /** Each is the event by itself. */
  readonly flips: readonly Flip[];
}

/**
 * What a guest does to its own page tables is no event: KVM follows it under shadow paging, and under EPT
 * and NPT no leaf depends on it. What the hardware reads by itself (g_pat, CR0.CD on AMD) is in no leaf.
 */
export const KINDS: Readonly<Record<EventId, EventKind>> = {
  'noncoherent-appears': {
    title: 'the first non-coherent device comes',
    rule: 'noncoherentToggle',
    flips: [{ inputs: ['noncoherent-dma'], from: false, to: true }],
  },
  'noncoherent-goes': {
    title: 'the last non-coherent device goes',
    rule: 'noncoherentToggle',
    flips: [{ inputs: ['noncoherent-dma'], from: true, to: false }],
  },
  'cr0-cd-toggles': {
    title: 'the guest sets or clears CR0.CD',
    rule: 'cdToggle',
    flips: [{ inputs: ['cr0-cd'] }],
  },
  'guest-writes-mtrr': {
    title: 'the guest changes its MTRRs (switched off meanwhile, as the manual says)',
    rule: 'mtrrWrite',
    flips: [{ inputs: ['guest-mtrr'] }],
  },
  'quirk-ignore-guest-pat-disabled': {
    title: 'the VMM disables KVM_X86_QUIRK_IGNORE_GUEST_PAT',
    rule: 'quirkDisabled',
    flips: [{ inputs: ['quirk-ignore-guest-pat'], from: 'on', to: 'off' }],
  },
  'quirk-cd-nw-cleared-disabled': {
    title: 'the VMM disables KVM_X86_QUIRK_CD_NW_CLEARED',
    rule: 'quirkDisabled',
    flips: [{ inputs: ['quirk-cd-nw-cleared'], from: 'on', to: 'off' }],
  },
  'host-type-changes': {
    title: 'the host tracks another type for a page (set_memory_*())',
    rule: 'hostTypeChange',
    flips: [{ inputs: ['host-memtype'] }],
  },
  'vmm-mapping-changes': {
    title: 'the PTE of the VMM gets another type, and the tracked type with it or not',
    rule: 'vmmMappingChange',
    flips: [{ inputs: ['vmm-mapping'] }, { inputs: ['host-memtype', 'vmm-mapping'] }],
  },
  'slot-flag-changes': {
    title: 'the VMM changes a flag of a live memslot',
    rule: 'slotFlagChange',
    flips: [{ inputs: ['slot-noncoherent'] }, { inputs: ['slot-host-memtype'] }],
  },
  'device-assigned': {
    title: 'the first device is assigned, or the last taken away',
    rule: 'deviceAssigned',
    flips: [{ inputs: ['assigned-device'] }],
  },
  'guest-writes-pat': {
    title: 'the guest writes its PAT MSR',
    rule: 'guestPatWrite',
    flips: [{ inputs: ['guest'] }],
  },
};

/** The rules of zapping that the events ask for. */
export const ZAP_RULES: readonly ZapEvent[] = [
  ...new Set(EVENTS.map((event) => KINDS[event].rule)),
];
