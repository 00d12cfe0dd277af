import { rule } from '../cite/rule.ts';
import type { SourceId } from '../cite/sources.ts';
import { all, any, type Condition, not } from './decision.ts';

/** What KVM does with SPTEs that are already installed. */
export type ZapAction =
  | 'nothing'
  /** A reset of the MMU context, which has no effect: the role does not hold MTRRs. */
  | 'reset-context'
  | 'zap-all'
  /** Of the range that the event is about: the MTRR that was written, the page that changed. */
  | 'zap-gfn-range'
  /** The call fails, so that the event does not happen. */
  | 'refused';

/** What the conditions of zapping look at, under the kernel's own names. */
export interface ZapInputs {
  /** EPT is on: shadow_memtype_mask is not 0. */
  readonly ept: () => boolean;
  /** EPT or NPT is on. */
  readonly tdp: () => boolean;
  /** The CPU is of AMD. */
  readonly amd: () => boolean;
  readonly noncoherent_dma: () => boolean;
  /** kvm_arch_has_assigned_device(); asked of hypervisors other than KVM only. */
  readonly assigned_device: () => boolean;
  /** X86_FEATURE_SELFSNOOP after errata. */
  readonly self_snoop: () => boolean;
  /** kvm_check_has_quirk(): in force. */
  readonly quirk_cd_nw_cleared: () => boolean;
  /** kvm_check_has_quirk(): born disabled on AMD with NPT and for TDX, never disabled without EPT or NPT. */
  readonly quirk_ignore_guest_pat: () => boolean;
  /** The memslot carries KVM_MEM_HOST_MEMTYPE; asked by that proposal only. */
  readonly slot_host_memtype: () => boolean;
}

export interface ZapRule {
  readonly action: ZapAction;
  /** When the action is taken; null: always. */
  readonly when: Condition<ZapInputs> | null;
  /** What the condition does not say. */
  readonly words: string;
  readonly source: SourceId;
}

/** What can change the type that an installed mapping would get. */
export const ZAP_EVENTS = {
  mtrrWrite: 'guest writes an MTRR',
  cdToggle: 'guest toggles CR0.CD',
  noncoherentToggle: 'non-coherent DMA comes or goes',
  quirkDisabled: 'VMM disables a quirk',
  deviceAssigned: 'a device is assigned',
  hostTypeChange: 'host changes the type it tracks for a page',
  vmmMappingChange: 'host changes the PTE of the VMM',
  slotFlagChange: 'VMM changes a flag of a memslot',
  guestPatWrite: 'guest writes its PAT MSR',
} as const;
export type ZapEvent = keyof typeof ZAP_EVENTS;

const EVENTS = Object.keys(ZAP_EVENTS) as readonly ZapEvent[];

/** Which events make KVM drop installed SPTEs, in one span of kernels or one proposal. */
export interface ZapRules extends Readonly<Record<ZapEvent, ZapRule>> {
  readonly id: string;
  readonly kernels: string;
}

/** What these rules do on an event. */
export function zapOn(rules: ZapRules, event: ZapEvent, inputs: ZapInputs): ZapAction {
  const { action, when } = rules[event];
  return when === null || when.holds(inputs) ? action : 'nothing';
}

/** Whether the mappings concerned are gone after an action: the next access installs them anew. */
export function isZapped(action: ZapAction): boolean {
  return action === 'zap-all' || action === 'zap-gfn-range';
}

/** A rule in one line: "zap-all if ept && !self_snoop (first or last device)". */
export function zapRuleWords({ action, when, words }: ZapRule): string {
  const condition = when === null ? '' : ` if ${when.text}`;
  return `${action}${condition}${words === '' ? '' : ` (${words})`}`;
}

// ---- conditions -------------------------------------------------------------------------------

function input<K extends keyof ZapInputs>(name: K): Condition<ZapInputs> {
  return { text: name, holds: (q) => q[name]() };
}

const ept = input('ept');
const tdp = input('tdp');
const amd = input('amd');
const noncoherent_dma = input('noncoherent_dma');
const assigned_device = input('assigned_device');
const self_snoop = input('self_snoop');
const quirk_cd_nw_cleared = input('quirk_cd_nw_cleared');
const quirk_ignore_guest_pat = input('quirk_ignore_guest_pat');
const slot_host_memtype = input('slot_host_memtype');

// ---- kernels ----------------------------------------------------------------------------------

function zap(
  action: ZapAction,
  when: Condition<ZapInputs> | null,
  source: SourceId,
  words: string = '',
): ZapRule {
  return { action, when, words, source };
}

function nothing(source: SourceId, words: string): ZapRule {
  return { action: 'nothing', when: null, words, source };
}

const OF_THE_MSR = 'the range of the MSR as written, all for DEF_TYPE';
const FIRST_OR_LAST = 'first or last device';
const ADD_ANEW = '-EINVAL: delete the memslot, add it anew';

/** What is the same in every kernel. */
const EVERY_KERNEL = {
  quirkDisabled: nothing('kvm/x86.c-quirks', 'set it before memory is touched'),
  deviceAssigned: nothing('kvm/vfio.c', 'coherent or not is what counts'),
  hostTypeChange: nothing('kvm/mmu-notifier', 'set_memory_*() tells no MMU notifier'),
  vmmMappingChange: zap('zap-gfn-range', null, 'kvm/mmu-notifier', 'the MMU notifier'),
  slotFlagChange: nothing('kvm/set-memory-region', 'no flag has a say in a type'),
  guestPatWrite: nothing('kvm/make_spte', 'no SPTE holds the guest PAT'),
} as const;

/** What has no meaning from 6.11-rc1 on. */
const MTRRS_ARE_STORAGE = {
  mtrrWrite: nothing('kvm/0a7b73559b39', 'guest MTRRs are storage only'),
  cdToggle: nothing('kvm/e1548088ff54', 'CR0.CD has no say in a type'),
} as const;

/** Oldest first. */
export const ZAP: readonly ZapRules[] = [
  {
    id: '2.6.26',
    kernels: '2.6.26 to 4.1',
    mtrrWrite: zap(
      'reset-context',
      null,
      'kvm/efdfe536d8c6',
      'ineffective, the role holds no MTRRs',
    ),
    cdToggle: zap('reset-context', null, 'kvm/b18d5431acc7', 'ineffective'),
    noncoherentToggle: nothing('kvm/362ff6dca541', 'until 6.7'),
    ...EVERY_KERNEL,
  },
  {
    id: '4.2',
    kernels: '4.2 to 4.2.6, 4.3',
    mtrrWrite: zap('zap-gfn-range', all(tdp, noncoherent_dma), 'kvm/efdfe536d8c6', OF_THE_MSR),
    cdToggle: zap('zap-all', null, 'kvm/b18d5431acc7', 'every VM'),
    noncoherentToggle: nothing('kvm/362ff6dca541', 'until 6.7'),
    ...EVERY_KERNEL,
  },
  {
    id: '4.4',
    kernels: '4.4 to 6.6, 4.2.7 and 4.2.8',
    mtrrWrite: zap('zap-gfn-range', all(tdp, noncoherent_dma), 'kvm/efdfe536d8c6', OF_THE_MSR),
    cdToggle: zap('zap-all', all(noncoherent_dma, not(quirk_cd_nw_cleared)), 'kvm/879ae1880449'),
    noncoherentToggle: nothing('kvm/362ff6dca541', 'until 6.7'),
    ...EVERY_KERNEL,
  },
  {
    id: '6.7',
    kernels: '6.7 to 6.10',
    mtrrWrite: zap('zap-gfn-range', all(ept, noncoherent_dma), 'kvm/9a3768191d95', OF_THE_MSR),
    cdToggle: zap(
      'zap-all',
      all(ept, noncoherent_dma, not(quirk_cd_nw_cleared)),
      'kvm/7a18c7c2b69a',
    ),
    noncoherentToggle: zap('zap-all', ept, 'kvm/362ff6dca541', FIRST_OR_LAST),
    ...EVERY_KERNEL,
  },
  {
    id: '6.11-rc1',
    kernels: '6.11-rc1 to 6.11-rc7',
    ...MTRRS_ARE_STORAGE,
    noncoherentToggle: zap('zap-all', all(ept, not(self_snoop)), 'kvm/377b2f359d1f', FIRST_OR_LAST),
    ...EVERY_KERNEL,
  },
  {
    id: '6.11',
    kernels: '6.11 to 6.15',
    ...MTRRS_ARE_STORAGE,
    noncoherentToggle: zap('zap-all', ept, 'kvm/9d70f3fec144', FIRST_OR_LAST),
    ...EVERY_KERNEL,
  },
  {
    id: '6.16',
    kernels: '6.16 to 7.3, 6.12.78 and later 6.12.y',
    ...MTRRS_ARE_STORAGE,
    noncoherentToggle: zap('zap-all', quirk_ignore_guest_pat, 'kvm/c9c1e20b4c7d', FIRST_OR_LAST),
    ...EVERY_KERNEL,
  },
];

// ---- proposals --------------------------------------------------------------------------------

function ofKernels(id: string): ZapRules {
  const found = ZAP.find((rules) => rules.id === id);
  if (found === undefined) throw new RangeError(`no zap rules ${id}`);
  return found;
}

/** Where the ideal honours the guest PAT for the sake of non-coherent DMA only. */
const ALIAS_UNSAFE = any(all(not(amd), not(self_snoop)), all(amd, not(tdp)));

/**
 * What the ideal has to do, never built: whatever its leaves depend on and can change has to zap. Under
 * shadow paging KVM sees a guest PTE change anyway, and has to watch the PAT MSR as well.
 */
export const ZAP_HOST_PAT: ZapRules = {
  id: 'host-pat',
  kernels: 'never built',
  ...MTRRS_ARE_STORAGE,
  noncoherentToggle: zap(
    'zap-all',
    ALIAS_UNSAFE,
    'memtype/ideal',
    `${FIRST_OR_LAST}; elsewhere the guest PAT is safe without one`,
  ),
  quirkDisabled: nothing('memtype/ideal', 'no quirk has a say in a type'),
  deviceAssigned: nothing('memtype/ideal', 'coherent or not is what counts'),
  hostTypeChange: nothing('memtype/ideal', 'only the MMIO test asks the tracker'),
  vmmMappingChange: EVERY_KERNEL.vmmMappingChange,
  slotFlagChange: nothing('memtype/ideal', 'no flag has a say in a type'),
  guestPatWrite: zap('zap-all', not(tdp), 'memtype/ideal', 'shadow PTEs hold the combined type'),
};

/** The ideal by the tracker: it has to tell KVM, which nothing does today. */
export const ZAP_HOST_PAT_TRACKED: ZapRules = {
  ...ZAP_HOST_PAT,
  id: 'host-pat-tracked',
  hostTypeChange: zap('zap-gfn-range', null, 'memtype/ideal', 'a hook in set_memory_*(), new'),
};

/** Where a condition of a kernel covers the guest PAT of CPUs without self-snoop already. */
function orFlaggedWithoutSelfSnoop(kernel: ZapRule): ZapRule {
  const flagged = all(slot_host_memtype, ALIAS_UNSAFE);
  return zap(
    'zap-all',
    kernel.when === null ? flagged : any(kernel.when, flagged),
    'memtype/ideal',
    FIRST_OR_LAST,
  );
}

/** The ideal behind a memslot flag, on the rules of a kernel: unflagged memslots keep them. */
export function zapWithHostPatSlot(kernel: ZapRules): ZapRules {
  return {
    ...kernel,
    id: 'host-pat-slot',
    kernels: `proposed here, on ${kernel.kernels}`,
    noncoherentToggle: orFlaggedWithoutSelfSnoop(kernel.noncoherentToggle),
    slotFlagChange: zap('refused', null, 'memtype/ideal', ADD_ANEW),
    guestPatWrite: zap(
      'zap-all',
      all(not(tdp), slot_host_memtype),
      'memtype/ideal',
      'shadow PTEs hold the combined type',
    ),
  };
}

export const ZAP_HOST_PAT_SLOT: ZapRules = zapWithHostPatSlot(ofKernels('6.16'));

/** Rules of a kernel on which KVM_MEM_NON_COHERENT_DMA, as posted 2024-01-05, was put. */
export function zapWithSlotFlag(kernel: ZapRules): ZapRules {
  return {
    ...kernel,
    id: 'slot-flag',
    kernels: `posted 2024-01-05, on ${kernel.kernels}`,
    slotFlagChange: zap('refused', null, 'mail/cros-flag-1', ADD_ANEW),
  };
}

/** KVM_MEM_NON_COHERENT_DMA on the kernel it was posted against. */
export const ZAP_SLOT_FLAG: ZapRules = zapWithSlotFlag(ofKernels('6.7'));

/** Not KVM: Xen's memory_type_changed(). */
export const ZAP_XEN: ZapRules = {
  id: 'xen',
  kernels: 'none: Xen',
  mtrrWrite: zap('zap-all', all(ept, assigned_device), 'xen/memory_type_changed'),
  cdToggle: nothing('xen/memory_type_changed', 'Xen changes the guest PAT instead'),
  noncoherentToggle: nothing('xen/memory_type_changed', 'Xen does not ask for it'),
  quirkDisabled: nothing('xen/memory_type_changed', 'Xen has none'),
  deviceAssigned: zap('zap-all', ept, 'xen/memory_type_changed'),
  hostTypeChange: nothing('xen/memory_type_changed', 'Xen has no host type'),
  vmmMappingChange: nothing('xen/memory_type_changed', 'there is no VMM under Xen'),
  slotFlagChange: nothing('xen/memory_type_changed', 'Xen has no memslots'),
  guestPatWrite: nothing('xen/memory_type_changed', 'no leaf holds the guest PAT'),
};

/** Every set of rules beside those of kernels. */
export const ZAP_PROPOSED: readonly ZapRules[] = [
  ZAP_HOST_PAT,
  ZAP_HOST_PAT_TRACKED,
  ZAP_HOST_PAT_SLOT,
  ZAP_SLOT_FLAG,
  ZAP_XEN,
];

// ---- the page ---------------------------------------------------------------------------------

const SAID_ONCE = Object.keys(EVERY_KERNEL) as readonly ZapEvent[];

function said(rules: ZapRules, events: readonly ZapEvent[]): string {
  return events.map((event) => `${ZAP_EVENTS[event]}: ${zapRuleWords(rules[event])}`).join('; ');
}

/** What is the same in every kernel has a line of its own. */
function zapLine(z: ZapRules): string {
  return `${z.kernels}: ${said(
    z,
    EVENTS.filter(
      (event) => !SAID_ONCE.includes(event) || z[event] !== EVERY_KERNEL[event as never],
    ),
  )}`;
}

rule({
  id: 'kvm/zap',
  room: 'kvm',
  title: 'When installed mappings change their type',
  text:
    'An SPTE keeps the type it was made with until something zaps it. A guest MTRR write zaps the range ' +
    'of that MSR in 4.2 to 6.10 for a VM with non-coherent DMA; toggling CR0.CD zaps all there when ' +
    'CD_NW_CLEARED is disabled, and in 4.2 and 4.3 always; with the quirk, the types of CD=1 stay behind ' +
    'when CD is cleared (4.4 to 6.10). The first and last non-coherent device zap all from 6.7 on; ' +
    'disabling a quirk never zaps. A change of the host page type is noticed only where the PTE of the VMM ' +
    'changes with it, by the MMU notifier: set_memory_*() alone tells nobody.',
  table: [
    ...ZAP.map(zapLine),
    `all of these: ${said(ofKernels('6.16'), SAID_ONCE)}`,
    ...ZAP_PROPOSED.map(zapLine),
  ].join('\n'),
  sources: [
    'kvm/efdfe536d8c6',
    'kvm/b18d5431acc7',
    'kvm/879ae1880449',
    'kvm/9a3768191d95',
    'kvm/7a18c7c2b69a',
    'kvm/362ff6dca541',
    'kvm/x86.c-quirks',
    'kvm/mmu-notifier',
    'mail/cd-not-zapped',
    'mail/cd-quirk-stale',
    'mail/cros-flag-1',
  ],
});
