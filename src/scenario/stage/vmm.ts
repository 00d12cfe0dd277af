import type { SourceId } from '../../cite/sources.ts';
import type { MapInfo } from '../../facts/facts.ts';
import { QUIRK, QUIRKS_6_16, type QuirkCaps, quirkCaps } from '../../kvm/quirks.ts';
import type { KvmRules } from '../../kvm/rules.ts';
import type { BackingClass, BackingId } from '../../linux/backing.ts';
import type { Switches } from '../../machine/switches.ts';
import { PRODUCERS } from '../../platform/map-info.ts';
import {
  knowsSlotFlag,
  quirkRequest,
  seemsToKnowFlag,
  VMMS,
  type VmmModel,
  wantsSlotFlag,
} from '../../platform/vmm.ts';
import type { Vendor } from '../../x86/types.ts';
import { type Known, Undetermined } from './known.ts';

/** Quirks of kernels before 6.16: bit 9 does not exist. */
const QUIRKS_BEFORE = QUIRKS_6_16 & ~QUIRK.IGNORE_GUEST_PAT;

/** What KVM_CHECK_EXTENSION(KVM_CAP_DISABLE_QUIRKS2) answers on this host, and what is born disabled. */
export function hostQuirks(known: Known, rules: KvmRules): QuirkCaps {
  const paging = known.ask('paging');
  const vendor = vendorOf(known);
  const selfSnoop = vendor === 'intel' && paging === 'ept' && known.ask('self-snoop');
  // A proposal that drops the quirk stands on a kernel that may have known it.
  if (!rules.hasPatQuirk) return { supported: QUIRKS_BEFORE, inapplicable: 0 };
  const tdpEnabled = paging !== 'shadow';
  const caps = quirkCaps({ vendor, tdpEnabled, selfSnoop, valid: QUIRKS_6_16 });
  const { quirkOffered } = known.question;
  if (quirkOffered === null) return caps;
  const supported = quirkOffered
    ? caps.supported | QUIRK.IGNORE_GUEST_PAT
    : caps.supported & ~QUIRK.IGNORE_GUEST_PAT;
  return { ...caps, supported };
}

export function vendorOf(known: Known): 'intel' | 'amd' {
  const paging = known.ask('paging');
  if (paging === 'ept') return 'intel';
  return paging === 'npt' ? 'amd' : known.ask('cpu');
}

/**
 * Which caches accesses past the caches look into. The APM has no word of a WC or UC access that does, on AMD
 * without nested paging; WC+ and CD always do. Source: apm/alias.
 */
export function cacheSwitches(vendor: Vendor, selfSnoop: boolean): Partial<Switches> {
  return vendor === 'intel' ? { selfSnoop } : { selfSnoop: false, busSnoop: false };
}

export function vmmOf(known: Known): VmmModel | null {
  const id = known.said('vmm');
  return id === null ? null : VMMS[id];
}

export interface QuirkDecision {
  /** It calls KVM_ENABLE_CAP with bit 9. */
  readonly asks: boolean;
  /** It ends with an error instead. */
  readonly refuses: boolean;
  readonly words: string;
  readonly source: SourceId;
}

/** Whether the VMM asks KVM to honour the guest PAT. */
export function askForGuestPat(known: Known, caps: QuirkCaps): QuirkDecision {
  const vmm = vmmOf(known);
  const source = vmm?.sources[0] ?? 'kvm/x86.c-quirks';
  const said = known.said('quirk-ignore-guest-pat');
  if (said !== null || vmm === null) {
    const asks = said === 'off';
    const words = asks ? 'disables IGNORE_GUEST_PAT' : 'leaves the quirks as they are';
    return { asks, refuses: false, words, source };
  }
  const honour = known.said('honor-guest-pat') ?? 'off';
  const offered = (caps.supported & QUIRK.IGNORE_GUEST_PAT) !== 0;
  const request = quirkRequest(vmm, honour, () => offered);
  const words = {
    leaves: 'leaves the quirks as they are',
    disables: 'disables IGNORE_GUEST_PAT',
    refuses: 'does not start: honor-guest-pat=on, and KVM does not offer bit 9',
  }[request];
  return { asks: request === 'disables', refuses: request === 'refuses', words, source };
}

/** What the host may tell the guest of the blob: as said, or as the producer makes it up; empty: nobody says. */
export function possibleMapInfo(known: Known, backing: BackingClass): readonly MapInfo[] {
  const said = known.said('map-info');
  if (said !== null) return [said];
  const by = known.said('map-info-from');
  return by === null ? [] : (PRODUCERS[by].says[backing.id as BackingId] ?? []);
}

/** What the host tells the guest of the blob. @throws Undetermined */
export function mapInfoOf(known: Known, backing: BackingClass): MapInfo {
  const [first, other] = possibleMapInfo(known, backing);
  if (first !== undefined && other === undefined) return first;
  const by = known.said('map-info-from');
  if (by === null) return known.ask('map-info');
  const { title, by: sight } = PRODUCERS[by];
  throw new Undetermined([
    {
      severity: 'error',
      message: `undetermined: what ${title} says of ${backing.id} (it goes by ${sight})`,
      help: 'say map-info',
    },
  ]);
}

/** What the VMM does about KVM_MEM_NON_COHERENT_DMA as it maps the blob. */
export interface SlotDecision {
  readonly flag: boolean;
  /** KVM answered EINVAL to the flag, and the VMM went on without, or not at all. */
  readonly einval: 'no' | 'retries' | 'fails';
}

export function flagSlot(known: Known, rules: KvmRules, mapInfo: () => MapInfo): SlotDecision {
  const vmm = vmmOf(known);
  const said = known.said('slot-noncoherent');
  if (said !== null) return { flag: said && knowsSlotFlag(rules), einval: 'no' };
  if (vmm === null || vmm.slotFlag === 'never') return { flag: false, einval: 'no' };
  const first = known.said('first-map-info');
  const wants = wantsSlotFlag(vmm, mapInfo(), first) && seemsToKnowFlag(rules, known.ask('paging'));
  if (!wants) return { flag: false, einval: 'no' };
  if (knowsSlotFlag(rules)) return { flag: true, einval: 'no' };
  return { flag: false, einval: vmm.slotFlag === 'or-retry' ? 'retries' : 'fails' };
}
