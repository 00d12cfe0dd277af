import { rule } from '../cite/rule.ts';
import type { PatLayout } from '../x86/pat.ts';
import type { PatType } from '../x86/types.ts';
import {
  isNewMemtypeAllowed,
  isUntracked,
  type MemtypeTracker,
  type RefusedBecause,
} from './memtype-tracker.ts';
import { slotFor } from './pat-layout.ts';

rule({
  id: 'linux/ioremap',
  room: 'guest',
  title: 'What ioremap and its relatives ask for, and what they get',
  text:
    'ioremap() asks for UC-, so that an MTRR may still make it WC; ioremap_uc() for UC, _wc for WC, _wt ' +
    'for WT, _cache for WB. x86 has no ioremap_np(): it returns NULL. RAM is refused. The tracker may ' +
    'grant another type, which must be an allowed one.',
  sources: ['linux/ioremap', 'linux/is_new_memtype_allowed', 'linux/ioremap_np'],
});

/** The type that each function asks for. `ioremap_nocache`, up to 5.5, is `ioremap`. */
export const IOREMAP_REQUESTS = {
  ioremap: 'UC-',
  ioremap_uc: 'UC',
  ioremap_wc: 'WC',
  ioremap_wt: 'WT',
  ioremap_cache: 'WB',
  ioremap_np: null,
} as const satisfies Record<string, PatType | null>;

export type IoremapFunction = keyof typeof IOREMAP_REQUESTS;

export type Mapped =
  | { readonly mapped: PatType }
  | { readonly error: 'not-on-x86' | 'ram' }
  /** `ioremap memtype_reserve failed`. */
  | { readonly error: 'EBUSY' | 'EINVAL'; readonly because: RefusedBecause }
  /** `ioremap error for 0x..-0x.., requested 0x.., got 0x..`: the reservation is given back. */
  | { readonly error: 'not-allowed'; readonly requested: PatType; readonly got: PatType };

const PAGE = 4096;

function reserveAllowed(
  tracker: MemtypeTracker,
  start: number,
  end: number,
  requested: PatType,
): Mapped {
  const reserved = tracker.reserve(start, end, requested, 'flexible');
  if ('error' in reserved) return { error: reserved.error, because: reserved.because };
  const got = reserved.granted;
  if (isUntracked(start, end) || isNewMemtypeAllowed(requested, got)) return { mapped: got };
  tracker.free(start, end);
  return { error: 'not-allowed', requested, got };
}

function meetsRam(tracker: MemtypeTracker, start: number, end: number): boolean {
  for (let page = start / PAGE; page < end / PAGE; page++) {
    if (tracker.host.isRam(page)) return true;
  }
  return false;
}

/** Maps `size` bytes from `address`, widened to whole pages. Source: `__ioremap_caller`. */
export function ioremap(
  tracker: MemtypeTracker,
  name: IoremapFunction,
  address: number,
  size: number,
): Mapped {
  const requested = IOREMAP_REQUESTS[name];
  if (requested === null) return { error: 'not-on-x86' };
  const start = address - (address % PAGE);
  const end = Math.ceil((address + size) / PAGE) * PAGE;
  if (meetsRam(tracker, start, end)) return { error: 'ram' };
  return reserveAllowed(tracker, start, end, requested);
}

rule({
  id: 'linux/pfnmap',
  room: 'host',
  title: 'Types of user mappings by page number (remap_pfn_range, vmf_insert_pfn)',
  text:
    'remap_pfn_range() over the whole area reserves the requested type, or takes an allowed one that is ' +
    'tracked already, and is refused with EINVAL otherwise; over RAM it takes the type of the first ' +
    'page. vmf_insert_pfn() replaces the requested type by the tracked one, page by page, and reserves ' +
    'nothing.',
  sources: ['linux/remap_pfn_range', 'linux/vmf_insert_pfn', 'lab/memtype-steps'],
});

/** The type of a whole-area remap_pfn_range of [start, end). Source: `reserve_pfn_range`. */
export function remapPfnRange(
  tracker: MemtypeTracker,
  start: number,
  end: number,
  requested: PatType,
): Mapped {
  if (tracker.kindOf(start, end) !== 'not-ram') {
    return { mapped: tracker.host.patEnabled ? tracker.lookup(start) : requested };
  }
  return reserveAllowed(tracker, start, end, requested);
}

/** The type of one page mapped with vmf_insert_pfn. Source: `track_pfn_insert`. */
export function vmfInsertPfn(tracker: MemtypeTracker, page: number, requested: PatType): PatType {
  return tracker.host.patEnabled ? tracker.lookup(page * PAGE) : requested;
}

rule({
  id: 'linux/pgprot',
  room: 'guest',
  title: 'pgprot_noncached and pgprot_writecombine',
  text:
    'pgprot_noncached() adds the bits of UC-, pgprot_writecombine() those of WC. Up to 6.12 both only set ' +
    'bits: one after the other gives PCD and PWT together, slot 3, which is UC. In 7.3 ' +
    'pgprot_writecombine() replaces the field.',
  sources: ['linux/pgprot_writecombine', 'linux/pgprot_noncached'],
});

/** Whether pgprot_writecombine() sets bits (up to 6.12) or replaces the field (7.3). */
export type WritecombineKernel = '6.12' | '7.3';

/** The PAT index after pgprot_noncached(), from the one before. */
export function pgprotNoncached(pat: PatLayout, index: number): number {
  return index | slotFor(pat, 'UC-');
}

/** The PAT index after pgprot_writecombine(), from the one before. */
export function pgprotWritecombine(
  pat: PatLayout,
  index: number,
  kernel: WritecombineKernel,
): number {
  const slot = slotFor(pat, 'WC');
  return kernel === '7.3' ? slot : index | slot;
}
