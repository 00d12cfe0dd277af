import type { BackingId } from '../linux/backing.ts';
import type { E820Entry } from '../linux/text/e820.ts';
import type { Iomem, IomemEntry } from '../linux/text/iomem.ts';
import type { MemtypeList } from '../linux/text/memtype-list.ts';
import type { PatType } from '../x86/types.ts';
import type { PageOverrides } from './vm-facts.ts';

/** Null members: not known. */
export interface PhysicalMaps {
  readonly iomem: Iomem | null;
  readonly memmap: readonly E820Entry[] | null;
  readonly tracked: MemtypeList | null;
}

/** What the host may make of a page at a physical address. */
export interface PhysicalPage {
  readonly backings: readonly BackingId[];
  readonly page: PageOverrides;
}

const ISA_START = 0xa0000;
const VGA_END = 0xc0000;
const ISA_END = 0x100000;
/** SECTION_SIZE_BITS of x86-64: a section with any RAM has struct pages throughout. */
const SECTION = 2 ** 27;

/**
 * lookup_memtype() of an address that is not RAM: the first entry over it, else UC-. Null when the list
 * is not known, or has gaps. VFIO BARs from 6.12 on are mapped by what it says without being in it.
 */
function trackedType(address: number, tracked: MemtypeList | null): PatType | null {
  if (tracked === null || !tracked.complete) return null;
  const entry = tracked.entries.find((e) => e.start <= address && address < e.end);
  return entry?.type ?? 'UC-';
}

/** Device memory: the class is settled by what the tracker has for it. Null: address not known. */
export function barPage(address: number | null, maps: PhysicalMaps): PhysicalPage {
  const type = address === null || address === 0 ? null : trackedType(address, maps.tracked);
  if (type === null) return { backings: ['bar', 'bar-wc'], page: {} };
  if (type === 'WC') return { backings: ['bar-wc'], page: {} };
  const page: PageOverrides = type === 'UC-' ? {} : { hostMemtype: type, vmmMapping: [type] };
  return { backings: ['bar'], page };
}

function covers(entry: IomemEntry | E820Entry, address: number): boolean {
  return entry.start <= address && address <= entry.endInclusive;
}

function isSystemRam(entry: IomemEntry): boolean {
  return entry.name === 'System RAM';
}

/** pfn_valid() by the memory map: RAM in the same section. Inferred, as of sparse memory on x86-64. */
function hasStructPage(address: number, iomem: Iomem): boolean {
  const start = Math.floor(address / SECTION) * SECTION;
  return iomem.entries.some(
    (e) => isSystemRam(e) && e.start < start + SECTION && e.endInclusive >= start,
  );
}

function reservedRam(type: PatType | null): PhysicalPage {
  if (type === 'WB') return { backings: ['dax'], page: {} };
  if (type === 'UC-') return { backings: ['carveout-uc'], page: {} };
  if (type === null) return { backings: ['dax', 'carveout-uc'], page: {} };
  return { backings: ['carveout-uc'], page: { hostMemtype: type, vmmMapping: [type] } };
}

/** /dev/mem opened with or without O_SYNC, over memory that the tracker says nothing about. */
const EITHER: PageOverrides = { vmmMapping: ['WB', 'UC-'] };

/** Any physical address, as /dev/mem maps it. */
export function devmemPage(address: number, maps: PhysicalMaps): PhysicalPage {
  if (address >= ISA_START && address < VGA_END) return { backings: ['vga-hole'], page: {} };
  if (address >= ISA_START && address < ISA_END) return { backings: ['dax'], page: EITHER };
  const { iomem, memmap, tracked } = maps;
  if (iomem === null || iomem.hidden) {
    return { backings: ['bar', 'bar-wc', 'carveout-uc', 'dax', 'ram'], page: EITHER };
  }
  if (iomem.entries.some((e) => isSystemRam(e) && covers(e, address))) {
    return { backings: ['ram'], page: EITHER };
  }
  if (hasStructPage(address, iomem)) return reservedRam(trackedType(address, tracked));
  if (memmap === null) return { backings: ['bar', 'bar-wc', 'hidden-ram'], page: EITHER };
  const hidden = memmap.some((e) => e.type === 'ram' && covers(e, address));
  return hidden ? { backings: ['hidden-ram'], page: EITHER } : barPage(address, maps);
}
