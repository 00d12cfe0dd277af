import { u64 } from '../../base/u64.ts';
import type { FirmwareId, GuestPlace } from '../../facts/facts.ts';
import { type LayoutRange, layoutState, type MtrrLayout } from '../../facts/layout.ts';
import type { GuestMtrrState } from '../../kvm/guest-mtrr.ts';
import { MTRR_PLANS } from '../../platform/firmware.ts';
import { directPlans, VMMS } from '../../platform/vmm.ts';
import type { MtrrType } from '../../x86/types.ts';
import { type Known, Undetermined } from './known.ts';

const GIB = 2 ** 30;

/** Where each place lies in guest-physical memory, bytes; as PC firmware lays it out. */
export const PLACE_RANGE: Readonly<
  Record<GuestPlace, { readonly base: number; readonly size: number }>
> = {
  ram: { base: GIB / 2, size: GIB / 2 },
  'low-bar': { base: 3 * GIB, size: GIB },
  'high-bar': { base: 64 * GIB, size: 32 * GIB },
  'hostmem-bar': { base: 96 * GIB, size: 32 * GIB },
};

const PHYS_BITS = 46;
const DEFAULT_PLACE: GuestPlace = 'hostmem-bar';

/** The guest MTRRs as the firmware leaves them, and in words. */
export interface MtrrPlanned {
  readonly state: GuestMtrrState;
  /** Guest-physical address of the blob, bytes. */
  readonly address: number;
  readonly place: GuestPlace;
  /** Null: they were given range by range, or as a type. */
  readonly plan: FirmwareId | null;
  readonly words: string;
}

function stateOf(layout: MtrrLayout): GuestMtrrState {
  return { ...layoutState(layout), maxphyaddr: layout.physBits, cpuidMtrr: true };
}

const OFF: GuestMtrrState = {
  defType: 0,
  fixed: Array.from({ length: 11 }, () => u64(0, 0)),
  variable: [],
  maxphyaddr: PHYS_BITS,
  cpuidMtrr: true,
};

function planned(ranges: readonly LayoutRange[], address: number): GuestMtrrState {
  return stateOf({ defaultType: 'WB', ranges, fixedType: null, address, physBits: PHYS_BITS });
}

function rangeOf(place: GuestPlace, type: MtrrType): LayoutRange {
  return { type, ...PLACE_RANGE[place] };
}

function planOf(known: Known): FirmwareId {
  const said = known.said('firmware');
  if (said !== null) return said;
  const vmm = known.said('vmm');
  const direct = vmm === null ? null : VMMS[vmm].direct;
  if (direct === null) return 'seabios';
  const [plan, other] = directPlans(direct);
  if (plan === undefined || other !== undefined) {
    throw new Undetermined([
      {
        severity: 'error',
        message: `undetermined: which MTRRs the guest of ${vmm ?? 'the VMM'} has depends on its version`,
        help: `say firmware: ${directPlans(direct).join(' or ')}`,
      },
    ]);
  }
  return plan;
}

/** What the firmware, or the VMM in its place, writes. Without a word of it: SeaBIOS. */
export function programMtrrs(known: Known): MtrrPlanned {
  const { layout } = known.question;
  const place = known.said('guest-place') ?? DEFAULT_PLACE;
  if (layout !== null) {
    const address = layout.address - (layout.address % 4096);
    return { state: stateOf(layout), address, place, plan: null, words: 'MTRRs as given' };
  }
  const address = PLACE_RANGE[place].base;
  const said = known.said('guest-mtrr');
  if (said !== null) {
    const ranges = said === 'WB' ? [] : [rangeOf(place, said)];
    return {
      state: planned(ranges, address),
      address,
      place,
      plan: null,
      words: `guest MTRR ${said}`,
    };
  }
  const plan = planOf(known);
  const { title, over } = MTRR_PLANS[plan];
  const words = `${title}: guest MTRR ${over[place]}`;
  if (plan === 'none') return { state: OFF, address, place, plan, words };
  const ranges = (Object.keys(over) as GuestPlace[])
    .filter((p) => over[p] !== 'WB')
    .map((p) => rangeOf(p, over[p]));
  return { state: planned(ranges, address), address, place, plan, words };
}
