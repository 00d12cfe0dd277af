import { refuse } from '../../base/diagnostic.ts';
import { u64 } from '../../base/u64.ts';
import type { SourceId } from '../../cite/sources.ts';
import type { MapInfo } from '../../facts/facts.ts';
import { type DriverRequest, GUEST_DRIVERS } from '../../linux/guest-drivers.ts';
import { remapPfnRange } from '../../linux/ioremap.ts';
import { MemtypeTracker } from '../../linux/memtype-tracker.ts';
import { buildMtrrMap, type MtrrHint, mtrrHint } from '../../linux/mtrr-lookup.ts';
import { LINUX_PAT, NO_PAT, slotFor, XEN_PAT } from '../../linux/pat-layout.ts';
import { requestOfMapInfo } from '../../linux/virtio-gpu.ts';
import { overriddenMtrr } from '../../platform/firmware.ts';
import { type PatLayout, patLayout } from '../../x86/pat.ts';
import type { PatType } from '../../x86/types.ts';
import type { MtrrPlanned } from './firmware.ts';
import { type Known, Undetermined } from './known.ts';

/** How the guest maps the blob: what its driver asked, what its kernel granted, what stands in the PTE. */
export interface GuestMapping {
  /** Null: the PTE was given, nobody asked. */
  readonly requested: PatType | null;
  /** Null: the kernel refuses the mapping (-EBUSY, -EINVAL). */
  readonly granted: PatType | null;
  /** PAT index of the page-table entry. */
  readonly index: number;
  /** The PAT MSR of the guest. */
  readonly pat: PatLayout;
  readonly words: string;
  readonly source: SourceId;
}

const PAGE = 4096;

const ALL_UC = patLayout(u64(0, 0)) ?? NO_PAT;
const LAYOUTS = { linux: LINUX_PAT['wt-wp'], reset: NO_PAT, xen: XEN_PAT, zero: ALL_UC } as const;

/** The PAT that the guest kernel programmed. */
export function guestPat(known: Known): PatLayout {
  const layout = known.said('pat-layout');
  if (layout !== null) return LAYOUTS[layout];
  if (!known.ask('guest-pat')) return NO_PAT;
  return known.ask('guest-layout') === 'reset' ? NO_PAT : LINUX_PAT['wt-wp'];
}

/** The MTRR type of the blob as the guest's kernel sees it. */
function mtrrSeen(
  known: Known,
  { state, place }: MtrrPlanned,
): (start: number, end: number) => MtrrHint {
  const confidential = known.said('confidential') ?? 'no';
  if (confidential === 'no' || known.isGiven('guest-mtrr')) {
    const { defType, fixed, variable, maxphyaddr } = state;
    const map = buildMtrrMap({ defType, fixed, variable, physBits: maxphyaddr });
    return (start, end) => mtrrHint(map, start, end);
  }
  const [type, other] = overriddenMtrr(place);
  if (type === undefined || other !== undefined) {
    throw new Undetermined([
      {
        severity: 'error',
        message: `undetermined: what a ${confidential} guest takes for its MTRRs below 4 GiB`,
        help: 'say guest-mtrr, or another guest-place',
      },
    ]);
  }
  return () => type;
}

function granted(known: Known, requested: PatType, planned: MtrrPlanned): PatType | null {
  if (!known.ask('guest-pat')) return requested;
  const { address, place } = planned;
  const earlier = known.ask('guest-reservation');
  // Of RAM no MTRR is asked, and its type is a flag of the page.
  if (place === 'ram' && earlier === 'none') return requested;
  const seen = mtrrSeen(known, planned);
  let isHeld = earlier === 'none';
  const tracker = new MemtypeTracker({
    isRam: () => false,
    // Whoever came earlier got what it holds, by whatever MTRRs there were.
    mtrrType: (start, end) => (isHeld ? seen(start, end) : 'WB'),
    patEnabled: true,
  });
  if (earlier !== 'none') tracker.reserve(address - PAGE, address + PAGE, earlier, 'exact');
  isHeld = true;
  const mapped = remapPfnRange(tracker, address, address + PAGE, requested);
  return 'mapped' in mapped ? mapped.mapped : null;
}

function requestOf(
  known: Known,
  mapInfo: () => MapInfo,
): { type: PatType; driver: DriverRequest | null; source: SourceId } {
  const said = known.said('guest-request');
  if (said !== null) return { type: said, driver: null, source: 'linux/memtype_reserve' };
  const driver = GUEST_DRIVERS[known.said('guest-driver') ?? 'virtgpu'];
  const type = driver.asks ?? requestOfMapInfo(mapInfo());
  return { type, driver, source: driver.sources[0] };
}

function decided(
  known: Known,
  type: PatType,
  requested: PatType | null,
  words: string,
  source: SourceId,
): GuestMapping {
  const pat = guestPat(known);
  const index = pat.indexOf(type) < 0 ? slotFor(pat, type) : pat.indexOf(type);
  return { requested, granted: pat[index] ?? 'UC-', index, pat, words, source };
}

/** What the guest's driver asks for the blob, and what its kernel makes of it. */
export function mapBlob(known: Known, planned: MtrrPlanned, mapInfo: () => MapInfo): GuestMapping {
  const given = known.said('pat-index');
  if (given !== null) {
    const pat = guestPat(known);
    const index = Number(given);
    const type = pat[index] ?? 'UC-';
    return {
      requested: null,
      granted: type,
      index,
      pat,
      words: `PTE with index ${index}: ${type}`,
      source: 'sdm/pat',
    };
  }
  const said = known.said('guest');
  if (said !== null) {
    if (guestPat(known).indexOf(said) < 0)
      refuse(
        `the guest's PAT has no slot for ${said}`,
        'say guest-request, or another guest-layout',
      );
    return decided(known, said, null, `maps it ${said}`, 'sdm/pat');
  }
  const { type, driver, source } = requestOf(known, mapInfo);
  const title = driver?.title ?? 'a driver';
  if (driver?.ownPageTables === true) {
    return decided(known, type, type, `${title}: writes ${type} into its PTE`, source);
  }
  const got = granted(known, type, planned);
  if (got === null) {
    const words = `${title}: asks ${type}, refused: an earlier reservation stands against it`;
    return { requested: type, granted: null, index: 0, pat: guestPat(known), words, source };
  }
  const mapping = decided(known, got, type, '', source);
  return { ...mapping, words: `${title}: asks ${type}, granted ${mapping.granted ?? got}` };
}
