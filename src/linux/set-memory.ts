import { rule } from '../cite/rule.ts';
import type { PatType } from '../x86/types.ts';
import type { MemtypeTracker } from './memtype-tracker.ts';

rule({
  id: 'linux/set-memory',
  room: 'host',
  title: 'Changing the type of RAM in the direct map (set_memory_*, set_pages_array_*)',
  text:
    'The type is reserved exactly, for the whole range or, by the array functions, page by page; an array ' +
    'that fails gives its pages back and says EINVAL whatever the reason was. uc asks for UC-. wc changes ' +
    'the direct map in two passes, UC- first and then WC, so that WB and WC never meet. wb changes the ' +
    'direct map first and then frees. set_memory_wt() came with WT support and is gone since.',
  sources: ['linux/set_memory', 'linux/reserve_ram_pages_type'],
});

const PAGE = 4096;

export type SetMemory =
  /** The types that the direct map takes on, in order. */
  { readonly passes: readonly PatType[] } | { readonly error: 'EBUSY' | 'EINVAL' };

/** What each function asks the tracker for, and how it changes the direct map. WB frees instead. */
const SET_MEMORY = {
  set_memory_uc: 'UC-',
  set_memory_wc: 'WC',
  set_memory_wt: 'WT',
  set_memory_wb: 'WB',
} as const satisfies Record<string, PatType>;

const SET_PAGES_ARRAY = {
  set_pages_array_uc: 'UC-',
  set_pages_array_wc: 'WC',
  set_pages_array_wb: 'WB',
} as const satisfies Record<string, PatType>;

function passes(type: PatType): readonly PatType[] {
  return type === 'WC' ? ['UC-', 'WC'] : [type];
}

/** `pages` pages from `start`, in bytes. */
export function setMemory(
  tracker: MemtypeTracker,
  name: keyof typeof SET_MEMORY,
  start: number,
  pages: number,
): SetMemory {
  const type = SET_MEMORY[name];
  const end = start + pages * PAGE;
  if (type === 'WB') {
    tracker.free(start, end);
    return { passes: passes(type) };
  }
  const reserved = tracker.reserve(start, end, type, 'exact');
  return 'error' in reserved ? { error: reserved.error } : { passes: passes(type) };
}

/** Pages by number, as TTM and the drm shmem library pass them. */
export function setPagesArray(
  tracker: MemtypeTracker,
  name: keyof typeof SET_PAGES_ARRAY,
  pages: readonly number[],
): SetMemory {
  const type = SET_PAGES_ARRAY[name];
  const free = (page: number): boolean => tracker.free(page * PAGE, (page + 1) * PAGE);
  if (type === 'WB') {
    pages.forEach(free);
    return { passes: passes(type) };
  }
  for (const [i, page] of pages.entries()) {
    if ('error' in tracker.reserve(page * PAGE, (page + 1) * PAGE, type, 'exact')) {
      pages.slice(0, i).forEach(free);
      return { error: 'EINVAL' };
    }
  }
  return { passes: passes(type) };
}
