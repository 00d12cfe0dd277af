import { PAGE_SIZE, pagesOf } from './host-memory.ts';

export const KVM_MEM_LOG_DIRTY_PAGES = 1 << 0;
export const KVM_MEM_READONLY = 1 << 1;
/** Of proposals only; no kernel has these bits, and the numbers are ours. */
export const KVM_MEM_NON_COHERENT_DMA = 1 << 30;
export const KVM_MEM_HOST_MEMTYPE = 1 << 29;

/** struct kvm_userspace_memory_region; addresses and size in bytes. */
export interface MemoryRegion {
  /** Bits 31:16: address space (1: SMM). */
  readonly slot: number;
  readonly flags: number;
  readonly guestPhysAddr: number;
  /** 0: deletes the slot. */
  readonly memorySize: number;
  readonly userspaceAddr: number;
}

export interface Memslot {
  readonly asId: number;
  readonly id: number;
  readonly baseGfn: number;
  readonly npages: number;
  readonly userspaceAddr: number;
  readonly flags: number;
}

export type SlotErrno = 'EINVAL' | 'EEXIST';

/** What a call of KVM_SET_USER_MEMORY_REGION amounts to: kvm_mr_change. */
export type SlotChange =
  | { readonly is: 'create'; readonly now: Memslot }
  | { readonly is: 'delete'; readonly old: Memslot }
  | { readonly is: 'move'; readonly old: Memslot; readonly now: Memslot }
  | { readonly is: 'flags'; readonly old: Memslot; readonly now: Memslot }
  | { readonly is: 'nothing' }
  | { readonly is: 'error'; readonly errno: SlotErrno };

export function endOf(slot: Memslot): number {
  return slot.baseGfn + slot.npages;
}

/** The user address of a page of the slot. */
export function hvaOf(slot: Memslot, gfn: number): number {
  return slot.userspaceAddr + (gfn - slot.baseGfn) * PAGE_SIZE;
}

export function isReadonly(slot: Memslot): boolean {
  return (slot.flags & KVM_MEM_READONLY) !== 0;
}

export function isDirtyLogged(slot: Memslot): boolean {
  return (slot.flags & KVM_MEM_LOG_DIRTY_PAGES) !== 0;
}

/**
 * Whether the slot rules out a huge page of that level around a gfn: lpage_info.disallow_lpage. Blocks that
 * stick out of the slot, and all of them where guest and user address are not aligned alike.
 */
export function disallowsHuge(slot: Memslot, gfn: number, level: number): boolean {
  const pages = pagesOf(level);
  const ugfn = slot.userspaceAddr / PAGE_SIZE;
  if ((slot.baseGfn - ugfn) % pages !== 0) return true;
  const start = gfn - (gfn % pages);
  return start < slot.baseGfn || start + pages > endOf(slot);
}

/** The memslots of a VM, of all its address spaces. */
export class Memslots {
  #slots: readonly Memslot[] = [];
  /** The low bits of an MMIO SPTE hold it: memslots.generation, two a change. */
  generation = 0;
  #last: Memslot | null = null;

  /** By address space and gfn. */
  all(): readonly Memslot[] {
    return this.#slots;
  }

  at(asId: number, gfn: number): Memslot | null {
    const last = this.#last;
    if (last !== null && last.asId === asId && gfn >= last.baseGfn && gfn < endOf(last))
      return last;
    const found =
      this.#slots.find((s) => s.asId === asId && gfn >= s.baseGfn && gfn < endOf(s)) ?? null;
    this.#last = found;
    return found;
  }

  byId(asId: number, id: number): Memslot | null {
    return this.#slots.find((s) => s.asId === asId && s.id === id) ?? null;
  }

  /** Slots that show [start, end) of the user addresses, with the gfns that do. */
  inHvaRange(start: number, end: number): readonly { slot: Memslot; gfn: number; end: number }[] {
    return this.#slots.flatMap((slot) => {
      const from = Math.max(start, slot.userspaceAddr);
      const to = Math.min(end, slot.userspaceAddr + slot.npages * PAGE_SIZE);
      if (from >= to) return [];
      const gfnAt = (hva: number): number =>
        slot.baseGfn + Math.floor((hva - slot.userspaceAddr) / PAGE_SIZE);
      return [{ slot, gfn: gfnAt(from), end: gfnAt(to + PAGE_SIZE - 1) }];
    });
  }

  /** What the call would do; it does nothing yet. @param knownFlags the flags of this kernel */
  plan(region: MemoryRegion, knownFlags: number): SlotChange {
    const asId = region.slot >>> 16;
    const id = region.slot & 0xffff;
    const error = (errno: SlotErrno): SlotChange => ({ is: 'error', errno });
    const { memorySize: size, guestPhysAddr: gpa, userspaceAddr: hva, flags } = region;
    if (asId > 1 || (flags & ~knownFlags) !== 0) return error('EINVAL');
    if ([size, gpa, hva].some((n) => n % PAGE_SIZE !== 0 || n < 0)) return error('EINVAL');
    const old = this.byId(asId, id);
    if (size === 0) return old === null ? error('EINVAL') : { is: 'delete', old };
    const now: Memslot = {
      asId,
      id,
      flags,
      baseGfn: gpa / PAGE_SIZE,
      npages: size / PAGE_SIZE,
      userspaceAddr: hva,
    };
    const overlaps = this.#slots.some(
      (s) => s !== old && s.asId === asId && s.baseGfn < endOf(now) && endOf(s) > now.baseGfn,
    );
    if (old === null) return overlaps ? error('EEXIST') : { is: 'create', now };
    const isOther = old.npages !== now.npages || old.userspaceAddr !== now.userspaceAddr;
    if (isOther || isReadonly(old) !== isReadonly(now)) return error('EINVAL');
    if (old.baseGfn !== now.baseGfn) return overlaps ? error('EEXIST') : { is: 'move', old, now };
    return old.flags === now.flags ? { is: 'nothing' } : { is: 'flags', old, now };
  }

  /** Puts the slots of a change in force: install_new_memslots(). */
  commit(old: Memslot | null, now: Memslot | null): void {
    const kept = this.#slots.filter((s) => s !== old);
    const next = now === null ? kept : [...kept, now];
    this.#slots = [...next].sort((a, b) => a.asId - b.asId || a.baseGfn - b.baseGfn);
    this.#last = null;
  }
}
