import { u64FromNumber, u64ToNumber } from '../../base/u64.ts';
import type { Vma } from '../../linux/text/maps.ts';
import type { Memslot } from '../vmms/memslots.ts';
import {
  deviceRegion,
  guestMappings,
  joined,
  type Mapping,
  memoryKind,
  type RegionContext,
  sizeOf,
} from './regions.ts';

/** The part of a memslot that lies in a mapping; null: none of it does. */
function within(slot: Memslot, vma: Vma): Memslot | null {
  if (slot.hva === null) return null;
  const [first, end] = [u64ToNumber(vma.start), u64ToNumber(vma.end)];
  const hva = Math.max(slot.hva, first);
  const size = Math.min(slot.hva + slot.size, end) - hva;
  return size > 0 ? { ...slot, gpa: slot.gpa + hva - slot.hva, hva, size } : null;
}

const UNNAMED = {
  kind: 'anonymous',
  name: 'memory of a kind not known',
  backings: ['ram'],
} as const;

/** The part of a mapping from its first memslot to its last: the heap of the VMM may lie beside it. */
function clipped(vma: Vma, slots: readonly Memslot[]): Vma {
  const starts = slots.map((s) => s.hva ?? 0);
  const start = Math.min(...starts);
  const end = Math.max(...slots.map((s) => (s.hva ?? 0) + s.size));
  const before = start - u64ToNumber(vma.start);
  const isWhole = before === 0 && end === u64ToNumber(vma.end);
  return {
    ...vma,
    start: u64FromNumber(start),
    end: u64FromNumber(end),
    offset: u64FromNumber(u64ToNumber(vma.offset) + before),
    resident: isWhole ? vma.resident : null,
  };
}

function slotMapping(whole: Vma, slots: readonly Memslot[], c: RegionContext): Mapping {
  const vma = clipped(whole, slots);
  const device = vma.path === null ? null : deviceRegion(vma, vma.path, c);
  const memory = memoryKind(vma.path, vma, c) ?? UNNAMED;
  const found = device ?? { ...memory, page: {} };
  const blocks = [...new Set(slots.map((s) => s.block))].slice(0, 3).join(', ');
  const rom = slots.every((s) => s.readonly)
    ? ', read-only: the VMM gets what the guest writes'
    : '';
  return {
    vma,
    size: sizeOf(vma),
    ...found,
    name: `${found.name} (block ${blocks})`,
    isGuestMemory: 'named',
    why: `the VMM's monitor lists it as a memslot${rom}`,
    memslots: slots,
  };
}

/**
 * The mappings that are guest memory, by the memslots that the VMM's monitor lists. A mapping without a
 * memslot is none, unless the place of some memslot is not known.
 */
export function mappingsBySlots(
  vmas: readonly Vma[],
  slots: readonly Memslot[],
  c: RegionContext,
): readonly Mapping[] {
  const bySlots = joined(vmas).flatMap((vma): Mapping[] => {
    if (!vma.perms.startsWith('r')) return [];
    const inside = slots.map((slot) => within(slot, vma)).filter((s) => s !== null);
    return inside.length === 0 ? [] : [slotMapping(vma, inside, c)];
  });
  if (slots.length > 0 && slots.every((s) => s.hva !== null)) return bySlots;
  const taken = bySlots.map((m) => u64ToNumber(m.vma.start));
  const isFree = ({ start, end }: Vma): boolean =>
    !taken.some((at) => at >= u64ToNumber(start) && at < u64ToNumber(end));
  return [...bySlots, ...guestMappings(vmas, c).filter((m) => isFree(m.vma))];
}
