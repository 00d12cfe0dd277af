import type { BackingId } from '../../linux/backing.ts';
import type { E820Entry } from '../../linux/text/e820.ts';
import type { Iomem, IomemEntry } from '../../linux/text/iomem.ts';
import type { MemtypeList } from '../../linux/text/memtype-list.ts';
import type { MtrrRange } from '../../linux/text/mtrr.ts';
import type { MtrrType, PatType } from '../../x86/types.ts';
import type { PageOverrides } from '../vms/vm-facts.ts';

/** Null members: not known. */
export interface PhysicalMaps {
  readonly iomem: Iomem | null;
  readonly memmap: readonly E820Entry[] | null;
  readonly tracked: MemtypeList | null;
  /** Variable ranges; null also where the list is odd. */
  readonly mtrrs: readonly MtrrRange[] | null;
  /** Null: not known, or the MTRRs are off. */
  readonly mtrrDefault: MtrrType | null;
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

const ANY_MTRR: readonly MtrrType[] = ['WB', 'UC', 'WC', 'WT', 'WP'];
/** Up to here the fixed ranges decide, which no file shows. */
const FIXED_END = 2 ** 20;

/** The MTRR type of one address. Mixes that the manual leaves undefined may be anything. */
function mtrrAt(
  address: number,
  ranges: readonly MtrrRange[],
  rest: readonly MtrrType[],
): readonly MtrrType[] {
  const found = ranges.filter((r) => r.base <= address && address < r.base + r.size);
  const types = [...new Set(found.map((r) => r.type))];
  if (types.length === 0) return rest;
  if (types.length === 1 || types.includes('UC')) return types.includes('UC') ? ['UC'] : types;
  return types.every((t) => t === 'WT' || t === 'WB') ? ['WT'] : ANY_MTRR;
}

/** Types that the host MTRRs may give [address, address + size): every one that some page may have. */
function mtrrTypes(address: number, size: number, maps: PhysicalMaps): readonly MtrrType[] {
  const { mtrrs, mtrrDefault } = maps;
  if (mtrrs === null || address < FIXED_END) return ANY_MTRR;
  const rest = mtrrDefault === null ? ANY_MTRR : [mtrrDefault];
  const edges = mtrrs.flatMap((r) => [r.base, r.base + r.size]);
  const inside = edges.filter((e) => e > address && e < address + size);
  const found = new Set([address, ...inside].flatMap((a) => mtrrAt(a, mtrrs, rest)));
  return ANY_MTRR.filter((type) => found.has(type));
}

/** RAM is WB, as its class has it, unless the MTRRs are known to say otherwise. */
function withRamMtrr(
  page: PhysicalPage,
  address: number,
  size: number,
  maps: PhysicalMaps,
): PhysicalPage {
  const types = mtrrTypes(address, size, maps);
  // TOM2 makes memory above 4 GiB WB on AMD, and is not known here.
  if (types.length > 1 || types[0] === 'WB' || address >= 2 ** 32) return page;
  return { ...page, page: { ...page.page, hostMtrr: types } };
}

/** Device memory: the class is settled by what the tracker has for it. Null: address not known. */
export function barPage(address: number | null, size: number, maps: PhysicalMaps): PhysicalPage {
  const { backings, page } = trackedBar(address, maps);
  if (address === null || address === 0) return { backings, page };
  return { backings, page: { ...page, hostMtrr: mtrrTypes(address, size, maps) } };
}

function trackedBar(address: number | null, maps: PhysicalMaps): PhysicalPage {
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
export function devmemPage(address: number, size: number, maps: PhysicalMaps): PhysicalPage {
  if (address >= ISA_START && address < VGA_END) return { backings: ['vga-hole'], page: {} };
  if (address >= ISA_START && address < ISA_END) {
    return { backings: ['vga-hole'], page: { ...EITHER, hostMtrr: ANY_MTRR, maybeRom: true } };
  }
  const { iomem, memmap, tracked } = maps;
  if (iomem === null || iomem.hidden) {
    return { backings: ['bar', 'bar-wc', 'carveout-uc', 'dax', 'ram'], page: EITHER };
  }
  if (iomem.entries.some((e) => isSystemRam(e) && covers(e, address))) {
    return withRamMtrr({ backings: ['ram'], page: EITHER }, address, size, maps);
  }
  if (hasStructPage(address, iomem)) {
    return withRamMtrr(reservedRam(trackedType(address, tracked)), address, size, maps);
  }
  if (memmap === null) return { backings: ['bar', 'bar-wc', 'hidden-ram'], page: EITHER };
  const hidden = memmap.some((e) => e.type === 'ram' && covers(e, address));
  if (!hidden) return barPage(address, size, maps);
  return withRamMtrr({ backings: ['hidden-ram'], page: EITHER }, address, size, maps);
}
