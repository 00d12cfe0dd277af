import { must } from '../base/assert.ts';
import type { SourceId } from '../cite/sources.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { type DriverRequest, GUEST_DRIVERS } from '../linux/guest-drivers.ts';
import { isNewMemtypeAllowed } from '../linux/memtype-tracker.ts';
import { LINUX_PAT, NO_PAT, XEN_PAT } from '../linux/pat-layout.ts';
import { patXMtrrType } from '../linux/pat-x-mtrr.ts';
import { requestOfMapInfo } from '../linux/virtio-gpu.ts';
import type { MtrrType, PatType } from '../x86/types.ts';
import { blobMapInfo, saysMapInfo } from './blob.ts';
import { isGuestRam } from './firmware.ts';
import type { Page } from './page.ts';
import type { Steps } from './step.ts';

/** What the guest kernel made of a driver's request. */
export interface GuestGrant {
  /** The type in the guest's page tables; null when the kernel refuses the mapping. */
  readonly type: PatType | null;
  readonly requested: PatType | null;
  /** What made the difference between the two. */
  readonly changedBy: 'pat-off' | 'guest-mtrr' | 'reservation' | null;
}

/** The manual of the CPU at hand, as far as the paging mode tells. */
function patSource(inquiry: Inquiry): SourceId {
  return inquiry.ask('paging') === 'npt' ? 'apm/pat' : 'sdm/pat';
}

const LAYOUTS = {
  linux: LINUX_PAT['wt-wp'],
  reset: NO_PAT,
  xen: XEN_PAT,
  zero: ['UC', 'UC', 'UC', 'UC', 'UC', 'UC', 'UC', 'UC'],
} as const;

/** A page table entry names a slot of the PAT, not a type. */
function indexed(inquiry: Inquiry, steps: Steps): GuestGrant {
  const index = inquiry.ask('pat-index');
  const layout = inquiry.ask('pat-layout');
  const type = must(LAYOUTS[layout][Number(index)], 'PAT index');
  steps.add(
    'guest',
    'x86/pat',
    { index, PAT: layout },
    `maps it ${type}`,
    patSource(inquiry),
    LAYOUTS[layout].join(' '),
  );
  return {
    type: inquiry.imply('guest', type, `slot ${index} of the PAT`),
    requested: null,
    changedBy: null,
  };
}

/** Something was said of what the guest's driver asks, or of the driver. */
export function saysRequest(inquiry: Inquiry): boolean {
  const keys = ['guest-request', 'guest-driver', 'pat-index'] as const;
  return keys.some((key) => inquiry.isGiven(key)) || saysMapInfo(inquiry);
}

/** Who hears of a map_info is virtio-gpu, unless another driver is named. */
function driverOf(inquiry: Inquiry): DriverRequest {
  if (inquiry.isGiven('guest-driver')) return GUEST_DRIVERS[inquiry.ask('guest-driver')];
  const why = 'map_info is an answer to virtio-gpu';
  return GUEST_DRIVERS[inquiry.imply('guest-driver', 'virtgpu', why)];
}

/** What the driver asks its kernel for, or writes into its page tables. */
function asked(driver: DriverRequest, inquiry: Inquiry, page: Page, steps: Steps): PatType {
  const [source] = driver.sources;
  if (driver.asks !== null) {
    const words = driver.ownPageTables
      ? `writes ${driver.asks} into its page tables`
      : `asks ${driver.asks}`;
    steps.add('guest', 'linux/guest-drivers', {}, words, source, driver.title);
    return inquiry.imply('guest-request', driver.asks, driver.title);
  }
  const mapInfo = blobMapInfo(inquiry, page);
  const request = requestOfMapInfo(mapInfo);
  steps.add(
    'guest',
    'linux/virtio-gpu',
    { map_info: mapInfo },
    `asks ${request}`,
    source,
    driver.title,
  );
  return inquiry.imply('guest-request', request, `map_info ${mapInfo}`);
}

/** Types that have a slot in the PAT after reset, with which a kernel without PAT must do. */
const RESET_TYPES: readonly PatType[] = ['WB', 'WT', 'UC-', 'UC'];

/**
 * The guest's PAT type: as given, or worked out from what its driver requested the way a Linux guest
 * does: PAT, then guest MTRRs, then earlier reservations.
 */
export function guestType(
  inquiry: Inquiry,
  page: Page,
  guestMtrr: () => MtrrType,
  steps: Steps,
): GuestGrant {
  if (inquiry.isGiven('pat-index')) return indexed(inquiry, steps);
  if (inquiry.isGiven('guest') || !saysRequest(inquiry)) {
    const type = inquiry.ask('guest');
    steps.add(
      'guest',
      'x86/pat',
      {},
      `maps it ${type}`,
      patSource(inquiry),
      "the type in the guest's page tables",
    );
    return { type, requested: null, changedBy: null };
  }
  const driver = inquiry.isGiven('guest-request') ? null : driverOf(inquiry);
  const requested =
    driver === null ? inquiry.ask('guest-request') : asked(driver, inquiry, page, steps);
  if (driver?.ownPageTables) return { type: requested, requested, changedBy: null };
  if (!inquiry.ask('guest-pat')) return withoutPat(requested, steps);
  const granted = requested === 'WB' ? cached(inquiry, guestMtrr, steps) : requested;
  const grant = reserved(inquiry, requested, granted, steps);
  const isReset = inquiry.isGiven('guest-layout') && inquiry.ask('guest-layout') === 'reset';
  return isReset && grant.type !== null ? inResetPat(grant, grant.type, steps) : grant;
}

/** The kernel tracks a type that its PAT has no slot for, and maps UC-. */
function inResetPat(grant: GuestGrant, tracked: PatType, steps: Steps): GuestGrant {
  if (RESET_TYPES.includes(tracked)) return grant;
  const inputs = { granted: tracked, PAT: 'as after reset' };
  const why = 'the PAT after reset has no slot for it';
  steps.add('guest', 'linux/pat-redirect', inputs, 'UC-', 'linux/init_cache_modes', why);
  return { ...grant, type: 'UC-', changedBy: 'pat-off' };
}

/** Without PAT nothing is tracked and no MTRR asked; a type without a slot becomes UC-. */
function withoutPat(requested: PatType, steps: Steps): GuestGrant {
  const type = RESET_TYPES.includes(requested) ? requested : 'UC-';
  steps.add(
    'guest',
    'linux/pat-redirect',
    { requested, PAT: 'not initialised' },
    type,
    'linux/pat_bp_init',
    type === requested
      ? 'the PAT after reset has a slot for it'
      : 'the PAT after reset has no slot for it',
  );
  return { type, requested, changedBy: type === requested ? null : 'pat-off' };
}

function cached(inquiry: Inquiry, guestMtrr: () => MtrrType, steps: Steps): PatType {
  if (!isGuestRam(inquiry)) return underMtrr(guestMtrr(), steps);
  steps.add(
    'guest',
    'linux/pat-x-mtrr',
    { requested: 'WB', place: 'ram' },
    'WB',
    'linux/reserve_ram_pages_type',
    'of RAM no MTRR is asked',
  );
  return 'WB';
}

function underMtrr(mtrr: MtrrType, steps: Steps): PatType {
  const granted = patXMtrrType('WB', mtrr);
  steps.add(
    'guest',
    'linux/pat-x-mtrr',
    { requested: 'WB', 'guest MTRR': mtrr },
    granted,
    'linux/pat_x_mtrr_type',
  );
  return granted;
}

function reserved(inquiry: Inquiry, requested: PatType, wanted: PatType, steps: Steps): GuestGrant {
  const byMtrr = wanted === requested ? null : 'guest-mtrr';
  const earlier = inquiry.ask('guest-reservation');
  if (earlier === 'none' || earlier === wanted)
    return { type: wanted, requested, changedBy: byMtrr };
  const type = isNewMemtypeAllowed(wanted, earlier) ? earlier : null;
  steps.add(
    'guest',
    'linux/memtype-conflict',
    { requested: wanted, 'earlier reservation': earlier },
    type ?? 'refused (-EBUSY)',
    'linux/is_new_memtype_allowed',
  );
  return { type, requested, changedBy: 'reservation' };
}
