import { type EventBatch, KIND } from './batch.ts';

/** Counts of entries by memory type, IPAT and level: see `leafIndex`. */
export const LEAF_COUNTS = 8 * 2 * 8;

/** @param memtype bits 5:3 of an EPT entry @param ipat bit 6 */
export function leafIndex(memtype: number, ipat: number, level: number): number {
  return (memtype << 4) | (ipat << 3) | level;
}

/** Adds the entries that `kvm_mmu_set_spte` wrote, read as EPT leaves. */
export function countLeaves(batch: EventBatch, counts: Float64Array): void {
  const { count, kind, valueLo, level } = batch;
  for (let i = 0; i < count; i += 1) {
    if (kind[i] !== KIND.set) continue;
    const at =
      (((valueLo[i] ?? 0) << 1) & 0x70) | (((valueLo[i] ?? 0) >>> 3) & 8) | (level[i] ?? 0);
    counts[at] = (counts[at] ?? 0) + 1;
  }
}
