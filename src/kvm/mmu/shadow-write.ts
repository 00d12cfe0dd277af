import type { ShadowContext } from './shadow-context.ts';
import type { ShadowPage } from './shadow-page.ts';
import type { ShadowState } from './shadow-state.ts';
import { commitZap, type InvalidList, prepareZap, zapEntry } from './shadow-zap.ts';

/** Writes to a table without a use in between, after which its page goes: detect_write_flooding(). */
const FLOODED = 3;

function isFlooded(sp: ShadowPage): boolean {
  if (sp.level === 1) return false;
  sp.writeFlooding += 1;
  return sp.writeFlooding >= FLOODED;
}

/** detect_write_misaligned(): not how one writes an entry. */
function isMisaligned(gpa: number, bytes: number): boolean {
  const offset = gpa % 4096;
  if (offset % 8 === 0 && bytes === 1) return false;
  return bytes < 4 || Math.floor(offset / 8) !== Math.floor((offset + bytes - 1) / 8);
}

/** kvm_mmu_track_write(): KVM emulated a write, maybe to a table of the guest; what shadows the entry goes. */
export function trackWrite(state: ShadowState, gpa: number, bytes: number): void {
  const invalid: InvalidList = [];
  let flush = false;
  for (const sp of state.withTables(Math.floor(gpa / 4096))) {
    if (isMisaligned(gpa, bytes) || isFlooded(sp)) {
      prepareZap(state, sp, invalid);
      continue;
    }
    const index = Math.floor((gpa % 4096) / 8);
    const wasPresent = state.bits.isPresent(sp.hi(index), sp.lo(index));
    zapEntry(state, sp, index, null);
    flush = flush || wasPresent;
  }
  if (invalid.length > 0) commitZap(state, invalid);
  else if (flush) state.flush();
}

/** shadow_page_table_clear_flood(): the pages that translate an address are in use. */
export function clearFlooding(state: ShadowState, context: ShadowContext, address: number): void {
  let sp: ShadowPage | null = context.root?.page ?? null;
  while (sp !== null) {
    sp.writeFlooding = 0;
    const index: number = Math.floor(address / 2 ** (3 + 9 * sp.level)) % 512;
    const [hi, lo] = [sp.hi(index), sp.lo(index)];
    if (!state.bits.isPresent(hi, lo) || state.bits.isLast(lo, sp.level)) return;
    sp = state.child(hi, lo);
  }
}
